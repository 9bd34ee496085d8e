package device

import (
	"fmt"
	"math"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
)

func TestMatMul(t *testing.T) {
	e := must.Get(NewCPU(2))(t)
	defer e.Close()
	const m, n, k = 7, 5, 19
	r := prng.New(1, "matmul")
	a, b := make([]float32, m*k), make([]float32, k*n)
	for _, s := range [][]float32{a, b} {
		for i := range s {
			s[i] = float32(r.NormFloat64())
		}
	}
	for _, trans := range [][2]bool{{false, false}, {false, true}, {true, false}, {true, true}} {
		t.Run(fmt.Sprint(trans), func(t *testing.T) {
			c := make([]float32, m*n)
			e.MatMul(trans[0], trans[1], m, n, k, a, b, c)
			for i := range m {
				for j := range n {
					want := 0.0
					for l := range k {
						ia, ib := i*k+l, l*n+j
						if trans[0] {
							ia = l*m + i
						}
						if trans[1] {
							ib = j*k + l
						}
						want += float64(a[ia]) * float64(b[ib])
					}
					if got := float64(c[i*n+j]); math.Abs(got-want) > 1e-5 {
						t.Fatalf("c[%d,%d] = %v, want %v", i, j, got, want)
					}
				}
			}
		})
	}
	defer func() {
		if recover() == nil {
			t.Error("slices that are too short were accepted")
		}
	}()
	e.MatMul(false, false, m, n, k, a[1:], b, make([]float32, m*n))
}
