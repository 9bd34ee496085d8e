package f32

import (
	"fmt"
	"testing"
)

// TestPanels compares panels with the definition: panel i holds columns i·width and up, row by row,
// and zeros beyond the last column.
func TestPanels(t *testing.T) {
	p := newPool(t, 2)
	eachLevel(t, func(t *testing.T) {
		table := kernels()
		for _, width := range []int{table.mr, table.nr} {
			for _, n := range []int{1, width - 1, width, width + 1, 3*width - 2, 4 * width, 9*width + 5} {
				for _, k := range []int{1, 3, 7, 8, 9, 16, 45} {
					for _, transposed := range []bool{false, true} {
						rows, columns := k, n
						if transposed {
							rows, columns = n, k
						}
						ld := columns + 3
						src := newGuarded("source", (rows-1)*ld+columns).random(newRand(uint64(n*100+k)), 1)
						dst := newGuarded("panels", ceilDiv(n, width)*k*width).random(newRand(2), 1)
						want := make([]float32, len(dst.x))
						for c := range n {
							for l := range k {
								at := l*ld + c
								if transposed {
									at = c*ld + l
								}
								want[(c/width*k+l)*width+c%width] = src.x[at]
							}
						}
						p.runPack(newPack(table, Matrix{Data: src.x, Rows: k, Cols: n, Stride: ld, Trans: transposed}, width, &dst.x[0]))
						dst.check(t)
						sameBits(t, fmt.Sprintf("%d columns of %d in panels of %d, transposed %v", n, k, width, transposed), dst.x, want)
					}
				}
			}
		}
	})
}
