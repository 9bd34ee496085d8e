package sdk

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/vittool/vittool/plugins/pb"
)

// Builder writes the plan of an objective. Its methods record the first mistake and
// return usable zero values, so a Plan reads as straight code; the mistake comes back
// from Minimize (and from the host) with the name of what was wrong.
type Builder struct {
	open     *pb.OpenRequest
	plan     *pb.Plan
	err      error
	names    map[string]bool // "kind name" that are taken
	samplers []*sampler
	serial   map[string]int
	results  *pb.Results
}

func newBuilder(open *pb.OpenRequest) *Builder {
	results := &pb.Results{}
	return &Builder{
		open:    open,
		plan:    &pb.Plan{Backbone: &pb.BackboneRequirements{}, OperatorVersion: pb.OperatorVersion, Results: results},
		names:   map[string]bool{},
		serial:  map[string]int{},
		results: results,
	}
}

// Run returns what the host said about the run: seed, batch, steps, backbone, ranks.
func (b *Builder) Run() *pb.OpenRequest { return b.open }

// Backbone returns the backbone that the features come from.
func (b *Builder) Backbone() *pb.BackboneInfo { return b.open.GetBackbone() }

// Require states what the recipe says about the network itself.
func (b *Builder) Require(r *pb.BackboneRequirements) {
	b.plan.Backbone = r
	family := b.Backbone().GetFamily()
	for _, f := range r.Families {
		if f == family {
			return
		}
	}
	if len(r.Families) > 0 {
		b.Failf("the backbone %s is a %q; this objective works with %v", b.Backbone().GetName(), family, r.Families)
	}
}

