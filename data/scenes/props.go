package scenes

import (
	"math"

	"github.com/vittool/vittool/internal/prng"
)

var brights = []rgb{
	{.80, .18, .16}, {.16, .36, .72}, {.92, .72, .16}, {.20, .55, .32}, {.86, .86, .84},
	{.88, .46, .14}, {.48, .24, .58}, {.15, .55, .62}, {.25, .25, .28},
}

func pick(rng *prng.Generator, colors []rgb) rgb { return colors[rng.IntN(len(colors))] }

// between draws a number in [a,b).
func between(rng *prng.Generator, a, b float64) float64 { return a + (b-a)*rng.Float64() }

// speckled varies a color with noise of the given fineness.
func speckled(c rgb, seed uint64, fine, strength float64) paint {
	return func(u, v float64) rgb {
		return c.scale(1 - strength/2 + strength*fractal(seed, fine*(u+2), fine*(v+2), 3))
	}
}

func (s *stage) house(p prop, rng *prng.Generator) {
	h := p.size
	w := h * between(rng, 0.42, 0.6)
	wall := pick(rng, []rgb{{.90, .86, .76}, {.82, .62, .46}, {.72, .34, .26}, {.76, .80, .84}, {.88, .78, .52}})
	roof := pick(rng, []rgb{{.58, .22, .16}, {.32, .30, .34}, {.45, .32, .22}, {.22, .34, .40}})
	eaves := p.y - h*0.6
	bricks := func(u, v float64) rgb {
		row := math.Floor((v + 1) * 9)
		joint := math.Abs(math.Mod((v+1)*9, 1)-0.5) > 0.4 || math.Abs(math.Mod((u+1)*7+0.5*math.Mod(row, 2), 1)-0.5) > 0.44
		if joint {
			return wall.scale(0.8)
		}
		return wall.scale(0.94 + 0.12*hash2(p.variety, int((u+1)*7), int(row)))
	}
	if rng.IntN(2) == 0 {
		x := p.x + w*between(rng, -0.7, 0.3)
		s.box(x, p.y-h*1.0, x+h*0.09, p.y-h*0.7, 0.4, plain(rgb{.5, .3, .25}))
	}
	s.box(p.x-w, eaves, p.x+w, p.y, 0.2, bricks)
	s.polygon(0.2*s.sunX, 0.8, func(u, v float64) rgb {
		return roof.scale(0.85 + 0.3*math.Abs(math.Mod((v+1)*6, 1)-0.5))
	}, point{p.x - w*1.15, eaves}, point{p.x - w*0.55, p.y - h}, point{p.x + w*0.55, p.y - h}, point{p.x + w*1.15, eaves})
	door := pick(rng, brights)
	dx := p.x + w*between(rng, -0.25, 0.1)
	s.box(dx, p.y-h*0.34, dx+w*0.3, p.y, 0, func(u, v float64) rgb {
		if math.Hypot(u-0.6, v) < 0.2 {
			return rgb{.9, .8, .4}
		}
		return door.scale(0.9 + 0.1*math.Abs(u))
	})
	glass := rgb{.55, .70, .82}
	if s.light.ambient < 0.45 {
		glass = rgb{1, .86, .5} // lamps are on
	}
	for _, x := range [...]float64{-0.8, 0.5} {
		s.box(p.x+w*x, p.y-h*0.5, p.x+w*(x+0.32), p.y-h*0.26, 0, func(u, v float64) rgb {
			if math.Abs(u) < 0.12 || math.Abs(v) < 0.12 || math.Abs(u) > 0.85 || math.Abs(v) > 0.85 {
				return rgb{.95, .95, .93}
			}
			return glass.scale(0.85 + 0.2*(u-v))
		})
	}
}

func (s *stage) tree(p prop, rng *prng.Generator) {
	h := p.size
	bark := rgb{.36, .25, .16}
	leaf := pick(rng, []rgb{{.16, .42, .12}, {.28, .50, .14}, {.10, .32, .16}, {.62, .42, .10}, {.66, .24, .10}, {.85, .62, .68}})
	trunk := h * between(rng, 0.025, 0.045)
	if rng.IntN(3) == 0 { // a conifer
		s.box(p.x-trunk, p.y-h*0.2, p.x+trunk, p.y, 0.8, speckled(bark, p.variety, 6, 0.5))
		leaf = mix(leaf, rgb{.08, .26, .16}, 0.7)
		for i := range 4 {
			t := float64(i)
			top, bottom := p.y-h*(0.46+0.18*t), p.y-h*(0.12+0.2*t)
			half := h * (0.27 - 0.055*t)
			s.polygon(0.3*s.sunX, 0.35, func(u, v float64) rgb {
				return leaf.scale(0.75 + 0.3*s.sunX*u + 0.5*fractal(p.variety+uint64(i), 6*(u+2), 6*(v+2), 2))
			}, point{p.x, top}, point{p.x + half, bottom}, point{p.x - half, bottom})
		}
		return
	}
	s.box(p.x-trunk, p.y-h*0.5, p.x+trunk, p.y, 0.8, speckled(bark, p.variety, 6, 0.5))
	for i := range 7 {
		a := 2 * math.Pi * float64(i) / 6
		d := h * 0.16
		if i == 6 {
			d = 0
		}
		r := h * between(rng, 0.15, 0.21)
		s.ellipse(p.x+d*math.Cos(a), p.y-h*0.66+0.85*d*math.Sin(a), r, r*0.9, 1, speckled(leaf, p.variety+uint64(i), 5, 0.9))
	}
}

