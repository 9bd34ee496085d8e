package program

import (
	"errors"
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// buffer is state of the objective that lies in the store.
type buffer struct {
	spec     *pb.BufferSpec
	value    *param.Parameter
	position *param.Parameter // of a ring: the row that is written next
	keeper   string           // node whose operator changes it, empty when results.updates may
}

// newBuffer creates a buffer, or takes the one that the store has.
func (m *Model) newBuffer(spec *pb.BufferSpec) (*buffer, error) {
	store, seed := m.store, m.seed
	name := runs.BufferPrefix + spec.GetName()
	fail := func(err error) (*buffer, error) { return nil, fmt.Errorf("buffer %s: %w", spec.GetName(), err) }
	if spec.GetDtype() != pb.DType_DTYPE_F32 {
		return fail(fmt.Errorf("its type is %v: buffers hold 32-bit floats", spec.GetDtype()))
	}
	shape, err := shapeOf(spec.GetShape())
	if err != nil {
		return fail(err)
	}
	b := &buffer{spec: spec, value: store.Get(name)}
	if b.value == nil {
		init, data, err := m.initOf(spec.GetInit(), shape)
		if err != nil {
			return fail(err)
		}
		if b.value, err = store.AddBuffer(name, shape, init, seed); err != nil {
			return fail(err)
		}
		if data != nil {
			copy(b.value.Data, data)
		}
		if spec.GetUnitNormRows() {
			b.value.UnitNormRows = true
			param.NormalizeRows(m.engine, []*param.Parameter{b.value})
		}
	}
	if !b.value.Shape.Equal(shape) {
		return fail(fmt.Errorf("it is %v in the store and %v in the plan", b.value.Shape, shape))
	}
	switch spec.GetUpdate() {
	case pb.BufferSpec_UPDATE_REPLACE:
	case pb.BufferSpec_UPDATE_ROWS, pb.BufferSpec_UPDATE_RING:
		if len(shape) == 0 {
			return fail(errors.New("a single number has no rows to update"))
		}
	default:
		return fail(fmt.Errorf("update %v is not known to this version of vittool", spec.GetUpdate()))
	}
	if spec.GetUpdate() == pb.BufferSpec_UPDATE_RING {
		if shape[0] >= 1<<24 {
			return fail(fmt.Errorf("a ring of %d rows: want fewer than 2^24", shape[0]))
		}
		position := name + ".position"
		if b.position = store.Get(position); b.position == nil {
			if b.position, err = store.AddBuffer(position, tensor.Shape{1}, param.Init{Kind: "zeros"}, seed); err != nil {
				return fail(err)
			}
		}
	}
	return b, nil
}

// update is a value that goes into a buffer after the step.
type update struct {
	buffer *buffer
	value  *core.Node
	rows   *core.Node // for UPDATE_ROWS
}

// addUpdate checks that a result fits its buffer.
func (m *Model) addUpdate(r *pb.BufferResult) error {
	b := m.buffers[r.GetBuffer()]
	if b == nil {
		return errors.New("the plan has no such buffer")
	}
	if b.keeper != "" {
		return fmt.Errorf("node %q changes it already", b.keeper)
	}
	for _, u := range m.updates {
		if u.buffer == b && b.spec.GetUpdate() == pb.BufferSpec_UPDATE_REPLACE {
			return errors.New("it is replaced twice")
		}
	}
	value, err := m.resolve(r.GetValue())
	if err != nil {
		return err
	}
	u := update{buffer: b, value: value}
	have, want := value.Shape(), b.value.Shape
	switch b.spec.GetUpdate() {
	case pb.BufferSpec_UPDATE_REPLACE:
		if have.Size() != want.Size() {
			return fmt.Errorf("the value has the shape %v and the buffer %v", have, want)
		}
	case pb.BufferSpec_UPDATE_ROWS:
		if r.GetRows() == nil {
			return errors.New("the rows to be updated are missing")
		}
		if u.rows, err = m.resolve(r.GetRows()); err != nil {
			return err
		}
		if !isInt(u.rows) || len(have) == 0 || u.rows.Shape().Size() != have[0] || !tensor.Shape(have[1:]).Equal(want[1:]) {
			return fmt.Errorf("%v rows of %v do not fit a buffer of %v", u.rows.Shape(), have, want)
		}
	case pb.BufferSpec_UPDATE_RING:
		if len(have) == 0 || have[0] > want[0] || !tensor.Shape(have[1:]).Equal(want[1:]) {
			return fmt.Errorf("rows of %v do not fit a ring of %v", have, want)
		}
	}
	m.updates = append(m.updates, u)
	return nil
}

// Commit writes the buffer updates of the last Run. It is called once the step is known to be good.
func (m *Model) Commit() error {
	for _, u := range m.updates {
		if u.rows == nil {
			continue
		}
		for i, row := range u.rows.Ints() {
			if row < 0 || int(row) >= u.buffer.value.Shape[0] {
				return fmt.Errorf("plugin %s: update %d of buffer %s is for row %d: want 0 to %d", m.plugin, i, u.buffer.spec.GetName(), row, u.buffer.value.Shape[0]-1)
			}
		}
	}
	m.exec.Commit()
	for _, u := range m.updates {
		dst, src := u.buffer.value.Data, u.value.Value()
		if u.buffer.spec.GetUpdate() == pb.BufferSpec_UPDATE_REPLACE {
			copy(dst, src)
			continue
		}
		rows := u.buffer.value.Shape[0]
		width := len(dst) / rows
		for i := range len(src) / width {
			row := 0
			if u.rows != nil {
				row = int(u.rows.Ints()[i])
			} else {
				row = int(u.buffer.position.Data[0])
				u.buffer.position.Data[0] = float32((row + 1) % rows)
			}
			copy(dst[row*width:][:width], src[i*width:])
		}
	}
	return nil
}

// scalar is a schedule as an input of the graph.
type scalar struct {
	spec *pb.Schedule
	node *core.Node // nil until the program reads it
	now  float64
}

func (s *scalar) input(g *core.Graph) *core.Node {
	if s.node == nil {
		s.node = g.Input("scalar."+s.spec.GetName(), tensor.Shape{})
	}
	return s.node
}

// target is an input that is neither image nor mask.
type target struct {
	spec *pb.TargetSpec
	node *core.Node
}

func newTarget(g *core.Graph, spec *pb.TargetSpec, batch int, train bool) (*target, error) {
	t, name := &target{spec: spec}, "target."+spec.GetName()
	switch spec.GetSource() {
	case pb.TargetSpec_SOURCE_SAMPLE_ID, pb.TargetSpec_SOURCE_LABEL:
		t.node = g.InputInt(name, tensor.Shape{batch})
	case pb.TargetSpec_SOURCE_GEOMETRY:
		t.node = g.Input(name, tensor.Shape{batch, geometryFields})
	case pb.TargetSpec_SOURCE_PLUGIN, pb.TargetSpec_SOURCE_REMEMBERED:
		if spec.GetSource() == pb.TargetSpec_SOURCE_REMEMBERED && !train {
			return t, nil // read right from the program
		}
		shape, err := shapeOf(append([]uint64{uint64(batch)}, spec.GetShape()...))
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", spec.GetName(), err)
		}
		switch spec.GetDtype() {
		case pb.DType_DTYPE_F32:
			t.node = g.Input(name, shape)
		case pb.DType_DTYPE_I32:
			t.node = g.InputInt(name, shape)
		default:
			return nil, fmt.Errorf("target %s is of type %v: want 32-bit floats or integers", spec.GetName(), spec.GetDtype())
		}
	default:
		return nil, fmt.Errorf("target %s: source %v is not known to this version of vittool", spec.GetName(), spec.GetSource())
	}
	return t, nil
}

// geometryFields are top, left, height, width, flip, source height and source width of a view's box.
const geometryFields = 7

// isInt reports whether a node holds integers.
func isInt(n *core.Node) bool { return n.Ints() != nil }
