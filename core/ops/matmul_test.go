package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

// matmulCases are products of single and of stacked matrices, transposed and not.
func matmulCases() []gradientCase {
	return []gradientCase{
		matmulCase("matmul", 1, false, false), matmulCase("matmul, a transposed", 1, true, false),
		matmulCase("matmul, b transposed", 3, false, true), matmulCase("matmul, both transposed", 3, true, true),
	}
}

func matmulCase(name string, batch int, transA, transB bool) gradientCase {
	const m, n, k = 3, 4, 5
	a, b := tensor.Shape{m, k}, tensor.Shape{k, n}
	if transA {
		a = tensor.Shape{k, m}
	}
	if transB {
		b = tensor.Shape{n, k}
	}
	if batch > 1 {
		a, b = append(tensor.Shape{batch}, a...), append(tensor.Shape{batch}, b...)
	}
	return gradientCase{name: name, shapes: []tensor.Shape{a, b},
		make: func(g *core.Graph, p []*core.Node) *core.Node { return MatMul(g, p[0], p[1], transA, transB) },
		reference: func(p [][]float64) []float64 {
			var out []float64
			for s := range batch {
				x, y := p[0][s*m*k:(s+1)*m*k], p[1][s*k*n:(s+1)*k*n]
				if transA {
					x = transposed(x, k, m)
				}
				if !transB {
					y = transposed(y, k, n)
				}
				out = append(out, plainLinear(x, y, nil, k, n)...)
			}
			return out
		}}
}

func transposed(x []float64, rows, cols int) []float64 {
	y := make([]float64, len(x))
	for r := range rows {
		for c := range cols {
			y[c*rows+r] = x[r*cols+c]
		}
	}
	return y
}