func (s *stage) car(p prop, rng *prng.Generator) {
	h := p.size
	body := pick(rng, brights)
	l := h * between(rng, 0.85, 1.05) // half length
	low, waist, roof := p.y-h*0.16, p.y-h*0.5, p.y-h*0.86
	dir := float64(2*rng.IntN(2) - 1)
	s.polygon(0.2*s.sunX, 0.7, plain(body.scale(0.95)),
		point{p.x - dir*l*0.7, waist}, point{p.x - dir*l*0.45, roof}, point{p.x + dir*l*0.25, roof}, point{p.x + dir*l*0.58, waist})
	glass := rgb{.30, .40, .48}
	s.polygon(0, 0.5, func(u, v float64) rgb { return mix(glass, s.light.haze, 0.35*(1-v)/2) },
		point{p.x - dir*l*0.58, waist}, point{p.x - dir*l*0.40, roof + h*0.06}, point{p.x - dir*l*0.1, roof + h*0.06}, point{p.x - dir*l*0.1, waist})
	s.polygon(0, 0.5, func(u, v float64) rgb { return mix(glass, s.light.haze, 0.35*(1-v)/2) },
		point{p.x - dir*l*0.04, waist}, point{p.x - dir*l*0.04, roof + h*0.06}, point{p.x + dir*l*0.22, roof + h*0.06}, point{p.x + dir*l*0.48, waist})
	s.polygon(0.2*s.sunX, 0.3, func(u, v float64) rgb {
		if v > -0.1 && v < 0.02 {
			return body.scale(0.7)
		}
		return body.scale(1.08 - 0.25*v)
	}, point{p.x - dir*l, low}, point{p.x - dir*l*0.97, waist}, point{p.x + dir*l*0.6, waist}, point{p.x + dir*l, waist + h*0.12}, point{p.x + dir*l, low})
	s.ellipse(p.x+dir*l*0.94, waist+h*0.18, h*0.06, h*0.05, 0.3, plain(rgb{1, .95, .7}))
	s.ellipse(p.x-dir*l*0.95, waist+h*0.14, h*0.04, h*0.05, 0.3, plain(rgb{.8, .1, .1}))
	for _, x := range [...]float64{-0.58, 0.6} {
		s.ellipse(p.x+dir*l*x, low, h*0.19, h*0.19, 0.3, plain(rgb{.10, .10, .11}))
		s.ellipse(p.x+dir*l*x, low, h*0.10, h*0.10, 0.6, plain(rgb{.66, .67, .70}))
	}
}

