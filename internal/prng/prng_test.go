package prng

import (
	"math"
	"testing"
)

// firstOfSeedOne is the first number of New(1).
const firstOfSeedOne = 0xc1b6f9e9ca620853

// TestRNGIsFixed pins the numbers: checkpoints and runs rely on them.
func TestRNGIsFixed(t *testing.T) {
	r := New(42, "crop", 3, uint64(17))
	want := make([]uint64, 3)
	for i := range want {
		want[i] = New(42, "crop", 3, uint64(17)).At(uint64(i))
		if got := r.Uint64(); got != want[i] {
			t.Errorf("number %d is %x, drawn alone %x", i, got, want[i])
		}
	}
	r.SetCounter(1)
	if got := r.Uint64(); got != want[1] {
		t.Errorf("after SetCounter(1): %x, want %x", got, want[1])
	}
	if got := New(1).Uint64(); got != firstOfSeedOne {
		t.Errorf("the first number of seed 1 is %#x, it was %#x", got, uint64(firstOfSeedOne))
	}
	distinct := map[uint64]bool{}
	for _, r := range []*Generator{New(1), New(2), New(1, "a"), New(1, "b"), New(1, "ab"), New(1, "a", "b"), New(1, 0), New(1, 1), New(1, 0, 0), New(1, "")} {
		distinct[r.Uint64()] = true
	}
	if len(distinct) != 10 {
		t.Errorf("%d different streams of 10", len(distinct))
	}
}

func TestRNGDistributions(t *testing.T) {
	r := New(9, "moments")
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
