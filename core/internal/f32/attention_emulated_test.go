package f32

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestEmulatedAttention runs the attention kernels of every level in the emulator, until no
// instruction of theirs is left that never ran, and compares them with plain Go.
func TestEmulatedAttention(t *testing.T) {
	if raceEnabled {
		t.Skip("it runs on one goroutine, and slowly")
	}
	for _, level := range emulatedLevels {
		t.Run(level.suffix, func(t *testing.T) {
			e := newEmulator(t, level.file)
			r := newRand(1)
			emulateStrided(t, e, r, level.suffix, level.w)
			emulateTranspose(t, e, r, level.suffix, 2*level.w)
			for n := 1; n <= 6*level.w; n += 1 + n/9 {
				for variant := range 12 {
					emulateSoftmax(t, e, r, level.suffix, level.w, n, variant)
				}
			}
			for _, name := range []string{"strided", "transposeRows", "attentionSoftmax", "attentionGrad", "rowDots", "scaleRows"} {
				if n := e.unused(name + level.suffix); n > 0 {
					t.Errorf("%d instructions of %s%s never ran", n, name, level.suffix)
				}
			}
		})
	}
}

// emulateStrided multiplies with all heights of strips and widths at the edge, a in rows and in
// columns, b in panels and in place, overwriting and adding.
func emulateStrided(t *testing.T, e *emulator, r *rand.Rand, suffix string, w int) {
	nr := 2 * w
	for m := 1; m <= 20; m++ {
		for _, n := range []int{1, w - 1, w, w + 3, nr, nr + 1, nr + w, 2 * nr, 2*nr + w + 5} {
			for _, k := range []int{1, 3, 4, 7, 8} {
				e.reset()
				mode := r.IntN(8)
				rowA, colA := k+3, 1
				if mode&1 != 0 {
					rowA, colA = 1, m+2
				}
				panels := ceilDiv(n, nr)
				rowB, panelB := nr, k*nr
				if mode&2 != 0 {
					rowB, panelB = panels*nr+4, nr
				}
				ldc := n + 2
				a, b := e.floats((m-1)*rowA+(k-1)*colA+1).random(r), e.floats(panels*k*nr+4*k).random(r)
				c := e.floats(m * ldc).random(r)
				want, x, y := c.values(), a.values(), b.values()
				for i := range m {
					for j := range n {
						s := 0.0
						for l := range k {
							s += float64(x[i*rowA+l*colA]) * float64(y[j/nr*panelB+l*rowB+j%nr])
						}
						want[i*ldc+j] = want[i*ldc+j]*float32(mode>>2) + float32(s)
					}
				}
				e.call("strided"+suffix, m, n, k, a, rowA, colA, b, rowB, panelB, c, ldc, mode>>2)
				close32(t, fmt.Sprintf("%d×%d×%d mode %d: c", m, n, k, mode), c.values(), want)
			}
		}
	}
}

func emulateTranspose(t *testing.T, e *emulator, r *rand.Rand, suffix string, nr int) {
	for n := 1; n <= 70; n += 1 + n/17 {
		for _, k := range []int{8, 9, 16, 20, 33} {
			e.reset()
			src, dst := e.floats(n*(k+5)).random(r), e.floats(ceilDiv(n, nr)*nr*k)
			e.call("transposeRows"+suffix, n, k, src, k+5, dst)
			want := make([]float32, dst.n)
			for i := range want {
				want[i] = float32(math.NaN()) // undefined
			}
			transposeInto(nr, n, k, &src.values()[0], k+5, &want[0])
			close32(t, fmt.Sprintf("%d×%d transposed", n, k), dst.values(), want)
		}
	}
}

// emulateSoftmax runs the kernels on rows of n scores; the variant says whether it is the first
// block, causal, with a bias, with its gradient.
func emulateSoftmax(t *testing.T, e *emulator, r *rand.Rand, suffix string, w, n, variant int) {
	const scale = float32(0.7)
	e.reset()
	rows, ld, wide := 1+variant%5, roundUp(n, w), n+1
	first, seen, step := variant&1, n, 0
	if variant&2 != 0 {
		seen, step = n-rows, 1
	}
	s, dp := e.floats(rows*ld).random(r), e.floats(rows*ld).random(r)
	bias, dbias := e.floats(rows*wide).random(r), e.floats(rows*wide).random(r)
	peak, sum, keep, delta := e.floats(rows).random(r), e.floats(rows).random(r), e.floats(rows), e.floats(rows).random(r)
	ws, wdp, wbias, wdbias := s.values(), dp.values(), bias.values(), dbias.values()
	wpeak, wsum, wkeep, wdelta := peak.values(), sum.values(), keep.values(), delta.values()
	var b, db any
	var wb, wdb *float32
	if variant >= 4 {
		b, wb = bias, &wbias[0]
	}
	if variant >= 8 {
		db, wdb = dbias, &wdbias[0]
	}
	label := fmt.Sprintf("%d scores, variant %d: ", n, variant)
	// Padding holds anything.
	compare := func(name string, got floats, want []float32) {
		t.Helper()
		x := got.values()
		for i := range rows {
			close32(t, label+name, x[i*ld:i*ld+n], want[i*ld:i*ld+n])
		}
	}
	raw := s.values()
	e.call("attentionSoftmax"+suffix, rows, n, s, ld, scale, b, wide, seen, step, peak, sum, keep, first)
	genericAttentionSoftmax(rows, n, &ws[0], ld, scale, wb, wide, seen, step, &wpeak[0], &wsum[0], &wkeep[0], first)
	compare("softmax", s, ws)
	close32(t, label+"peak", peak.values(), wpeak)
	close32(t, label+"sum", sum.values(), wsum)
	if first == 0 {
		close32(t, label+"keep", keep.values(), wkeep)
	}
	for i, v := range raw {
		s.set(i, v)
	}
	e.call("attentionGrad"+suffix, rows, n, s, dp, ld, scale, b, wide, db, wide, seen, step, peak, sum, delta)
	genericAttentionGrad(rows, n, &raw[0], &wdp[0], ld, scale, wb, wide, wdb, wide, seen, step, &wpeak[0], &wsum[0], &wdelta[0])
	compare("p", s, raw)
	compare("gradient", dp, wdp)
	close32(t, label+"gradient of the bias", dbias.values(), wdbias)

	x, y := bias.values(), s.values()
	e.call("rowDots"+suffix, rows, n, bias, wide, s, ld, keep)
	genericRowDots(rows, n, &x[0], wide, &y[0], ld, &wkeep[0])
	close32(t, label+"dots", keep.values(), wkeep)
	e.call("scaleRows"+suffix, rows, n, bias, wide, delta)
	genericScaleRows(rows, n, &x[0], wide, &wdelta[0])
	close32(t, label+"scaled", bias.values(), x)
}