func (s *stage) cow(p prop, rng *prng.Generator) {
	h := p.size
	coat := pick(rng, []rgb{{.92, .90, .86}, {.55, .34, .18}, {.25, .20, .18}, {.78, .58, .38}})
	patch := pick(rng, []rgb{{.16, .13, .12}, {.45, .26, .14}, {.95, .93, .90}})
	dir := float64(2*rng.IntN(2) - 1)
	hide := func(u, v float64) rgb {
		if fractal(p.variety, 1.7*(u+3), 1.2*(v+3), 2) > 0.56 {
			return patch
		}
		return coat
	}
	for i, x := range [...]float64{-0.42, -0.27, 0.28, 0.42} {
		dark := 0.75
		if i%2 == 0 {
			dark = 0.95
		}
		s.box(p.x+h*x-h*0.045, p.y-h*0.42, p.x+h*x+h*0.045, p.y-h*0.04, 0.7, plain(coat.scale(dark)))
		s.box(p.x+h*x-h*0.05, p.y-h*0.05, p.x+h*x+h*0.05, p.y, 0.3, plain(rgb{.15, .12, .10}))
	}
	s.polygon(0, 0.4, plain(coat.scale(0.8)), point{p.x - dir*h*0.55, p.y - h*0.65}, point{p.x - dir*h*0.62, p.y - h*0.3}, point{p.x - dir*h*0.57, p.y - h*0.3})
	s.ellipse(p.x, p.y-h*0.56, h*0.56, h*0.25, 0.9, hide)
	hx, hy := p.x+dir*h*0.62, p.y-h*between(rng, 0.62, 0.85)
	s.polygon(0.3*dir, 0.4, plain(coat.scale(0.95)), point{p.x + dir*h*0.35, p.y - h*0.72}, point{hx, hy - h*0.1}, point{hx + dir*h*0.04, hy + h*0.1}, point{p.x + dir*h*0.45, p.y - h*0.42})
	for _, e := range [...]float64{-1, 1} {
		s.ellipse(hx-dir*h*0.06, hy-h*0.09+e*h*0.015, h*0.09, h*0.035, 0.5, plain(coat.scale(0.8+0.1*e)))
	}
	s.ellipse(hx, hy, h*0.15, h*0.115, 0.9, hide)
	s.ellipse(hx+dir*h*0.12, hy+h*0.05, h*0.085, h*0.075, 0.8, plain(rgb{.85, .65, .60}))
	s.ellipse(hx+dir*h*0.02, hy-h*0.03, h*0.02, h*0.02, 0, plain(rgb{.05, .05, .05}))
}

func (s *stage) boat(p prop, rng *prng.Generator) {
	h := p.size
	hull := pick(rng, brights)
	sail := pick(rng, []rgb{{.97, .96, .92}, {.95, .80, .55}, {.85, .30, .25}, {.75, .86, .95}})
	w := h * between(rng, 0.42, 0.55)
	deck := p.y - h*0.16
	// The reflection first: the hull lies over its upper edge.
	s.region, s.distance = regionWater, s.depthAt(p.y)
	s.polygon(0, -0.2, func(u, v float64) rgb {
		return mix(hull, rgb{.1, .25, .33}, 0.55+0.3*smooth(p.variety, 4*u+8, 14*v+20))
	}, point{p.x - w*0.8, p.y - h*0.01}, point{p.x + w*0.8, p.y - h*0.01}, point{p.x + w*0.6, p.y + h*0.1}, point{p.x - w*0.6, p.y + h*0.1})
	s.region = regionThings + boat
	s.box(p.x-h*0.012, p.y-h, p.x+h*0.012, deck, 0.6, plain(rgb{.42, .30, .20}))
	cloth := func(u, v float64) rgb {
		return sail.scale(0.9 + 0.1*math.Sin(5*v) + 0.08*u)
	}
	s.polygon(0.5, 0.4, cloth, point{p.x + h*0.02, p.y - h*0.97}, point{p.x + w*0.8, deck - h*0.04}, point{p.x + h*0.02, deck - h*0.04})
	s.polygon(-0.5, 0.4, cloth, point{p.x - h*0.02, p.y - h*0.9}, point{p.x - w*0.7, deck - h*0.04}, point{p.x - h*0.02, deck - h*0.04})
	s.polygon(0.1*s.sunX, 0.2, func(u, v float64) rgb {
		if v < -0.6 {
			return rgb{.95, .95, .93}
		}
		return hull.scale(1.05 - 0.25*v)
	}, point{p.x - w, deck}, point{p.x + w*1.08, deck}, point{p.x + w*0.72, p.y}, point{p.x - w*0.78, p.y})
}

func (s *stage) balloon(p prop, rng *prng.Generator) {
	h := p.size
	a, b := pick(rng, brights), pick(rng, brights)
	if a == b {
		b = rgb{.97, .95, .90}
	}
	gores := float64(4 + rng.IntN(4))
	r := h * 0.36
	cy := p.y - h*0.62
	stripes := func(u, v float64) rgb {
		// Seams run from pole to pole: their distance follows the bulge.
		x := u / math.Sqrt(max(1-0.85*v*v, 0.05))
		if int(math.Floor((math.Asin(min(max(x, -1), 1))/math.Pi+0.5)*gores))%2 == 0 {
			return a
		}
		return b
	}
	for _, x := range [...]float64{-0.07, 0.07} {
		s.polygon(0, 0.2, plain(rgb{.3, .25, .2}), point{p.x + h*x*2.4, cy + r*0.8}, point{p.x + h*x*2.4 + h*0.012, cy + r*0.8}, point{p.x + h*x + h*0.012, p.y - h*0.1}, point{p.x + h*x, p.y - h*0.1})
	}
	s.polygon(0.1, -0.1, func(u, v float64) rgb { return stripes(u*0.6, 0.7).scale(0.85) },
		point{p.x - r*0.78, cy + r*0.6}, point{p.x + r*0.78, cy + r*0.6}, point{p.x + r*0.2, cy + r*1.2}, point{p.x - r*0.2, cy + r*1.2})
	s.ellipse(p.x, cy, r, r, 1, stripes)
	s.box(p.x-h*0.075, p.y-h*0.12, p.x+h*0.075, p.y, 0.5, func(u, v float64) rgb {
		return rgb{.55, .38, .20}.scale(0.8 + 0.3*math.Abs(math.Mod((u+1)*4+math.Floor((v+1)*3)*0.5, 1)))
	})
}

