package program

import (
	"fmt"
	"slices"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// buffer is state of the objective that lies in the store.
type buffer struct {
	spec     *plan.Buffer
	value    *param.Parameter
	position *param.Parameter // of a ring: the row that is written next
}

// newBuffer creates a buffer, or takes the one that the store has.
func (c *Compiler) newBuffer(spec *plan.Buffer) (*buffer, error) {
	name, shape := runs.BufferPrefix+spec.Name, tensor.Shape(spec.Shape)
	b := &buffer{spec: spec, value: c.store.Get(name)}
	if b.value == nil {
		init, data, err := c.initialValues(spec.Init, shape)
		if err != nil {
			return nil, err
		}
		if b.value, err = c.store.AddBuffer(name, shape, init, c.seed); err != nil {
			return nil, err
		}
		if data != nil {
			copy(b.value.Data, data)
		}
		if spec.UnitNormRows {
			b.value.UnitNormRows = true
			param.NormalizeRows(c.device, []*param.Parameter{b.value})
		}
	}
	if !b.value.Shape.Equal(shape) {
		return nil, fmt.Errorf("it is %v in the store and %v in the plan", b.value.Shape, shape)
	}
	if spec.Update == plan.UpdateRing {
		position := positionName(spec)
		if b.position = c.store.Get(position); b.position == nil {
			var err error
			if b.position, err = c.store.AddBuffer(position, tensor.Shape{1}, param.Init{Kind: "zeros"}, c.seed); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// update is a value that goes into a buffer after the step.
type update struct {
	buffer *buffer
	value  *core.Node
	rows   *core.Node // integers; nil unless the buffer is updated by plan.UpdateRows
}

// newUpdate checks that the shape of a result agrees with its buffer.
func (c *Compiler) newUpdate(r *plan.BufferUpdate) (update, error) {
	value, err := c.resolve(r.Value)
	if err != nil {
		return update{}, err
	}
	u := update{buffer: c.buffers[r.Buffer], value: value}
	have, want := value.Shape(), u.buffer.value.Shape
	switch u.buffer.spec.Update {
	case plan.UpdateReplace:
		if have.Size() != want.Size() {
			return u, fmt.Errorf("the value has the shape %v and the buffer %v", have, want)
		}
	case plan.UpdateRows:
		if u.rows, err = c.resolve(r.Rows); err != nil {
			return u, err
		}
		if !isInt(u.rows) || len(have) == 0 || u.rows.Shape().Size() != have[0] || !tensor.Shape(have[1:]).Equal(want[1:]) {
			return u, fmt.Errorf("%v rows of %v do not fit a buffer of %v", u.rows.Shape(), have, want)
		}
	case plan.UpdateRing, plan.UpdateNewestFirst:
		if len(have) == 0 || have[0] > want[0] || !tensor.Shape(have[1:]).Equal(want[1:]) {
			return u, fmt.Errorf("rows of %v do not fit a buffer of %v", have, want)
		}
	}
	return u, nil
}

// MovingBuffers lists the buffers of a store that may change within a step of several micro-batches
// of a plan; see CommitMicro.
func MovingBuffers(store *param.Store, p *plan.Plan) []*param.Parameter {
	fixed := map[string]bool{}
	for _, b := range p.Buffers {
		if p.FixedInStep(b) {
			fixed[runs.BufferPrefix+b.Name], fixed[positionName(b)] = true, true
		}
	}
	return slices.DeleteFunc(store.Buffers(), func(b *param.Parameter) bool { return fixed[b.Name] })
}

// positionName is the name in the store of the position of a ring.
func positionName(ring *plan.Buffer) string { return runs.BufferPrefix + ring.Name + ".position" }

// Commit writes the buffer updates of the last Step, which is a whole step of the optimizer. It is
// called once loss and gradients are known to be finite.
func (m *Runner) Commit() error {
	var p Pending
	if err := m.CommitMicro(&p); err != nil {
		return err
	}
	p.Apply()
	return nil
}

// CommitMicro is Commit for one of several micro-batches of a step. Running statistics, and buffers
// that are replaced without a reduction, move at once. Rings, rows, and buffers that are replaced by
// a mean or a sum over the batch are the same for all micro-batches of the step: their updates go to
// p, in the order of the micro-batches.
func (m *Runner) CommitMicro(p *Pending) error {
	for _, u := range m.updates {
		if u.rows == nil {
			continue
		}
		for i, row := range u.rows.Ints() {
			if row < 0 || int(row) >= u.buffer.value.Shape[0] {
				return fmt.Errorf("plugin %s: update %d of buffer %s is for row %d: want 0 to %d", m.plugin, i, u.buffer.spec.Name, row, u.buffer.value.Shape[0]-1)
			}
		}
	}
	m.exec.Commit()
	for _, u := range m.updates {
		if u.buffer.spec.Waits() {
			p.add(u)
		} else {
			copy(u.buffer.value.Data, u.value.Value())
		}
	}
	return nil
}
