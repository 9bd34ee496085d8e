package core

import (
	"math"
	"testing"
)

// firstOfSeedOne is the first number of NewRNG(1).
const firstOfSeedOne = 0xc1b6f9e9ca620853

// TestRNGIsFixed pins the numbers: checkpoints and runs rely on them.
func TestRNGIsFixed(t *testing.T) {
	r := NewRNG(42, "crop", 3, uint64(17))
	want := make([]uint64, 3)
	for i := range want {
		want[i] = NewRNG(42, "crop", 3, uint64(17)).at(uint64(i))
		if got := r.Uint64(); got != want[i] {
			t.Errorf("number %d is %x, drawn alone %x", i, got, want[i])
		}
	}
	r.SetCounter(1)
	if got := r.Uint64(); got != want[1] {
		t.Errorf("after SetCounter(1): %x, want %x", got, want[1])
	}
	if got := NewRNG(1).Uint64(); got != firstOfSeedOne {
		t.Errorf("the first number of seed 1 is %#x, it was %#x", got, uint64(firstOfSeedOne))
	}
	distinct := map[uint64]bool{}
	for _, r := range []*RNG{NewRNG(1), NewRNG(2), NewRNG(1, "a"), NewRNG(1, "b"), NewRNG(1, "ab"), NewRNG(1, "a", "b"), NewRNG(1, 0), NewRNG(1, 1), NewRNG(1, 0, 0), NewRNG(1, "")} {
		distinct[r.Uint64()] = true
	}
	if len(distinct) != 10 {
		t.Errorf("%d different streams of 10", len(distinct))
	}
}

func TestRNGDistributions(t *testing.T) {
	r := NewRNG(9, "moments")
	const n = 200000
	var sum, squares, fourth, uniform float64
	for range n {
		x := r.NormFloat64()
		sum += x
		squares += x * x
		fourth += x * x * x * x
		uniform += r.Float64()
	}
	for name, v := range map[string][2]float64{"mean": {sum / n, 0}, "variance": {squares / n, 1}, "uniform": {uniform / n, 0.5}} {
		if math.Abs(v[0]-v[1]) > 0.01 {
			t.Errorf("%s %v, want %v", name, v[0], v[1])
		}
	}
	if k := fourth / n; math.Abs(k-3) > 0.1 {
		t.Errorf("kurtosis %v, want 3", k)
	}
	var counts [7]int
	for range 70000 {
		counts[r.IntN(7)]++
	}
	for v, c := range counts {
		if math.Abs(float64(c)-10000) > 500 {
			t.Errorf("IntN gave %d %d times of 10000", v, c)
		}
	}
	var places [4][4]int
	for range 24000 {
		for i, v := range r.Perm(4) {
			places[i][v]++
		}
	}
	for i := range places {
		for v, c := range places[i] {
			if math.Abs(float64(c)-6000) > 400 {
				t.Errorf("Perm puts %d in place %d %d times of 6000", v, i, c)
			}
		}
	}
}

func TestInit(t *testing.T) {
	for _, tc := range []struct {
		init     Init
		shape    Shape
		std, abs float64 // expected deviation and bound, 0: none
	}{
		{Init{Kind: "normal", A: 0.02}, Shape{300, 200}, 0.02, 0},
		{Init{Kind: "trunc_normal", A: 0.02, B: 0.02}, Shape{300, 200}, 0.0108, 0.02},
		{Init{Kind: "trunc_normal", A: 0.02, B: 2}, Shape{300, 200}, 0.02, 2},
		{Init{Kind: "uniform", A: 0.5}, Shape{300, 200}, 0.5 / math.Sqrt(3), 0.5},
		{Init{Kind: "xavier_uniform"}, Shape{300, 10, 20}, math.Sqrt(2.0 / 500), math.Sqrt(6.0 / 500)},
		{Init{Kind: "fan_in_uniform", FanIn: 48}, Shape{60000}, 1 / math.Sqrt(3*48), 1 / math.Sqrt(48)},
		{Init{Kind: "constant", A: 3}, Shape{10}, 0, 3},
		{Init{Kind: "ones"}, Shape{10}, 0, 1},
		{Init{Kind: "zeros"}, Shape{10}, 0, 0},
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
		if _, err := NewStore().Add("p", Shape{2}, bad, 1); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

// TestInitDependsOnNameOnly: neither order nor other parameters matter.
func TestInitDependsOnNameOnly(t *testing.T) {
	a, b := NewStore(), NewStore()
	in := Init{Kind: "normal", A: 1}
	x, _ := a.Add("x", Shape{5}, in, 3)
	b.Add("other", Shape{7}, in, 3)
	y, _ := b.Add("x", Shape{5}, in, 3)
	z, _ := b.Add("z", Shape{5}, in, 3)
	for i := range x.Data {
		if x.Data[i] != y.Data[i] {
			t.Fatal("the same name and seed gave other numbers")
		}
	}
	if x.Data[0] == z.Data[0] {
		t.Error("two names gave the same numbers")
	}
}
