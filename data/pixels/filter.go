package pixels

import (
	"fmt"
	"iter"
	"math"
	"sync"
	"sync/atomic"

	"github.com/vittool/vittool/data/internal/vec"
)

// Filter names a resampling kernel with Pillow's meaning: support grows with the scale when
// shrinking, so all but Nearest antialias.
type Filter uint8

const (
	Nearest Filter = iota
	Box
	Bilinear
	Bicubic // a = -0.5
	Lanczos // three lobes
)

var filterNames = [...]string{"nearest", "box", "bilinear", "bicubic", "lanczos"}

func (f Filter) String() string {
	if int(f) < len(filterNames) {
		return filterNames[f]
	}
	return fmt.Sprintf("Filter(%d)", uint8(f))
}

// ParseFilter is the inverse of Filter.String.
func ParseFilter(name string) (Filter, error) {
	for i, n := range filterNames {
		if n == name {
			return Filter(i), nil
		}
	}
	return 0, fmt.Errorf("unknown interpolation %q; valid are %q", name, filterNames)
}

func (f Filter) radius() float64 {
	switch f {
	case Box:
		return 0.5
	case Bilinear:
		return 1
	case Bicubic:
		return 2
	case Lanczos:
		return 3
	}
	panic("pixels: " + f.String() + " has no kernel")
}

// at evaluates the kernel. The conversions keep the compiler from fusing multiply and add, which
// would change last bits between architectures.
func (f Filter) at(x float64) float64 {
	switch f {
	case Box:
		if x > -0.5 && x <= 0.5 {
			return 1
		}
	case Bilinear:
		if x = math.Abs(x); x < 1 {
			return 1 - x
		}
	case Bicubic:
		const a = -0.5
		x = math.Abs(x)
		if x < 1 {
			return float64(float64(float64((a+2)*x)-(a+3))*x*x) + 1
		}
		if x < 2 {
			return (float64((float64((x-5)*x)+8)*x) - 4) * a
		}
	case Lanczos:
		if x >= -3 && x < 3 {
			return sinc(x) * sinc(x/3)
		}
	}
	return 0
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

// precision is the number of fraction bits of a weight: 32 bits less 8 for the pixel less 2 for the
// overshoot of bicubic and Lanczos.
const precision = vec.Precision

// taps is one axis of a resize: output o is the sum over i < n[o] of weight[o*width+i] times input
// lo[o]+i.
type taps struct {
	width   int // stride of weight, the largest n
	lo, n   []int32
	weight  []int64   // fixed point, precision fraction bits; zero beyond n
	weight4 []int32   // the same for assembly
	rgb     *vec.Taps // and arranged for rows of three channels
	float   []float64 // (width)
}

// span is a row or a column of a resize: in pixels become out, of which those from the place from
// on are made, n in number.
type span struct{ in, out, from, n int }

// reach returns the inputs lo <= i < hi that output o is made of, and the middle of them.
func (s span) reach(o int, f Filter) (c float64, lo, hi int) {
	scale := float64(s.in) / float64(s.out)
	support := f.radius() * math.Max(scale, 1)
	c = float64((float64(o) + 0.5) * scale)
	return c, max(int(c-support+0.5), 0), min(int(c+support+0.5), s.in)
}

// source returns the first input and the number of inputs that a span needs.
func (s span) source(f Filter) (first, n int) {
	last := s.from + s.n - 1
	switch {
	case s.in == s.out:
		return s.from, s.n
	case f == Nearest:
		for o, at := range s.walk() {
			if o == 0 {
				first = at
			}
			n = at - first + 1
		}
		return first, n
	}
	_, lo, _ := s.reach(s.from, f)
	_, _, hi := s.reach(last, f)
	return lo, hi - lo
}

// walk yields the outputs of the span, counted from its first, and the inputs that Nearest takes
// for them. Pillow accumulates the step instead of multiplying, and the rounding of the sum decides
// ties. Far out in sizes that no picture has, which would take for ever, a product stands in for
// the sum.
func (s span) walk() iter.Seq2[int, int] {
	return func(yield func(o, at int) bool) {
		step := float64(s.in) / float64(s.out)
		x := 0.5 * step
		if s.from > 1<<26 {
			x += float64(s.from) * step
		} else {
			for range s.from {
				x += step
			}
		}
		for o := range s.n {
			if !yield(o, min(int(x), s.in-1)) {
				return
			}
			x += step
		}
	}
}

// set computes Pillow's coefficients of a span, in memory that is used again. The inputs count from
// the first that they need.
func (t *taps) set(s span, f Filter) {
	scale := float64(s.in) / float64(s.out)
	inv := 1 / math.Max(scale, 1)
	out := s.n
	first, _ := s.source(f)
	t.lo, t.n, t.width = Grow(t.lo, out), Grow(t.n, out), 0
	for o := range out {
		_, lo, hi := s.reach(s.from+o, f)
		t.lo[o], t.n[o] = int32(lo-first), int32(hi-lo)
		t.width = max(t.width, hi-lo)
	}
	t.weight = Grow(t.weight, out*t.width)
	clear(t.weight)
	t.float = Grow(t.float, t.width)
	w := t.float
	for o := range out {
		c, lo, hi := s.reach(s.from+o, f)
		var sum float64
		for i := lo; i < hi; i++ {
			w[i-lo] = f.at((float64(i) - c + 0.5) * inv)
			sum += w[i-lo]
		}
		for i, v := range w[:hi-lo] {
			if sum != 0 {
				v /= sum
			}
			fixed := float64(v * (1 << precision))
			t.weight[o*t.width+i] = int64(math.Trunc(fixed + math.Copysign(0.5, v)))
		}
	}
	if !vec.Assembly() {
		return
	}
	t.weight4 = Grow(t.weight4, len(t.weight))
	for i, v := range t.weight {
		t.weight4[i] = int32(v)
	}
	if t.rgb == nil {
		t.rgb = &vec.Taps{}
	}
	t.rgb.Reset(out, t.width)
	for o := range out {
		t.rgb.Set(o, int(t.lo[o]), t.weight[o*t.width:][:t.n[o]])
	}
}

// tapCacheWeights bounds the coefficients that are kept between calls. They are kept because small
// images are resized from a few dozen crop sizes over and over; large images, with thousands of
// sizes, would fill any memory.
const tapCacheWeights = 4 << 20

type tapKey struct {
	span
	f Filter
}

var (
	tapCache     sync.Map // tapKey -> *taps
	tapCacheUsed atomic.Int64
)

// tapsFor returns the coefficients from the cache or else, computed, in own.
func tapsFor(s span, f Filter, own *taps) *taps {
	key := tapKey{s, f}
	if tapCacheUsed.Load() >= tapCacheWeights { // full: nothing is added any more
		if t, ok := tapCache.Load(key); ok {
			return t.(*taps)
		}
		own.set(s, f)
		return own
	}
	if t, ok := tapCache.Load(key); ok {
		return t.(*taps)
	}
	t := &taps{}
	t.set(s, f)
	tapCache.Store(key, t)
	tapCacheUsed.Add(int64(len(t.weight)))
	return t
}
