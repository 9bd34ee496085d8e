package scenes

import (
	"math"

	"github.com/vittool/vittool/internal/prng"
)

// oversample is the factor of the size at which scenes are drawn, in planes of linear color; finish
// averages the samples of a pixel. Coordinates are resolution free: y runs from 0 (top) to 1 (bottom), x from 0 to aspect.
const oversample = 2

// rgb is a colour, each channel in [0,1].
type rgb struct{ r, g, b float64 }

func (c rgb) scale(f float64) rgb { return rgb{c.r * f, c.g * f, c.b * f} }

func mix(a, b rgb, t float64) rgb {
	t = min(max(t, 0), 1)
	return rgb{a.r + (b.r-a.r)*t, a.g + (b.g-a.g)*t, a.b + (b.b-a.b)*t}
}

// light is a time of day.
type light struct {
	zenith, haze rgb // sky above and at the horizon
	sun          rgb // tint of lit surfaces
	ambient      float64
}

var lights = []light{
	{rgb{.22, .45, .85}, rgb{.72, .85, .96}, rgb{1, .98, .92}, .55},   // noon
	{rgb{.30, .33, .62}, rgb{.98, .62, .36}, rgb{1, .80, .58}, .45},   // sunset
	{rgb{.55, .60, .68}, rgb{.80, .82, .84}, rgb{.92, .94, .97}, .75}, // overcast
	{rgb{.16, .34, .62}, rgb{.94, .84, .74}, rgb{1, .92, .80}, .50},   // morning
	{rgb{.05, .07, .20}, rgb{.25, .26, .45}, rgb{.62, .68, .95}, .40}, // dusk
}

type soil struct{ near, far rgb }

var soils = []soil{
	{rgb{.24, .45, .14}, rgb{.45, .60, .30}}, // meadow
	{rgb{.70, .58, .36}, rgb{.84, .75, .55}}, // sand
	{rgb{.42, .34, .22}, rgb{.58, .52, .38}}, // field
	{rgb{.86, .89, .94}, rgb{.93, .95, .98}}, // snow
	{rgb{.36, .42, .18}, rgb{.62, .58, .32}}, // steppe
}

type stage struct {
	rng     *prng.Generator
	w, h    int // samples
	aspect  float64
	colour  []float32 // (h, w, 3)
	mask    []uint8
	depth   []float32
	light   light
	sunX    float64 // direction of the light, -1 from the left .. 1 from the right
	horizon float64
	water   bool
	noise   uint64 // seed of the textures

	region   uint8   // of the shape that is drawn
	distance float64 // and how far it is
}

func newStage(rng *prng.Generator, w, h int) *stage {
	s := &stage{rng: rng, w: w * oversample, h: h * oversample, aspect: float64(w) / float64(h)}
	n := s.w * s.h
	s.colour, s.mask, s.depth = make([]float32, 3*n), make([]uint8, n), make([]float32, n)
	s.light = lights[rng.IntN(len(lights))]
	s.sunX = 2*rng.Float64() - 1
	s.horizon = 0.42 + 0.2*rng.Float64()
	s.noise = rng.Uint64()
	return s
}

// depthAt is the distance of the ground that is seen at height y.
func (s *stage) depthAt(y float64) float64 {
	return min(1.6/max(y-s.horizon, 1e-3), MaxDepth*0.6)
}

// put colours one sample.
func (s *stage) put(px, py int, c rgb) {
	i := py*s.w + px
	s.colour[3*i] = float32(c.r)
	s.colour[3*i+1] = float32(c.g)
	s.colour[3*i+2] = float32(c.b)
	s.mask[i] = s.region
	s.depth[i] = float32(s.distance)
}

// fill colours the samples of a box for which f returns true.
func (s *stage) fill(x0, y0, x1, y1 float64, f func(x, y float64) (rgb, bool)) {
	scale := float64(s.h)
	px0, px1 := max(int(math.Floor(x0*scale)), 0), min(int(math.Ceil(x1*scale)), s.w)
	py0, py1 := max(int(math.Floor(y0*scale)), 0), min(int(math.Ceil(y1*scale)), s.h)
	for py := py0; py < py1; py++ {
		y := (float64(py) + 0.5) / scale
		for px := px0; px < px1; px++ {
			if c, ok := f((float64(px)+0.5)/scale, y); ok {
				s.put(px, py, c)
			}
		}
	}
}

// paint is the colour of a surface at (u, v), both in [-1,1] over the shape.
type paint func(u, v float64) rgb

func plain(c rgb) paint { return func(_, _ float64) rgb { return c } }

// lit applies the light of the scene to a surface whose normal has the horizontal part nx and the
// upward part ny.
func (s *stage) lit(c rgb, nx, ny float64) rgb {
	sun := max(nx*s.sunX*0.8+ny*0.6+0.25, 0)
	k := s.light.ambient + (1-s.light.ambient)*sun
	c = rgb{c.r * s.light.sun.r, c.g * s.light.sun.g, c.b * s.light.sun.b}.scale(min(k, 1.25))
	// Air between the eye and the thing takes contrast away.
	return mix(c, s.light.haze, 0.5*min(s.distance/MaxDepth, 1))
}

