package vit

import "math"

// SinCosTable computes a fixed two-dimensional position table [prefix+rows*cols, dim] in raster order; the prefix
// rows are zero. Each quarter of the channels is a sine or cosine of a coordinate times 10000^(-k/(dim/4)).
//
// kind PosSinCos is MAE's order: sine and cosine of the column, then of the row. PosSinCosRow is MoCo v3's: token n
// takes n div rows first, then n mod rows. On square grids these are its row and column; on others they are not its
// true coordinates, a quirk of the official code that is kept so that its checkpoints mean the same here.
func SinCosTable(kind PosEmbed, dim, rows, cols, prefix int) []float32 {
	table := make([]float32, (prefix+rows*cols)*dim)
	quarter := dim / 4
	for n := range rows * cols {
		first, second := n%cols, n/cols
		if kind == PosSinCosRow {
			first, second = n/rows, n%rows
		}
		row := table[(prefix+n)*dim:][:dim]
		for k := range quarter {
			omega := math.Pow(10000, -float64(k)/float64(quarter))
			sin1, cos1 := math.Sincos(float64(first) * omega)
			sin2, cos2 := math.Sincos(float64(second) * omega)
			row[k], row[quarter+k] = float32(sin1), float32(cos1)
			row[2*quarter+k], row[3*quarter+k] = float32(sin2), float32(cos2)
		}
	}
	return table
}

// RelativePositions returns BEiT's index into the bias table for every pair (query, key) of the class token and the
// patches of a rows×cols grid, [N, N] with N = 1+rows*cols, and the number of table rows. Two patches take the row
// of their offset; the last three rows are class→patch, patch→class and class→class.
func RelativePositions(rows, cols int) (index []int32, tableRows int) {
	n := 1 + rows*cols
	tableRows = (2*rows-1)*(2*cols-1) + 3
	index = make([]int32, n*n)
	for q := range n {
		for k := range n {
			var i int
			switch {
			case q == 0 && k == 0:
				i = tableRows - 1
			case q == 0:
				i = tableRows - 3
			case k == 0:
				i = tableRows - 2
			default:
				yq, xq := (q-1)/cols, (q-1)%cols
				yk, xk := (k-1)/cols, (k-1)%cols
				i = (yq-yk+rows-1)*(2*cols-1) + (xq - xk + cols - 1)
			}
			index[q*n+k] = int32(i)
		}
	}
	return index, tableRows
}
