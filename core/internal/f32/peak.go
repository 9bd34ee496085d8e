package f32

import "time"

// Peak measures the multiply-add peak of the pool's threads at the current
// level, in GFLOP/s: the best of several short runs of independent operations
// in registers.
func Peak(p *Pool) float64 { return bestRun(p, 8) }

// PeakNow is Peak of this moment, in a hundredth of a second: for a share of what the
// machine gives right now, when neighbours change that from one second to the next.
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
