package device

import (
	"fmt"
	"math"
	"slices"

	"github.com/vittool/vittool/internal/prng"
)

// Distributions are the names that RandomRows knows: uniform in [0, 1), standard
// normal, and standard Gumbel, -log(-log u), whose addition to logits turns their
// largest into a draw from their softmax.
func Distributions() []string { return []string{"uniform", "normal", "gumbel"} }

// RandomRows fills one row of dst for each sample id with random numbers. A row
// is a function of seed, name, step and its id, not of its place.
func RandomRows(e *CPU, dst []float32, distribution string, seed uint64, name string, step uint64, ids []uint64) error {
	if !slices.Contains(Distributions(), distribution) {
		return fmt.Errorf("distribution %q: want one of %v", distribution, Distributions())
	}
	if len(ids) == 0 || len(dst)%len(ids) != 0 {
		return fmt.Errorf("random numbers for %d samples do not fill %d elements", len(ids), len(dst))
	}
	n := len(dst) / len(ids)
	const chunk = 1 << 12
	parts := (n + chunk - 1) / chunk
	e.pool.Do(len(ids)*parts, func(_, i int) {
		row, lo := i/parts, i%parts*chunk
		r := prng.New(seed, "random", name, step, ids[row])
		r.SetCounter(uint64(lo))
		out := dst[row*n+lo : row*n+min(n, lo+chunk)]
		for j := range out {
			switch distribution {
			case "uniform":
				out[j] = float32(r.Uint64()>>40) / (1 << 24)
			case "normal":
				out[j] = float32(r.NormFloat64())
			case "gumbel":
				u := (float64(r.Uint64()>>11) + .5) / (1 << 53) // inside (0, 1)
				out[j] = float32(-math.Log(-math.Log(u)))
			}
		}
	})
	return nil
}
