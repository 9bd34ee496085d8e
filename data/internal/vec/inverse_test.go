package vec

import (
	"math"
	"math/rand/v2"
	"testing"
)

// reference is sample (x, y) of the inverse cosine transform by its definition (T.81, A.3.3),
// before rounding.
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

func TestInverse(t *testing.T) {
	needAssembly(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for try := range 2000 {
		var coef [64]int16
		limit := []int{2, 50, 2000, 32767}[try%4]
		for range rng.IntN(65) {
			coef[rng.IntN(64)] = int16(rng.IntN(2*limit+1) - limit)
		}
		stride := 8 + rng.IntN(20)
		both(t, "inverse", 7*stride+8, func(out []uint8) { Inverse(out, stride, &coef) })
	}
	for dc := -32768; dc < 32768; dc++ {
		var a, b [64]uint8
		coef := [64]int16{int16(dc)}
		Inverse(a[:], 8, &coef)
		Flat(b[:], 8, int16(dc))
		if a != b {
			t.Fatalf("a flat block of %d is %d, transformed %d", dc, b[0], a[0])
		}
	}
}

// TestInverseExact holds the integer transform against the definition.
func TestInverseExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var coef [64]int16
		for range 1 + rng.IntN(20) {
			coef[rng.IntN(64)] = int16(rng.IntN(401) - 200)
		}
		var got [64]uint8
		Inverse(got[:], 8, &coef)
		for i, v := range got {
			want := reference(&coef, i%8, i/8)
			if d := float64(v) - want; d > 1 || d < -1 {
				t.Fatalf("sample %d is %d, by definition %.2f", i, v, want)
			}
		}
	}
}