func (s *stage) lighthouse(p prop, rng *prng.Generator) {
	h := p.size
	band := pick(rng, []rgb{{.78, .14, .12}, {.14, .24, .52}, {.15, .15, .17}})
	bands := float64(3 + rng.IntN(3))
	foot, head := h*0.13, h*0.085
	top := p.y - h*0.78
	s.fill(p.x-foot, top, p.x+foot, p.y, func(x, y float64) (rgb, bool) {
		v := (p.y - y) / (p.y - top)
		half := foot + (head-foot)*v
		u := (x - p.x) / half
		if math.Abs(u) > 1 || v < 0 || v > 1 {
			return rgb{}, false
		}
		c := rgb{.95, .94, .91}
		if int(v*bands*2)%2 == 1 {
			c = band
		}
		return s.lit(c.scale(0.96+0.08*smooth(p.variety, 9*u, 30*v)), u, 0.3), true
	})
	s.box(p.x-head*1.35, top-h*0.025, p.x+head*1.35, top, 0.4, plain(rgb{.3, .3, .32}))
	lamp := rgb{.65, .78, .85}
	if s.light.ambient < 0.46 {
		lamp = rgb{1.2, 1.1, .7}
	}
	s.box(p.x-head*0.8, top-h*0.12, p.x+head*0.8, top-h*0.025, 0.7, func(u, v float64) rgb {
		if math.Abs(math.Mod((u+1)*2, 1)-0.5) > 0.42 {
			return rgb{.25, .25, .27}
		}
		return lamp
	})
	s.polygon(0.3*s.sunX, 0.6, plain(band), point{p.x - head*1.1, top - h*0.12}, point{p.x, top - h*0.22}, point{p.x + head*1.1, top - h*0.12})
	s.box(p.x-h*0.025, p.y-h*0.1, p.x+h*0.025, p.y, 0, plain(rgb{.3, .2, .14}))
	for i := range 2 {
		y := p.y - h*(0.3+0.22*float64(i))
		s.box(p.x-h*0.018, y-h*0.05, p.x+h*0.018, y, 0, plain(rgb{.2, .25, .3}))
	}
}

func (s *stage) mushroom(p prop, rng *prng.Generator) {
	h := p.size
	hat := pick(rng, []rgb{{.80, .12, .10}, {.62, .40, .20}, {.88, .55, .16}, {.52, .34, .52}})
	stem := rgb{.93, .89, .80}
	w := h * between(rng, 0.34, 0.48)
	brim := p.y - h*0.48
	s.fill(p.x-h*0.2, brim-h*0.05, p.x+h*0.2, p.y, func(x, y float64) (rgb, bool) {
		v := (p.y - y) / (p.y - brim)
		half := h * (0.1 + 0.06*(1-v)*(1-v))
		u := (x - p.x) / half
		if math.Abs(u) > 1 {
			return rgb{}, false
		}
		return s.lit(stem.scale(0.88+0.2*smooth(p.variety, 5*u, 2*v)), u, 0.2), true
	})
	s.ellipse(p.x, brim, w*0.97, h*0.07, 0.2, func(u, v float64) rgb {
		return rgb{.80, .72, .60}.scale(0.75 + 0.25*math.Abs(math.Sin(18*u)))
	})
	top := h * 0.5
	s.fill(p.x-w, brim-top, p.x+w, brim+h*0.03, func(x, y float64) (rgb, bool) {
		u, v := (x-p.x)/w, (brim+h*0.03-y)/top
		if u*u+v*v > 1 {
			return rgb{}, false
		}
		c := hat
		// White flecks on a lattice, squeezed at the rim.
		gx, gy := math.Floor(u*3.2+8), math.Floor(v*3.2)
		fx := u*3.2 + 8 - gx - 0.25 - 0.5*hash2(p.variety, int(gx), int(gy))
		fy := v*3.2 - gy - 0.25 - 0.5*hash2(p.variety+1, int(gx), int(gy))
		if math.Hypot(fx, fy) < 0.14+0.14*hash2(p.variety+2, int(gx), int(gy)) {
			c = rgb{.97, .94, .88}
		}
		return s.lit(c, u, v), true
	})
}
