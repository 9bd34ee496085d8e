package sdk

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/plugins/plan"
)

// Builder writes the plan of an objective. Its methods record the first mistake and return usable
// zero values, so a Plan reads as straight code. Minimize returns the mistake, with the name of the
// part that is wrong.
type Builder struct {
	run      Run
	plan     *Plan
	err      error
	names    map[string]bool // "kind name" that are taken
	samplers []*sampler
	serial   map[string]int
}

func newBuilder(run Run) *Builder {
	return &Builder{run: run, plan: &Plan{}, names: map[string]bool{}, serial: map[string]int{}}
}

// Run describes the run: seed, batch, steps, backbone, ranks.
func (b *Builder) Run() Run { return b.run }

// Backbone describes the network that features come from.
func (b *Builder) Backbone() Backbone { return b.run.Backbone }

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

// Recommend sets the features that evaluations and exports of a run take by default: the trained
// network or its average, the class token (ClassFeature), the mean of the patch tokens
// (PooledFeature), or both side by side. Without it they take the trained network and the mean,
// after the last block. Of a network with stages it is always the mean over its last map.
func (b *Builder) Recommend(network Network, features ...Feature) {
	if !b.Backbone().Tokens() {
		features = []Feature{PooledFeature}
	}
	b.recommended().Network, b.recommended().Features = network, features
}

// RecommendLinearBlocks sets the number of last blocks whose recommended features a linear
// classifier of frozen features reads, side by side. Nearest neighbors are searched with the last
// block's alone. A network with fewer blocks gives all of them.
func (b *Builder) RecommendLinearBlocks(n int) {
	if n < 1 || n > math.MaxInt32 {
		b.Failf("recommended linear blocks: %d is not a number of blocks", n)
		return
	}
	b.recommended().LinearBlocks = n
}

func (b *Builder) recommended() *plan.Recommended {
	if b.plan.Recommended == nil {
		b.plan.Recommended = &plan.Recommended{}
	}
	return b.plan.Recommended
}

// Minimize declares the loss, a scalar, and returns the first mistake of the plan.
func (b *Builder) Minimize(loss Tensor) error {
	if loss.ref.Of == plan.RefNone {
		b.Failf("the loss is not a tensor of this plan")
	}
	b.plan.Results.Loss = loss.ref
	return b.err
}

// Metric logs a scalar of the program under a name.
func (b *Builder) Metric(name string, value Tensor) {
	r := &b.plan.Results
	r.Metrics = append(r.Metrics, &plan.Metric{Name: b.take("metric", name), Value: value.ref})
}

// Update sets a buffer after the step; rows (int [R]) are needed for UpdateRows only.
func (b *Builder) Update(buffer Buffer, value Tensor, rows ...Tensor) {
	u := &plan.BufferUpdate{Buffer: buffer.name(), Value: value.ref}
	if len(rows) > 0 {
		u.Rows = rows[0].ref
	}
	b.plan.Results.Updates = append(b.plan.Results.Updates, u)
}

// Images makes a pass with mask use "corrupted" read images instead of its views.
func (b *Builder) Images(pass Pass, images Tensor) {
	b.plan.Results.Images = append(b.plan.Results.Images, &plan.Images{Pass: pass.spec.Name, Images: images.ref})
}

// Picture is how `reconstruct` and the run folder show a prediction.
type Picture struct {
	Name            string
	Prediction      Tensor
	Layout          Layout
	PatchNormalized bool // the prediction is of patches normalized by their own mean and variance
	View            View // the target
	Mask            Mask // masks parts of the view; may be left out
}

// Picture declares a prediction that is shown.
func (b *Builder) Picture(p Picture) {
	b.plan.Results.Pictures = append(b.plan.Results.Pictures, &plan.Picture{Name: b.take("picture", p.Name), Prediction: p.Prediction.ref,
		Layout: p.Layout, PatchNormalized: p.PatchNormalized, View: p.View.name(), Mask: p.Mask.name()})
}

// Node adds an operator by its name in the operator table; the methods in layers.go, losses.go and
// so on are the typed way. dim is the size of the result's last axis, 0 when unknown. An argument
// without a tensor is left out.
func (b *Builder) Node(op string, dim int, inputs []Input, attributes ...Attribute) Tensor {
	n := &plan.Node{Name: b.take("node", b.nodeName(op)), Op: op, Attributes: map[string]any{}}
	for _, a := range attributes {
		n.Attributes[a.Name] = a.value
	}
	for _, in := range inputs {
		switch {
		case in.Value.ref.Of != plan.RefNone:
			n.Inputs = append(n.Inputs, plan.Argument{Name: in.Name, Ref: in.Value.ref})
		case !in.Optional:
			b.Failf("%s: input %q is not a tensor of this plan", n.Name, in.Name)
		}
	}
	b.plan.Nodes = append(b.plan.Nodes, n)
	return Tensor{ref: plan.Ref{Of: plan.RefNode, Name: n.Name}, dim: dim}
}

func (b *Builder) nodeName(op string) string {
	b.serial["node "+op]++
	return fmt.Sprintf("%s_%d", op, b.serial["node "+op])
}
