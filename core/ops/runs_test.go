package ops

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

// TestErrorsOfOperators: a panic and a returned error both name the operator and its shapes, and
// the executable works again afterwards.
func TestErrorsOfOperators(t *testing.T) {
	g := core.NewGraph(devicetest.New(t, 2))
	x := input(g, "tokens", tensor.Shape{2}, 1, 2)
	mode := "panic"
	y := CallExternal(g, External{Name: "faulty", Forward: func(in, out [][]float32) error {
		switch mode {
		case "panic":
			panic("something broke")
		case "error":
			return fmt.Errorf("refused")
		}
		copy(out[0], in[0])
		return nil
	}}, []*core.Node{x}, []tensor.Shape{{2}})[0]
	exe, err := g.Compile(nil, y)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{{"faulty", "something broke", "tokens [2]", "runs_test.go"}, {"faulty", "refused", "tokens [2]"}} {
		err = exe.Run()
		if err == nil {
			t.Fatal("no error")
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not name %q", err, part)
			}
		}
		mode = "error"
	}
	mode = ""
	if err := exe.Run(); err != nil || y.Value()[1] != 2 {
		t.Errorf("after an error: %v, %v", err, y.Value())
	}
}

func TestIndicesAreChecked(t *testing.T) {
	g := core.NewGraph(devicetest.New(t, 1))
	x := g.Input("x", tensor.Shape{1, 4, 2})
	idx := ints(g, "idx", tensor.Shape{1, 2}, 1, 4)
	exe := must.Get(g.Compile(nil, GatherTokens(g, x, idx)))(t)
	if err := exe.Run(); err == nil || !strings.Contains(err.Error(), "index 4") {
		t.Errorf("error %v does not name index 4", err)
	}
	idx.Ints()[1] = 3
	if err := exe.Run(); err != nil {
		t.Error(err)
	}
}

func TestBatchNormCommits(t *testing.T) {
	mean, variance, count := statistics("mean", 1, 1), statistics("var", 1, 2), statistics("count", 1, 5)
	running := RunningStatistics{Mean: mean, Variance: variance, Count: count}
	g := core.NewGraph(devicetest.New(t, 1))
	x := input(g, "x", tensor.Shape{4, 1}, 1, 2, 3, 6)
	opt := BatchNormOptions{Eps: 1e-5, Momentum: 0.1}
	y := BatchNorm(g, x, nil, nil, running, opt)
	z := BatchNorm(g, x, nil, nil, running, opt) // called twice, updated twice
	exe := compiled(t, g, nil, y, z)
	if mean.Data[0] != 1 || count.Data[0] != 5 {
		t.Error("Run changed running statistics")
	}
	exe.Commit()
	m, v := 1.0, 2.0
	for range 2 {
		m, v = 0.9*m+0.1*3, 0.9*v+0.1*14/3
	}
	if math.Abs(float64(mean.Data[0])-m) > 1e-6 || math.Abs(float64(variance.Data[0])-v) > 1e-6 {
		t.Errorf("running statistics %v, %v; want %v, %v", mean.Data[0], variance.Data[0], m, v)
	}
	if count.Data[0] != 7 {
		t.Errorf("%v batches counted, want 7", count.Data[0])
	}
}

func TestAttentionProbabilities(t *testing.T) {
	g := core.NewGraph(devicetest.New(t, 1))
	qkv := g.Input("qkv", tensor.Shape{1, 3, 12})
	r := prng.New(1)
	for i := range qkv.Value() {
		qkv.Value()[i] = float32(r.NormFloat64())
	}
	p := AttentionProbabilities(g, qkv, 2, nil, true)
	compiled(t, g, nil, p)
	for row := range 6 {
		sum := float32(0)
		for j, v := range p.Value()[row*3 : row*3+3] {
			sum += v
			if j > row%3 && v != 0 {
				t.Errorf("row %d sees the later token %d", row, j)
			}
		}
		if math.Abs(float64(sum)-1) > 1e-6 {
			t.Errorf("row %d sums to %v", row, sum)
		}
	}
}

func TestNormalizePatches(t *testing.T) {
	g := core.NewGraph(devicetest.New(t, 1))
	y := NormalizePatches(g, input(g, "x", tensor.Shape{1, 1, 3}, 1, 2, 6))
	compiled(t, g, nil, y)
	for i, v := range []float64{1, 2, 6} {
		if want := (v - 3) / math.Sqrt(7+1e-6); math.Abs(float64(y.Value()[i])-want) > 1e-6 {
			t.Errorf("element %d is %v, want %v", i, y.Value()[i], want)
		}
	}
}
