package f32

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func TestZZ(t *testing.T) {
	if os.Getenv("ZZ") == "" {
		t.Skip()
	}
	for _, threads := range []int{1, 2} {
		p := NewPool(threads)
		for _, s := range []struct{ b, n, heads, dh int }{{128, 17, 3, 64}, {128, 65, 3, 32}, {8, 50, 12, 64}, {4, 197, 12, 64}, {1, 785, 4, 64}, {1, 3137, 1, 64}} {
			if s.n > 1000 && threads == 2 {
				s.heads = 2
			}
			d := s.heads * s.dh
			qkv, dqkv := Alloc(s.b*s.n*3*d), Alloc(s.b*s.n*3*d)
			out, dout, stats := Alloc(s.b*s.n*d), Alloc(s.b*s.n*d), Alloc(2*s.b*s.heads*s.n)
			r := newRand(1)
			for _, x := range [][]float32{qkv, dout} {
				for i := range x {
					x[i] = float32(r.NormFloat64())
				}
			}
			product := 2 * float64(s.b*s.heads*s.n*s.n*s.dh)
			best := func(f func()) float64 {
				m := 1e9
				for start, i := time.Now(), 0; i < 8 || time.Since(start) < 400*time.Millisecond; i++ {
					t0 := time.Now()
					f()
					m = min(m, time.Since(t0).Seconds())
				}
				return m
			}
			rounds := 200000
			pk := best(func() { p.Do(threads, func(_, _ int) { kernels().peak(rounds) }) })
			peak := float64(threads) * float64(rounds) * float64(kernels().peakFlops) / pk
			f := best(func() { AttentionForward(p, s.b, s.n, s.heads, s.dh, 0.125, qkv, nil, out, stats, false) })
			b := best(func() {
				AttentionBackward(p, s.b, s.n, s.heads, s.dh, 0.125, qkv, nil, out, stats, dout, dqkv, nil, false)
			})
			fmt.Printf("threads %d %-22s peak %4.0f  fwd %4.1f%%  bwd %4.1f%% (real)  both, model flops %4.1f%%  %.3f+%.3f ms\n", threads, fmt.Sprint(s), peak/1e9, 100*2*product/f/peak, 100*5*product/b/peak, 100*6*product/(f+b)/peak, f*1e3, b*1e3)
		}
	}
}
