package program

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
)

// GradCache is a compiled plan whose loss spans several micro-batches as if they were one batch, in
// little more memory than one of them takes (Gao et al., "Scaling Deep Contrastive Learning Batch
// Size under Memory Limited Setup", 2021, https://arxiv.org/abs/2101.06983).
//
// Each micro-batch passes the backbones once, and only its features are kept. Then the program
// computes loss, metrics and the gradients of its own parameters from the features of all samples,
// and the gradients with respect to these features. Last, each micro-batch passes the student again,
// and these gradients go back through it. They equal the gradients of one large batch whose passes
// take batch norm's statistics over one micro-batch at a time. Teachers and buffers of the program
// move once; running statistics move once for each micro-batch.
//
// Per step: Encode for each micro-batch, Step, then as for a Runner.
type GradCache struct {
	*Runner      // the program behind the passes, over all samples; its Bytes are those of all graphs
	micro, count int
	encode       *encoder // all passes, forward alone
	back         *encoder // the student's passes, with the gradients
	features     []*feature
	gradients    *optim.Accumulator
	parameters   []*param.Parameter
	palettes     []*palettes      // of the views; nil for those that Step does not read
	kept         []keptMicroBatch // copies of the micro-batches
	encoded      int              // micro-batches of the step so far
	whole        Inputs           // of the program
	notFinite    *core.NonFinite
}

// encoder is a graph that holds passes alone, for one micro-batch.
type encoder struct {
	c *Compiler
	*Runner
}

// keptMicroBatch is a copy of the inputs of a micro-batch.
type keptMicroBatch struct {
	Inputs           // without views
	views  []indexed // by view
}

// feature is a result of a pass.
type feature struct {
	encoded *core.Node // [V·micro, ...]
	whole   *core.Node // [V·micro·count, ...], input of the program, view after view
	seed    *core.Node // [V·micro, ...], gradient that goes back; nil for features without gradient
}

// BuildGradCache compiles a plan for count micro-batches of micro samples a step. All else is as for
// Build. Plans whose plugin computes a part of the step are refused.
func BuildGradCache(dev *device.CPU, store *param.Store, p *plan.Plan, config backbone.Config, micro, count int, seed uint64, o Options) (*GradCache, error) {
	if o.Plugin == "" {
		o.Plugin = "objective"
	}
	x, err := buildGradCache(dev, store, p, config, micro, count, seed, o)
	if err != nil {
		return nil, &Error{o.Plugin, err}
	}
	return x, nil
}

func buildGradCache(dev *device.CPU, store *param.Store, p *plan.Plan, config backbone.Config, micro, count int, seed uint64, o Options) (*GradCache, error) {
	if p.Computes() {
		return nil, fmt.Errorf("its plugin computes a part of each step, which can't span several micro-batches; set train.grad_cache=false")
	}
	c, m, err := newCompiler(dev, store, p, config, micro*count, seed, o)
	if err != nil {
		return nil, err
	}
	x := &GradCache{Runner: m, micro: micro, count: count, gradients: optim.NewAccumulator(dev), kept: make([]keptMicroBatch, count)}
	if x.encode, err = newEncoder(c, micro, false); err != nil {
		return nil, err
	}
	if x.back, err = newEncoder(c, micro, o.Recompute); err != nil {
		return nil, err
	}
	var surrogate *core.Node
	known := map[plan.Ref]*core.Node{}
	c.features = func(r plan.Ref) (*core.Node, error) {
		if known[r] == nil {
			f, dot, err := x.addFeature(c, r)
			if err != nil {
				return nil, err
			}
			known[r] = f.whole
			if dot != nil && surrogate != nil {
				dot = ops.Add(x.back.c.g, surrogate, dot)
			}
			if dot != nil {
				surrogate = dot
			}
		}
		return known[r], nil
	}
	program, err := c.addProgram(m, o)
	if err != nil {
		return nil, err
	}
	x.addPalettes()
	return x, x.compile(program, surrogate)
}

