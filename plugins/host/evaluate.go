package host

import (
	"context"
	"fmt"
	"math"
	"unsafe"

	"github.com/vittool/vittool/plugins/pb"
)

// Layout is what the tensors of Targets and Evaluate look like in this run; the host's
// compiler knows the shapes. Names are those of the plan.
type Layout struct {
	Views   []Tensor // that Targets reads
	Targets []Tensor // full shapes, with the batch
	Inputs  []Tensor // of Evaluate
	Params  []Tensor
	Buffers []Tensor
}

// Tensor is a name with a shape.
type Tensor struct {
	Name  string
	Shape []int
	DType pb.DType
}

// Binding is the shared memory of an objective. The host fills views, inputs, parameters,
// buffers and given targets before a call and reads the others after it.
type Binding struct {
	request *pb.BindRequest
	regions map[pb.Region_Role]map[string][]byte
}

// F32 is a float region, nil when there is none of that role and name.
func (b *Binding) F32(role pb.Region_Role, name string) []float32 {
	d := b.regions[role][name]
	if len(d) < 4 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&d[0])), len(d)/4)
}

// I32 is an integer region, nil when there is none of that role and name.
func (b *Binding) I32(role pb.Region_Role, name string) []int32 {
	d := b.regions[role][name]
	if len(d) < 4 {
		return nil
	}
	return unsafe.Slice((*int32)(unsafe.Pointer(&d[0])), len(d)/4)
}

