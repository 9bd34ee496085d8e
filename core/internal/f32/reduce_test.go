package f32

import (
	"fmt"
	"math"
	"testing"
)

func TestReductions(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 2), newPool(t, 3), newPool(t, 5)}
	eachLevel(t, func(t *testing.T) {
		for _, n := range append(lengths(), 10*reduceChunk+3) {
			r := newRand(uint64(n))
			x, y := newGuarded("x", n).random(r, 1), newGuarded("y", n).random(r, 1)
			var sum, dot, squares, size float64
			for i, v := range x.x {
				sum += float64(v)
				dot += float64(v) * float64(y.x[i])
				squares += float64(v) * float64(v)
				size += math.Abs(float64(v))
			}
			for k, p := range pools {
				got := []float64{Sum(p, x.x), Dot(p, x.x, y.x), SumSquares(p, x.x)}
				for i, want := range []float64{sum, dot, squares} {
					if math.Abs(got[i]-want) > 1e-13*(size+squares+1) {
						t.Fatalf("reduction %d of %d: %v, want %v", i, n, got[i], want)
					}
				}
				if first := Sum(pools[0], x.x); got[0] != first {
					t.Fatalf("sum of %d: %v with pool %d, %v with one thread", n, got[0], k, first)
				}
				if i := FirstNonFinite(p, x.x); i != -1 {
					t.Fatalf("FirstNonFinite of %d finite values: %d", n, i)
				}
				if n > 0 {
					bad := r.IntN(n)
					keep, last := x.x[bad], x.x[n-1]
					for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
						x.x[bad], x.x[n-1] = float32(v), float32(v)
						if i := FirstNonFinite(p, x.x); i != bad {
							t.Fatalf("FirstNonFinite of %d values with %v at %d: %d", n, v, bad, i)
						}
						x.x[n-1] = last
					}
					x.x[bad] = keep
				}
			}
		}
	})
}

func TestMaxAndShortDot(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		k := kernels()
		for n := range 140 {
			r := newRand(uint64(n))
			x, y := newGuarded("x", n).random(r, 1), newGuarded("y", n).random(r, 1)
			want, dot := math.Inf(-1), 0.0
			for i := range x.x {
				x.x[i] = -abs32(x.x[i]) // a zero from beyond the end would win
				want = math.Max(want, float64(x.x[i]))
				dot += float64(x.x[i]) * float64(y.x[i])
			}
			if got := k.max(x.x); float64(got) != want {
				t.Fatalf("max of %d: %v, want %v", n, got, want)
			}
			if got := k.dot32(x.x, y.x); math.Abs(float64(got)-dot) > 1e-5 {
				t.Fatalf("dot32 of %d: %v, want %v", n, got, dot)
			}
		}
	})
}

func abs32(x float32) float32 { return float32(math.Abs(float64(x))) }

func TestColumnSums(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 2), newPool(t, 5)}
	eachLevel(t, func(t *testing.T) {
		for _, s := range [][2]int{{0, 5}, {1, 1}, {2, 70}, {3, 33}, {64, 8}, {65, 17}, {129, 100}, {1000, 67}, {641, 513}} {
			rows, n := s[0], s[1]
			var first, firstDot []float32
			for _, p := range pools {
				r := newRand(uint64(rows))
				x, y := newGuarded("x", rows*n).random(r, 1), newGuarded("y", rows*n).random(r, 1)
				out, dot := newGuarded("out", n).random(r, 1), newGuarded("dot", n).random(r, 1)
				ColumnSum(p, rows, n, x.x, out.x)
				ColumnDot(p, rows, n, x.x, y.x, dot.x)
				out.check(t)
				dot.check(t)
				want, wantDot := make([]float64, n), make([]float64, n)
				for i, v := range x.x {
					want[i%n] += float64(v)
					wantDot[i%n] += float64(v) * float64(y.x[i])
				}
				near(t, fmt.Sprint("ColumnSum ", s), out.x, want, 1e-6, 1)
				near(t, fmt.Sprint("ColumnDot ", s), dot.x, wantDot, 1e-6, 1)
				if first == nil {
					first, firstDot = append(first, out.x...), append(firstDot, dot.x...)
				}
				sameBits(t, "ColumnSum", out.x, first)
				sameBits(t, "ColumnDot", dot.x, firstDot)
			}
		}
	})
}
