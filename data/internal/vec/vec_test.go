package vec

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// plain runs f without the assembly.
func plain(f func()) {
	was := assembly
	assembly = false
	defer func() { assembly = was }()
	f()
}

func random(rng *rand.Rand, n int) []uint8 {
	b := make([]uint8, n)
	for i := range b {
		b[i] = uint8(rng.IntN(256))
		if rng.IntN(4) == 0 { // the ends of the range, where clamping happens
			b[i] = uint8(-rng.IntN(2))
		}
	}
	return b
}

// both compares what f writes with and without assembly; the bytes around it,
// which nothing may touch, are compared too.
func both(t *testing.T, what string, size int, f func(out []uint8)) {
	t.Helper()
	const guard = 64
	var got [2][]uint8
	run := func(i int) {
		got[i] = bytes.Repeat([]byte{0xa5}, size+2*guard)
		f(got[i][guard : guard+size : guard+size])
	}
	run(0)
	plain(func() { run(1) })
	if !bytes.Equal(got[0], got[1]) {
		for i := range got[0] {
			if got[0][i] != got[1][i] {
				t.Fatalf("%s: byte %d is %d with assembly, %d in plain Go", what, i-guard, got[0][i], got[1][i])
			}
		}
	}
}

func needAssembly(t *testing.T) {
	t.Helper()
	if !assembly {
		if available() {
			t.Skip("VITTOOL_KERNELS=generic: nothing to compare")
		}
		t.Skip("no assembly for this machine")
	}
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
		both(t, "colours", 3*n, func(out []uint8) { RGB(out, luma, cb, cr) })
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for n := range 100 {
		luma, cb, cr := random(rng, n), random(rng, n), random(rng, n)
		both(t, "colours", 3*n, func(out []uint8) { RGB(out, luma, cb, cr) })
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

func TestVertical(t *testing.T) {
	needAssembly(t)
	rng := rand.New(rand.NewPCG(9, 10))
	for try := range 300 {
		n, taps := 1+rng.IntN(150), 1+rng.IntN(20)
		stride := n + rng.IntN(5)
		rows := random(rng, (taps-1)*stride+n)
		weights := make([]int32, taps)
		for i := range weights {
			weights[i] = int32(rng.IntN(3<<Precision)-1<<Precision) / int32(1+try%taps)
		}
		both(t, "vertical", n, func(out []uint8) { Vertical(out, rows, stride, weights) })
	}
}

func TestHorizontal(t *testing.T) {
	needAssembly(t)
	rng := rand.New(rand.NewPCG(11, 12))
	for try := range 300 {
		n, width := 1+rng.IntN(40), 1+rng.IntN(30)
		var taps Taps
		taps.Reset(n, width)
		weights := make([]int64, width)
		for o := range n {
			for i := range weights {
				weights[i] = int64(rng.IntN(3<<Precision)-1<<Precision) / int64(1+try%width)
			}
			taps.Set(o, o, weights[:1+rng.IntN(width)])
		}
		a, b := random(rng, 3*(n+2)+taps.Reach()), random(rng, 3*(n+2)+taps.Reach())
		var got [2][2][]uint8
		run := func(i int) {
			got[i] = [2][]uint8{make([]uint8, 3*n+1), make([]uint8, 3*n+1)}
			Horizontal(got[i][0], got[i][1], a, b, &taps)
		}
		run(0)
		plain(func() { run(1) })
		for row := range 2 {
			if !bytes.Equal(got[0][row][:3*n], got[1][row][:3*n]) {
				t.Fatalf("row %d of %d pixels, %d taps differs", row, n, width)
			}
		}
	}
}
