package pictures

import (
	"fmt"
	"image"
	"math"
)

// Normalization maps a pixel value v to the input of a network, (v/255 - Mean)/Std. Both have one
// entry per channel.
type Normalization struct{ Mean, Std []float64 }

// Check reports a normalization that does not fit the number of channels or cannot be undone.
func (n Normalization) Check(channels int) error {
	if len(n.Mean) != channels || len(n.Std) != channels {
		return fmt.Errorf("normalization has %d means and %d deviations for %d channels", len(n.Mean), len(n.Std), channels)
	}
	for c, s := range n.Std {
		if !(s > 0) || math.IsInf(s, 0) || math.IsNaN(n.Mean[c]) || math.IsInf(n.Mean[c], 0) {
			return fmt.Errorf("normalization of channel %d: mean %g, deviation %g: finite values and a positive deviation are needed", c, n.Mean[c], s)
		}
	}
	return nil
}

// Image turns one normalized image [C, H, W] back into pixels, clipped to 0..255. Of one or two
// channels it shows the first as gray, of more the first three as red, green and blue. NaN is drawn
// in magenta.
func (n Normalization) Image(x []float32, h, w int) (*image.RGBA, error) {
	channels := len(n.Mean)
	if err := n.Check(channels); err != nil {
		return nil, err
	}
	if h < 1 || w < 1 || len(x) != channels*h*w {
		return nil, fmt.Errorf("an image of %d values is not %d × %d × %d", len(x), channels, h, w)
	}
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range h * w {
		p := img.Pix[4*i : 4*i+4]
		p[3] = 255
		for c := range 3 {
			source := c
			if channels < 3 {
				source = 0
			}
			v := float64(x[source*h*w+i])
			if v != v {
				copy(p, []byte{255, 0, 255})
				break
			}
			v = 255 * (v*n.Std[source] + n.Mean[source])
			p[c] = uint8(math.Round(min(max(v, 0), 255)))
		}
	}
	return img, nil
}
