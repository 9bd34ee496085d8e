package pixels

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

// makeTaps computes Pillow's coefficients for in pixels becoming out.
func makeTaps(in, out int, f Filter) *taps {
	t := &taps{}
	t.set(span{in, out, 0, out}, f)
	return t
}

// plainResize is the definition that Resizer must agree with: crop, filter rows, round, filter
// columns, round, one sample at a time.
func plainResize(src *Image, box Rect, ow, oh int, f Filter) *Image {
	in := &Image{}
	Crop(in, src, box)
	mid := in
	if ow != in.W {
		t := makeTaps(in.W, ow, f)
		mid = New(ow, in.H, in.C)
		for y := range in.H {
			for o := range ow {
				for c := range in.C {
					sum := int64(1) << (precision - 1)
					for i := range int(t.n[o]) {
						sum += t.weight[o*t.width+i] * int64(in.Pix[(y*in.W+int(t.lo[o])+i)*in.C+c])
					}
					mid.Pix[(y*ow+o)*in.C+c] = uint8(min(max(sum>>precision, 0), 255))
				}
			}
		}
	}
	if oh == in.H {
		return mid
	}
	t := makeTaps(in.H, oh, f)
	out := New(ow, oh, in.C)
	for o := range oh {
		for j := range ow * in.C {
			sum := int64(1) << (precision - 1)
			for i := range int(t.n[o]) {
				sum += t.weight[o*t.width+i] * int64(mid.Pix[(int(t.lo[o])+i)*ow*in.C+j])
			}
			out.Pix[o*ow*in.C+j] = uint8(min(max(sum>>precision, 0), 255))
		}
	}
	return out
}

func TestResizeAgreesWithItsDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var r Resizer
	var got Image
	for range 1500 {
		c := 1 + rng.IntN(5)
		m := New(1+rng.IntN(40), 1+rng.IntN(40), c)
		for i := range m.Pix {
			// Hard edges make bicubic and Lanczos overshoot.
			m.Pix[i] = uint8(rng.IntN(2) * 255)
		}
		box := Rect{H: 1 + rng.IntN(m.H), W: 1 + rng.IntN(m.W)}
		box.Top, box.Left = rng.IntN(m.H-box.H+1), rng.IntN(m.W-box.W+1)
		ow, oh := 1+rng.IntN(50), 1+rng.IntN(50)
		if rng.IntN(4) == 0 {
			ow = box.W
		}
		if rng.IntN(4) == 0 {
			oh = box.H
		}
		f := []Filter{Box, Bilinear, Bicubic, Lanczos}[rng.IntN(4)]
		r.Resize(&got, m, box, ow, oh, f)
		if want := plainResize(m, box, ow, oh, f); !bytes.Equal(got.Pix, want.Pix) {
			t.Fatalf("%dx%dx%d, box %v to %dx%d by %v differs from its definition", m.W, m.H, c, box, ow, oh, f)
		}
	}
}

func TestFilterNames(t *testing.T) {
	for f := Nearest; f <= Lanczos; f++ {
		if got, err := ParseFilter(f.String()); err != nil || got != f {
			t.Errorf("%v: %v %v", f, got, err)
		}
	}
	if _, err := ParseFilter("cubic"); err == nil {
		t.Error("an unknown filter is accepted")
	}
}

func TestCropOfOddImages(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, size := range [][2]int{{1, 1}, {1, 1000}, {1000, 1}, {2, 3}, {3, 500}} {
		for range 200 {
			b := RandomResizedCrop(rng, size[0], size[1], 10, [2]float64{0.2, 1}, [2]float64{3.0 / 4, 4.0 / 3})
			if !b.In(size[0], size[1]) {
				t.Fatalf("box %v of a %dx%d image", b, size[0], size[1])
			}
		}
	}
	// A box of the whole area is larger than a strip: the central one is taken.
	b := RandomResizedCrop(rng, 200, 600, 10, [2]float64{1, 1}, [2]float64{3.0 / 4, 4.0 / 3})
	if b != (Rect{Top: 166, Left: 0, H: 267, W: 200}) {
		t.Errorf("fallback box %v", b)
	}
}

func TestShortSideAndCenter(t *testing.T) {
	for _, c := range []struct{ w, h, s, ow, oh int }{{500, 375, 256, 341, 256}, {375, 500, 256, 256, 341}, {64, 64, 64, 64, 64}, {1000, 1, 3, 3000, 3}} {
		if ow, oh := ShortSide(c.w, c.h, c.s); ow != c.ow || oh != c.oh {
			t.Errorf("%dx%d to %d: %dx%d", c.w, c.h, c.s, ow, oh)
		}
	}
	// Half to even: (7-4)/2 = 1.5 becomes 2, (9-4)/2 = 2.5 becomes 2.
	if r := CenterCrop(7, 9, 4, 4); r.Left != 2 || r.Top != 2 {
		t.Errorf("center crop %v", r)
	}
	if r := CenterCrop(3, 9, 4, 4); r.W != 3 || r.Left != 0 {
		t.Errorf("center crop of a narrow image %v", r)
	}
}

