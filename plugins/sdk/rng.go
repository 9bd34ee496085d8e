package sdk

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"sync"
)

// RNG is a counter-based generator: the n-th number is a pure function of the keys and n, so a mask
// never depends on earlier draws, elsewhere or in another process.
//
// The state is one 64-bit key, folded from the keys with the finalizer of SplitMix64 (Steele, Lea
// and Flood, 2014); number n is that finalizer of key + (n+1)*gamma.
type RNG struct{ key, n uint64 }

const (
	gamma = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio
	fold  = 0xD1342543DE82EF95 // an odd multiplier, so that keys do not commute or cancel
)

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// NewRNG returns the generator of (seed, keys...). The order of the keys matters.
func NewRNG(seed uint64, keys ...uint64) *RNG {
	r := &RNG{key: mix(seed + gamma)}
	for _, k := range keys {
		r.key = mix(r.key*fold + mix(k+gamma))
	}
	return r
}

// Uint64 returns 64 uniform bits.
func (r *RNG) Uint64() uint64 {
	r.n++
	return mix(r.key + r.n*gamma)
}

// Float64 returns a uniform number in [0,1) with 53 bits.
func (r *RNG) Float64() float64 { return float64(r.Uint64()>>11) / (1 << 53) }

// Uniform returns a uniform number in [low,high).
func (r *RNG) Uniform(low, high float64) float64 { return low + (high-low)*r.Float64() }

// IntN returns a uniform number in 0..n-1, without bias. It panics when n < 1.
func (r *RNG) IntN(n int) int {
	if n < 1 {
		panic("sdk: IntN of a number below 1")
	}
	limit := uint64(n)
	for { // Lemire's method: the high word, rejecting the few low words that would bias it
		high, low := bits.Mul64(r.Uint64(), limit)
		if low >= -limit%limit {
			return int(high)
		}
	}
}

// NormFloat64 returns a number of the standard normal distribution (Box and Muller).
func (r *RNG) NormFloat64() float64 {
	u := 1 - r.Float64() // in (0,1]
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*r.Float64())
}

// Perm returns a uniform permutation of 0..n-1.
func (r *RNG) Perm(n int) []int {
	p := make([]int, n)
	for i := range p {
		j := r.IntN(i + 1)
		p[i], p[j] = p[j], i
	}
	return p
}

// Argsort returns the places of x in ascending order; equal values keep their order.
func Argsort(x []float64) []int {
	r := rank(x)
	defer rankings.Put(r)
	order := make([]int, len(x))
	for i, e := range *r {
		order[i] = e.place
	}
	return order
}

// ranking is values with their places, in ascending order; equal ones in order of place.
type ranking []ranked

type ranked struct {
	value float64
	place int
}

// rankings are reused: a mask is ranked for every sample of every step.
var rankings = sync.Pool{New: func() any { return new(ranking) }}

// rank sorts x. The caller puts the result back into rankings.
func rank(x []float64) *ranking {
	r := rankings.Get().(*ranking)
	*r = slices.Grow((*r)[:0], len(x))[:len(x)]
	for i, v := range x {
		(*r)[i].value, (*r)[i].place = v, i
	}
	slices.SortFunc(*r, func(a, b ranked) int {
		if c := cmp.Compare(a.value, b.value); c != 0 {
			return c
		}
		return cmp.Compare(a.place, b.place)
	})
	return r
}
