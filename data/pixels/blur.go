package pixels

import "math"

// Blur holds the scratch memory of the Gaussian blurs. The zero value is ready; one per goroutine.
type Blur struct {
	tmp    []uint8
	sums   []uint32
	plane  []float64
	places []int
}

// Pillow blurs in place as ImageFilter.GaussianBlur(radius) does: three box blurs per axis whose
// combined variance is radius squared, the horizontal ones first, rounded to 8 bits after each.
func (b *Blur) Pillow(m *Image, radius float64) {
	box := newBoxBlur(radius)
	if box.whole == 0 && box.edge == 0 {
		return
	}
	b.tmp = Grow(b.tmp, len(m.Pix))
	b.sums = Grow(b.sums, m.W*m.C)
	from, to := m.Pix, b.tmp
	for range 3 {
		box.horizontal(to, from, m.W, m.H, m.C)
		from, to = to, from
	}
	for range 3 {
		box.vertical(to, from, b.sums, m.W*m.C, m.H)
		from, to = to, from
	}
	// Six passes: the result is back in m.Pix.
}

// boxBlur averages 2*radius+1 samples, radius with a fraction: whole for the inner ones, edge for
// the two at radius+1, both with 24 fraction bits.
type boxBlur struct {
	radius      int
	whole, edge uint32
}

func newBoxBlur(sigma float64) boxBlur {
	// "Theoretical Foundations of Gaussian Convolution by Extended Box Filtering", Gwosdek et al.
	// 2011, in Pillow's float32 variables.
	const passes = 3
	s := float32(sigma)
	s2 := float32(s*s) / passes
	length := float32(math.Sqrt(12*float64(s2) + 1))
	l := float32(math.Floor((float64(length) - 1) / 2))
	a := float32(float32(2*l+1) * float32(float32(l*float32(l+1))-float32(3*s2)))
	a /= float32(6 * float32(s2-float32(float32(l+1)*float32(l+1))))
	r := float32(l + a)
	if r == 0 {
		return boxBlur{}
	}
	radius := int(r)
	whole := uint32(float32(1<<24) / float32(float32(r*2)+1))
	return boxBlur{radius: radius, whole: whole, edge: ((1 << 24) - uint32(2*radius+1)*whole) / 2}
}

func (k boxBlur) value(sum, outer uint32) uint8 {
	return uint8((sum*k.whole + outer*k.edge + 1<<23) >> 24)
}

// horizontal blurs each row; edge pixels repeat outwards.
func (k boxBlur) horizontal(dst, src []uint8, w, h, c int) {
	n := w * c
	last := (w - 1) * c
	for y := range h {
		in, out := src[y*n:(y+1)*n], dst[y*n:(y+1)*n]
		for ch := range c {
			var sum uint32
			for d := -k.radius; d <= k.radius; d++ {
				sum += uint32(in[min(max(d, 0)*c, last)+ch])
			}
			for x := range w {
				before := uint32(in[max(x-k.radius-1, 0)*c+ch])
				after := uint32(in[min((x+k.radius+1)*c, last)+ch])
				out[x*c+ch] = k.value(sum, before+after)
				sum += after - uint32(in[max(x-k.radius, 0)*c+ch])
			}
		}
	}
}

// vertical blurs each column, all columns of n bytes side by side.
func (k boxBlur) vertical(dst, src []uint8, sums []uint32, n, h int) {
	row := func(y int) []uint8 { y = min(max(y, 0), h-1); return src[y*n : (y+1)*n] }
	clear(sums)
	for d := -k.radius; d <= k.radius; d++ {
		for i, v := range row(d) {
			sums[i] += uint32(v)
		}
	}
	for y := range h {
		out := dst[y*n : (y+1)*n]
		before, after, leave := row(y-k.radius-1), row(y+k.radius+1), row(y-k.radius)
		for i := range out {
			a := uint32(after[i])
			out[i] = k.value(sums[i], uint32(before[i])+a)
			sums[i] += a - uint32(leave[i])
		}
	}
}

// Torchvision blurs in place as torchvision's gaussian_blur does on an 8-bit image: a kernel of
// size (odd) samples of a Gaussian, reflected borders, rounded half to even once at the end.
func (b *Blur) Torchvision(m *Image, size int, sigma float64) { b.convolve(m, size, sigma, reflect) }

// ZeroBorder is Torchvision with zeros around the image, as the official code of SimCLR blurs.
func (b *Blur) ZeroBorder(m *Image, size int, sigma float64) { b.convolve(m, size, sigma, inside) }

// convolve blurs with the samples of a Gaussian. border maps a place outside of 0..n-1 to one
// inside, or to -1 for a zero.
func (b *Blur) convolve(m *Image, size int, sigma float64, border func(i, n int) int) {
	r := size / 2
	kernel := make([]float64, 2*r+1)
	var total float64
	for i := range kernel {
		x := float64(i - r)
		kernel[i] = math.Exp(-x * x / (2 * sigma * sigma))
		total += kernel[i]
	}
	for i := range kernel {
		kernel[i] /= total
	}
	n := m.W * m.C
	b.plane = Grow(b.plane, m.H*n)
	b.places = places(b.places, m.W, r, border)
	for y := range m.H {
		in, out := m.Row(y), b.plane[y*n:(y+1)*n]
		for x := range m.W {
			for ch := range m.C {
				var sum float64
				for i, from := range b.places[x : x+2*r+1] {
					if from >= 0 {
						sum += kernel[i] * float64(in[from*m.C+ch])
					}
				}
				out[x*m.C+ch] = sum
			}
		}
	}
	b.places = places(b.places, m.H, r, border)
	for y := range m.H {
		out := m.Row(y)
		for j := range out {
			var sum float64
			for i, from := range b.places[y : y+2*r+1] {
				if from >= 0 {
					sum += kernel[i] * b.plane[from*n+j]
				}
			}
			out[j] = uint8(math.RoundToEven(min(max(sum, 0), 255)))
		}
	}
}

// places are the sources of -r..n-1+r.
func places(into []int, n, r int, border func(i, n int) int) []int {
	into = Grow(into, n+2*r)
	for i := range into {
		into[i] = border(i-r, n)
	}
	return into
}

// inside is -1 outside of 0..n-1.
func inside(i, n int) int {
	if i < 0 || i >= n {
		return -1
	}
	return i
}

// reflect mirrors an index at the borders without repeating the edge, as often as a kernel wider
// than the image needs.
func reflect(i, n int) int {
	if n == 1 {
		return 0
	}
	for i < 0 || i >= n {
		if i < 0 {
			i = -i
		} else {
			i = 2*(n-1) - i
		}
	}
	return i
}
