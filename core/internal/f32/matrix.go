package f32

import "fmt"

// Matrix is a [Rows, Cols] matrix over Data. Element (i, j) is Data[i*Stride+j], or
// Data[j*Stride+i] with Trans: the storage is then the transpose, [Cols, Rows]. Stride, the leading
// dimension, is the distance between stored rows.
type Matrix struct {
	Data               []float32
	Rows, Cols, Stride int
	Trans              bool
}

// Dense returns the [rows, cols] matrix whose rows follow each other in data.
func Dense(rows, cols int, data []float32) Matrix {
	return Matrix{Data: data, Rows: rows, Cols: cols, Stride: cols}
}

// T returns the transpose of m on the same data.
func (m Matrix) T() Matrix {
	m.Rows, m.Cols, m.Trans = m.Cols, m.Rows, !m.Trans
	return m
}

// block returns the rows [i0,i1) and the columns [j0,j1) of m on the same data.
func (m Matrix) block(i0, i1, j0, j1 int) Matrix {
	start := i0*m.Stride + j0
	if m.Trans {
		start = j0*m.Stride + i0
	}
	return Matrix{Data: m.Data[start:], Rows: i1 - i0, Cols: j1 - j0, Stride: m.Stride, Trans: m.Trans}
}

// check panics if Data is too short for the shape; operand is the name of m in kernel.
func (m *Matrix) check(kernel, operand string) {
	rows, cols := m.Rows, m.Cols
	if m.Trans {
		rows, cols = cols, rows
	}
	if rows == 0 || cols == 0 {
		return
	}
	if m.Stride < cols {
		panic(fmt.Sprintf("f32.%s: %s: stride %d is less than the %d stored columns", kernel, operand, m.Stride, cols))
	}
	need(kernel, operand, len(m.Data), (rows-1)*m.Stride+cols)
}

// mat returns the address of the storage of m, which is not empty.
func (m *Matrix) mat() mat { return mat{&m.Data[0], m.Stride} }

// Batch is a sequence of matrices of one shape: matrix i begins at Data[i*Distance]. With Distance
// 0 all of them are the same.
type Batch struct {
	Matrix
	Distance int
}

// item returns matrix i.
func (b *Batch) item(i int) Matrix {
	m := b.Matrix
	m.Data = m.Data[min(len(m.Data), i*b.Distance):]
	return m
}

// mat addresses rows of floats in memory: the first element and the leading dimension. Its bounds
// were checked when it was made.
type mat struct {
	p  *float32
	ld int
}

// at returns the address of element (i, j).
func (m mat) at(i, j int) *float32 { return offset(m.p, i*m.ld+j) }

// sub returns the part of m that begins at element (i, j).
func (m mat) sub(i, j int) mat { return mat{m.at(i, j), m.ld} }

// row returns the first n elements of row i.
func (m mat) row(i, n int) []float32 { return sliceAt(m.at(i, 0), n) }

// need panics if an operand of a kernel has fewer than want values.
func need(kernel, operand string, have, want int) {
	if have < want {
		panicShort(kernel, operand, have, want)
	}
}

func panicShort(kernel, operand string, have, want int) {
	panic(fmt.Sprintf("f32.%s: %s holds %d values, %d are needed", kernel, operand, have, want))
}

// needRows panics if an operand is too short for a dense [rows, n] matrix.
func needRows(kernel string, rows, n int, operands ...[]float32) {
	for i, x := range operands {
		if len(x) < rows*n {
			panicShort(kernel, fmt.Sprintf("operand %d", i), len(x), rows*n)
		}
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func roundUp(n, to int) int { return ceilDiv(n, to) * to }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Operand is the [rows, cols] matrix whose data, or whose transpose, is dense.
func Operand(transposed bool, rows, cols int, data []float32) Matrix {
	if transposed {
		return Dense(cols, rows, data).T()
	}
	return Dense(rows, cols, data)
}