// newEncoder begins a graph of passes that shares networks, parameters and buffers with c.
func newEncoder(c *Compiler, batch int, recompute bool) (*encoder, error) {
	part := c.part(batch, core.NewGraph(c.device))
	if recompute {
		part.g.RecomputeBlocks()
	}
	m := &Runner{inputs: part.inputs, evaluation: part.evaluation, setting: part.setting}
	return &encoder{part, m}, part.addInputs(m)
}

// part is a compilation into g of the passes that a program reads, for a batch of another size.
func (c *Compiler) part(batch int, g *core.Graph) *Compiler {
	part := *c
	part.Batch, part.g, part.inputs = batch, g, newInputs()
	part.passes, part.nodes, part.evaluation = map[string]*pass{}, map[string][]*core.Node{}, &evaluation{}
	part.inputs.addScalars(c.Plan)
	return &part
}

// addInputs declares masks, targets and passes; views are declared when a pass reads them.
func (c *Compiler) addInputs(m *Runner) error {
	for _, step := range []func(m *Runner) error{c.addMasks, c.addTargets, c.addPasses} {
		if err := step(m); err != nil {
			return err
		}
	}
	return nil
}

// addFeature makes a feature an input of the program. The second result is the term of the
// surrogate loss, the product of the feature with its gradient; nil for a feature without gradient.
func (x *GradCache) addFeature(c *Compiler, r plan.Ref) (*feature, *core.Node, error) {
	encoded, err := x.encode.c.feature(r)
	if err != nil {
		return nil, nil, err
	}
	shape, name := encoded.Shape().Clone(), fmt.Sprintf("feature.%d", len(x.features))
	shape[0] *= x.count
	f := &feature{encoded: encoded, whole: c.g.Input(name, shape)}
	x.features = append(x.features, f)
	if p := c.Plan.Pass(r.Name); p.StopGradient || p.Network == plan.NetworkTeacher {
		return f, nil, nil
	}
	f.whole.RequireGrad()
	back, err := x.back.c.feature(r)
	if err != nil {
		return nil, nil, err
	}
	f.seed = x.back.c.g.Input("gradient."+name, back.Shape())
	return f, ops.Dot(x.back.c.g, back, f.seed), nil
}

var errNothingToCache = errors.New("no gradient reaches a feature of the student, so there is nothing to cache; set train.grad_cache=false")

// compile compiles the three graphs, which take turns. The results of the program last while the
// student's passes run; those of the passes are copied at once.
func (x *GradCache) compile(program core.Part, surrogate *core.Node) error {
	program.Lasting = true
	encode := core.Part{Graph: x.encode.c.g}
	for _, f := range x.features {
		encode.Extra = append(encode.Extra, f.encoded)
	}
	if surrogate == nil {
		return errNothingToCache
	}
	e, err := core.CompileTogether(program, encode, core.Part{Graph: x.back.c.g, Loss: surrogate})
	if err != nil {
		return err
	}
	x.exec, x.encode.exec, x.back.exec = e[0], e[1], e[2]
	if !slices.ContainsFunc(x.features, func(f *feature) bool { return f.seed != nil && x.exec.GradOf(f.whole) != nil }) {
		return errNothingToCache
	}
	x.parameters = slices.Clone(x.back.exec.Parameters())
	for _, p := range x.Runner.Parameters() {
		if !slices.Contains(x.parameters, p) {
			x.parameters = append(x.parameters, p)
		}
	}
	return nil
}

