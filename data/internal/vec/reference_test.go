package vec

import "math"

// reference is sample (x, y) of the inverse cosine transform by its definition
// (T.81, A.3.3), before rounding.
func reference(coef *[64]int16, x, y int) float64 {
	c := func(k int) float64 {
		if k == 0 {
			return math.Sqrt2 / 2
		}
		return 1
	}
	var sum float64
	for v := range 8 {
		for u := range 8 {
			sum += c(u) * c(v) * float64(coef[8*v+u]) *
				math.Cos(float64(2*x+1)*float64(u)*math.Pi/16) * math.Cos(float64(2*y+1)*float64(v)*math.Pi/16)
		}
	}
	return min(max(sum/4+128, 0), 255)
}
