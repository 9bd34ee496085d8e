package f32

import (
	"fmt"
	"math"
	"testing"
)

// plainSinkhorn is the algorithm of Caron et al. 2020 as it is published, on the whole matrix.
func plainSinkhorn(scores []float32, rows, n int, epsilon float64, iterations, last int) []float64 {
	q, total := make([]float64, rows*n), 0.0
	for i, s := range scores {
		q[i] = math.Exp(float64(s) / epsilon)
		total += q[i]
	}
	for i := range q {
		q[i] /= total
	}
	for range iterations {
		for j := range n {
			sum := 0.0
			for i := range rows {
				sum += q[i*n+j]
			}
			for i := range rows {
				q[i*n+j] /= sum * float64(n)
			}
		}
		for i := range rows {
			sum := 0.0
			for _, v := range q[i*n : (i+1)*n] {
				sum += v
			}
			for j := range n {
				q[i*n+j] /= sum * float64(rows)
			}
		}
	}
	for i := range q {
		q[i] *= float64(rows)
	}
	return q[(rows-last)*n:]
}

func TestSinkhornAssign(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 3)}
	eachLevel(t, func(t *testing.T) {
		for _, s := range [][3]int{{1, 1, 1}, {6, 20, 6}, {24, 15, 6}, {300, 70, 100}, {65, 300, 64}} {
			rows, n, last := s[0], s[1], s[2]
			scores := newGuarded("scores", rows*n).random(newRand(uint64(n)), .3)
			for i, v := range scores.x {
				scores.x[i] = max(-1, min(1, v))
			}
			want := plainSinkhorn(scores.x, rows, n, .05, 3, last)
			var first []float32
			for _, p := range pools {
				e, u, v, shares := newGuarded("e", rows*n), newGuarded("u", rows), newGuarded("v", n), newGuarded("shares", last*n)
				SinkhornAssign(p, rows, n, scores.x, .05, 3, e.x, u.x, v.x, shares.x)
				for _, g := range []*guarded{e, u, v, shares} {
					g.check(t)
				}
				near(t, fmt.Sprint("SinkhornAssign", s), shares.x, want, 2e-5, 0)
				if first == nil {
					first = shares.x
				}
				for i := range first {
					if shares.x[i] != first[i] {
						t.Fatalf("%v: share %d depends on the threads", s, i)
					}
				}
			}
		}
	})
}

// A prototype that no sample reaches, because its scores vanish beside the others, gets nothing.
func TestSinkhornAssignOfAnUnreachablePrototype(t *testing.T) {
	e, u, v, shares := make([]float32, 4), make([]float32, 2), make([]float32, 2), make([]float32, 4)
	SinkhornAssign(newPool(t, 1), 2, 2, []float32{0, -1e6, 0, -1e6}, .05, 3, e, u, v, shares)
	near(t, "shares", shares, []float64{1, 0, 1, 0}, 1e-6, 1)
}
