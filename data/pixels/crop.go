package pixels

import "math"

// Rand is the source of random numbers that a sampler draws from.
type Rand interface {
	Float64() float64 // uniform in [0,1)
	IntN(n int) int   // uniform in [0,n)
}

// RandomResizedCrop draws a box of a w x h image by torchvision's rule: up to attempts (there 10)
// tries of an area uniform in scale (fractions of the image) and an aspect (width over height)
// log-uniform in ratio; the first box that is not larger than the image is placed uniformly;
// otherwise the largest central box whose aspect lies in ratio.
func RandomResizedCrop(rng Rand, w, h, attempts int, scale, ratio [2]float64) Rect {
	area := float64(w) * float64(h)
	logLo, logHi := math.Log(ratio[0]), math.Log(ratio[1])
	for range attempts {
		target := area * uniform(rng, scale[0], scale[1])
		aspect := math.Exp(uniform(rng, logLo, logHi))
		cw := int(math.RoundToEven(math.Sqrt(target * aspect)))
		ch := int(math.RoundToEven(math.Sqrt(target / aspect)))
		if cw > 0 && cw <= w && ch > 0 && ch <= h {
			top := rng.IntN(h - ch + 1)
			left := rng.IntN(w - cw + 1)
			return Rect{Top: top, Left: left, H: ch, W: cw}
		}
	}
	cw, ch := w, h
	switch aspect := float64(w) / float64(h); {
	case aspect < ratio[0]:
		ch = int(math.RoundToEven(float64(w) / ratio[0]))
	case aspect > ratio[1]:
		cw = int(math.RoundToEven(float64(h) * ratio[1]))
	}
	// An image one pixel wide can round to nothing.
	cw, ch = min(max(cw, 1), w), min(max(ch, 1), h)
	return Rect{Top: (h - ch) / 2, Left: (w - cw) / 2, H: ch, W: cw}
}

func uniform(rng Rand, lo, hi float64) float64 {
	return lo + float64((hi-lo)*rng.Float64())
}

// ShortSide returns the size of a w x h image whose shorter side becomes s, the longer one
// int(s*long/short) as torchvision computes it.
func ShortSide(w, h, s int) (ow, oh int) {
	if w <= h {
		return s, max(s*h/w, 1)
	}
	return max(s*w/h, 1), s
}

// CenterCrop returns the central w x h box of an image, offsets rounded half to even as torchvision
// does. Sides larger than the image are cut to it.
func CenterCrop(imageW, imageH, w, h int) Rect {
	w, h = min(w, imageW), min(h, imageH)
	return Rect{
		Top:  int(math.RoundToEven(float64(imageH-h) / 2)),
		Left: int(math.RoundToEven(float64(imageW-w) / 2)),
		H:    h, W: w,
	}
}
