package program

import (
	"math"

	"github.com/vittool/vittool/plugins/pb"
)

// Picture is a prediction of the last Run in pixels, for people to look at: all images are [B, C, H, W] and
// normalised as the views are.
type Picture struct {
	Name            string
	Batch, Channels int
	Height, Width   int
	Original        []float32
	Masked          []float32 // the original with zeros where pixels were hidden; the original without a mask
	Prediction      []float32 // what the network says, everywhere
	Reconstruction  []float32 // the prediction where pixels were hidden, the original elsewhere
	Hidden          []bool    // [B, H, W]
	PatchNormalised bool      // the prediction took mean and variance of each patch from the original
}

// removedForm is the form of a mask that says which cells or pixels are hidden.
func removedForm(spec *pb.MaskSpec) pb.MaskRef_Form {
	if spec.GetKind() == pb.MaskSpec_KIND_CORRUPTION {
		return pb.MaskRef_FORM_REMOVED_BLOCKS
	}
	return pb.MaskRef_FORM_REMOVED
}

// Pictures renders all pictures of the plan from the last Run. A model that was
// built for training computes none.
func (m *Model) Pictures() []Picture {
	if m.Train {
		return nil
	}
	var out []Picture
	for _, p := range m.pictures {
		out = append(out, m.render(p))
	}
	return out
}

func (m *Model) render(p picture) Picture {
	view := m.views[p.spec.GetView()]
	s := view.Shape()
	pic := Picture{Name: p.spec.GetName(), Batch: s[0], Channels: s[1], Height: s[2], Width: s[3],
		Original: append([]float32(nil), view.Value()...), Hidden: make([]bool, s[0]*s[2]*s[3]), PatchNormalised: p.spec.GetPatchNormalised()}

	if k := m.masks[p.spec.GetMask()]; k != nil {
		removed := k.node[removedForm(k.spec)].Value()
		rows, cols := k.rows, k.cols
		if k.spec.GetKind() == pb.MaskSpec_KIND_CORRUPTION {
			rows, cols = pic.Height, pic.Width
		}
		for i := range pic.Hidden {
			b, y, x := i/(pic.Height*pic.Width), i/pic.Width%pic.Height, i%pic.Width
			pic.Hidden[i] = removed[(b*rows+y*rows/pic.Height)*cols+x*cols/pic.Width] != 0
		}
	}

	switch p.spec.GetLayout() {
	case pb.Picture_LAYOUT_IMAGE:
		pic.Prediction = append([]float32(nil), p.prediction.Value()...)
	default:
		hwc := p.spec.GetLayout() == pb.Picture_LAYOUT_PATCHES_HWC
		pic.Prediction = pic.fromPatches(p.prediction.Value(), m.Config.Info().Patch, hwc, pic.PatchNormalised)
	}
	pic.Masked = append([]float32(nil), pic.Original...)
	pic.Reconstruction = append([]float32(nil), pic.Original...)
	area := pic.Height * pic.Width
	for b := range pic.Batch {
		for c := range pic.Channels {
			plane := (b*pic.Channels + c) * area
			for i, hidden := range pic.Hidden[b*area:][:area] {
				if hidden {
					pic.Masked[plane+i] = 0
					pic.Reconstruction[plane+i] = pic.Prediction[plane+i]
				}
			}
		}
	}
	return pic
}

// fromPatches lays patches [B, L, p·p·C] out as images. Predictions of normalised patches get back the mean and the
// standard deviation that the original patch has.
func (pic *Picture) fromPatches(patches []float32, p int, hwc, normalised bool) []float32 {
	out := make([]float32, len(patches))
	c, h, w := pic.Channels, pic.Height, pic.Width
	dim := p * p * c
	cols := w / p
	count := h / p * cols
	pixel := func(b, n, ch, y, x int) int { return ((b*c+ch)*h+n/cols*p+y)*w + n%cols*p + x }
	for b := range pic.Batch {
		for n := range count {
			mean, scale := 0.0, 1.0
			if normalised {
				mean, scale = pic.patchMoments(dim, func(i int) float64 {
					return float64(pic.Original[pixel(b, n, i%c, i/c/p, i/c%p)])
				})
			}
			patch := patches[(b*count+n)*dim:][:dim]
			for i, v := range patch {
				ch, y, x := i/(p*p), i/p%p, i%p
				if hwc {
					ch, y, x = i%c, i/c/p, i/c%p
				}
				out[pixel(b, n, ch, y, x)] = float32(float64(v)*scale + mean)
			}
		}
	}
	return out
}

// patchMoments is what MAE's normalised target divides out: the mean and sqrt(unbiased variance + 1e-6).
func (pic *Picture) patchMoments(n int, at func(int) float64) (mean, scale float64) {
	for i := range n {
		mean += at(i)
	}
	mean /= float64(n)
	for i := range n {
		scale += (at(i) - mean) * (at(i) - mean)
	}
	return mean, math.Sqrt(scale/float64(max(n-1, 1)) + 1e-6)
}
