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
	Visible         []float32 // the original with zeros where pixels were masked; the original without a mask
	Prediction      []float32 // the output of the network, everywhere
	Reconstruction  []float32 // the prediction where pixels were masked, the original elsewhere
	Masked          []bool    // [B, H, W]
	// PatchNormalized: the network predicts patches without their mean and variance. Prediction has
	// those of the PatchStatistics, and Flat shows their means alone, a prediction of zeros.
	// Without it Flat is nil.
	PatchNormalized bool
	Flat            []float32
}

// PatchStatistics selects the mean and the deviation that turn predictions of normalized patches
// into pixels.
type PatchStatistics string

const (
	// VisibleStatistics: a masked patch gets the weighted mean of the statistics of the visible
	// patches of its image, weighted by 1/distance⁴. Without visible patches it gets mean 0 and
	// deviation 1, the mean color and contrast of all data.
	VisibleStatistics PatchStatistics = "visible"
	// OriginalStatistics are those of the masked patch itself: information that the network lacks,
	// with which even a prediction of zeros resembles the original.
	OriginalStatistics PatchStatistics = "original"
)

// picture is a prediction to be shown.
type picture struct {
	spec       *plan.Picture
	prediction *core.Node
	masked     *core.Node // 1 at masked cells or pixels; nil without a mask
}

// newPicture checks the shape of a prediction.
func (c *Compiler) newPicture(spec *plan.Picture) (picture, error) {
	n, err := c.resolve(spec.Prediction)
	if err != nil {
		return picture{}, err
	}
	want := c.viewShape(spec.View)
	if spec.Layout != plan.LayoutImage {
		patch := c.Config.Info().Patch
		want = tensor.Shape{want[0], want[2] / patch * (want[3] / patch), want[1] * patch * patch}
	}
	if !n.Shape().Equal(want) {
		return picture{}, fmt.Errorf("the prediction has the shape %v: want %v", n.Shape(), want)
	}
	p := picture{spec: spec, prediction: n}
	if k := c.inputs.masks[spec.Mask]; k != nil {
		p.masked = k.input(c.g, k.spec.Masked())
	}
	return p, nil
}

// Pictures renders all pictures of the plan from the last Step. A runner that was built for training
// computes none.
func (m *Runner) Pictures(statistics PatchStatistics) []Picture {
	if m.Train {
		return nil
	}
	var out []Picture
	for _, p := range m.pictures {
		out = append(out, m.render(p, statistics))
	}
	return out
}

func (m *Runner) render(p picture, statistics PatchStatistics) Picture {
	view := m.inputs.views[p.spec.View]
	s := view.Shape()
	pic := Picture{Name: p.spec.Name, Batch: s[0], Channels: s[1], Height: s[2], Width: s[3],
		Original: append([]float32(nil), view.Value()...), Masked: make([]bool, s[0]*s[2]*s[3]), PatchNormalized: p.spec.PatchNormalized}

	if k := m.inputs.masks[p.spec.Mask]; k != nil {
		masked := p.masked.Value()
		rows, cols := k.spec.Rows, k.spec.Cols
		if k.spec.Kind == plan.MaskCorruption {
			rows, cols = pic.Height, pic.Width
		}
		for i := range pic.Masked {
			b, y, x := i/(pic.Height*pic.Width), i/pic.Width%pic.Height, i%pic.Width
			pic.Masked[i] = masked[(b*rows+y*rows/pic.Height)*cols+x*cols/pic.Width] != 0
		}
	}

	switch p.spec.Layout {
	case plan.LayoutImage:
		pic.Prediction = append([]float32(nil), p.prediction.Value()...)
	default:
		predicted, size := p.prediction.Value(), m.Config.Info().Patch
		hwc := p.spec.Layout == plan.LayoutChannelLast
		var moments [][]patchMoments
		if pic.PatchNormalized {
			moments = pic.moments(size, statistics)
			pic.Flat = pic.fromPatches(make([]float32, len(predicted)), size, hwc, moments)
		}
		pic.Prediction = pic.fromPatches(predicted, size, hwc, moments)
	}
	pic.Visible = append([]float32(nil), pic.Original...)
	pic.Reconstruction = append([]float32(nil), pic.Original...)
	area := pic.Height * pic.Width
	for b := range pic.Batch {
		for c := range pic.Channels {
			plane := (b*pic.Channels + c) * area
			for i, masked := range pic.Masked[b*area:][:area] {
				if masked {
					pic.Visible[plane+i] = 0
					pic.Reconstruction[plane+i] = pic.Prediction[plane+i]
				}
			}
		}
	}
	return pic
}

