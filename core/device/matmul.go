package device

import (
	"fmt"

	"github.com/vittool/vittool/core/internal/f32"
)

// MatMul computes c = op(a)·op(b) outside of graphs: op(a) is [m, k], op(b) is [k, n], c is [m, n],
// all dense and row-major, and op transposes where the flag is set. The bits of the result do not
// depend on the number of threads. The arguments are those of BLAS's sgemm for dense matrices: the
// structs of f32 add strides, which callers outside of core do not have. A slice of another length is a programming error and panics.
func (d *CPU) MatMul(transA, transB bool, m, n, k int, a, b, c []float32) {
	if len(a) != m*k || len(b) != k*n || len(c) != m*n {
		panic(fmt.Sprintf("device: MatMul of [%d %d] and [%d %d] was given %d, %d and %d elements", m, k, k, n, len(a), len(b), len(c)))
	}
	f32.Gemm(d.pool, f32.Operand(transA, m, k, a), f32.Operand(transB, k, n, b), f32.Dense(m, n, c), false, nil)
}
