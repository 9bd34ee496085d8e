package host

import (
	"context"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/plan"
)

// Layout gives names and shapes of the tensors that Targets and Evaluate share in a run, as the
// compiler knows them. Names are those of the plan.
type Layout struct {
	Views   []Tensor // that Targets reads, [B,C,H,W]
	Targets []Tensor // [B]+shape
	Inputs  []Tensor // of Evaluate
	Params  []Tensor
	Buffers []Tensor
}

// Tensor is a name with a shape.
type Tensor struct {
	Name  string
	Shape []int
	DType plan.DType
}

// Role is the use of a piece of shared memory.
type Role int

// The roles. Targets, gradients and buffer updates are written by the plugin, the others by the
// host.
const (
	RoleView          = Role(pb.Region_ROLE_VIEW)
	RoleTarget        = Role(pb.Region_ROLE_TARGET)
	RoleInput         = Role(pb.Region_ROLE_INPUT)
	RoleInputGradient = Role(pb.Region_ROLE_INPUT_GRADIENT)
	RoleParam         = Role(pb.Region_ROLE_PARAM)
	RoleParamGradient = Role(pb.Region_ROLE_PARAM_GRADIENT)
	RoleBuffer        = Role(pb.Region_ROLE_BUFFER)
	RoleBufferUpdate  = Role(pb.Region_ROLE_BUFFER_UPDATE)
	roleScratch       = Role(pb.Region_ROLE_SCRATCH)
)

func (r Role) String() string { return pb.Region_Role(r).String() }

// Call names step and samples of a call of Targets or Evaluate.
type Call struct {
	Step      uint64 // of the optimizer; one call for each micro-batch
	Seed      uint64 // of the run
	SampleIDs []uint64
}

// EvaluateRequest asks for loss and gradients.
type EvaluateRequest struct {
	Call
	Scalars   []Value        // of the plan's Evaluate.Schedules, at this step
	Masks     []plan.MaskSet // of Evaluate.Masks
	Inputs    []Tensor       // shapes in this call; without one: as it was bound
	Gradients bool           // false: only loss and metrics are wanted
}

// EvaluateReply is the answer to an EvaluateRequest; gradients lie in the shared memory.
type EvaluateReply struct {
	Loss    float64
	Metrics []Value
	Updated []string // buffers whose update was written
}

// Value is a named number.
type Value struct {
	Name  string
	Value float64
}

// Binding is the shared memory of an objective. The host fills views, inputs, parameters, buffers
// and given targets before a call and reads the others after it.
type Binding struct {
	request *pb.BindRequest
	regions map[Role]map[string][]byte
}

// F32 is a float region, nil when there is none of that role and name.
func (b *Binding) F32(role Role, name string) []float32 {
	d := b.regions[role][name]
	if len(d) < 4 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&d[0])), len(d)/4)
}

// I32 is an integer region, nil when there is none of that role and name.
func (b *Binding) I32(role Role, name string) []int32 {
	d := b.regions[role][name]
	if len(d) < 4 {
		return nil
	}
	return unsafe.Slice((*int32)(unsafe.Pointer(&d[0])), len(d)/4)
}

// The places of the segments in Objective.segments.
const constant, writable = 0, 1

// Bind lays the shared memory out and hands it to the plugin. It can be done once per Objective,
// for the largest batch; tensors of calls with fewer samples lie at the beginning of their regions.
func (h *Objective) Bind(ctx context.Context, l Layout) (*Binding, error) {
	if h.binding != nil {
		return nil, fmt.Errorf("host: objective %s is bound already", h.label)
	}
	b := &Binding{request: &pb.BindRequest{}, regions: map[Role]map[string][]byte{}}
	sizes := [2]int{}
	for _, it := range h.items(l) {
		g, size, err := regionOf(it)
		if err != nil {
			return nil, fmt.Errorf("host: objective %s: %w", h.label, err)
		}
		g.Segment, g.Offset = h.segments[it.segment].name, uint64(sizes[it.segment])
		sizes[it.segment] += (size + 63) &^ 63
		b.request.Regions = append(b.request.Regions, g)
	}
	for i, s := range h.segments {
		size := max(sizes[i], 64)
		if s.file == nil { // in process: ordinary memory, aligned like a mapping
			m := make([]byte, size+64)
			skip := int(-uintptr(unsafe.Pointer(&m[0])) & 63)
			s.mem = m[skip : skip+size : skip+size]
		} else if err := s.resize(size); err != nil {
			return nil, err
		}
		b.request.Segments = append(b.request.Segments, s.spec([]int32{fdConstant, fdWritable}[i]))
	}
	for i, it := range h.items(l) {
		_, n, _ := regionOf(it) // checked above
		if b.regions[it.role] == nil {
			b.regions[it.role] = map[string][]byte{}
		}
		at := int(b.request.Regions[i].Offset)
		b.regions[it.role][it.t.Name] = h.segments[it.segment].mem[at : at+n : at+n]
	}
	err := h.call(ctx, "Bind", func(ctx context.Context, c pb.ObjectiveClient, _ uint32) error {
		_, err := c.Bind(ctx, b.request)
		return err
	})
	if err != nil {
		return nil, err
	}
	h.mu.Lock() // a restart for another call reads it
	defer h.mu.Unlock()
	h.binding = b
	return b, nil
}

