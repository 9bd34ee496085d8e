package vec

import (
	"math/rand/v2"
	"testing"
)

func TestRGB(t *testing.T) {
	needAssembly(t)
	// Every pair of chroma values, with every luma in turn.
	n := 256 * 256
	luma, cb, cr := make([]uint8, n), make([]uint8, n), make([]uint8, n)
	for i := range n {
		cb[i], cr[i] = uint8(i), uint8(i>>8)
	}
	for y := range 256 {
		for i := range luma {
			luma[i] = uint8(y + i)
		}
		both(t, "colors", 3*n, func(out []uint8) { RGB(out, luma, cb, cr) })
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for n := range 100 {
		luma, cb, cr := random(rng, n), random(rng, n), random(rng, n)
		both(t, "colors", 3*n, func(out []uint8) { RGB(out, luma, cb, cr) })
	}
}

func TestInterpolate(t *testing.T) {
	needAssembly(t)
	rng := rand.New(rand.NewPCG(7, 8))
	for n := 2; n < 120; n++ {
		near, far := random(rng, n), random(rng, n)
		both(t, "across", 2*n, func(out []uint8) { InterpolateH(out, near) })
		both(t, "both ways", 2*n, func(out []uint8) { InterpolateHV(out, near, far) })
	}
}