// Failf records a mistake in the options or the run; the first one is reported.
func (b *Builder) Failf(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// take reserves a name; an empty name is made from the kind.
func (b *Builder) take(kind, name string) string {
	if name == "" {
		b.serial[kind]++
		name = fmt.Sprintf("%s_%d", kind, b.serial[kind])
	}
	key := kind + " " + name
	if b.names[key] {
		b.Failf("two %ss are named %q", kind, name)
	}
	b.names[key] = true
	return name
}

// Tensor is a value of the program.
type Tensor struct {
	ref *pb.Ref
	dim int // size of the last axis; 0: not known here
}

// Dim is the size of the last axis, 0 when it is not known.
func (t Tensor) Dim() int { return t.dim }

// Scalar is a number that follows a schedule.
type Scalar struct{ name string }

// Tensor returns the number as a tensor with one element.
func (s Scalar) Tensor() Tensor { return Tensor{ref: &pb.Ref{Of: &pb.Ref_Scalar{Scalar: s.name}}} }

// Schedule declares a number that changes with the step.
func (b *Builder) Schedule(s *pb.Schedule) Scalar {
	s.Name = b.take("schedule", s.Name)
	b.plan.Schedules = append(b.plan.Schedules, s)
	return Scalar{s.Name}
}

// Teacher asks for an averaged copy of the network.
func (b *Builder) Teacher(momentum Scalar, when pb.Teacher_When) {
	b.plan.Teacher = &pb.Teacher{Momentum: momentum.name, When: when}
}

// Recommend says what evaluations and exports of a run take when the user does not: the
// trained network or its average, the class token (OUTPUT_CLASS), the mean of the patch
// tokens (OUTPUT_POOLED), or both side by side. Without it they take the trained network
// and the mean, after the last block.
func (b *Builder) Recommend(network pb.Network, features ...pb.Output) {
	b.recommended().Network, b.recommended().Features = network, features
}

// RecommendLinearBlocks says of how many of the last blocks a linear classifier of frozen
// features reads what Recommend names, side by side; neighbours are searched with the last
// block's alone. A network with fewer blocks gives all of them.
func (b *Builder) RecommendLinearBlocks(n int) {
	if n < 1 || n > math.MaxInt32 {
		b.Failf("recommended linear blocks: %d is not a number of blocks", n)
		return
	}
	b.recommended().LinearBlocks = uint32(n)
}

func (b *Builder) recommended() *pb.Recommended {
	if b.plan.Recommended == nil {
		b.plan.Recommended = &pb.Recommended{}
	}
	return b.plan.Recommended
}

// Minimize makes loss, a scalar, what is trained on, and returns the first mistake of the plan.
func (b *Builder) Minimize(loss Tensor) error {
	if loss.ref == nil {
		b.Failf("the loss is not a tensor of this plan")
	}
	b.results.Loss = loss.ref
	return b.err
}

// Metric logs a scalar of the program under a name.
func (b *Builder) Metric(name string, value Tensor) {
	b.results.Metrics = append(b.results.Metrics, &pb.Metric{Name: b.take("metric", name), Value: value.ref})
}

// Update sets a buffer after the step; rows (int [R]) are needed for UPDATE_ROWS only.
func (b *Builder) Update(buffer Buffer, value Tensor, rows ...Tensor) {
	r := &pb.BufferResult{Buffer: buffer.spec.GetName(), Value: value.ref}
	if len(rows) > 0 {
		r.Rows = rows[0].ref
	}
	b.results.Updates = append(b.results.Updates, r)
}

// Images makes a pass with mask use "corrupted" read images instead of its views.
func (b *Builder) Images(pass Pass, images Tensor) {
	b.results.Images = append(b.results.Images, &pb.PassImages{Pass: pass.spec.GetName(), Images: images.ref})
}

// Picture tells `reconstruct` and the run folder how to show a prediction.
func (b *Builder) Picture(name string, prediction Tensor, layout pb.Picture_Layout, patchNormalised bool, view View, mask Mask) {
	b.results.Pictures = append(b.results.Pictures, &pb.Picture{
		Name: b.take("picture", name), Prediction: prediction.ref, Layout: layout,
		PatchNormalised: patchNormalised, View: view.spec.GetName(), Mask: mask.spec.GetName(),
	})
}

// Node adds an operator by its name in the operator table; the methods in layers.go,
// losses.go and so on are the typed way. dim is the size of the result's last axis, 0
// when unknown. An argument without a tensor is left out.
func (b *Builder) Node(op string, dim int, inputs []Input, attributes ...*pb.Attribute) Tensor {
	n := &pb.Node{Name: b.take("node", b.nodeName(op)), Op: op, Attributes: attributes}
	for _, in := range inputs {
		if in.Value.ref == nil {
			if !in.Optional {
				b.Failf("%s: input %q is not a tensor of this plan", n.Name, in.Name)
			}
			continue
		}
		n.Inputs = append(n.Inputs, &pb.Argument{Name: in.Name, Ref: proto.CloneOf(in.Value.ref)})
	}
	b.plan.Nodes = append(b.plan.Nodes, n)
	return Tensor{ref: &pb.Ref{Of: &pb.Ref_Node{Node: n.Name}}, dim: dim}
}

func (b *Builder) nodeName(op string) string {
	b.serial["node "+op]++
	return fmt.Sprintf("%s_%d", op, b.serial["node "+op])
}

// Output returns the i-th result of the node that t came from.
func (t Tensor) Output(i, dim int) Tensor {
	r := proto.CloneOf(t.ref)
	if r != nil {
		r.Output = uint32(i)
	}
	return Tensor{ref: r, dim: dim}
}

// Input is a named argument of an operator.
type Input struct {
	Name     string
	Value    Tensor
	Optional bool
}

// Attribute constructors for Node.
func attrInt(name string, v int) *pb.Attribute {
	return &pb.Attribute{Name: name, Value: &pb.Attribute_Int{Int: int64(v)}}
}

func attrFloat(name string, v float64) *pb.Attribute {
	return &pb.Attribute{Name: name, Value: &pb.Attribute_Float{Float: v}}
}

func attrString(name, v string) *pb.Attribute {
	return &pb.Attribute{Name: name, Value: &pb.Attribute_String_{String_: v}}
}

func attrBool(name string, v bool) *pb.Attribute {
	return &pb.Attribute{Name: name, Value: &pb.Attribute_Bool{Bool: v}}
}

func attrInts(name string, v []int) *pb.Attribute {
	ints := make([]int64, len(v))
	for i, x := range v {
		ints[i] = int64(x)
	}
	return &pb.Attribute{Name: name, Value: &pb.Attribute_Ints_{Ints: &pb.Attribute_Ints{Values: ints}}}
}
