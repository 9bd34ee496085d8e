package sdk

import (
	"fmt"
	"unsafe"

	"github.com/vittool/vittool/plugins/pb"
)

// memory is the shared memory of a session: regions by role and name.
type memory struct {
	mapped  [][]byte // to unmap; empty in process
	regions map[pb.Region_Role]map[string]*region
}

type region struct {
	spec *pb.Region
	data []byte
}

func elementSize(t pb.DType) uint64 {
	if t == pb.DType_DTYPE_U8 {
		return 1
	}
	return 4
}

// bind maps the segments and checks that every region lies inside one.
func bind(r *pb.BindRequest, mapSegment func(*pb.Segment) ([]byte, error)) (*memory, error) {
	m := &memory{regions: map[pb.Region_Role]map[string]*region{}}
	segments := map[string][]byte{}
	for _, s := range r.Segments {
		data, err := mapSegment(s)
		if err != nil {
			m.unmap()
			return nil, fmt.Errorf("shared memory %q: %w", s.Name, err)
		}
		if s.Fd != 0 || s.Path != "" {
			m.mapped = append(m.mapped, data)
		}
		segments[s.Name] = data
	}
	for _, g := range r.Regions {
		data, ok := segments[g.Segment]
		if !ok {
			m.unmap()
			return nil, fmt.Errorf("region %s %q lies in the unknown segment %q", g.Role, g.Name, g.Segment)
		}
		size := elementSize(g.Dtype)
		for _, d := range g.Shape {
			if d != 0 && size > uint64(len(data))/d {
				size = uint64(len(data)) + 1
				break
			}
			size *= d
		}
		if g.Offset%64 != 0 || g.Offset > uint64(len(data)) || size > uint64(len(data))-g.Offset {
			m.unmap()
			return nil, fmt.Errorf("region %s %q (offset %d, shape %v) does not fit into segment %q of %d bytes", g.Role, g.Name, g.Offset, g.Shape, g.Segment, len(data))
		}
		if m.regions[g.Role] == nil {
			m.regions[g.Role] = map[string]*region{}
		}
		m.regions[g.Role][g.Name] = &region{spec: g, data: data[g.Offset : g.Offset+size : g.Offset+size]}
	}
	return m, nil
}

func (m *memory) unmap() {
	if m == nil {
		return
	}
	for _, b := range m.mapped {
		unmapShared(b)
	}
	m.mapped, m.regions = nil, nil
}

// Array is a tensor in shared memory, row-major. Exactly one of the slices is set.
type Array struct {
	Shape []int
	F32   []float32
	I32   []int32
	U8    []byte
}

// get returns a tensor of the given shape, which lies at the beginning of its region; nil: the shape
// that was bound. The last batch of an epoch may be smaller than the bound one.
func (m *memory) get(role pb.Region_Role, name string, shape []uint64) (*Array, error) {
	g := m.regions[role][name]
	if g == nil {
		return nil, fmt.Errorf("the host bound no %s %q; is it in the plan?", role, name)
	}
	if shape == nil {
		shape = g.spec.Shape
	}
	a := &Array{}
	n, bound := 1, len(g.data)/int(elementSize(g.spec.Dtype))
	for _, d := range shape {
		if d == 0 || d > uint64(bound/n) {
			return nil, fmt.Errorf("%s %q is %v in this call, and was bound as %v", role, name, shape, g.spec.Shape)
		}
		a.Shape = append(a.Shape, int(d))
		n *= int(d)
	}
	switch g.spec.Dtype {
	case pb.DType_DTYPE_F32:
		a.F32 = unsafe.Slice((*float32)(unsafe.Pointer(&g.data[0])), n)
	case pb.DType_DTYPE_I32:
		a.I32 = unsafe.Slice((*int32)(unsafe.Pointer(&g.data[0])), n)
	default:
		a.U8 = g.data[:n]
	}
	return a, nil
}

// rows is get for a tensor with one row for each sample.
func (m *memory) rows(role pb.Region_Role, name string, samples []uint64) (*Array, error) {
	g := m.regions[role][name]
	if g == nil || len(g.spec.Shape) == 0 {
		return m.get(role, name, nil)
	}
	return m.get(role, name, append([]uint64{uint64(len(samples))}, g.spec.Shape[1:]...))
}

