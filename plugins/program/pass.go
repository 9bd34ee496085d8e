package program

import (
	"fmt"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/tensor"
)

// pass is one run of a backbone, built on first use.
type pass struct {
	spec     *pb.PassSpec
	out      backbone.Outputs
	dropPath *backbone.DropPath
	building bool
}

// feature returns what the program reads of a pass.
func (m *Model) feature(f *pb.Feature) (*core.Node, error) {
	p := m.passes[f.GetPass()]
	if p == nil {
		return nil, fmt.Errorf("the plan has no pass %q", f.GetPass())
	}
	if err := m.buildPass(p); err != nil {
		return nil, fmt.Errorf("pass %s: %w", f.GetPass(), err)
	}
	n, err := p.output(f)
	if err != nil {
		return nil, fmt.Errorf("pass %s: %w", f.GetPass(), err)
	}
	if p.spec.GetStopGradient() || p.spec.GetNetwork() == pb.Network_NETWORK_TEACHER {
		n = m.g.StopGradient(n)
	}
	return n, nil
}

// outputs are the features of a pass by their names in the network.
var outputs = map[pb.Output]backbone.Output{
	pb.Output_OUTPUT_TOKENS:  backbone.Tokens,
	pb.Output_OUTPUT_CLASS:   backbone.Class,
	pb.Output_OUTPUT_POOLED:  backbone.Pooled,
	pb.Output_OUTPUT_PATCHES: backbone.Patches,
	pb.Output_OUTPUT_MAP:     backbone.Map,
}

func (p *pass) output(f *pb.Feature) (*core.Node, error) {
	if f.GetOutput() == pb.Output_OUTPUT_TAP {
		return p.out.Tap(int(f.GetTap()))
	}
	name, ok := outputs[f.GetOutput()]
	if !ok {
		return nil, fmt.Errorf("output %v is not known to this version of vittool", f.GetOutput())
	}
	return p.out.Output(name)
}

func (m *Model) buildPass(p *pass) error {
	if p.out != nil {
		return nil
	}
	if p.building {
		return fmt.Errorf("its images are made from its own features")
	}
	p.building = true
	images, err := m.passImages(p.spec)
	if err != nil {
		return err
	}
	var o backbone.Options
	switch p.spec.GetMaskUse() {
	case pb.PassSpec_MASK_USE_DROP:
		o.Keep, err = m.passMask(p.spec, pb.MaskSpec_KIND_KEEP)
	case pb.PassSpec_MASK_USE_TOKEN:
		if o.MaskToken, err = m.maskToken(p.spec); err == nil {
			o.Mask, err = m.passMask(p.spec, pb.MaskSpec_KIND_BITMAP)
		}
	}
	if err != nil {
		return err
	}
	network := m.Student
	if p.spec.GetNetwork() == pb.Network_NETWORK_TEACHER {
		network = m.Teacher
	}
	o.Train = m.Train && p.spec.GetMode() == pb.PassSpec_MODE_TRAIN
	if o.Train && !p.spec.GetNoDropPath() {
		p.dropPath = network.DropPath(m.g, "pass."+p.spec.GetName(), images.Shape()[0])
		o.DropPath = p.dropPath
	}
	p.out, err = network.Forward(m.g, images, o)
	return err
}

// maskToken resolves the parameter that stands in for masked patches, of the teacher's copy where the teacher runs.
func (m *Model) maskToken(spec *pb.PassSpec) (*core.Node, error) {
	params := m.params
	if spec.GetNetwork() == pb.Network_NETWORK_TEACHER {
		params = m.teacherParams
	}
	p := params[spec.GetMaskToken()]
	if p == nil {
		return nil, fmt.Errorf("its mask token is parameter %q, which the plan does not have for this network", spec.GetMaskToken())
	}
	return m.g.Param(p), nil
}

