package program

import (
	"math"
	"slices"
	"testing"

	"github.com/vittool/vittool/internal/prng"
)

// TestPalettes keeps and restores views with the same bits, made of bytes or not.
func TestPalettes(t *testing.T) {
	const plane, channels, images = 600, 3, 4
	random := prng.New(1, "palettes")
	fromBytes := func() []float32 {
		pixels := make([]float32, images*channels*plane)
		for i := range pixels {
			c := i / plane % channels
			pixels[i] = (float32(random.Uint64()%256)/255 - .4) / (.2 + .1*float32(c))
		}
		pixels[0], pixels[1] = pixels[plane*channels], pixels[plane*channels+1] // repeated values
		return pixels
	}
	noise := make([]float32, images*channels*plane)
	for i := range noise {
		noise[i] = float32(random.NormFloat64())
	}
	odd := fromBytes()
	for i := range odd {
		odd[i] = []float32{0, float32(math.Copysign(0, -1)), float32(math.NaN()), 1}[random.Uint64()%4]
	}
	for _, c := range []struct {
		name    string
		views   [][]float32 // one after the other
		indexed []bool
	}{
		{"bytes", [][]float32{fromBytes(), fromBytes()}, []bool{true, true}},
		{"noise after bytes", [][]float32{fromBytes(), noise, odd[:0]}, []bool{true, false, false}},
		{"zeros and NaN", [][]float32{odd}, []bool{true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPalettes(channels, plane)
			kept := make([]indexed, len(c.views))
			for range 2 { // the memory is used again
				for i, v := range c.views {
					p.keep(&kept[i], v)
				}
			}
			for i, want := range c.views {
				got := make([]float32, len(want))
				p.restore(got, &kept[i])
				same := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }
				if !slices.EqualFunc(got, want, same) {
					t.Errorf("view %d has other bits", i)
				}
				if is := len(kept[i].places) > 0; is != c.indexed[i] {
					t.Errorf("view %d is kept in bytes: %v", i, is)
				}
			}
		})
	}
}