// TargetsCall is one call of Targets.
type TargetsCall struct {
	Step    uint64
	Attempt uint32 // of this step, from 0
	Seed    uint64
	Samples []uint64
	memory  *memory
}

// View is the normalized pixels of a view, [B,C,H,W].
func (c *TargetsCall) View(name string) (*Array, error) {
	return c.memory.rows(pb.Region_ROLE_VIEW, name, c.Samples)
}

// Target is a declared target, [B]+shape, to be filled.
func (c *TargetsCall) Target(name string) (*Array, error) {
	return c.memory.rows(pb.Region_ROLE_TARGET, name, c.Samples)
}

// EvaluateCall is one call of Evaluate.
type EvaluateCall struct {
	Step      uint64
	Attempt   uint32
	Seed      uint64
	Samples   []uint64
	Gradients bool // false: only the loss is wanted
	request   *pb.EvaluateRequest
	memory    *memory
	updated   map[string]bool
}

// shape is that of an input in this call.
func (c *EvaluateCall) shape(input string) []uint64 {
	for _, t := range c.request.Inputs {
		if t.Name == input {
			return t.Shape
		}
	}
	return nil
}

// Input is an input of the plan's Evaluate, in the shape of this call: the last batch of an epoch may
// be smaller than Run.Batch.
func (c *EvaluateCall) Input(name string) (*Array, error) {
	return c.memory.get(pb.Region_ROLE_INPUT, name, c.shape(name))
}

// InputGradient is where the gradient with respect to an input is written, every element.
func (c *EvaluateCall) InputGradient(name string) (*Array, error) {
	return c.memory.get(pb.Region_ROLE_INPUT_GRADIENT, name, c.shape(name))
}

// Param is a parameter; the memory is read-only and writing to it ends the process.
func (c *EvaluateCall) Param(name string) (*Array, error) {
	return c.memory.get(pb.Region_ROLE_PARAM, name, nil)
}

// ParamGradient is where the gradient with respect to a parameter is written, every element.
func (c *EvaluateCall) ParamGradient(name string) (*Array, error) {
	return c.memory.get(pb.Region_ROLE_PARAM_GRADIENT, name, nil)
}

// Buffer is the value of a buffer before this step; read-only.
func (c *EvaluateCall) Buffer(name string) (*Array, error) {
	return c.memory.get(pb.Region_ROLE_BUFFER, name, nil)
}

// Update is where the new value of a buffer is written; asking for it announces the update.
func (c *EvaluateCall) Update(name string) (*Array, error) {
	a, err := c.memory.get(pb.Region_ROLE_BUFFER_UPDATE, name, nil)
	if err == nil {
		c.updated[name] = true
	}
	return a, err
}

// Target is a target of the plan, [B]+shape.
func (c *EvaluateCall) Target(name string) (*Array, error) {
	return c.memory.rows(pb.Region_ROLE_TARGET, name, c.Samples)
}

// Scratch is the memory asked for with the Scratch option.
func (c *EvaluateCall) Scratch() ([]byte, error) {
	a, err := c.memory.get(pb.Region_ROLE_SCRATCH, "scratch", nil)
	if err != nil {
		return nil, err
	}
	return a.U8, nil
}

// Scalar is the value of a schedule at this step.
func (c *EvaluateCall) Scalar(name string) (float64, error) {
	for _, s := range c.request.Scalars {
		if s.Name == name {
			return s.Value, nil
		}
	}
	return 0, fmt.Errorf("the host gave no scalar %q; is it in the plan?", name)
}

// Mask is a mask of this step.
func (c *EvaluateCall) Mask(name string) (MaskValues, error) {
	for _, m := range c.request.Masks {
		if m.Name == name {
			return MaskValues{Name: m.Name, Values: m.Values, Bitmap: m.Bitmap}, nil
		}
	}
	return MaskValues{}, fmt.Errorf("the host gave no mask %q; is it in the plan?", name)
}
