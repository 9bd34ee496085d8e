package ops

import (
	"math"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/tensor"
)

// plainSinkhorn are the assignments of the last rows of scores [rows, n].
func plainSinkhorn(scores []float64, n, last int, o SinkhornOptions) []float64 {
	rows := len(scores) / n
	q := make([]float64, len(scores))
	for i, s := range scores {
		q[i] = math.Exp(s / o.Epsilon)
	}
	for range o.Iterations {
		for j := range n {
			sum := 0.0
			for i := range rows {
				sum += q[i*n+j]
			}
			for i := range rows {
				q[i*n+j] /= sum * float64(n)
			}
		}
		for i := range rows {
			sum := 0.0
			for _, v := range q[i*n:][:n] {
				sum += v
			}
			for j := range n {
				q[i*n+j] /= sum
			}
		}
	}
	return q[(rows-last)*n:]
}

// A queue counts once its oldest row is there.
func TestSinkhorn(t *testing.T) {
	const b, l, k = 4, 6, 5
	o := SinkhornOptions{Epsilon: .1, Iterations: 3}
	score := func(i int) float64 { return float64(i*i%17)/17 - .5 }
	for _, full := range []bool{false, true} {
		g := core.NewGraph(devicetest.New(t, 2))
		scores, earlier := g.Input("scores", tensor.Shape{b, k}), g.Input("earlier", tensor.Shape{l, k})
		var all []float64
		for i := range earlier.Value() {
			if full || i < (l-1)*k {
				earlier.Value()[i] = float32(score(i + 3))
			}
			if full {
				all = append(all, float64(earlier.Value()[i]))
			}
		}
		for i := range scores.Value() {
			scores.Value()[i] = float32(score(i))
			all = append(all, float64(scores.Value()[i]))
		}
		with, without := Sinkhorn(g, scores, earlier, o), Sinkhorn(g, scores, nil, o)
		compiled(t, g, nil, with, without)
		compareTo(t, "assignments", with.Value(), plainSinkhorn(all, k, b, o), 4e-6)
		compareTo(t, "assignments without a queue", without.Value(), plainSinkhorn(all[len(all)-b*k:], k, b, o), 4e-6)
	}
	for _, wrong := range []struct {
		earlier tensor.Shape
		o       SinkhornOptions
	}{{tensor.Shape{6, 4}, o}, {tensor.Shape{6, 5}, SinkhornOptions{Iterations: 3}}, {tensor.Shape{6, 5}, SinkhornOptions{Epsilon: .1}}, {tensor.Shape{30}, o}} {
		g := core.NewGraph(devicetest.New(t, 1))
		Sinkhorn(g, g.Input("x", tensor.Shape{b, k}), g.Input("q", wrong.earlier), wrong.o)
		if g.Err() == nil {
			t.Errorf("%+v passes", wrong)
		}
	}
}

// No gradient flows through assignments.
func TestSinkhornPassesNoGradient(t *testing.T) {
	g := core.NewGraph(devicetest.New(t, 2))
	p := parameter(t, "scores", tensor.Shape{2, 3}, []float64{.1, .2, .3, -.1, .4, 0})
	x := g.Param(p)
	loss, _ := SoftmaxCrossEntropy(g, x, Sinkhorn(g, x, nil, SinkhornOptions{Epsilon: .5, Iterations: 2}))
	exe := compiled(t, g, loss)
	// Assignments have the sum 1, so the gradient is softmax - assignments; it would not be with a path through assignments.
	scores := []float64{.1, .2, .3, -.1, .4, 0}
	assigned, soft := plainSinkhorn(scores, 3, 2, SinkhornOptions{Epsilon: .5, Iterations: 2}), plainSoftmax(scores, 3)
	want := make([]float64, 6)
	for i := range want {
		want[i] = (soft[i] - assigned[i]) / 2
	}
	compareTo(t, "gradient", exe.Grad(p), want, 1e-5)
}
