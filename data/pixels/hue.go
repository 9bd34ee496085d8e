package pixels

import "math"

// Hue shifts the hue by shift turns, in [-0.5, 0.5], through Pillow's 8-bit HSV. The round trip
// alone loses a little; it is taken for every shift.
func Hue(m *Image, shift float64) {
	if m.C != 3 {
		return
	}
	delta := uint8(int(shift * 255))
	for p := m.Pix; len(p) >= 3; p = p[3:] {
		h, s, v := RGBToHSV(p[0], p[1], p[2])
		p[0], p[1], p[2] = HSVToRGB(h+delta, s, v)
	}
}

// RGBToHSV is Pillow's conversion, hue a full turn of 255.
func RGBToHSV(r, g, b uint8) (h, s, v uint8) {
	mx, mn := max(r, g, b), min(r, g, b)
	if mx == mn {
		return 0, 0, mx
	}
	span := float32(mx - mn)
	rc := float32(mx-r) / span
	gc := float32(mx-g) / span
	bc := float32(mx-b) / span
	var hue float32
	switch mx {
	case r:
		hue = bc - gc
	case g:
		hue = float32(2 + float64(rc) - float64(bc))
	default:
		hue = float32(4 + float64(gc) - float64(rc))
	}
	// fmod(hue/6+1, 1): hue/6+1 lies in (0.8, 1.9), so one subtraction does.
	turn := float64(hue)/6 + 1
	if turn >= 1 {
		turn--
	}
	hue = float32(turn)
	s = uint8(float64(span/float32(mx)) * 255)
	return uint8(float64(hue) * 255), s, mx
}

// HSVToRGB is the inverse, as Pillow rounds it.
func HSVToRGB(h, s, v uint8) (r, g, b uint8) {
	if s == 0 {
		return v, v, v
	}
	e := &hueTable[h]
	fs := float32(s) / 255
	value := float64(v)
	p := round8(value * (1 - float64(fs)))
	q := round8(value * (1 - float64(float32(fs*e.f))))
	t := round8(value * (1 - float64(float64(fs)*(1-float64(e.f)))))
	switch e.sector {
	case 0:
		return v, t, p
	case 1:
		return q, v, p
	case 2:
		return p, v, t
	case 3:
		return p, q, v
	case 4:
		return t, p, v
	}
	return v, p, q
}

type hueEntry struct {
	sector uint8
	f      float32 // place inside the sector
}

var hueTable = func() (t [256]hueEntry) {
	for h := range t {
		turn := float64(h) * 6 / 255
		i := math.Floor(turn)
		t[h] = hueEntry{sector: uint8(int(i) % 6), f: float32(turn - i)}
	}
	return t
}()

// round8 rounds half away from zero; v is never negative here.
func round8(v float64) uint8 {
	return uint8(min(max(int(v+0.5), 0), 255))
}
