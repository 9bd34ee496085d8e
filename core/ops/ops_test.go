package ops

import (
	"fmt"
	"math"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

// gradientCase is an operator under test. make builds it from parameter nodes of the given shapes
// and returns the node to be weighed and summed into a loss; reference computes the same in float64
// with plain loops.
type gradientCase struct {
	name      string
	shapes    []tensor.Shape
	scale     float64 // of the random parameters, 1 if 0
	make      func(g *core.Graph, p []*core.Node) *core.Node
	reference func(p [][]float64) []float64
	tolerance float64 // relative to the largest value, 2e-6 if 0
}

// checkGradients compares value and gradients with the reference, the latter by central differences
// in float64.
func checkGradients(t *testing.T, tc gradientCase) {
	t.Helper()
	store := param.NewStore()
	var params []*param.Parameter
	for i, s := range tc.shapes {
		scale := tc.scale
		if scale == 0 {
			scale = 1
		}
		p := must.Get(store.Add(fmt.Sprintf("p%d", i), s, param.Init{Kind: "normal", A: scale}, 7))(t)
		params = append(params, p)
	}
	g := core.NewGraph(devicetest.New(t, 2))
	var nodes []*core.Node
	for _, p := range params {
		nodes = append(nodes, g.Param(p))
	}
	y := tc.make(g, nodes)
	must.Do(t, g.Err())
	weights := g.Input("weights", y.Shape())
	loss := Dot(g, y, weights)
	r := prng.New(3, "weights")
	for i := range weights.Value() {
		weights.Value()[i] = float32(r.NormFloat64())
	}
	exe := must.Get(g.Compile(loss, y))(t)
	for range 2 { // the second run finds used memory
		must.Do(t, exe.Run())
	}
	wide := make([][]float64, len(params))
	for i, p := range params {
		wide[i] = make([]float64, len(p.Data))
		for j, v := range p.Data {
			wide[i][j] = float64(v)
		}
	}
	tolerance := tc.tolerance
	if tolerance == 0 {
		tolerance = 2e-6
	}
	want := tc.reference(wide)
	compareTo(t, "value", y.Value(), want, tolerance)
	total := func() float64 {
		s := 0.0
		for i, v := range tc.reference(wide) {
			s += v * float64(weights.Value()[i])
		}
		return s
	}
	const h = 1e-5
	for i, p := range params {
		numeric := make([]float64, len(p.Data))
		for j := range numeric {
			x := wide[i][j]
			wide[i][j] = x + h
			up := total()
			wide[i][j] = x - h
			numeric[j] = (up - total()) / (2 * h)
			wide[i][j] = x
		}
		got := exe.Grad(p)
		if got == nil {
			t.Errorf("no gradient reaches %s", p.Name)
			continue
		}
		compareTo(t, "gradient of "+p.Name, got, numeric, max(tolerance, 1e-5))
	}
}

// compareTo reports the worst element relative to the largest of want.
func compareTo(t *testing.T, name string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d elements, want %d", name, len(got), len(want))
		return
	}
	largest, worst, at := 0.0, -1.0, 0
	for i := range want {
		largest = max(largest, math.Abs(want[i]))
		if d := math.Abs(float64(got[i]) - want[i]); d > worst || math.IsNaN(d) {
			worst, at = d, i
			if math.IsNaN(d) {
				worst = math.Inf(1)
			}
		}
	}
	if worst > tolerance*max(largest, 1e-3) {
		t.Errorf("%s[%d] = %v, want %v: difference %.3g, allowed %.3g", name, at, got[at], want[at], worst, tolerance*largest)
	}
}

// compiled compiles a graph and runs it once.
func compiled(t *testing.T, g *core.Graph, loss *core.Node, extra ...*core.Node) *core.Executable {
	t.Helper()
	exe := must.Get(g.Compile(loss, extra...))(t)
	must.Do(t, exe.Run())
	return exe
}

func TestGradients(t *testing.T) {
	for _, tc := range gradientCases() {
		t.Run(tc.name, func(t *testing.T) { checkGradients(t, tc) })
	}
}