// fromPatches arranges patches [B, L, p·p·C] as images and, with moments, undoes their
// normalization.
func (pic *Picture) fromPatches(patches []float32, p int, hwc bool, moments [][]patchMoments) []float32 {
	out := make([]float32, len(patches))
	c, h, w := pic.Channels, pic.Height, pic.Width
	dim, cols := p*p*c, w/p
	count := h / p * cols
	for b := range pic.Batch {
		for n := range count {
			m := patchMoments{0, 1}
			if moments != nil {
				m = moments[b][n]
			}
			for i, v := range patches[(b*count+n)*dim:][:dim] {
				ch, y, x := i/(p*p), i/p%p, i%p
				if hwc {
					ch, y, x = i%c, i/c/p, i/c%p
				}
				out[((b*c+ch)*h+n/cols*p+y)*w+n%cols*p+x] = float32(float64(v)*m.scale + m.mean)
			}
		}
	}
	return out
}

// patchMoments are the numbers that MAE's normalized target divides out: the mean of a patch over
// pixels and channels, and sqrt(unbiased variance + 1e-6).
type patchMoments struct{ mean, scale float64 }

// moments returns the moments of each patch of each sample for a choice of statistics.
func (pic *Picture) moments(p int, statistics PatchStatistics) [][]patchMoments {
	rows, cols := pic.Height/p, pic.Width/p
	all := make([][]patchMoments, pic.Batch)
	for b := range all {
		all[b] = make([]patchMoments, rows*cols)
		visible := make([]bool, rows*cols)
		for n := range all[b] {
			all[b][n], visible[n] = pic.patch(b, n/cols*p, n%cols*p, p)
		}
		if statistics == VisibleStatistics {
			interpolate(all[b], visible, cols)
		}
	}
	return all
}

// patch returns the original moments of the patch with its upper left pixel at y, x. It is visible
// if none of its pixels is masked.
func (pic *Picture) patch(b, y, x, p int) (m patchMoments, visible bool) {
	visible = true
	count, square := 0, 0.0
	each := func(f func(v float64)) {
		for i := range pic.Channels * p * p {
			ch, dy, dx := i/(p*p), i/p%p, i%p
			f(float64(pic.Original[((b*pic.Channels+ch)*pic.Height+y+dy)*pic.Width+x+dx]))
			visible = visible && !pic.Masked[(b*pic.Height+y+dy)*pic.Width+x+dx]
		}
	}
	each(func(v float64) { m.mean, count = m.mean+v, count+1 })
	m.mean /= float64(count)
	each(func(v float64) { square += (v - m.mean) * (v - m.mean) })
	m.scale = math.Sqrt(square/float64(max(count-1, 1)) + 1e-6)
	return m, visible
}

// interpolate replaces the moments of masked patches by the mean of the visible ones, weighted by
// 1/distance⁴ between the patches' centers.
func interpolate(moments []patchMoments, visible []bool, cols int) {
	for n := range moments {
		if visible[n] {
			continue
		}
		sum, weights := patchMoments{}, 0.0
		for k, m := range moments {
			if visible[k] {
				dy, dx := float64(k/cols-n/cols), float64(k%cols-n%cols)
				w := 1 / ((dy*dy + dx*dx) * (dy*dy + dx*dx))
				sum.mean, sum.scale, weights = sum.mean+w*m.mean, sum.scale+w*m.scale, weights+w
			}
		}
		moments[n] = patchMoments{0, 1}
		if weights > 0 {
			moments[n] = patchMoments{sum.mean / weights, sum.scale / weights}
		}
	}
}