// passImages returns the images of all views of a pass, stacked along the batch, or those that the program makes.
func (m *Model) passImages(spec *pb.PassSpec) (*core.Node, error) {
	first := m.views[spec.GetViews()[0]].Shape()
	var views []*core.Node
	for _, name := range spec.GetViews() {
		v := m.views[name]
		if !v.Shape().Equal(first) {
			return nil, fmt.Errorf("its views %s %v and %s %v differ in size", spec.GetViews()[0], first, name, v.Shape())
		}
		views = append(views, v)
	}
	if spec.GetMaskUse() == pb.PassSpec_MASK_USE_CORRUPTED {
		for _, im := range m.Plan.GetResults().GetImages() {
			if im.GetPass() != spec.GetName() {
				continue
			}
			n, err := m.resolve(im.GetImages())
			if err != nil {
				return nil, err
			}
			want := first.Clone()
			want[0] *= len(views)
			if !n.Shape().Equal(want) {
				return nil, fmt.Errorf("its images have the shape %v: want %v", n.Shape(), want)
			}
			return n, nil
		}
		return nil, fmt.Errorf("it reads corrupted images, and the results name none for it")
	}
	if len(views) == 1 {
		return views[0], nil
	}
	return ops.Concat(m.g, views...), nil
}

// passMask returns the keep list [V·B, K] or removed cells [V·B, L] of the V views of a pass. With several views it is
// an input of its own, which each view's mask fills in part.
func (m *Model) passMask(spec *pb.PassSpec, kind pb.MaskSpec_Kind) (*core.Node, error) {
	names := spec.GetMasks()
	if len(names) != len(spec.GetViews()) {
		return nil, fmt.Errorf("it has %d views and %d masks: want one per view", len(spec.GetViews()), len(names))
	}
	form := pb.MaskRef_FORM_VALUES
	if kind == pb.MaskSpec_KIND_BITMAP {
		form = pb.MaskRef_FORM_REMOVED
	}
	var masks []*mask
	for i, name := range names {
		k := m.masks[name]
		if k == nil {
			return nil, fmt.Errorf("it uses mask %q, which the plan does not have", name)
		}
		got := k.spec.GetKind()
		if got != kind && !(kind == pb.MaskSpec_KIND_BITMAP && got == pb.MaskSpec_KIND_KEEP) {
			return nil, fmt.Errorf("its mask %s is of %v: want %v", name, got, kind)
		}
		if k.spec.GetView() != spec.GetViews()[i] {
			return nil, fmt.Errorf("its mask %s belongs to view %s, not %s", name, k.spec.GetView(), spec.GetViews()[i])
		}
		masks = append(masks, k)
	}
	v := m.views[spec.GetViews()[0]].Shape()
	patch := m.Config.Info().Patch
	rows, cols := v[2]/patch, v[3]/patch
	for _, k := range masks {
		if k.rows != rows || k.cols != cols {
			return nil, fmt.Errorf("its mask %s has %d×%d cells; the view has %d×%d patches", k.spec.GetName(), k.rows, k.cols, rows, cols)
		}
		if k.spec.GetLength() != masks[0].spec.GetLength() {
			return nil, fmt.Errorf("its masks %s and %s keep different numbers of patches", masks[0].spec.GetName(), k.spec.GetName())
		}
	}
	if len(masks) == 1 {
		return masks[0].input(m.g, form)
	}
	name := "pass." + spec.GetName() + ".mask"
	if form == pb.MaskRef_FORM_REMOVED {
		cells := rows * cols
		n := m.g.Input(name, tensor.Shape{len(masks) * m.Batch, cells})
		for i, k := range masks {
			k.removed = append(k.removed, &mapped{node: n, offset: i * m.Batch * cells})
		}
		return n, nil
	}
	length := int(masks[0].spec.GetLength())
	n := m.g.InputInt(name, tensor.Shape{len(masks) * m.Batch, length})
	for i, k := range masks {
		k.values = append(k.values, &mapped{node: n, offset: i * m.Batch * length})
	}
	return n, nil
}