// Encode is the forward pass of the next micro-batch of a step. The first of a step moves the
// teacher that the passes read. The inputs may be overwritten afterwards.
func (x *GradCache) Encode(in Inputs) error {
	k := x.encoded
	if k == x.count {
		return fmt.Errorf("plugin %s: the step has its %d micro-batches already", x.plugin, x.count)
	}
	if k == 0 {
		x.inputs.setScalars(in.Step, x.total)
		if err := x.Runner.begin(); err != nil {
			return err
		}
	}
	if err := x.encode.fill(in); err != nil {
		return &Error{x.plugin, err}
	}
	if err := x.keep(&x.kept[k], in); err != nil {
		return &Error{x.plugin, err}
	}
	if err := x.encode.exec.Run(); err != nil {
		return &Error{x.plugin, err}
	}
	for _, f := range x.features {
		f.copyRows(f.whole.Value(), f.encoded.Value(), x.micro, x.count, k, true)
	}
	x.encode.exec.Commit()
	x.encoded++
	return nil
}

// Encoded reports whether all micro-batches of a step are there.
func (x *GradCache) Encoded() bool { return x.encoded == x.count }

// Step computes loss, metrics and gradients of the micro-batches that were encoded, and begins the
// next step.
func (x *GradCache) Step() error {
	if !x.Encoded() {
		return fmt.Errorf("plugin %s: the step has %d of its %d micro-batches", x.plugin, x.encoded, x.count)
	}
	x.encoded, x.notFinite = 0, nil
	if err := x.fillWhole(); err != nil {
		return &Error{x.plugin, err}
	}
	if err := x.exec.Run(); err != nil {
		return &Error{x.plugin, err}
	}
	x.gradients.Reset()
	for k := range x.kept {
		in := &x.kept[k]
		for i, p := range x.palettes {
			if view := x.back.View(x.Plan.Views[i].Name); view != nil {
				p.restore(view, &in.views[i])
			}
		}
		if err := x.back.fill(in.Inputs); err != nil {
			return &Error{x.plugin, err}
		}
		for _, f := range x.features {
			if gradient := x.exec.GradOf(f.whole); f.seed != nil && gradient != nil {
				f.copyRows(gradient, f.seed.Value(), x.micro, x.count, k, false)
			}
		}
		if err := x.back.exec.Run(); err != nil {
			return &Error{x.plugin, err}
		}
		if x.notFinite == nil {
			if name, index, value, ok := x.back.exec.FirstNonFinite(); !ok {
				x.notFinite = &core.NonFinite{Tensor: name, Index: index, Value: value}
			}
		}
		x.gradients.Add(x.back.exec.Parameters(), x.back.exec.Grad, 1)
	}
	x.gradients.Add(x.exec.Parameters(), x.exec.Grad, 1)
	return nil
}

// Reset forgets the micro-batches that were encoded.
func (x *GradCache) Reset() { x.encoded = 0 }

// copyRows copies the rows of micro-batch k between the tensor of all samples and that of one
// micro-batch, where each view has its own rows.
func (f *feature) copyRows(whole, part []float32, micro, count, k int, gather bool) {
	views := f.encoded.Shape()[0] / micro
	rows := len(part) / views // elements of one view's rows
	for v := range views {
		all, one := whole[(v*count+k)*rows:][:rows], part[v*rows:][:rows]
		if gather {
			copy(all, one)
		} else {
			copy(one, all)
		}
	}
}

// addPalettes makes the palettes of the views that Step reads.
func (x *GradCache) addPalettes() {
	x.palettes = make([]*palettes, len(x.Plan.Views))
	for i, v := range x.Plan.Views {
		if x.back.View(v.Name) != nil || x.View(v.Name) != nil {
			x.palettes[i] = newPalettes(x.Config.Info().Channels, v.Height*v.Width)
		}
	}
}

