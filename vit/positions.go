package vit

// RelativePositions returns BEiT's index into the bias table for every pair (query, key) of the
// class token and the patches of a rows×cols grid, [N, N] with N = 1+rows*cols, and the number of
// table rows. Two patches take the row of their offset; the last three rows are class→patch,
// patch→class and class→class.
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