func TestPlanesMirror(t *testing.T) {
	n, err := NewNormalizer([]float32{0, 0, 0, 0}, []float32{1, 1, 1, 1})
	if err != nil {
		t.Fatal(err)
	}
	n3, _ := NewNormalizer(make([]float32, 3), []float32{1, 1, 1})
	for _, norm := range []*Normalizer{n, n3} {
		m := noise(5, 3, len(norm.table))
		got, want := make([]float32, len(m.Pix)), make([]float32, len(m.Pix))
		norm.Planes(got, m, true)
		norm.Planes(want, m, false)
		for i := range got {
			if x := i % m.W; got[i] != want[i-x+m.W-1-x] {
				t.Fatalf("%d channels: mirroring while normalizing differs at %d", m.C, i)
			}
		}
		if v := float32(m.Pix[1]) / 255; m.C == 3 && want[5*3] != v {
			t.Errorf("second channel begins with %v, want %v", want[5*3], v)
		}
	}
	for _, bad := range [][2][]float32{{{0}, {0}}, {{0}, {-1}}, {{0, 0}, {1}}, {nil, nil}, {{0}, {float32(math.NaN())}}} {
		if _, err := NewNormalizer(bad[0], bad[1]); err == nil {
			t.Errorf("mean %v and std %v are accepted", bad[0], bad[1])
		}
	}
}

func TestOperationsOnTinyAndGrayImages(t *testing.T) {
	var b Blur
	for _, size := range [][3]int{{1, 1, 3}, {1, 1, 1}, {2, 1, 3}, {3, 5, 1}} {
		m := noise(size[0], size[1], size[2])
		flat := m.Clone()
		for i := range flat.Pix {
			flat.Pix[i] = 77
		}
		b.Pillow(flat, 5)
		b.Torchvision(flat, 23, 4)
		for _, v := range flat.Pix {
			if v != 77 {
				t.Fatalf("%v: blur changes a flat image to %d", size, v)
			}
		}
		j := Jitter{Order: []JitterOp{JitterHue, JitterSaturation, JitterContrast, JitterBrightness}, Brightness: 1, Contrast: 1, Saturation: 1, Hue: 0}
		if size[2] == 1 {
			before := m.Clone()
			j.Apply(m)
			Gray(m)
			if !bytes.Equal(before.Pix, m.Pix) {
				t.Errorf("%v: a jitter by nothing changes a gray image", size)
			}
		}
		Solarize(m, 128)
		for _, v := range m.Pix {
			if v >= 128 {
				t.Errorf("%v: solarize leaves %d", size, v)
			}
		}
	}
}

func TestHueRoundTripLosesLittle(t *testing.T) {
	for r := 0; r < 256; r += 15 {
		for g := 0; g < 256; g += 15 {
			for b := 0; b < 256; b += 15 {
				h, s, v := RGBToHSV(uint8(r), uint8(g), uint8(b))
				r2, g2, b2 := HSVToRGB(h, s, v)
				if v != uint8(max(r, g, b)) || abs(r-int(r2))+abs(g-int(g2))+abs(b-int(b2)) > 20 {
					t.Fatalf("%d %d %d becomes %d %d %d", r, g, b, r2, g2, b2)
				}
			}
		}
	}
}

func abs(v int) int { return max(v, -v) }

// The blur of SimCLR's official code: a convolution of an image with zeros around it.
func TestZeroBorder(t *testing.T) {
	const size, sigma = 5, 1.3
	m := noise(7, 4, 3)
	got := m.Clone()
	new(Blur).ZeroBorder(got, size, sigma)
	var kernel [size]float64
	total := 0.0
	for i := range kernel {
		kernel[i] = math.Exp(-math.Pow(float64(i-size/2), 2) / (2 * sigma * sigma))
		total += kernel[i]
	}
	for y := range m.H {
		for x := range m.W * m.C {
			sum := 0.0
			for i := range size {
				for j := range size {
					row, col := y+i-size/2, x+(j-size/2)*m.C
					if row >= 0 && row < m.H && col >= 0 && col < m.W*m.C {
						sum += kernel[i] * kernel[j] / total / total * float64(m.Row(row)[col])
					}
				}
			}
			if v := float64(got.Row(y)[x]); math.Abs(v-sum) > .5+1e-9 {
				t.Errorf("row %d, value %d is %v, want %v", y, x, v, sum)
			}
		}
	}
}
