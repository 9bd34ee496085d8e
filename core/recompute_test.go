package core_test

import (
	"math"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tensor"
)

func sameFloats(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	for i, w := range want {
		if math.Float32bits(got[i]) != math.Float32bits(w) {
			t.Fatalf("%s[%d] = %v, want the bits of %v", name, i, got[i], w)
		}
	}
}

// TestRecomputeBlocks: the same loss and gradients, bit for bit, from less memory, with blocks
// whose weights are used twice.
func TestRecomputeBlocks(t *testing.T) {
	for _, threads := range []int{1, 3} {
		const depth = 6
		s := parametersOf(t, depth)
		e := devicetest.New(t, threads)
		plain := buildTransformer(t, e, s, tBatch, depth)
		m, g := recordTransformer(e, s, tBatch, depth)
		g.RecomputeBlocks()
		var err error
		if m.exe, err = g.Compile(m.loss); err != nil {
			t.Fatal(err)
		}
		for run := range 2 { // the second run finds used memory
			if a, b := plain.run(t), m.run(t); a != b {
				t.Fatalf("run %d: loss %v, recomputed %v", run, a, b)
			}
			for _, p := range plain.exe.Parameters() {
				sameFloats(t, p.Name, m.exe.Grad(p), plain.exe.Grad(p))
			}
		}
		activations := func(x *core.Executable) int { return x.Bytes() - x.GradientBytes() }
		if a, b := activations(plain.exe), activations(m.exe); 2*b > a {
			t.Errorf("%d bytes of activations, %d with recomputation: want at most half", a, b)
		}
		if plain.exe.FLOPs() != m.exe.FLOPs() {
			t.Errorf("model FLOPs changed from %v to %v", plain.exe.FLOPs(), m.exe.FLOPs())
		}
	}
}

// TestRecomputeReadFromOutside: nodes inside a block have readers outside of it, in both passes,
// and an operator with effects does not run again.
func TestRecomputeReadFromOutside(t *testing.T) {
	e := devicetest.New(t, 2)
	calls := 0
	build := func(recompute bool) (*core.Executable, *core.Node, *core.Node) {
		g := core.NewGraph(e)
		x := g.Input("x", tensor.Shape{2, 6}).RequireGrad()
		for i := range x.Value() {
			x.Value()[i] = float32(i)*0.3 - 1
		}
		var inner, y *core.Node
		g.Block(func() {
			inner = ops.Gelu(g, x)
			g.Block(func() { y = ops.Mul(g, inner, ops.Gelu(g, inner)) })
			y = ops.CallExternal(g, ops.External{
				Name:     "counted",
				Forward:  func(in, out [][]float32) error { calls++; copy(out[0], in[0]); return nil },
				Backward: func(in, out, gout, gin [][]float32) error { copy(gin[0], gout[0]); return nil },
			}, []*core.Node{y}, []tensor.Shape{{2, 6}})[0]
			y = ops.Mul(g, ops.Gelu(g, y), inner)
		})
		loss := ops.Sum(g, ops.Mul(g, y, ops.Mul(g, inner, inner)))
		if recompute {
			g.RecomputeBlocks()
		}
		exe := must.Get(g.Compile(loss))(t)
		must.Do(t, exe.Run())
		return exe, x, loss
	}
	plain, x, loss := build(false)
	again, x2, loss2 := build(true)
	if loss.Value()[0] != loss2.Value()[0] {
		t.Errorf("loss %v, recomputed %v", loss.Value()[0], loss2.Value()[0])
	}
	sameFloats(t, "gradient", again.GradOf(x2), plain.GradOf(x))
	if calls != 2 {
		t.Errorf("the external operator ran %d times in two runs", calls)
	}
	if got := strings.Join(again.Recomputed(), ", "); strings.Count(got, "gelu again") != 3 || strings.Contains(got, "counted") {
		t.Errorf("run again: %s; want the three GELUs and no external operator", got)
	}
}