// keep copies the inputs of a micro-batch into memory that every step uses again.
func (x *GradCache) keep(dst *keptMicroBatch, in Inputs) error {
	dst.Step, dst.TargetCache = in.Step, in.TargetCache
	dst.IDs, dst.Labels = append(dst.IDs[:0], in.IDs...), append(dst.Labels[:0], in.Labels...)
	dst.views, dst.Boxes, dst.Masks = resized(dst.views, len(x.palettes)), resized(dst.Boxes, len(in.Boxes)), resized(dst.Masks, len(in.Masks))
	for i, p := range x.palettes {
		if p == nil {
			continue
		}
		if n := x.micro * p.plane * len(p.channels); i >= len(in.Views) || len(in.Views[i]) != n {
			return fmt.Errorf("view %s of a micro-batch needs %d values", x.Plan.Views[i].Name, n)
		}
		p.keep(&dst.views[i], in.Views[i])
	}
	for i, boxes := range in.Boxes {
		dst.Boxes[i] = append(dst.Boxes[i][:0], boxes...)
	}
	for i, s := range in.Masks {
		m := &dst.Masks[i]
		m.Name, m.Values, m.Bitmap = s.Name, append(m.Values[:0], s.Values...), append(m.Bitmap[:0], s.Bitmap...)
	}
	return nil
}

// resized returns a slice of n elements, those of s as far as it has them.
func resized[T any](s []T, n int) []T {
	return append(s[:min(n, len(s))], make([]T, max(0, n-len(s)))...)
}

// fillWhole fills the inputs of the program from those of its micro-batches.
func (x *GradCache) fillWhole() error {
	whole, first := &x.whole, &x.kept[0]
	whole.Step, whole.TargetCache = first.Step, first.TargetCache
	whole.IDs, whole.Labels = whole.IDs[:0], whole.Labels[:0]
	whole.Boxes, whole.Masks = resized(whole.Boxes, len(first.Boxes)), resized(whole.Masks, len(first.Masks))
	for i := range whole.Boxes {
		whole.Boxes[i] = whole.Boxes[i][:0]
	}
	for i, s := range first.Masks {
		m := &whole.Masks[i]
		m.Name, m.Values, m.Bitmap = s.Name, m.Values[:0], m.Bitmap[:0]
	}
	for k := range x.kept {
		in := &x.kept[k]
		whole.IDs, whole.Labels = append(whole.IDs, in.IDs...), append(whole.Labels, in.Labels...)
		for i, boxes := range in.Boxes {
			whole.Boxes[i] = append(whole.Boxes[i], boxes...)
		}
		for i, p := range x.palettes {
			if view := x.View(x.Plan.Views[i].Name); view != nil {
				p.restore(view[k*len(view)/x.count:], &in.views[i])
			}
		}
		for _, s := range in.Masks {
			i := slices.IndexFunc(whole.Masks, func(w plan.MaskSet) bool { return w.Name == s.Name })
			if i < 0 {
				return fmt.Errorf("a micro-batch has a mask %q that the first one of the step lacks", s.Name)
			}
			whole.Masks[i].Values = append(whole.Masks[i].Values, s.Values...)
			whole.Masks[i].Bitmap = append(whole.Masks[i].Bitmap, s.Bitmap...)
		}
	}
	return x.fill(*whole)
}

// Parameters lists the parameters with a gradient: the backbone's first.
func (x *GradCache) Parameters() []*param.Parameter { return x.parameters }

// Grad returns the gradient of the loss with respect to p, nil if none reaches it. The next Step
// overwrites it; the caller may scale it in place.
func (x *GradCache) Grad(p *param.Parameter) []float32 { return x.gradients.Grad(p) }

// FirstNonFinite is as for a Runner.
func (x *GradCache) FirstNonFinite() (tensor string, index int, value float32, ok bool) {
	if tensor, index, value, ok = x.Runner.FirstNonFinite(); ok && x.notFinite != nil {
		return x.notFinite.Tensor, x.notFinite.Index, x.notFinite.Value, false
	}
	return tensor, index, value, ok
}

// FLOPs is the cost of a step: 2 × multiply-adds.
func (x *GradCache) FLOPs() float64 {
	return x.Runner.FLOPs() + float64(x.count)*(x.encode.exec.FLOPs()+x.back.exec.FLOPs())
}