// item is a tensor of the shared memory.
type item struct {
	segment int
	role    Role
	t       Tensor
}

// items lists the tensors in the order in which they lie in the shared memory.
func (h *Objective) items(l Layout) []item {
	e := h.plan.Evaluate
	if e == nil {
		e = &plan.Evaluate{}
	}
	gradient := map[string]bool{}
	for _, in := range e.Inputs {
		gradient[in.Name] = in.Gradient
	}
	var items []item
	for _, t := range l.Views {
		items = append(items, item{constant, RoleView, t})
	}
	for _, t := range l.Targets {
		items = append(items, item{writable, RoleTarget, t})
	}
	for _, t := range l.Inputs {
		items = append(items, item{constant, RoleInput, t})
		if gradient[t.Name] {
			items = append(items, item{writable, RoleInputGradient, t})
		}
	}
	for _, t := range l.Params {
		items = append(items, item{constant, RoleParam, t}, item{writable, RoleParamGradient, t})
	}
	for _, t := range l.Buffers {
		items = append(items, item{constant, RoleBuffer, t})
		if slices.Contains(e.Updates, t.Name) {
			items = append(items, item{writable, RoleBufferUpdate, t})
		}
	}
	if n := e.ScratchBytes; n > 0 {
		items = append(items, item{writable, roleScratch, Tensor{"scratch", []int{n}, plan.U8}})
	}
	return items
}

// regionOf describes an item without its place, and gives its size in bytes.
func regionOf(it item) (*pb.Region, int, error) {
	n := 4
	if it.t.DType == plan.U8 {
		n = 1
	}
	g := &pb.Region{Name: it.t.Name, Role: pb.Region_Role(it.role), Dtype: pb.DType(it.t.DType)}
	for _, d := range it.t.Shape {
		if d < 1 || n > math.MaxInt/2/d {
			return nil, 0, fmt.Errorf("%s %q has the impossible shape %v", it.role, it.t.Name, it.t.Shape)
		}
		n *= d
		g.Shape = append(g.Shape, uint64(d))
	}
	return g, n, nil
}

// Targets has the plugin fill the targets that it computes itself.
func (h *Objective) Targets(ctx context.Context, r Call) error {
	if h.binding == nil {
		return fmt.Errorf("host: Targets of %s before Bind", h.label)
	}
	var own []string
	for _, t := range h.plan.Targets {
		if t.Source == plan.SourcePlugin && t.DType == plan.F32 {
			own = append(own, t.Name)
		}
	}
	var reply *pb.TargetsReply
	err := h.call(ctx, "Targets", func(ctx context.Context, c pb.ObjectiveClient, attempt uint32) (err error) {
		for _, t := range own {
			poison(h.binding.F32(RoleTarget, t))
		}
		reply, err = c.Targets(ctx, &pb.TargetsRequest{Step: r.Step, Attempt: attempt, Seed: r.Seed, SampleIds: r.SampleIDs})
		return err
	})
	if err != nil {
		return err
	}
	if reply.GetStep() != r.Step {
		return h.broken("Targets", fmt.Sprintf("field step is %d, asked for %d", reply.GetStep(), r.Step))
	}
	for _, t := range own {
		d := h.binding.F32(RoleTarget, t)
		rows := len(d) * len(r.SampleIDs) / max(1, int(h.open.Batch))
		if i := notFinite(d[:min(rows, len(d))]); i >= 0 {
			return h.broken("Targets", fmt.Sprintf("step %d: element %d of target %q is %v (or was not written)", r.Step, i, t, d[i]))
		}
	}
	return nil
}

