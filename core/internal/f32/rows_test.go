package f32

import (
	"fmt"
	"testing"
)

func rowShapes() [][2]int {
	shapes := [][2]int{{300, 10}, {5, 1000}, {2, 70000}, {0, 3}}
	for n := 1; n <= 70; n++ {
		shapes = append(shapes, [2]int{1 + n%4, n})
	}
	return shapes
}

func TestRowHelpers(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 3)}
	eachLevel(t, func(t *testing.T) {
		for _, s := range [][2]int{{1, 1}, {7, 33}, {50, 19}, {9, 5000}} {
			for _, p := range pools {
				rows, n := s[0], s[1]
				r := newRand(uint64(n))
				x, row, factor := newGuarded("x", rows*n).random(r, 1), newGuarded("row", n).random(r, 1), newGuarded("factor", ceilDiv(rows, 2)).random(r, 1)
				y := newGuarded("y", rows*n)
				each := func(name string, want func(i, j int, v float64) float64) {
					t.Helper()
					ref := make([]float64, rows*n)
					for i := range ref {
						ref[i] = want(i/n, i%n, float64(x.x[i]))
					}
					y.check(t)
					near(t, fmt.Sprint(name, s), y.x, ref, 1e-7, 1)
				}
				AddRow(p, rows, n, x.x, row.x, y.x)
				each("AddRow", func(_, j int, v float64) float64 { return v + float64(row.x[j]) })
				MulRow(p, rows, n, x.x, row.x, y.x)
				each("MulRow", func(_, j int, v float64) float64 { return v * float64(row.x[j]) })
				ScaleRows(p, rows, n, x.x, factor.x, 2, y.x)
				each("ScaleRows", func(i, _ int, v float64) float64 { return v * float64(factor.x[i/2]) })

				index := make([]int32, rows)
				for i := range index {
					index[i] = int32(r.IntN(rows+1)) - 1
				}
				GatherRows(p, rows, n, x.x, index, y.x)
				each("GatherRows", func(i, j int, _ float64) float64 {
					if index[i] < 0 {
						return 0
					}
					return float64(x.x[int(index[i])*n+j])
				})
				want := make([]float64, rows*n)
				clear(y.x)
				ScatterAddRows(p, rows, n, x.x, index, y.x)
				for i, to := range index {
					for j := range n {
						if to >= 0 {
							want[int(to)*n+j] += float64(x.x[i*n+j])
						}
					}
				}
				y.check(t)
				near(t, "ScatterAddRows", y.x, want, 1e-6, 1)
			}
		}
	})
}