// Bind lays the shared memory out and hands it to the plugin. It can be done once per
// Objective, for the largest batch; calls with fewer samples use the first rows.
func (h *Objective) Bind(ctx context.Context, l Layout) (*Binding, error) {
	if h.binding != nil {
		return nil, fmt.Errorf("host: objective %s is bound already", h.label)
	}
	b := &Binding{request: &pb.BindRequest{}, regions: map[pb.Region_Role]map[string][]byte{}}
	sizes := [2]int{}
	place := func(segment int, role pb.Region_Role, t Tensor) error {
		n := 4
		if t.DType == pb.DType_DTYPE_U8 {
			n = 1
		}
		g := &pb.Region{Name: t.Name, Role: role, Segment: h.segments[segment].name, Offset: uint64(sizes[segment]), Dtype: t.DType}
		for _, d := range t.Shape {
			if d < 1 || n > math.MaxInt/2/d {
				return fmt.Errorf("host: objective %s: %s %q has the impossible shape %v", h.label, role, t.Name, t.Shape)
			}
			n *= d
			g.Shape = append(g.Shape, uint64(d))
		}
		sizes[segment] += (n + 63) &^ 63
		b.request.Regions = append(b.request.Regions, g)
		return nil
	}
	const constant, writable = 0, 1
	e := h.plan.GetEvaluate()
	gradient := map[string]bool{}
	for _, in := range e.GetInputs() {
		gradient[in.Name] = in.Gradient
	}
	update := map[string]bool{}
	for _, u := range e.GetUpdates() {
		update[u] = true
	}
	type item struct {
		segment int
		role    pb.Region_Role
		t       Tensor
	}
	var items []item
	for _, t := range l.Views {
		items = append(items, item{constant, pb.Region_ROLE_VIEW, t})
	}
	for _, t := range l.Targets {
		items = append(items, item{writable, pb.Region_ROLE_TARGET, t})
	}
	for _, t := range l.Inputs {
		items = append(items, item{constant, pb.Region_ROLE_INPUT, t})
		if gradient[t.Name] {
			items = append(items, item{writable, pb.Region_ROLE_INPUT_GRADIENT, t})
		}
	}
	for _, t := range l.Params {
		items = append(items, item{constant, pb.Region_ROLE_PARAM, t}, item{writable, pb.Region_ROLE_PARAM_GRADIENT, t})
	}
	for _, t := range l.Buffers {
		items = append(items, item{constant, pb.Region_ROLE_BUFFER, t})
		if update[t.Name] {
			items = append(items, item{writable, pb.Region_ROLE_BUFFER_UPDATE, t})
		}
	}
	if n := e.GetScratchBytes(); n > 0 {
		items = append(items, item{writable, pb.Region_ROLE_SCRATCH, Tensor{"scratch", []int{int(n)}, pb.DType_DTYPE_U8}})
	}
	for _, it := range items {
		if err := place(it.segment, it.role, it.t); err != nil {
			return nil, err
		}
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
	for _, g := range b.request.Regions {
		n := 4
		if g.Dtype == pb.DType_DTYPE_U8 {
			n = 1
		}
		for _, d := range g.Shape {
			n *= int(d)
		}
		mem := h.segments[constant].mem
		if g.Segment == segmentWritable {
			mem = h.segments[writable].mem
		}
		if b.regions[g.Role] == nil {
			b.regions[g.Role] = map[string][]byte{}
		}
		b.regions[g.Role][g.Name] = mem[g.Offset : int(g.Offset)+n : int(g.Offset)+n]
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

// Targets has the plugin fill the targets that it computes itself.
func (h *Objective) Targets(ctx context.Context, r *pb.TargetsRequest) error {
	if h.binding == nil {
		return fmt.Errorf("host: Targets of %s before Bind", h.label)
	}
	var own []string
	for _, t := range h.plan.Targets {
		if t.Source == pb.TargetSpec_SOURCE_PLUGIN && t.Dtype == pb.DType_DTYPE_F32 {
			own = append(own, t.Name)
		}
	}
	var reply *pb.TargetsReply
	err := h.call(ctx, "Targets", func(ctx context.Context, c pb.ObjectiveClient, attempt uint32) (err error) {
		r.Attempt = attempt
		for _, t := range own {
			poison(h.binding.F32(pb.Region_ROLE_TARGET, t))
		}
		reply, err = c.Targets(ctx, r)
		return err
	})
	if err != nil {
		return err
	}
	if reply.GetStep() != r.Step {
		return h.broken("Targets", fmt.Sprintf("field step is %d, asked for %d", reply.GetStep(), r.Step))
	}
	for _, t := range own {
		d := h.binding.F32(pb.Region_ROLE_TARGET, t)
		rows := len(d) * len(r.SampleIds) / max(1, int(h.open.Batch))
		if i := notFinite(d[:min(rows, len(d))]); i >= 0 {
			return h.broken("Targets", fmt.Sprintf("step %d: element %d of target %q is %v (or was not written)", r.Step, i, t, d[i]))
		}
	}
	return nil
}

// Evaluate has the plugin compute loss, gradients and buffer updates.
func (h *Objective) Evaluate(ctx context.Context, r *pb.EvaluateRequest) (*pb.EvaluateReply, error) {
	if h.binding == nil {
		return nil, fmt.Errorf("host: Evaluate of %s before Bind", h.label)
	}
	roles := []pb.Region_Role{pb.Region_ROLE_INPUT_GRADIENT, pb.Region_ROLE_PARAM_GRADIENT}
	var reply *pb.EvaluateReply
	err := h.call(ctx, "Evaluate", func(ctx context.Context, c pb.ObjectiveClient, attempt uint32) (err error) {
		r.Attempt = attempt
		if r.Gradients { // what is not written must not look like a gradient of an earlier step
			for _, role := range roles {
				for name := range h.binding.regions[role] {
					poison(h.binding.F32(role, name))
				}
			}
		}
		reply, err = c.Evaluate(ctx, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := h.checkEvaluation(r, reply, roles); err != nil {
		return nil, h.broken("Evaluate", fmt.Sprintf("step %d: %v", r.Step, err))
	}
	return reply, nil
}

// checkEvaluation: a loss that is not finite is the objective's result and left to the
// loop, which stops with the name of the tensor; with a finite loss everything else must be finite too.
func (h *Objective) checkEvaluation(r *pb.EvaluateRequest, reply *pb.EvaluateReply, roles []pb.Region_Role) error {
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
		if h.binding.regions[pb.Region_ROLE_BUFFER_UPDATE][u] == nil {
			return fmt.Errorf("field updated: %q is no buffer that the plan lets Evaluate update", u)
		}
	}
	if !r.Gradients || math.IsNaN(reply.Loss) || math.IsInf(reply.Loss, 0) {
		return nil
	}
	for _, role := range roles {
		for _, g := range h.binding.request.Regions {
			if g.Role != role {
				continue
			}
			d := h.binding.F32(role, g.Name)
			if i := notFinite(d); i >= 0 {
				return fmt.Errorf("element %d of the gradient of %q is %v (or was not written)", i, g.Name, d[i])
			}
		}
	}
	return nil
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
