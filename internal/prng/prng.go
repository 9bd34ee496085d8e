// Package prng gives random numbers that are a function of a seed, of keys and of a counter.
package prng

import (
	"fmt"
	"math"
	"math/bits"
)

// Generator is a counter-based generator: the n-th number it gives is a pure function
// of (seed, keys, n), so that random choices never depend on the order in which
// workers run, and a resumed run draws the same numbers.
//
// Number n is mix(k1 ^ mix(k0 + (n+1)*0x9E3779B97F4A7C15)) where mix is the
// finaliser of SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom
// Number Generators", 2014) and k0, k1 are hashed from the seed and the keys.
// A Generator is not safe for concurrent use; make one per goroutine, they are cheap.
type Generator struct {
	k0, k1  uint64
	counter uint64
}

const golden64 = 0x9E3779B97F4A7C15

func mix64(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// New returns the generator of a purpose: keys are strings and integers
// (int, int64, uint64, uint32) that tell apart what the numbers are for, such as
// prng.New(seed, "crop", epoch, sampleID). Keys of any other type are a
// programming error and panic.
func New(seed uint64, keys ...any) *Generator {
	r := &Generator{k0: mix64(seed + golden64), k1: mix64(seed ^ 0xD1B54A32D192ED03)}
	for _, k := range keys {
		switch v := k.(type) {
		case string:
			for i := 0; i < len(v); i++ {
				r.absorb(uint64(v[i]) + 1)
			}
			r.absorb(uint64(len(v)) | 1<<63)
		case uint64:
			r.absorb(v)
		case int:
			r.absorb(uint64(v))
		case int64:
			r.absorb(uint64(v))
		case uint32:
			r.absorb(uint64(v))
		default:
			panic(fmt.Sprintf("prng.New: key %v has type %T; use string, int, int64, uint32 or uint64", k, k))
		}
	}
	return r
}

func (r *Generator) absorb(v uint64) {
	r.k0 = mix64(r.k0 ^ v + golden64)
	r.k1 = mix64(r.k1 + bits.RotateLeft64(v, 32) + r.k0)
}

// at returns number n of the stream without moving the counter.
func (r *Generator) At(n uint64) uint64 {
	return mix64(r.k1 ^ mix64(r.k0+(n+1)*golden64))
}

// Counter returns how many numbers have been drawn; with SetCounter a stream can
// be continued elsewhere.
func (r *Generator) Counter() uint64 { return r.counter }

// SetCounter moves to number n of the stream.
func (r *Generator) SetCounter(n uint64) { r.counter = n }

// Uint64 returns 64 uniform bits.
func (r *Generator) Uint64() uint64 {
	v := r.At(r.counter)
	r.counter++
	return v
}

// Float64 returns a uniform number in [0, 1) with 53 random bits.
func (r *Generator) Float64() float64 { return float64(r.Uint64()>>11) / (1 << 53) }

// Uniform returns a uniform number in [lo, hi).
func (r *Generator) Uniform(lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }

// NormFloat64 returns a standard normal number, by inversion of the cumulative
// distribution: one draw, one number.
func (r *Generator) NormFloat64() float64 { return NormalFromBits(r.Uint64()) }

// NormalFromBits maps 64 uniform bits to a standard normal number.
func NormalFromBits(v uint64) float64 {
	u := (float64(v>>11) + 0.5) / (1 << 53) // inside (0, 1)
	return math.Sqrt2 * math.Erfinv(2*u-1)
}

// TruncatedFromBits maps 64 uniform bits to a normal number of standard
// deviation std that is cut at ±bound, by inversion.
func TruncatedFromBits(v uint64, std, bound float64) float64 {
	if std == 0 {
		return 0
	}
	e := math.Erf(bound / std / math.Sqrt2)
	u := (float64(v>>11) + 0.5) / (1 << 53)
	x := std * math.Sqrt2 * math.Erfinv((2*u-1)*e)
	return max(-bound, min(bound, x))
}

// IntN returns a uniform integer in [0, n). It panics if n <= 0.
func (r *Generator) IntN(n int) int {
	if n <= 0 {
		panic(fmt.Sprintf("prng.Generator.IntN: n is %d, must be positive", n))
	}
	// Lemire's multiplication with rejection: exactly uniform.
	m := uint64(n)
	hi, lo := bits.Mul64(r.Uint64(), m)
	if lo < m {
		for t := -m % m; lo < t; {
			hi, lo = bits.Mul64(r.Uint64(), m)
		}
	}
	return int(hi)
}

// Perm returns a uniform random permutation of 0..n-1 (Fisher and Yates).
func (r *Generator) Perm(n int) []int {
	p := make([]int, n)
	for i := range p {
		j := r.IntN(i + 1)
		p[i] = p[j]
		p[j] = i
	}
	return p
}
