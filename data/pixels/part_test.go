package pixels

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// randomPart draws a picture, a size and a box of the result.
func randomPart(rng *rand.Rand, side, to int) (m *Image, box Rect, ow, oh int, out Rect, f Filter) {
	m = New(1+rng.IntN(side), 1+rng.IntN(side), 1+rng.IntN(4))
	if rng.IntN(3) == 0 { // thin
		m = New(1+rng.IntN(3), 1+rng.IntN(8*side), m.C)
	}
	for i := range m.Pix {
		m.Pix[i] = uint8(rng.IntN(2) * 255)
	}
	box = Rect{H: 1 + rng.IntN(m.H), W: 1 + rng.IntN(m.W)}
	box.Top, box.Left = rng.IntN(m.H-box.H+1), rng.IntN(m.W-box.W+1)
	ow, oh = 1+rng.IntN(to), 1+rng.IntN(to)
	if rng.IntN(4) == 0 {
		ow = box.W
	}
	if rng.IntN(4) == 0 {
		oh = box.H
	}
	out = Rect{H: 1 + rng.IntN(oh), W: 1 + rng.IntN(ow)}
	out.Top, out.Left = rng.IntN(oh-out.H+1), rng.IntN(ow-out.W+1)
	return m, box, ow, oh, out, Filter(rng.IntN(5))
}

// TestPart: a part of a result has the pixels that it has in the whole, also where only its source
// is there, and in strips.
func TestPart(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var r Resizer
	var whole, want, got, source Image
	for range 3000 {
		m, box, ow, oh, out, f := randomPart(rng, 40, 60)
		r.Resize(&whole, m, box, ow, oh, f)
		Crop(&want, &whole, out)
		r.Part(&got, m, box, ow, oh, out, f)
		if got.W != want.W || got.H != want.H || !bytes.Equal(got.Pix, want.Pix) {
			t.Fatalf("%dx%dx%d, box %v to %dx%d by %v: the part %v has other pixels", m.W, m.H, m.C, box, ow, oh, f, out)
		}
		need := Source(box.W, box.H, ow, oh, out, f)
		Crop(&source, m, Rect{Top: box.Top + need.Top, Left: box.Left + need.Left, H: need.H, W: need.W})
		r.Part(&got, &source, Rect{Top: -need.Top, Left: -need.Left, H: box.H, W: box.W}, ow, oh, out, f)
		if !bytes.Equal(got.Pix, want.Pix) {
			t.Fatalf("%dx%dx%d, box %v to %dx%d by %v: the part %v of its source %v alone has other pixels", m.W, m.H, m.C, box, ow, oh, f, out, need)
		}
		got.Reset(out.W, out.H, m.C)
		r.strips(&got, m, box, ow, oh, out, 1+rng.IntN(7), f)
		if !bytes.Equal(got.Pix, want.Pix) {
			t.Fatalf("%dx%dx%d, box %v to %dx%d by %v: the part %v in strips has other pixels", m.W, m.H, m.C, box, ow, oh, f, out)
		}
	}
}

// TestPartOfHuge: the cost is that of the part.
func TestPartOfHuge(t *testing.T) {
	for _, size := range [][2]int{{1, 60000}, {60000, 1}, {2, 1 << 20}} {
		for c := 1; c <= 3; c += 2 {
			for f := Nearest; f <= Lanczos; f++ {
				var r Resizer
				m, dst := New(size[0], size[1], c), &Image{}
				for i := range m.Pix {
					m.Pix[i] = 200
				}
				s := 1 << 14
				ow, oh := ShortSide(m.W, m.H, s)
				r.Part(dst, m, m.Bounds(), ow, oh, CenterCrop(ow, oh, 8, 8), f)
				for _, v := range dst.Pix {
					if v != 200 {
						t.Fatalf("%v of %d channels by %v: a value of %d", size, c, f, v)
					}
				}
				if n := len(r.mid) + 8*len(r.lanes) + 8*len(r.pair); n > 1<<20 {
					t.Errorf("%v of %d channels by %v: %d bytes of memory", size, c, f, n)
				}
			}
		}
	}
}

func FuzzPart(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		m, box, ow, oh, out, filter := randomPart(rand.New(rand.NewPCG(a, b)), 60, 300)
		var r Resizer
		var whole, want, got Image
		r.Resize(&whole, m, box, ow, oh, filter)
		Crop(&want, &whole, out)
		if r.Part(&got, m, box, ow, oh, out, filter); !bytes.Equal(got.Pix, want.Pix) {
			t.Fatalf("%dx%dx%d, box %v to %dx%d by %v: the part %v has other pixels", m.W, m.H, m.C, box, ow, oh, filter, out)
		}
	})
}
