package transformer

import "math"

// SinCosTable computes a fixed two-dimensional position table [prefix+rows*cols, dim] in raster
// order; the prefix rows are zero. Each quarter of the channels is a sine or cosine of a coordinate
// times 10000^(-k/(dim/4)).
//
// The column's part comes first, its sine and cosine, then those of the row. With rowFirst, the
// table of Chen et al. 2021, token n takes n div rows, then n mod rows. On square grids these are
// its row and column; on others they are not its true coordinates, a quirk of the official code that
// is kept so that its checkpoints mean the same here.
func SinCosTable(rowFirst bool, dim, rows, cols, prefix int) []float32 {
	table := make([]float32, (prefix+rows*cols)*dim)
	quarter := dim / 4
	for n := range rows * cols {
		first, second := n%cols, n/cols
		if rowFirst {
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
