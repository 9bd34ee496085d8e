package program

import (
	"fmt"
	"slices"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/tensor"
)

// pass is one run of a backbone, built on first use.
type pass struct {
	spec *plan.Pass
	out  backbone.Outputs
}

// feature returns an output of a pass.
func (c *Compiler) feature(r plan.Ref) (*core.Node, error) {
	if c.features != nil {
		return c.features(r)
	}
	p := c.passes[r.Name]
	if err := c.buildPass(p); err != nil {
		return nil, fmt.Errorf("pass %s: %w", r.Name, err)
	}
	n, err := p.output(r)
	if err != nil {
		return nil, fmt.Errorf("pass %s: %w", r.Name, err)
	}
	if p.spec.StopGradient || p.spec.Network == plan.NetworkTeacher {
		n = c.g.StopGradient(n)
	}
	return n, nil
}

// outputs are the features of a pass by their names in the network.
var outputs = map[plan.Feature]backbone.Output{
	plan.FeatureTokens:      backbone.Tokens,
	plan.FeatureClass:       backbone.Class,
	plan.FeaturePooled:      backbone.Pooled,
	plan.FeaturePatchTokens: backbone.PatchTokens,
	plan.FeatureMap:         backbone.Map,
}

func (p *pass) output(r plan.Ref) (*core.Node, error) {
	if r.Feature == plan.FeatureTap {
		return p.out.Tap(r.Tap)
	}
	return p.out.Output(outputs[r.Feature])
}

func (c *Compiler) buildPass(p *pass) error {
	if p.out != nil {
		return nil
	}
	images, err := c.passImages(p.spec)
	if err != nil {
		return err
	}
	var o backbone.Options
	switch p.spec.MaskUse {
	case plan.MaskUseDrop:
		o.Keep = c.passMask(p.spec, plan.FormValues)
	case plan.MaskUseToken:
		o.MaskToken, o.Mask = c.maskToken(p.spec), c.passMask(p.spec, plan.FormMasked)
	}
	network := c.Student
	if p.spec.Network == plan.NetworkTeacher {
		network = c.Teacher
	}
	o.Train = c.Train && !p.spec.Eval
	if n := p.spec.SubBatches; n > 1 && o.Train && len(network.Buffers()) > 0 {
		p.out, err = c.subBatches(p.spec, network, images, o)
		return err
	}
	p.out, err = c.forward(p.spec, p.spec.Name, network, images, o)
	return err
}

// forward runs a network of a pass over images. The factors of stochastic depth are drawn by name.
func (c *Compiler) forward(spec *plan.Pass, name string, network backbone.Network, images *core.Node, o backbone.Options) (backbone.Outputs, error) {
	if o.Train && !spec.NoDropPath {
		o.DropPath = network.DropPath(c.g, "pass."+name, images.Shape()[0])
		c.inputs.dropPaths[name] = o.DropPath
	}
	return network.Forward(c.g, images, o)
}

// maskToken is the parameter that stands in for masked patches, the teacher's copy where the
// teacher runs.
func (c *Compiler) maskToken(spec *plan.Pass) *core.Node {
	if spec.Network == plan.NetworkTeacher {
		return c.g.Param(c.teacherParams[spec.MaskToken])
	}
	return c.g.Param(c.params[spec.MaskToken])
}

// passImages returns the images of all views of a pass, stacked along the batch, or those that the
// program makes.
func (c *Compiler) passImages(spec *plan.Pass) (*core.Node, error) {
	var views []*core.Node
	for _, name := range spec.Views {
		views = append(views, c.view(name))
	}
	if spec.MaskUse == plan.MaskUseCorrupted {
		at := slices.IndexFunc(c.Plan.Results.Images, func(i *plan.Images) bool { return i.Pass == spec.Name })
		n, err := c.resolve(c.Plan.Results.Images[at].Images)
		if err != nil {
			return nil, err
		}
		want := views[0].Shape().Clone()
		want[0] *= len(views)
		if !n.Shape().Equal(want) {
			return nil, fmt.Errorf("its images have the shape %v: want %v", n.Shape(), want)
		}
		return n, nil
	}
	if len(views) == 1 {
		return views[0], nil
	}
	return ops.Concat(c.g, views...), nil
}

// passMask returns the keep list [V·B, K] or masked cells [V·B, L] of the V views of a pass. With
// several views it is an input of its own, which each view's mask fills in part.
func (c *Compiler) passMask(spec *plan.Pass, form plan.Form) *core.Node {
	first := c.inputs.masks[spec.Masks[0]]
	if len(spec.Masks) == 1 {
		return first.input(c.g, form)
	}
	name := "pass." + spec.Name + ".mask"
	width, input := first.spec.Length, c.g.InputInt
	if form == plan.FormMasked {
		width, input = first.cells(), c.g.Input
	}
	n := input(name, tensor.Shape{len(spec.Masks) * c.Batch, width})
	for i, mask := range spec.Masks {
		k, part := c.inputs.masks[mask], &maskPart{node: n, offset: i * c.Batch * width}
		if form == plan.FormMasked {
			k.masked = append(k.masked, part)
		} else {
			k.values = append(k.values, part)
		}
	}
	return n
}
