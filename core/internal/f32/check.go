package f32

import "fmt"

func panicShort(what string, have, want int) {
	panic(fmt.Sprintf("f32.%s holds %d values, %d are needed", what, have, want))
}

// needMatrix checks a row-major [rows, cols] operand with the given leading
// dimension.
func needMatrix(what string, x []float32, rows, cols, ld int) {
	if rows == 0 || cols == 0 {
		return
	}
	if ld < cols {
		panic(fmt.Sprintf("f32.%s: leading dimension %d is less than its %d columns", what, ld, cols))
	}
	need(what, len(x), (rows-1)*ld+cols)
}
