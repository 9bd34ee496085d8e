package vec

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

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
