package sdk

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// Runs are reproducible only while these numbers never change.
func TestRNGIsFrozen(t *testing.T) {
	r := NewRNG(1, 2, 3)
	want := []uint64{0xe95446f8084cbfd4, 0xe43a67c150c0d6e8, 0x10cafcef0ffd53d3, 0xe43a7167103591cc}
	for i, w := range want {
		if g := r.Uint64(); g != w {
			t.Errorf("number %d is %#x, want %#x", i, g, w)
		}
	}
}

func TestRNGKeys(t *testing.T) {
	seen := map[uint64][]uint64{}
	for _, keys := range [][]uint64{{0}, {1}, {0, 0}, {0, 1}, {1, 0}, {0, 0, 0}, {0, 0, 1}, {0, 1, 0}, {1, 0, 0}} {
		x := NewRNG(keys[0], keys[1:]...).Uint64()
		if other, ok := seen[x]; ok {
			t.Errorf("keys %v and %v start alike", keys, other)
		}
		seen[x] = keys
	}
}

// Moments and uniformity over many keys, one number each, as masks draw them.
func TestRNGDistribution(t *testing.T) {
	const n = 200000
	var sum, squares, normal, normal2 float64
	counts := make([]int, 7)
	for k := range uint64(n) {
		r := NewRNG(42, k)
		u := r.Float64()
		if u < 0 || u >= 1 {
			t.Fatal(u)
		}
		sum, squares = sum+u, squares+u*u
		z := r.NormFloat64()
		normal, normal2 = normal+z, normal2+z*z
		counts[r.IntN(7)]++
	}
	within := func(name string, got, want, tolerance float64) {
		if math.Abs(got-want) > tolerance {
			t.Errorf("%s is %v, want %v +- %v", name, got, want, tolerance)
		}
	}
	within("mean", sum/n, .5, .003)
	within("mean square", squares/n, 1./3, .003)
	within("normal mean", normal/n, 0, .01)
	within("normal variance", normal2/n, 1, .015)
	for i, c := range counts {
		within(fmt.Sprintf("how often %d was drawn", i), float64(c), n/7., 700)
	}
}

func TestPermAndArgsort(t *testing.T) {
	p := NewRNG(5).Perm(50)
	sorted := slices.Clone(p)
	slices.Sort(sorted)
	for i, v := range sorted {
		if v != i {
			t.Fatalf("%v is no permutation", p)
		}
	}
	if got := Argsort([]float64{.5, .1, .5, 0}); !slices.Equal(got, []int{3, 1, 0, 2}) {
		t.Errorf("argsort %v", got)
	}
	keep := make([]int32, 2)
	if KeepFromNoise([]float64{.9, .3, .1, .5}, keep); !slices.Equal(keep, []int32{2, 1}) {
		t.Errorf("keep %v", keep)
	}
}

func TestRandomKeepIsUniform(t *testing.T) {
	const n, k, draws = 16, 4, 8000
	counts := make([]int, n)
	keep := make([]int32, k)
	for d := range uint64(draws) {
		RandomKeep(NewRNG(3, d), n, keep)
		for _, v := range keep {
			counts[v]++
		}
	}
	for i, c := range counts { // 2000 expected, standard deviation 39
		if c < 1800 || c > 2200 {
			t.Errorf("patch %d is kept %d times", i, c)
		}
	}
}

func TestRandomBlocks(t *testing.T) {
	for d := range uint64(50) {
		masked := make([]byte, 6*8)
		RandomBlocks(NewRNG(d), 6, 8, 2, .6, masked)
		count := 0
		for y := range 6 {
			for x := range 8 {
				v := masked[y*8+x]
				count += int(v)
				if v != masked[y/2*2*8+x/2*2] {
					t.Fatalf("block of (%d,%d) is not whole: %v", y, x, masked)
				}
			}
		}
		if count != 4*8 { // ceil(.6 * 12) = 8 blocks of 4 cells
			t.Fatalf("%d cells masked, want 32", count)
		}
	}
}
