package f32

import (
	"fmt"
	"testing"
)

func TestSampledRows(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 3)}
	eachLevel(t, func(t *testing.T) {
		for _, s := range [][4]int{{1, 1, 1, 1}, {3, 5, 7, 4}, {9, 200, 33, 50}, {2, 64, 128, 300}, {5, 65, 19, 7}} {
			rows, samples, n, all := s[0], s[1], s[2], s[3]
			r := newRand(uint64(n))
			x, table, dy := newGuarded("x", rows*n).random(r, 1), newGuarded("table", all*n).random(r, 1), newGuarded("dy", rows*samples).random(r, 1)
			index := make([]int32, rows*samples)
			for i := range index {
				index[i] = int32(r.IntN(all))
			}
			wantY, wantX := make([]float64, rows*samples), make([]float64, rows*n)
			for i := range rows {
				for k := range samples {
					at := int(index[i*samples+k]) * n
					for j := range n {
						wantY[i*samples+k] += float64(x.x[i*n+j]) * float64(table.x[at+j])
						wantX[i*n+j] += float64(dy.x[i*samples+k]) * float64(table.x[at+j])
					}
				}
			}
			for _, p := range pools {
				y, dx := newGuarded("y", rows*samples), newGuarded("dx", rows*n)
				SampledDots(p, rows, samples, n, x.x, table.x, index, y.x)
				SampledSums(p, rows, samples, n, dy.x, table.x, index, dx.x)
				y.check(t)
				dx.check(t)
				near(t, fmt.Sprint("SampledDots", s), y.x, wantY, 1e-6, 1)
				near(t, fmt.Sprint("SampledSums", s), dx.x, wantX, 2e-6, 1)
			}
		}
	})
}
