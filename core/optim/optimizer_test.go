package optim

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

// problem is a store with gradients that depend on the step.
func problem(t *testing.T) (*param.Store, func(step int) func(*param.Parameter) []float32) {
	t.Helper()
	s := param.NewStore()
	for _, n := range []string{"a", "b", "late"} {
		if _, err := s.Add(n, tensor.Shape{3, 2}, param.Init{Kind: "normal", A: 1}, 4); err != nil {
			t.Fatal(err)
		}
	}
	s.Get("late").FreezeUntil = 2
	s.Get("b").LRScale = 0.5
	return s, func(step int) func(*param.Parameter) []float32 {
		return Active(func(p *param.Parameter) []float32 {
			d := make([]float32, len(p.Data))
			r := prng.New(8, p.Name, step)
			for i := range d {
				d[i] = float32(r.NormFloat64())
			}
			return d
		}, step)
	}
}

func optimizersUnderTest(t *testing.T, dev *device.CPU) map[string]func() Optimizer {
	return map[string]func() Optimizer{
		"adamw": func() Optimizer { return NewAdamW(dev, AdamWOptions{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8}) },
		"sgd":   func() Optimizer { return NewSGD(dev, SGDOptions{Momentum: 0.9, Nesterov: true}) },
		"lars": func() Optimizer {
			return NewLARS(dev, LARSOptions{RawRatio: true, Eps: 1e-8, Momentum: 0.9, Trust: 0.001})
		},
	}
}

// TestResumedOptimizerIsTheSame: six steps equal three, a file, and three more.
func TestResumedOptimizerIsTheSame(t *testing.T) {
	e := devicetest.New(t, 2)
	for name, make := range optimizersUnderTest(t, e) {
		s, grads := problem(t)
		whole := make()
		for step := range 6 {
			whole.Step(s.Parameters(), grads(step), Rate{Now: 0.1}, 0.05)
		}
		r, grads := problem(t)
		first := make()
		for step := range 3 {
			first.Step(r.Parameters(), grads(step), Rate{Now: 0.1}, 0.05)
		}
		path := filepath.Join(t.TempDir(), "state.safetensors")
		if err := tensor.WriteSafetensors(path, append(r.Tensors(), first.State()...), nil); err != nil {
			t.Fatal(err)
		}
		f, err := tensor.ReadSafetensors(path)
		if err != nil {
			t.Fatal(err)
		}
		r, grads = problem(t)
		if err := param.LoadInto(r, f, nil, false); err != nil {
			t.Fatal(err)
		}
		second := make()
		if err := second.Load(f, r.Parameters()); err != nil {
			t.Fatal(err)
		}
		for step := 3; step < 6; step++ {
			second.Step(r.Parameters(), grads(step), Rate{Now: 0.1}, 0.05)
		}
		for _, p := range s.Parameters() {
			for i, v := range r.Get(p.Name).Data {
				if v != p.Data[i] {
					t.Errorf("%s: %s[%d] is %v after a resume, %v without", name, p.Name, i, v, p.Data[i])
					break
				}
			}
		}
	}
}

// TestSkippedParameterIsUntouched: no gradient means no decay and no step count.
func TestSkippedParameterIsUntouched(t *testing.T) {
	e := devicetest.New(t, 1)
	for name, make := range optimizersUnderTest(t, e) {
		s, grads := problem(t)
		before := append([]float32{}, s.Get("late").Data...)
		o := make()
		o.Step(s.Parameters(), grads(0), Rate{Now: 0.1}, 0.5)
		for i, v := range s.Get("late").Data {
			if v != before[i] {
				t.Fatalf("%s: a parameter without gradient changed", name)
			}
		}
		for _, x := range o.State() {
			if strings.HasSuffix(x.Name, ".late") {
				t.Errorf("%s: it has state %s", name, x.Name)
			}
		}
	}
}

func TestOptimizerStateMustFit(t *testing.T) {
	e := devicetest.New(t, 1)
	s, _ := problem(t)
	f := tensor.NewFile("", []tensor.Tensor{tensor.NewI64("optimizer.steps.a", tensor.Shape{}, []int64{2}), tensor.NewF32("optimizer.m.a", tensor.Shape{1}, []float32{1})}, nil)
	err := NewAdamW(e, AdamWOptions{}).Load(f, s.Parameters())
	if err == nil || !strings.Contains(err.Error(), "optimizer.m.a") || !strings.Contains(err.Error(), "optimizer.v.a is missing") {
		t.Errorf("error %v does not name both faults", err)
	}
}

func TestAccumulator(t *testing.T) {
	e := devicetest.New(t, 1)
	p, q := &param.Parameter{Name: "p", Data: []float32{0, 0}}, &param.Parameter{Name: "q", Data: []float32{0}}
	params := []*param.Parameter{p, q}
	a := NewAccumulator(e)
	for range 2 { // the second round must not see the first
		a.Reset()
		for _, g := range [][]float32{{1, 2}, {3, 4}} {
			a.Add(params, func(x *param.Parameter) []float32 {
				if x == p {
					return g
				}
				return nil
			}, 0.5)
		}
		if d := a.Grad(p); d[0] != 2 || d[1] != 3 {
			t.Errorf("mean gradient %v, want [2 3]", d)
		}
		if a.Grad(q) != nil {
			t.Error("a parameter without gradient got one")
		}
	}
}

