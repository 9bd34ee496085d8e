// Package pixels holds the arithmetic on 8-bit images that the data pipeline is made of: Pillow's
// resampling, color and blur operations reproduced bit for bit, the random crop rule of
// torchvision, and the step from bytes to normalized float32 planes.
//
// Nothing here knows files, labels or random number generators: every operation is a function of
// its arguments.
package pixels

import "fmt"

// Image is a packed 8-bit image: row-major, channels interleaved, Pix[(y*W+x)*C+c], no padding
// between rows.
type Image struct {
	Pix     []uint8 // (H, W, C)
	W, H, C int
}

// New returns a black image of w x h pixels with c channels.
func New(w, h, c int) *Image {
	return &Image{Pix: make([]uint8, w*h*c), W: w, H: h, C: c}
}

// Reset gives the image another size, keeping its memory where it suffices. The content is
// undefined afterwards.
func (m *Image) Reset(w, h, c int) {
	m.Pix, m.W, m.H, m.C = Grow(m.Pix, w*h*c), w, h, c
}

// Grow returns a slice of n elements with any content, in the memory of s where that is enough.
func Grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Clone returns a copy that shares nothing with m.
func (m *Image) Clone() *Image {
	return &Image{Pix: append([]uint8(nil), m.Pix...), W: m.W, H: m.H, C: m.C}
}

// Row returns the bytes of row y.
func (m *Image) Row(y int) []uint8 {
	n := m.W * m.C
	return m.Pix[y*n : (y+1)*n : (y+1)*n]
}

// Rect is a box inside an image, in pixels.
type Rect struct{ Top, Left, H, W int }

// In reports whether the box is not empty and lies inside a w x h image.
func (r Rect) In(w, h int) bool {
	return r.H > 0 && r.W > 0 && r.Top >= 0 && r.Left >= 0 && r.Top+r.H <= h && r.Left+r.W <= w
}

// Union is the smallest box that holds r and s; an empty one holds nothing.
func (r Rect) Union(s Rect) Rect {
	if r.W == 0 || r.H == 0 {
		return s
	}
	top, left := min(r.Top, s.Top), min(r.Left, s.Left)
	return Rect{Top: top, Left: left, H: max(r.Top+r.H, s.Top+s.H) - top, W: max(r.Left+r.W, s.Left+s.W) - left}
}

func (r Rect) String() string {
	return fmt.Sprintf("%dx%d at (%d,%d)", r.W, r.H, r.Left, r.Top)
}

// Bounds returns the box of the whole image.
func (m *Image) Bounds() Rect { return Rect{H: m.H, W: m.W} }

// Crop copies box into dst. It panics when the box leaves the image: boxes come from the samplers
// of this package, not from users.
func Crop(dst, src *Image, box Rect) {
	mustContain(src, box)
	dst.Reset(box.W, box.H, src.C)
	n := box.W * src.C
	for y := range box.H {
		from := ((box.Top+y)*src.W + box.Left) * src.C
		copy(dst.Pix[y*n:(y+1)*n], src.Pix[from:from+n])
	}
}

func mustContain(m *Image, box Rect) {
	if !box.In(m.W, m.H) {
		panic(fmt.Sprintf("pixels: box %v leaves the %dx%d image", box, m.W, m.H))
	}
}