// ellipse draws a ball or disc; round is its curvature (1: a ball).
func (s *stage) ellipse(cx, cy, rx, ry, round float64, p paint) {
	s.fill(cx-rx, cy-ry, cx+rx, cy+ry, func(x, y float64) (rgb, bool) {
		u, v := (x-cx)/rx, (y-cy)/ry
		if u*u+v*v > 1 {
			return rgb{}, false
		}
		return s.lit(p(u, v), u*round, -v*round), true
	})
}

// box draws an upright rectangle; bulge bends its light like a column.
func (s *stage) box(x0, y0, x1, y1, bulge float64, p paint) {
	s.fill(x0, y0, x1, y1, func(x, y float64) (rgb, bool) {
		if x < x0 || x >= x1 || y < y0 || y >= y1 {
			return rgb{}, false
		}
		u, v := 2*(x-x0)/(x1-x0)-1, 2*(y-y0)/(y1-y0)-1
		return s.lit(p(u, v), u*bulge, 0.3), true
	})
}

// point is a corner.
type point struct{ x, y float64 }

// polygon draws a flat convex or concave shape facing (nx, ny).
func (s *stage) polygon(nx, ny float64, p paint, corners ...point) {
	x0, y0, x1, y1 := corners[0].x, corners[0].y, corners[0].x, corners[0].y
	for _, c := range corners {
		x0, y0, x1, y1 = min(x0, c.x), min(y0, c.y), max(x1, c.x), max(y1, c.y)
	}
	s.fill(x0, y0, x1, y1, func(x, y float64) (rgb, bool) {
		in := false
		for i, j := 0, len(corners)-1; i < len(corners); j, i = i, i+1 {
			a, b := corners[i], corners[j]
			if (a.y > y) != (b.y > y) && x < (b.x-a.x)*(y-a.y)/(b.y-a.y)+a.x {
				in = !in
			}
		}
		if !in {
			return rgb{}, false
		}
		return s.lit(p(2*(x-x0)/(x1-x0)-1, 2*(y-y0)/(y1-y0)-1), nx, ny), true
	})
}

// shadow darkens the ground around a base, away from the sun.
func (s *stage) shadow(x, y, rx, ry float64) {
	x -= s.sunX * rx * 0.5
	scale := float64(s.h)
	for py := max(int((y-ry)*scale), 0); py < min(int((y+ry)*scale)+1, s.h); py++ {
		for px := max(int((x-rx)*scale), 0); px < min(int((x+rx)*scale)+1, s.w); px++ {
			u, v := ((float64(px)+0.5)/scale-x)/rx, ((float64(py)+0.5)/scale-y)/ry
			if d := u*u + v*v; d < 1 {
				i := py*s.w + px
				k := float32(1 - 0.55*(1-d))
				s.colour[3*i] *= k
				s.colour[3*i+1] *= k
				s.colour[3*i+2] *= k
			}
		}
	}
}

// finish averages the samples into pixels; mask and depth take the nearest of the four samples,
// because labels cannot be averaged.
func (s *stage) finish(class int) *Scene {
	w, h := s.w/oversample, s.h/oversample
	out := &Scene{W: w, H: h, Class: class, Pix: make([]uint8, 3*w*h), Mask: make([]uint8, w*h), Depth: make([]float32, w*h)}
	for y := range h {
		for x := range w {
			o := y*w + x
			i := y*oversample*s.w + x*oversample
			for c := range 3 {
				sum := s.colour[3*i+c] + s.colour[3*(i+1)+c] + s.colour[3*(i+s.w)+c] + s.colour[3*(i+s.w+1)+c]
				out.Pix[3*o+c] = uint8(min(max(sum*(255.0/4), 0), 255) + 0.5)
			}
			best := i
			for _, j := range [...]int{i + 1, i + s.w, i + s.w + 1} {
				if s.depth[j] < s.depth[best] {
					best = j
				}
			}
			out.Mask[o], out.Depth[o] = s.mask[best], s.depth[best]
		}
	}
	return out
}

// hash2 is a pseudo-random number in [0,1) of a lattice point.
func hash2(seed uint64, x, y int) float64 {
	z := seed + uint64(uint32(x))*0x9E3779B97F4A7C15 + uint64(uint32(y))*0xC2B2AE3D27D4EB4F
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return float64((z^z>>31)>>40) / (1 << 24)
}

// smooth is value noise in [0,1]: lattice numbers, interpolated.
func smooth(seed uint64, x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int(fx), int(fy)
	u, v := x-fx, y-fy
	u, v = u*u*(3-2*u), v*v*(3-2*v)
	a, b := hash2(seed, ix, iy), hash2(seed, ix+1, iy)
	c, d := hash2(seed, ix, iy+1), hash2(seed, ix+1, iy+1)
	return a + (b-a)*u + (c-a)*v + (a-b-c+d)*u*v
}

// fractal sums octaves of noise, each half as strong and twice as fine.
func fractal(seed uint64, x, y float64, octaves int) float64 {
	sum, weight, total := 0.0, 1.0, 0.0
	for o := range octaves {
		sum += weight * smooth(seed+uint64(o)*7919, x, y)
		total += weight
		weight /= 2
		x, y = 2*x, 2*y
	}
	return sum / total
}
