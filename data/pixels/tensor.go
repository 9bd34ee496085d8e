package pixels

import (
	"fmt"
	"math"
)

// Normalizer turns bytes into normalized floats: (v/255 - mean) / std per channel, in float32 as
// torchvision's ToTensor and Normalize compute it.
type Normalizer struct {
	table [][256]float32
}

// NewNormalizer takes one mean and one standard deviation per channel, in units of the range [0,1].
func NewNormalizer(mean, std []float32) (*Normalizer, error) {
	if len(mean) != len(std) || len(mean) == 0 {
		return nil, fmt.Errorf("normalization: %d means and %d standard deviations; give one of each per channel", len(mean), len(std))
	}
	n := &Normalizer{table: make([][256]float32, len(mean))}
	for c := range mean {
		if !(std[c] > 0 && std[c] <= math.MaxFloat32 && mean[c] >= -math.MaxFloat32 && mean[c] <= math.MaxFloat32) {
			return nil, fmt.Errorf("normalization: mean %g and standard deviation %g of channel %d are not finite, or the latter is not positive", mean[c], std[c], c)
		}
		for v := range 256 {
			n.table[c][v] = (float32(v)/255 - mean[c]) / std[c]
		}
	}
	return n, nil
}

// Planes writes the image as dst (C, H, W), mirrored left to right if flip.
func (n *Normalizer) Planes(dst []float32, src *Image, flip bool) {
	w, h, c := src.W, src.H, src.C
	if c != len(n.table) || len(dst) != w*h*c {
		panic(fmt.Sprintf("pixels: %dx%dx%d image into %d floats with %d channels", w, h, c, len(dst), len(n.table)))
	}
	if c == 3 {
		n.planes3(dst, src, flip)
		return
	}
	for ch := range c {
		table := &n.table[ch]
		for y := range h {
			row := src.Row(y)
			out := dst[(ch*h+y)*w:][:w]
			for x := range out {
				from := x
				if flip {
					from = w - 1 - x
				}
				out[x] = table[row[from*c+ch]]
			}
		}
	}
}

func (n *Normalizer) planes3(dst []float32, src *Image, flip bool) {
	w, h := src.W, src.H
	red, green, blue := &n.table[0], &n.table[1], &n.table[2]
	for y := range h {
		row := src.Row(y)
		r := dst[y*w:][:w]
		g := dst[(h+y)*w:][:w]
		b := dst[(2*h+y)*w:][:w]
		if flip {
			for x := w - 1; x >= 0 && len(row) >= 3; x-- {
				r[x], g[x], b[x] = red[row[0]], green[row[1]], blue[row[2]]
				row = row[3:]
			}
			continue
		}
		for x := range r {
			if len(row) < 3 {
				break
			}
			r[x], g[x], b[x] = red[row[0]], green[row[1]], blue[row[2]]
			row = row[3:]
		}
	}
}
