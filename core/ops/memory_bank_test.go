package ops

import (
	"math"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// parameter is a parameter with the given values.
func parameter(t *testing.T, name string, shape tensor.Shape, values []float64) *param.Parameter {
	t.Helper()
	p, err := param.NewStore().Add(name, shape, param.Init{Kind: "zeros"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		p.Data[i] = float32(v)
	}
	return p
}

// sampledRows are rows of a table that two samples are compared with; some occur twice.
var sampledRows = []int32{3, 0, 3, 1, 4, 4, 2, 0}

func bankTable(i int) float64 { return 0.25 * float64(i*7%9-4) }

// bankCases are products with sampled rows and the loss over them.
func bankCases() []gradientCase {
	plainDots := func(x []float64) []float64 {
		var out []float64
		for b := range 2 {
			for _, row := range sampledRows[b*4:][:4] {
				sum := 0.0
				for d := range 3 {
					sum += x[b*3+d] * bankTable(int(row)*3+d)
				}
				out = append(out, sum)
			}
		}
		return out
	}
	return []gradientCase{
		{name: "sampled dot", shapes: []tensor.Shape{{2, 3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				table := g.Input("table", tensor.Shape{5, 3})
				for i := range table.Value() {
					table.Value()[i] = float32(bankTable(i))
				}
				return SampledDot(g, p[0], table, ints(g, "rows", tensor.Shape{2, 4}, sampledRows...))
			},
			reference: func(p [][]float64) []float64 { return plainDots(p[0]) }},
		{name: "nce", shapes: []tensor.Shape{{3, 5}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				loss, _, _ := NCE(g, p[0], input(g, "z", tensor.Shape{1}, 12), 40)
				return loss
			},
			reference: func(p [][]float64) []float64 {
				loss, _ := plainNCE(p[0], 3, 40, 12)
				return []float64{loss}
			}},
	}
}

// plainNCE is the loss of logits [rows, 1+K] with a constant, and the constant that would be
// estimated of them.
func plainNCE(logits []float64, rows, samples int, z float64) (loss, estimate float64) {
	n := len(logits) / rows
	c := float64(n-1) / float64(samples)
	for i, v := range logits {
		p := math.Exp(v) / z
		estimate += math.Exp(v) / float64(len(logits)) * float64(samples)
		term := c / (p + c + 1e-7)
		if i%n == 0 {
			term = p / (p + c + 1e-7)
		}
		loss -= math.Log(term) / float64(rows)
	}
	return loss, estimate
}

// A negative constant is estimated of the logits, and is a constant of the gradient all the same.
func TestNCEEstimatesItsConstant(t *testing.T) {
	logits := []float64{1, -.5, .25, 2, 0, -1, .75, .5}
	run := func(z float32) (loss, constant float64, probability, gradient []float32) {
		g := core.NewGraph(devicetest.New(t, 2))
		weight := parameter(t, "logits", tensor.Shape{2, 4}, logits)
		l, p, used := NCE(g, g.Param(weight), input(g, "z", tensor.Shape{}, z), 30)
		exe := compiled(t, g, l, p, used)
		return float64(l.Value()[0]), float64(used.Value()[0]), p.Value(), exe.Grad(weight)
	}
	_, want := plainNCE(logits, 2, 30, 1)
	estimatedLoss, z, p, estimatedGradient := run(-1)
	if math.Abs(z-want) > 1e-5*want {
		t.Errorf("the constant is %v, want %v", z, want)
	}
	loss, kept, _, gradient := run(float32(z))
	if loss != estimatedLoss || kept != z {
		t.Errorf("loss %v with the constant %v, want %v with %v", loss, kept, estimatedLoss, z)
	}
	for i := range gradient {
		if gradient[i] != estimatedGradient[i] {
			t.Errorf("gradient %d is %v where the constant is estimated, %v where it is given", i, estimatedGradient[i], gradient[i])
		}
	}
	compareTo(t, "probability", p[:1], []float64{math.Exp(1) / want}, 1e-6)
}

func TestMemoryBankRefusals(t *testing.T) {
	for name, build := range map[string]func(g *core.Graph){
		"another width": func(g *core.Graph) {
			SampledDot(g, g.Input("x", tensor.Shape{2, 3}), g.Input("t", tensor.Shape{5, 4}), g.InputInt("r", tensor.Shape{2, 4}))
		},
		"another batch": func(g *core.Graph) {
			SampledDot(g, g.Input("x", tensor.Shape{2, 3}), g.Input("t", tensor.Shape{5, 3}), g.InputInt("r", tensor.Shape{3, 4}))
		},
		"no negatives":   func(g *core.Graph) { NCE(g, g.Input("x", tensor.Shape{2, 1}), g.Input("z", tensor.Shape{}), 5) },
		"many constants": func(g *core.Graph) { NCE(g, g.Input("x", tensor.Shape{2, 3}), g.Input("z", tensor.Shape{2}), 5) },
		"no samples":     func(g *core.Graph) { NCE(g, g.Input("x", tensor.Shape{2, 3}), g.Input("z", tensor.Shape{}), 0) },
	} {
		g := core.NewGraph(devicetest.New(t, 1))
		build(g)
		if g.Err() == nil {
			t.Errorf("%s passes", name)
		}
	}
	g := core.NewGraph(devicetest.New(t, 1))
	y := SampledDot(g, g.Input("x", tensor.Shape{1, 2}), g.Input("t", tensor.Shape{3, 2}), ints(g, "r", tensor.Shape{1, 2}, 0, 3))
	exe, err := g.Compile(nil, y)
	if err != nil {
		t.Fatal(err)
	}
	if err := exe.Run(); err == nil || !strings.Contains(err.Error(), "row 3") {
		t.Errorf("a row outside the table: %v", err)
	}
}