// Evaluate has the plugin compute loss, gradients and buffer updates.
func (h *Objective) Evaluate(ctx context.Context, r EvaluateRequest) (*EvaluateReply, error) {
	if h.binding == nil {
		return nil, fmt.Errorf("host: Evaluate of %s before Bind", h.label)
	}
	request := &pb.EvaluateRequest{Step: r.Step, Seed: r.Seed, SampleIds: r.SampleIDs, Gradients: r.Gradients}
	for _, v := range r.Scalars {
		request.Scalars = append(request.Scalars, &pb.Value{Name: v.Name, Value: v.Value})
	}
	for _, s := range r.Masks {
		request.Masks = append(request.Masks, &pb.MaskSet{Name: s.Name, Values: s.Values, Bitmap: s.Bitmap})
	}
	gradients, err := h.shapeInputs(request, r.Inputs)
	if err != nil {
		return nil, err
	}
	var reply *pb.EvaluateReply
	err = h.call(ctx, "Evaluate", func(ctx context.Context, c pb.ObjectiveClient, attempt uint32) (err error) {
		request.Attempt = attempt
		if r.Gradients { // a gradient that is not written must not pass for one of an earlier step
			for _, g := range gradients {
				poison(g.values)
			}
		}
		reply, err = c.Evaluate(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := h.checkEvaluation(request, reply, gradients); err != nil {
		return nil, h.broken("Evaluate", fmt.Sprintf("step %d: %v", r.Step, err))
	}
	out := &EvaluateReply{Loss: reply.Loss, Updated: reply.Updated}
	for _, m := range reply.Metrics {
		out.Metrics = append(out.Metrics, Value{m.Name, m.Value})
	}
	return out, nil
}

// checkEvaluation validates a reply. A non-finite loss is the objective's result: the training loop
// stops at it. With a finite loss all gradients must be finite.
func (h *Objective) checkEvaluation(r *pb.EvaluateRequest, reply *pb.EvaluateReply, gradients []gradient) error {
	if reply.Step != r.Step {
		return fmt.Errorf("field step is %d, asked for %d", reply.Step, r.Step)
	}
	seen := map[string]bool{}
	for _, m := range reply.Metrics {
		if m.Name == "" || seen[m.Name] {
			return fmt.Errorf("field metrics: %q is empty or twice there", m.Name)
		}
		seen[m.Name] = true
	}
	for _, u := range reply.Updated {
		if h.binding.regions[RoleBufferUpdate][u] == nil {
			return fmt.Errorf("field updated: %q is no buffer that the plan lets Evaluate update", u)
		}
	}
	if !r.Gradients || math.IsNaN(reply.Loss) || math.IsInf(reply.Loss, 0) {
		return nil
	}
	for _, g := range gradients {
		if i := notFinite(g.values); i >= 0 {
			return fmt.Errorf("element %d of the gradient of %q is %v (or was not written)", i, g.name, g.values[i])
		}
	}
	return nil
}

// gradient is the part of a region that a call writes.
type gradient struct {
	name   string
	values []float32
}

// shapeInputs puts the shapes of the inputs in this call into the request and returns the gradients
// that the call writes, inputs first. Values of a larger batch that are left in the region of an
// input become NaN.
func (h *Objective) shapeInputs(request *pb.EvaluateRequest, inputs []Tensor) ([]gradient, error) {
	b := h.binding
	var ofInputs, ofParams []gradient
	for _, g := range b.request.Regions {
		if Role(g.Role) == RoleParamGradient {
			ofParams = append(ofParams, gradient{g.Name, b.F32(RoleParamGradient, g.Name)})
		}
		if Role(g.Role) != RoleInput {
			continue
		}
		shape, size := g.Shape, len(b.F32(RoleInput, g.Name))
		if i := slices.IndexFunc(inputs, func(t Tensor) bool { return t.Name == g.Name }); i >= 0 {
			now, bytes, err := regionOf(item{role: RoleInput, t: inputs[i]})
			if err != nil || bytes/4 > size {
				return nil, fmt.Errorf("host: objective %s: input %q of shape %v does not fit the bound %v", h.label, g.Name, inputs[i].Shape, g.Shape)
			}
			shape, size = now.Shape, bytes/4
		}
		if !slices.Equal(shape, g.Shape) && h.desc.minor < 1 {
			return nil, h.broken("Evaluate", fmt.Sprintf("step %d: input %q is %v, a full batch has %v, and the plugin was built for version 1.0 of the protocol, which has no smaller batches; set train.drop_last=true, or build it against the current SDK",
				request.Step, g.Name, shape, g.Shape))
		}
		request.Inputs = append(request.Inputs, &pb.TensorShape{Name: g.Name, Shape: shape})
		poison(b.F32(RoleInput, g.Name)[size:])
		if d := b.F32(RoleInputGradient, g.Name); d != nil {
			ofInputs = append(ofInputs, gradient{g.Name, d[:size]})
		}
	}
	return append(ofInputs, ofParams...), nil
}

func poison(d []float32) {
	nan := float32(math.NaN())
	for i := range d {
		d[i] = nan
	}
}

// notFinite returns the first place of a NaN or infinity, -1 when there is none.
func notFinite(d []float32) int {
	for i, v := range d {
		if v-v != 0 {
			return i
		}
	}
	return -1
}
