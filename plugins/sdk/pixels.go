package sdk

import (
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/plan"
)

// Corrupt paints the rectangles of a corruption of this view over its pixels: [B,C,H,W], for Images
// of a pass with Corrupted.
func (b *Builder) Corrupt(view View, m Mask) Tensor {
	if m.spec == nil || m.spec.Kind != plan.MaskCorruption || m.spec.View != view.name() {
		b.Failf("corrupt: mask %q is not a corruption of view %q", m.name(), view.name())
	}
	return b.Node(pb.OpCorrupt, view.Width(), []Input{{Name: "images", Value: view.Pixels()}, {Name: "mask", Value: m.Values()}})
}

// PatchConvTranspose makes an image of patch tokens [B,L,D], one patch of each: a transposed
// convolution whose stride is its kernel, with parameters name.weight [D,C,p,p] and name.bias [C].
func (b *Builder) PatchConvTranspose(name string, x Tensor, view View, options ...LayerOption) Tensor {
	i := b.Backbone()
	patch, channels := i.Patch, i.Channels
	l := newLayer(InitFanIn(), options) // fan-in C*p*p, torch's default for this shape
	in := []Input{{Name: "x", Value: x}, {Name: "weight", Value: b.param(l, name+".weight", []int{max(x.dim, 1), channels, patch, patch}, l.weight)}}
	if !l.noBias {
		in = append(in, Input{Name: "bias", Value: b.param(l, name+".bias", []int{channels}, l.bias)})
	}
	return b.Node(pb.OpPatchConvTranspose, view.Width(), in, Attr("rows", view.Rows()), Attr("cols", view.Cols()))
}

// EntryL1 is the mean absolute difference over the entries where mask is 1, of all tensors of equal
// shape. prediction and target may have any shape of the mask's size.
func (b *Builder) EntryL1(prediction, target, mask Tensor) Tensor {
	return b.Node(pb.OpPatchL1, 1, []Input{
		{Name: "prediction", Value: b.Reshape(prediction, 0, -1, 1)}, {Name: "target", Value: b.Reshape(target, 0, -1, 1)},
		{Name: "mask", Value: b.Reshape(mask, 0, -1)},
	})
}
