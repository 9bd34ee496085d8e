package sit

import (
	"math"

	"github.com/vittool/vittool/plugins/sdk"
)

// largest bounds height and width of a rectangle, as a share of those of the crop.
const largest = 0.3

// corruption declares the changes of a crop: rectangles at random places until they cover a random
// share of it. One crop in two gets pieces of another image instead, if any do.
func (o *SiT) corruption(b *sdk.Builder, name string, crop sdk.View) sdk.Mask {
	p := painting{height: crop.Height(), width: crop.Width(), align: o.Align}
	if side := min(p.height, p.width); int(largest*float64(side)) <= o.Align {
		b.Failf("drop_align %d: rectangles are smaller than %v of the side, %d pixels of %d, so it must be less than that", o.Align, largest, int(largest*float64(side)), side)
	}
	most := p.bound(max(o.Drop, o.Replace))
	return b.Corruption(name, crop, most, func(c *sdk.MaskCall, i int) []sdk.Rect {
		return o.rects(c.RNG(i), p, len(c.Samples), most)
	})
}

// rects draws the rectangles of one crop of a batch.
func (o *SiT) rects(r *sdk.RNG, p painting, batch, most int) []sdk.Rect {
	if o.Replace > 0 && r.Float64() < .5 {
		source := r.IntN(batch) // the same image, perhaps
		return p.rects(r, o.Replace, most, func(x *sdk.Rect) {
			x.Fill, x.Source, x.SourceTop, x.SourceLeft, x.Clean = sdk.Copy, source, x.Top, x.Left, true
		})
	}
	kind := o.Fill[r.IntN(len(o.Fill))]
	return p.rects(r, o.Drop, most, func(x *sdk.Rect) {
		switch kind {
		case "noise":
			x.Fill = sdk.Noise
		case "copy": // of the crop as it is by then
			x.Fill, x.Source = sdk.Copy, -1
			x.SourceTop, x.SourceLeft = p.aligned(r.IntN(p.height-x.Height)), p.aligned(r.IntN(p.width-x.Width))
		}
	})
}

// painting is the geometry of a crop.
type painting struct{ height, width, align int }

func (p painting) aligned(v int) int { return v / p.align * p.align }

// rects draws places and sizes until the rectangles cover the share of the pixels that is drawn
// first, between min(1/2, share) and share, or until there are most of them, which bound makes
// improbable. fill completes each. As in the official code the last row and column never begin a
// rectangle, and one that is cut off at the border is rounded, half to even, perhaps to nothing.
func (p painting) rects(r *sdk.RNG, share float64, most int, fill func(*sdk.Rect)) []sdk.Rect {
	target := r.Uniform(min(.5, share), share) * float64(p.height*p.width)
	covered, seen := 0, make([]bool, p.height*p.width)
	var out []sdk.Rect
	for float64(covered) < target && len(out) < most {
		x := sdk.Rect{Top: p.aligned(r.IntN(p.height - p.align)), Left: p.aligned(r.IntN(p.width - p.align))}
		x.Height = p.fitted(p.side(r, p.height), p.height-x.Top)
		x.Width = p.fitted(p.side(r, p.width), p.width-x.Left)
		fill(&x)
		for y := x.Top; y < x.Top+x.Height; y++ {
			for i := y*p.width + x.Left; i < y*p.width+x.Left+x.Width; i++ {
				if !seen[i] {
					seen[i] = true
					covered++
				}
			}
		}
		if x.Height > 0 && x.Width > 0 {
			out = append(out, x)
		}
	}
	return out
}

// side draws the length of a rectangle along a side of the crop, from align to below largest of it.
func (p painting) side(r *sdk.RNG, length int) int {
	return p.align + r.IntN(int(largest*float64(length))-p.align)
}

// fitted is a length rounded, half to even, and cut off at the end of the side: where align does
// not divide the side, rounding up would lead past it.
func (p painting) fitted(v, left int) int { return min(p.rounded(min(v, left)), left) }

func (p painting) rounded(v int) int {
	return p.align * int(math.RoundToEven(float64(v)/float64(p.align)))
}

// bound is a number of rectangles that suffices for a corruption of the given share: 16 more than
// four times the number that covers it on average.
func (p painting) bound(share float64) int {
	mean := func(length int) float64 {
		sum, n := 0, 0
		for v := p.align; v < int(largest*float64(length)); v++ {
			sum, n = sum+p.rounded(v), n+1
		}
		return max(1, float64(sum)/float64(max(n, 1)))
	}
	needed := -math.Log(1-share) * float64(p.height*p.width) / (mean(p.height) * mean(p.width))
	return int(math.Ceil(4*needed)) + 16
}
