package program

import (
	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/runs"
)

// teacher is the exponential moving average of the student's backbone and of the parameters with teacher_copy.
//
// A teacher that moves after the optimizer's step is moved in the store by MoveTeacher, and the
// graph reads the store. One that moves before the forward pass would change the store in a step
// that may still prove not finite, and once for every micro-batch of accumulated gradients. So the
// graph reads a copy, next: each Step computes it anew from the stored weights and the student's,
// and MoveTeacher stores it. Between two steps the store holds the teacher of the last one, as the
// official code does.
type teacher struct {
	when     plan.When
	momentum *scalar
	read     *param.Store       // of the parameters that the graph reads: the run's, or one of next's own
	stored   []*param.Parameter // in the run's store
	student  []*param.Parameter // whose moving average they are
	next     []*param.Parameter // weights of the step in progress; nil where the graph reads the stored ones
}

// addTeacher makes the backbone of the teacher, a copy of the student's unless the store has one.
func (c *Compiler) addTeacher(scheme backbone.Scheme) error {
	t := &teacher{when: c.Plan.Teacher.When, read: c.store}
	fresh := c.store.Get(runs.TeacherPrefix+c.Student.Parameters()[0].Name) == nil
	network, err := c.Config.New(c.store, runs.TeacherPrefix+runs.BackbonePrefix, scheme, c.seed)
	if err != nil {
		return err
	}
	backbone.Freeze(network)
	if fresh {
		if err := backbone.Copy(network, c.Student); err != nil {
			return err
		}
	}
	c.Averaged = network
	t.stored, t.student = network.Parameters(), c.Student.Parameters()
	if c.Train && t.when == plan.WhenBeforeForward {
		t.read = param.NewStore()
		for _, b := range network.Buffers() { // its running statistics are state, of which there is no copy
			if err := t.read.Share(b); err != nil {
				return err
			}
		}
		if network, err = c.Config.New(t.read, runs.TeacherPrefix+runs.BackbonePrefix, backbone.Zeros, c.seed); err != nil {
			return err
		}
		backbone.Freeze(network)
		t.next = network.Parameters()
	}
	c.teacher, c.Teacher = t, network
	return nil
}

// add gives the teacher a copy of one of the objective's parameters and returns the one that the
// graph reads.
func (t *teacher) add(store *param.Store, p *param.Parameter, seed uint64) (*param.Parameter, error) {
	name := runs.TeacherPrefix + p.Name
	stored := store.Get(name)
	if stored == nil {
		var err error
		if stored, err = store.Add(name, p.Shape, param.Init{Kind: "zeros"}, seed); err != nil {
			return nil, err
		}
		copy(stored.Data, p.Data)
	}
	stored.Frozen = true
	t.stored, t.student = append(t.stored, stored), append(t.student, p)
	if t.next == nil {
		return stored, nil
	}
	next, err := t.read.Add(name, p.Shape, param.Init{Kind: "zeros"}, seed)
	if err != nil {
		return nil, err
	}
	next.Frozen = true
	t.next = append(t.next, next)
	return next, nil
}

// beforeForward computes the weights that the graph reads, for a teacher that moves before the
// forward pass.
func (t *teacher) beforeForward(dev *device.CPU) error {
	if t == nil || t.next == nil {
		return nil
	}
	for i, p := range t.next {
		copy(p.Data, t.stored[i].Data)
	}
	return optim.EMA(dev, t.next, t.student, t.momentum.now)
}

// afterStep ends a step of the optimizer: the stored weights become the next ones.
func (t *teacher) afterStep(dev *device.CPU) error {
	if t == nil {
		return nil
	}
	if t.when == plan.WhenAfterStep {
		return optim.EMA(dev, t.stored, t.student, t.momentum.now)
	}
	for i, p := range t.next {
		copy(t.stored[i].Data, p.Data)
	}
	return nil
}
