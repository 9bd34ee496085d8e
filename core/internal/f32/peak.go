package f32

import (
	"runtime"
	"time"
)

// peakKernels is the measuring loop of one level.
type peakKernels struct {
	peak      func(n int) // n rounds of peakFlops independent floating-point operations
	peakFlops int
}

// Peak measures the multiply-add peak of the pool's threads at the current level, in GFLOP/s: the
// best of several short runs of independent operations in registers.
func Peak(p *Pool) float64 { return bestRun(p, 8) }

// PeakNow is Peak at this moment, measured in a hundredth of a second: the reference for a share of
// the peak where neighbors on the machine change it from one second to the next.
func PeakNow(p *Pool) float64 { return bestRun(p, 3) }

func bestRun(p *Pool, runs int) float64 {
	t := kernels()
	rounds := 1 << 16
	best := 0.0
	for range runs {
		start := time.Now()
		p.Do(p.Threads(), func(_, _ int) { t.peak(rounds) })
		seconds := time.Since(start).Seconds()
		best = max(best, float64(p.Threads()*rounds*t.peakFlops)/seconds/1e9)
		if seconds < 5e-3 {
			rounds = int(float64(rounds) * 6e-3 / max(seconds, 1e-5))
		}
	}
	return best
}

func genericPeak(n int) {
	a, b, c, d, e, f, g, h := float32(1), float32(2), float32(3), float32(4), float32(5), float32(6), float32(7), float32(8)
	for range n {
		a, b, c, d = a*0.5+1, b*0.5+1, c*0.5+1, d*0.5+1
		e, f, g, h = e*0.5+1, f*0.5+1, g*0.5+1, h*0.5+1
	}
	runtime.KeepAlive(a + b + c + d + e + f + g + h) // keeps the compiler from dropping the loop
}
