package f32

import (
	"fmt"
	"math"
)

// CrossEntropy is the loss of rows of logits X against a target,
//
//	loss[i] = -Σ_j target[i][j] * log softmax(Scale*X[i])[j]
//
// The target is either Labels (a negative label: no loss) or the dense Target, whose rows need not
// sum to one; the other is nil.
type CrossEntropy struct {
	Rows, N int
	X       []float32 // [Rows, N]
	Scale   float32
	Labels  []int32   // [Rows]
	Target  []float32 // [Rows, N]
	LSE     []float32 // [Rows], log Σ_j exp(Scale*X[i][j]), written by CrossEntropyForward
}

// CrossEntropyForward computes loss [Rows], and c.LSE for CrossEntropyBackward.
func CrossEntropyForward(p *Pool, c CrossEntropy, loss []float32) {
	c.check("CrossEntropyForward")
	need("CrossEntropyForward", "loss", len(loss), c.Rows)
	p.rowwise(rowsJob{op: crossEntropyRange, rows: c.Rows, n: c.N, a: c.X, b: c.Target, c: loss, d: c.LSE, index: c.Labels, s: c.Scale})
}

// CrossEntropyBackward computes, for dloss [Rows] and dx [Rows, N],
//
//	dx[i][j] = dloss[i] * Scale * (softmax(Scale*X[i])[j]*Σ_l target[i][l] - target[i][j])
//
// dx may be c.X.
func CrossEntropyBackward(p *Pool, c CrossEntropy, dloss, dx []float32) {
	c.check("CrossEntropyBackward")
	need("CrossEntropyBackward", "dx", len(dx), c.Rows*c.N)
	need("CrossEntropyBackward", "dloss", len(dloss), c.Rows)
	p.rowwise(rowsJob{op: crossEntropyGradRange, rows: c.Rows, n: c.N, a: c.X, b: c.Target, c: dx, d: c.LSE, e: dloss, index: c.Labels, s: c.Scale})
}

// check panics if an operand is too short, a label too large, or the target not given once.
func (c *CrossEntropy) check(kernel string) {
	need(kernel, "X", len(c.X), c.Rows*c.N)
	need(kernel, "LSE", len(c.LSE), c.Rows)
	if (c.Labels == nil) == (c.Target == nil) {
		panic("f32." + kernel + " wants either labels or a dense target")
	}
	if c.Labels == nil {
		need(kernel, "Target", len(c.Target), c.Rows*c.N)
		return
	}
	need(kernel, "Labels", len(c.Labels), c.Rows)
	for i, l := range c.Labels[:c.Rows] {
		if int(l) >= c.N {
			panic(fmt.Sprintf("f32.%s: label %d of row %d is not below the %d classes", kernel, l, i, c.N))
		}
	}
}

func crossEntropyRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		x := j.row(j.a, r)
		shift := rowShift(j.t, x, j.s)
		lse := float64(shift) + math.Log(expSum(j.t, nil, x, j.s, shift))
		j.d[r] = float32(lse)
		switch {
		case j.index == nil:
			target := j.row(j.b, r)
			j.c[r] = float32(lse*j.t.sum(target) - float64(j.s)*j.t.dot(target, x))
		case j.index[r] < 0:
			j.c[r] = 0
		default:
			j.c[r] = float32(lse - float64(j.s)*float64(x[j.index[r]]))
		}
	}
}

func crossEntropyGradRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		x, dx := j.row(j.a, r), j.row(j.c, r)
		g := j.e[r] * j.s
		if j.index == nil {
			target := j.row(j.b, r)
			j.t.expSum(dx, x, j.s, j.d[r])
			j.t.scale(dx, g*float32(j.t.sum(target)), dx)
			j.t.axpy(dx, -g, target)
			continue
		}
		if j.index[r] < 0 {
			clear(dx)
			continue
		}
		j.t.expSum(dx, x, j.s, j.d[r])
		j.t.scale(dx, g, dx)
		dx[j.index[r]] -= g
	}
}