// Both ways of clipping report the norm over all tensors as it was.
func TestClip(t *testing.T) {
	e := devicetest.New(t, 1)
	for name, tc := range map[string]struct {
		clip func(params []*param.Parameter, grads func(*param.Parameter) []float32) (float64, int)
		want [][]float32
	}{
		"global": {func(p []*param.Parameter, g func(*param.Parameter) []float32) (float64, int) {
			return ClipGlobalNorm(e, p, g, 6.5), 0
		},
			[][]float32{{1.5, 2}, {6}}},
		"per tensor": {func(p []*param.Parameter, g func(*param.Parameter) []float32) (float64, int) {
			return ClipPerTensor(e, p, g, 6)
		},
			[][]float32{{3, 4}, {6}}},
		"neither": {func(p []*param.Parameter, g func(*param.Parameter) []float32) (float64, int) {
			return ClipPerTensor(e, p, g, 0)
		},
			[][]float32{{3, 4}, {12}}},
	} {
		grads := map[string][]float32{"a": {3, 4}, "b": {12}}
		params := []*param.Parameter{{Name: "a"}, {Name: "without"}, {Name: "b"}}
		norm, clipped := tc.clip(params, func(p *param.Parameter) []float32 { return grads[p.Name] })
		if math.Abs(norm-13) > 1e-9 || (clipped == 1) != (name == "per tensor") {
			t.Errorf("%s: norm %v, %d clipped", name, norm, clipped)
		}
		for i, key := range []string{"a", "b"} {
			for j, v := range grads[key] {
				if math.Abs(float64(v-tc.want[i][j])) > 1e-5 {
					t.Errorf("%s: gradient of %s is %v, want %v", name, key, grads[key], tc.want[i])
				}
			}
		}
	}
}

func TestEMAAndUnitRows(t *testing.T) {
	e := devicetest.New(t, 1)
	teacher := []*param.Parameter{{Name: "t", Shape: tensor.Shape{2, 2}, Data: []float32{1, 2, 3, 4}, UnitNormRows: true}}
	student := []*param.Parameter{{Name: "s", Shape: tensor.Shape{2, 2}, Data: []float32{5, 6, 7, 8}}}
	if err := EMA(e, teacher, student, 0.75); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float32{2, 3, 4, 5} {
		if teacher[0].Data[i] != want {
			t.Errorf("teacher[%d] = %v, want %v", i, teacher[0].Data[i], want)
		}
	}
	if err := EMA(e, teacher, nil, 0.5); err == nil {
		t.Error("lists of different length pass")
	}
	param.NormalizeRows(e, teacher)
	for r := range 2 {
		if n := math.Hypot(float64(teacher[0].Data[2*r]), float64(teacher[0].Data[2*r+1])); math.Abs(n-1) > 1e-6 {
			t.Errorf("row %d has length %v", r, n)
		}
	}
}

func TestSchedulesAtTheirEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		s    Schedule
		it   int
		want float64
	}{
		"constant":              {Constant(3), 99, 3},
		"past the end":          {Cosine{Base: 1, Final: 0, Total: 2}, 50, 0.5},
		"no warm-up":            {Cosine{Base: 1, Final: 0, Total: 2}, 0, 1},
		"mae at the start":      {EpochCosine{LR: 1, WarmupEpochs: 2, Epochs: 4, PerEpoch: 10}, 0, 0},
		"mae without warm-up":   {EpochCosine{LR: 1, Epochs: 4, PerEpoch: 10}, 0, 1},
		"mae past the end":      {EpochCosine{LR: 1, Min: 0.25, Epochs: 4, PerEpoch: 10}, 99, 0.25},
		"warm-up alone":         {EpochCosine{LR: 1, WarmupEpochs: 4, Epochs: 4, PerEpoch: 10}, 40, 1},
		"temperature, one step": {EpochWarmup{Start: 1, Final: 2, WarmupEpochs: 1, PerEpoch: 5}, 4, 1},
	} {
		if got := tc.s.At(tc.it); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// A parameter with a constant learning rate moves at the peak, the others at the rate of the step,
// and the state of an optimizer has one order for both.
func TestConstantLR(t *testing.T) {
	e := devicetest.New(t, 2)
	for name, make := range optimizersUnderTest(t, e) {
		at := func(constant bool, lr, peak float64) (a, b []float32) {
			s, grads := problem(t)
			s.Get("b").ConstantLR = constant
			o := make()
			for step := range 3 {
				o.Step(s.Parameters(), grads(step), Rate{lr, peak}, 0.05)
			}
			return s.Get("a").Data, s.Get("b").Data
		}
		lowA, _ := at(false, .01, .1)
		_, highB := at(false, .1, .1)
		a, b := at(true, .01, .1)
		if !slices.Equal(a, lowA) || !slices.Equal(b, highB) {
			t.Errorf("%s: the rates are not those of the schedule and the peak", name)
		}
		if a, b := at(true, .1, .1); slices.Equal(a, lowA) || !slices.Equal(b, highB) {
			t.Errorf("%s: the rate changes nothing", name)
		}
	}
}
