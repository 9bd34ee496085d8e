package program

import (
	"fmt"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/runs"
)

// teacher is the averaged copy of the student's backbone and of the parameters with teacher_copy.
//
// A teacher that follows the optimizer's step is moved in the store by AfterStep. One that moves before the
// forward pass would change the store in a step that is not yet known to be good, and once for every pass of
// accumulated gradients. So the graph reads a copy that Step moves to where the teacher is going, from the same place
// each time, and AfterStep takes it over: between two steps the store holds the teacher of the last one, as the
// official code does.
type teacher struct {
	when     plan.When
	momentum *scalar
	of       *param.Store       // whose parameters the graph reads: the run's, or one of ahead's own
	stored   []*param.Parameter // in the run's store
	student  []*param.Parameter // what they follow
	ahead    []*param.Parameter // where they move to in the step in progress; nil when they are read as stored
}

// addTeacher makes the averaged backbone, a copy of the student's unless the store has one.
func (c *Compiler) addTeacher(scheme backbone.Scheme) error {
	t := &teacher{when: c.Plan.Teacher.When, of: c.store}
	fresh := c.store.Get(runs.TeacherPrefix+c.Student.Weights()[0].Name) == nil
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
	t.stored, t.student = network.Weights(), c.Student.Weights()
	if c.Train && t.when == plan.WhenBeforeForward {
		if len(network.Buffers()) > 0 {
			return fmt.Errorf("the teacher moves before the forward pass, and %s has running statistics, which a copy would lose", c.Config.Info().Name)
		}
		t.of = param.NewStore()
		if network, err = c.Config.New(t.of, runs.TeacherPrefix+runs.BackbonePrefix, backbone.Zeros, c.seed); err != nil {
			return err
		}
		backbone.Freeze(network)
		t.ahead = network.Weights()
	}
	c.teacher, c.Teacher = t, network
	return nil
}

// add gives the teacher a copy of one of the objective's parameters and returns the one that the graph reads.
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
	if t.ahead == nil {
		return stored, nil
	}
	read, err := t.of.Add(name, p.Shape, param.Init{Kind: "zeros"}, seed)
	if err != nil {
		return nil, err
	}
	read.Frozen = true
	t.ahead = append(t.ahead, read)
	return read, nil
}

// lead moves what the graph reads to where a teacher that moves before the forward pass is going.
func (t *teacher) lead(e *device.CPU) error {
	if t == nil || t.ahead == nil {
		return nil
	}
	for i, p := range t.ahead {
		copy(p.Data, t.stored[i].Data)
	}
	return optim.EMA(e, t.ahead, t.student, t.momentum.now)
}

// follow ends a step: the teacher takes the place it was led to, or moves now.
func (t *teacher) follow(e *device.CPU) error {
	if t == nil {
		return nil
	}
	if t.when == plan.WhenAfterStep {
		return optim.EMA(e, t.stored, t.student, t.momentum.now)
	}
	for i, p := range t.ahead {
		copy(t.stored[i].Data, p.Data)
	}
	return nil
}
