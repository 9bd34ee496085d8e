package program

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/tensor"
)

// Picture is a prediction of the last Step in pixels, for people to look at: all images are [B, C,
// H, W] and normalized as the views are.
type Picture struct {
	Name            string
	Batch, Channels int
	Height, Width   int
	Original        []float32
	Masked          []float32 // the original with zeros where pixels were hidden; the original without a mask
	Prediction      []float32 // of the network, everywhere
	Reconstruction  []float32 // the prediction where pixels were hidden, the original elsewhere
	Hidden          []bool    // [B, H, W]
	PatchNormalized bool      // the prediction took mean and variance of each patch from the original
}

// picture is a prediction to be shown.
type picture struct {
	spec       *plan.Picture
	prediction *core.Node
	hidden     *core.Node // 1 at hidden cells or pixels; nil without a mask
}

// newPicture checks the shape of a prediction.
func (c *Compiler) newPicture(spec *plan.Picture) (picture, error) {
	n, err := c.resolve(spec.Prediction)
	if err != nil {
		return picture{}, err
	}
	want := c.inputs.views[spec.View].Shape()
	if spec.Layout != plan.LayoutImage {
		patch := c.Config.Info().Patch
		want = tensor.Shape{want[0], want[2] / patch * (want[3] / patch), want[1] * patch * patch}
	}
	if !n.Shape().Equal(want) {
		return picture{}, fmt.Errorf("the prediction has the shape %v: want %v", n.Shape(), want)
	}
	p := picture{spec: spec, prediction: n}
	if k := c.inputs.masks[spec.Mask]; k != nil {
		p.hidden = k.input(c.g, k.spec.Hidden())
	}
	return p, nil
}

// Pictures renders all pictures of the plan from the last Step. A model that was built for training
// computes none.
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
	view := m.inputs.views[p.spec.View]
	s := view.Shape()
	pic := Picture{Name: p.spec.Name, Batch: s[0], Channels: s[1], Height: s[2], Width: s[3],
		Original: append([]float32(nil), view.Value()...), Hidden: make([]bool, s[0]*s[2]*s[3]), PatchNormalized: p.spec.PatchNormalized}

	if k := m.inputs.masks[p.spec.Mask]; k != nil {
		removed := p.hidden.Value()
		rows, cols := k.spec.Rows, k.spec.Cols
		if k.spec.Kind == plan.MaskCorruption {
			rows, cols = pic.Height, pic.Width
		}
		for i := range pic.Hidden {
			b, y, x := i/(pic.Height*pic.Width), i/pic.Width%pic.Height, i%pic.Width
			pic.Hidden[i] = removed[(b*rows+y*rows/pic.Height)*cols+x*cols/pic.Width] != 0
		}
	}

	switch p.spec.Layout {
	case plan.LayoutImage:
		pic.Prediction = append([]float32(nil), p.prediction.Value()...)
	default:
		hwc := p.spec.Layout == plan.LayoutPatchesHWC
		pic.Prediction = pic.fromPatches(p.prediction.Value(), m.Config.Info().Patch, hwc, pic.PatchNormalized)
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

// fromPatches lays patches [B, L, p·p·C] out as images. Predictions of normalized patches get back
// the mean and the standard deviation that the original patch has.
func (pic *Picture) fromPatches(patches []float32, p int, hwc, normalized bool) []float32 {
	out := make([]float32, len(patches))
	c, h, w := pic.Channels, pic.Height, pic.Width
	dim := p * p * c
	cols := w / p
	count := h / p * cols
	pixel := func(b, n, ch, y, x int) int { return ((b*c+ch)*h+n/cols*p+y)*w + n%cols*p + x }
	for b := range pic.Batch {
		for n := range count {
			mean, scale := 0.0, 1.0
			if normalized {
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

// patchMoments are the mean of a patch and sqrt(unbiased variance + 1e-6), by which MAE's targets
// are normalized.
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
