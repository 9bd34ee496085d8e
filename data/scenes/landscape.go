package scenes

import "math"

// landscape fills the whole stage: sky, far mountains, ground or water.
func (s *stage) landscape(water bool) {
	s.water = water
	cloudy := s.rng.Float64()
	mountains := s.rng.IntN(3)
	ground := soils[s.rng.IntN(len(soils))]
	path := s.rng.IntN(3) == 0 && !water
	sunAt := point{s.aspect * (0.5 + 0.45*s.sunX), s.horizon * (0.25 + 0.5*s.rng.Float64())}

	s.sky(cloudy, sunAt)
	for i := range mountains {
		s.ridge(i, mountains)
	}
	if water {
		s.sea(sunAt.x)
		return
	}
	s.ground(ground, path)
}

func (s *stage) sky(cloudy float64, sun point) {
	s.region, s.distance = regionSky, MaxDepth
	s.fill(0, 0, s.aspect, s.horizon+0.02, func(x, y float64) (rgb, bool) {
		t := y / s.horizon
		c := mix(s.light.zenith, s.light.haze, t*t)
		d := math.Hypot(x-sun.x, y-sun.y)
		c = mix(c, s.light.sun, 0.6*math.Exp(-9*d))
		if d < 0.035 {
			c = mix(s.light.sun, rgb{1, 1, 1}, 0.5)
		}
		// Clouds flatten towards the horizon.
		k := fractal(s.noise, 3.2*x, 9*y/(0.4+t), 4)
		cover := (k - (0.72 - 0.35*cloudy)) * 5
		if cover > 0 {
			white := mix(s.light.sun, rgb{1, 1, 1}, 0.4).scale(0.75 + 0.3*k)
			c = mix(c, white, min(cover, 0.9)*(1-0.5*t))
		}
		return c, true
	})
}

// ridge draws one row of mountains, the farthest first.
func (s *stage) ridge(i, n int) {
	near := float64(i+1) / float64(n)
	s.region, s.distance = regionMountain, MaxDepth*(0.95-0.25*near)
	height := 0.26 - 0.12*near + 0.08*s.rng.Float64()
	seed := s.noise + uint64(101+i)
	base := mix(rgb{.35, .40, .50}, rgb{.22, .30, .24}, near)
	haze := 0.65 - 0.3*near
	snow := s.rng.IntN(2) == 0
	s.fill(0, s.horizon-height, s.aspect, s.horizon+0.02, func(x, y float64) (rgb, bool) {
		top := s.horizon - height*(0.15+0.85*fractal(seed, 2.6*x, 0, 5))
		if y < top {
			return rgb{}, false
		}
		rough := fractal(seed+7, 14*x, 20*y, 3)
		c := base.scale(0.7 + 0.6*rough)
		if snow && y < s.horizon-height*0.45+0.05*(rough-0.5) {
			c = rgb{.92, .94, .97}.scale(0.8 + 0.25*rough)
		}
		c = rgb{c.r * s.light.sun.r, c.g * s.light.sun.g, c.b * s.light.sun.b}
		return mix(c, s.light.haze, haze), true
	})
}

func (s *stage) ground(g soil, path bool) {
	s.region = regionGround
	bend := 0.5 * (s.rng.Float64() - 0.5)
	foot := s.aspect * (0.25 + 0.5*s.rng.Float64())
	s.fill(0, s.horizon, s.aspect, 1, func(x, y float64) (rgb, bool) {
		t := max(y-s.horizon, 0) / (1 - s.horizon)
		s.distance = s.depthAt(y)
		// Texture in ground coordinates: finer and flatter far away.
		z := 1 / (t + 0.08)
		k := fractal(s.noise+11, 5*(x-0.5*s.aspect)*z, 9*z, 3)
		blades := smooth(s.noise+13, 60*x, 40*y) - 0.5
		c := mix(g.far, g.near, math.Sqrt(t)).scale(0.72 + 0.5*k + 0.16*t*blades)
		if path {
			center := foot + bend*(1-t)*(1-t)
			if math.Abs(x-center) < 0.015+0.13*t {
				c = rgb{.62, .54, .42}.scale(0.8 + 0.35*k)
			}
		}
		c = rgb{c.r * s.light.sun.r, c.g * s.light.sun.g, c.b * s.light.sun.b}.scale(0.55 + 0.45*s.light.ambient + 0.15)
		return mix(c, s.light.haze, 0.55*(1-t)*(1-t)), true
	})
}

func (s *stage) sea(sunX float64) {
	s.region = regionWater
	deep := rgb{.05, .22, .32}
	s.fill(0, s.horizon, s.aspect, 1, func(x, y float64) (rgb, bool) {
		t := max(y-s.horizon, 0) / (1 - s.horizon)
		s.distance = s.depthAt(y)
		wave := fractal(s.noise+17, 6*x/(t+0.12), 10/(t+0.1)+30*t, 3)
		c := mix(s.light.haze, deep, 0.35+0.55*t)
		c = mix(c, s.light.zenith, 0.7*wave-0.15)
		if glitter := 1 - math.Abs(x-sunX)/(0.05+0.15*t); glitter > 0 {
			c = mix(c, s.light.sun, glitter*max(wave-0.45, 0)*3)
		}
		return c, true
	})
}
