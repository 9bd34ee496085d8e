package device

import (
	"fmt"
	"math"
	"slices"

	"github.com/vittool/vittool/internal/prng"
)

// Distributions lists the distributions of RandomRows: uniform in [0, 1), standard normal, and
// standard Gumbel, -log(-log u). The largest of logits plus Gumbel noise is a draw from their
// softmax.
func Distributions() []string { return []string{"uniform", "normal", "gumbel"} }

// RandomRows fills dst [len(ids), ...] with random numbers, a row for each sample id. A row is a
// function of seed, name, step and its id, not of its position.
func RandomRows(cpu *CPU, dst []float32, distribution string, seed uint64, name string, step uint64, ids []uint64) error {
	if !slices.Contains(Distributions(), distribution) {
		return fmt.Errorf("distribution %q is unknown; use one of %v", distribution, Distributions())
	}
	if len(ids) == 0 || len(dst)%len(ids) != 0 {
		return fmt.Errorf("random numbers: %d elements do not divide into rows for %d samples", len(dst), len(ids))
	}
	n := len(dst) / len(ids)
	const chunk = 1 << 12
	parts := (n + chunk - 1) / chunk
	cpu.pool.Do(len(ids)*parts, func(_, i int) {
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
