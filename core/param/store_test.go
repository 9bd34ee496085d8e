package param

import (
	"math"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tensor"
)

func TestStore(t *testing.T) {
	s := NewStore()
	asked := 0
	s.Alloc = func(n int) []float32 { asked += n; return make([]float32, n) }
	w := must.Get(s.Add("w", tensor.Shape{2, 3}, Init{Kind: "ones"}, 0))(t)
	b, _ := s.Add("b", tensor.Shape{3}, Init{Kind: "zeros"}, 0)
	m, _ := s.AddBuffer("mean", tensor.Shape{3}, Init{Kind: "zeros"}, 0)
	if asked != 12 || !w.Decay || b.Decay || !m.Frozen || w.LRScale != 1 {
		t.Errorf("asked for %d floats; %+v %+v %+v", asked, w, b, m)
	}
	if s.Get("mean") != m || s.Get("nothing") != nil || len(s.Parameters()) != 2 || len(s.Buffers()) != 1 {
		t.Error("parameters are not found by name")
	}
	if _, err := s.Add("w", tensor.Shape{1}, Init{Kind: "zeros"}, 0); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a second w: %v", err)
	}
	if _, err := s.Add("", tensor.Shape{1}, Init{Kind: "zeros"}, 0); err == nil {
		t.Error("a parameter without name passes")
	}
	if _, err := s.Add("x", tensor.Shape{-1}, Init{Kind: "zeros"}, 0); err == nil {
		t.Error("a negative dimension passes")
	}
}

func TestLoadIntoNamesEveryFault(t *testing.T) {
	s := NewStore()
	a, _ := s.Add("a", tensor.Shape{2}, Init{Kind: "zeros"}, 0)
	s.Add("b", tensor.Shape{2}, Init{Kind: "zeros"}, 0)
	s.Add("c", tensor.Shape{2}, Init{Kind: "zeros"}, 0)
	file := func(tensors ...tensor.Tensor) *tensor.File {
		return tensor.NewFile("weights.safetensors", tensors, nil)
	}
	two := []float32{1, 2}
	err := LoadInto(s, file(tensor.NewF32("a", tensor.Shape{2}, two), tensor.NewF32("b", tensor.Shape{1, 2}, two), tensor.NewF32("extra", tensor.Shape{2}, two)), nil, true)
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"weights.safetensors", "b has shape [1, 2], [2] is wanted", "c is missing", "extra, of shape [2], belongs to nothing"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if a.Data[0] != 0 {
		t.Error("a failed load changed a parameter")
	}
	f := file(tensor.NewF32("x.a", tensor.Shape{2}, two), tensor.NewF32("x.b", tensor.Shape{2}, two), tensor.NewF32("x.c", tensor.Shape{2}, two))
	if err := LoadInto(s, f, func(n string) string { return "x." + n }, true); err != nil || a.Data[1] != 2 {
		t.Errorf("renamed: %v, %v", err, a.Data)
	}
}

func TestInit(t *testing.T) {
	for _, tc := range []struct {
		init     Init
		shape    tensor.Shape
		std, abs float64 // expected deviation and bound, 0: none
	}{
		{Init{Kind: "normal", A: 0.02}, tensor.Shape{300, 200}, 0.02, 0},
		{Init{Kind: "trunc_normal", A: 0.02, B: 0.02}, tensor.Shape{300, 200}, 0.0108, 0.02},
		{Init{Kind: "trunc_normal", A: 0.02, B: 2}, tensor.Shape{300, 200}, 0.02, 2},
		{Init{Kind: "uniform", A: 0.5}, tensor.Shape{300, 200}, 0.5 / math.Sqrt(3), 0.5},
		{Init{Kind: "xavier_uniform"}, tensor.Shape{300, 10, 20}, math.Sqrt(2.0 / 500), math.Sqrt(6.0 / 500)},
		{Init{Kind: "fan_in_uniform", FanIn: 48}, tensor.Shape{60000}, 1 / math.Sqrt(3*48), 1 / math.Sqrt(48)},
		{Init{Kind: "constant", A: 3}, tensor.Shape{10}, 0, 3},
		{Init{Kind: "ones"}, tensor.Shape{10}, 0, 1},
		{Init{Kind: "zeros"}, tensor.Shape{10}, 0, 0},
	} {
		p, err := NewStore().Add("p", tc.shape, tc.init, 1)
		if err != nil {
			t.Errorf("%+v: %v", tc.init, err)
			continue
		}
		var sum, squares, largest float64
		for _, v := range p.Data {
			sum += float64(v)
			squares += float64(v) * float64(v)
			largest = max(largest, math.Abs(float64(v)))
		}
		n := float64(len(p.Data))
		std := math.Sqrt(max(0, squares/n-sum/n*sum/n))
		if math.Abs(std-tc.std) > 0.02*tc.std+1e-6 {
			t.Errorf("%+v: deviation %v, want %v", tc.init, std, tc.std)
		}
		if tc.abs > 0 && largest > tc.abs*1.0001 {
			t.Errorf("%+v: largest %v, bound %v", tc.init, largest, tc.abs)
		}
	}
	for _, bad := range []Init{{Kind: "typo"}, {Kind: "trunc_normal", A: 1}, {}} {
		if _, err := NewStore().Add("p", tensor.Shape{2}, bad, 1); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

// TestInitDependsOnNameOnly: neither order nor other parameters matter.
func TestInitDependsOnNameOnly(t *testing.T) {
	a, b := NewStore(), NewStore()
	in := Init{Kind: "normal", A: 1}
	x, _ := a.Add("x", tensor.Shape{5}, in, 3)
	b.Add("other", tensor.Shape{7}, in, 3)
	y, _ := b.Add("x", tensor.Shape{5}, in, 3)
	z, _ := b.Add("z", tensor.Shape{5}, in, 3)
	for i := range x.Data {
		if x.Data[i] != y.Data[i] {
			t.Fatal("the same name and seed gave other numbers")
		}
	}
	if x.Data[0] == z.Data[0] {
		t.Error("two names gave the same numbers")
	}
}
