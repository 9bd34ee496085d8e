package pixels

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/vittool/vittool/data/internal/vec"
)

// Filter names a resampling kernel with Pillow's meaning: support grows with
// the scale when shrinking, so all but Nearest antialias.
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

// at evaluates the kernel. The conversions keep the compiler from fusing
// multiply and add, which would change last bits between architectures.
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

// precision is the number of fraction bits of a weight: 32 bits less 8 for
// the pixel less 2 for the overshoot of bicubic and Lanczos.
const precision = vec.Precision

// taps is one axis of a resize: output o is the sum over i < n[o] of
// weight[o*width+i] times input lo[o]+i.
type taps struct {
	width   int // stride of weight, the largest n
	lo, n   []int32
	weight  []int64   // fixed point, precision fraction bits; zero beyond n
	weight4 []int32   // the same for assembly
	rgb     *vec.Taps // and arranged for rows of three channels
	float   []float64 // (width)
}

// makeTaps computes Pillow's coefficients for in pixels becoming out.
func makeTaps(in, out int, f Filter) *taps {
	t := &taps{}
	t.set(in, out, f)
	return t
}

// set is makeTaps in memory that is used again.
func (t *taps) set(in, out int, f Filter) {
	scale := float64(in) / float64(out)
	fs := math.Max(scale, 1)
	support := f.radius() * fs
	inv := 1 / fs
	t.lo, t.n, t.width = grow(t.lo, out), grow(t.n, out), 0
	bound := func(o int) (c float64, lo, hi int) {
		c = float64((float64(o) + 0.5) * scale)
		return c, max(int(c-support+0.5), 0), min(int(c+support+0.5), in)
	}
	for o := range out {
		_, lo, hi := bound(o)
		t.lo[o], t.n[o] = int32(lo), int32(hi-lo)
		t.width = max(t.width, hi-lo)
	}
	t.weight = grow(t.weight, out*t.width)
	clear(t.weight)
	t.float = grow(t.float, t.width)
	w := t.float
	for o := range out {
		c, lo, hi := bound(o)
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
	t.weight4 = grow(t.weight4, len(t.weight))
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

// Coefficients are kept between calls because small images are resized from
// a few dozen crop sizes over and over; the cache stops growing at a bound
// that large images, with thousands of sizes, would otherwise pass.
const tapCacheWeights = 4 << 20

type tapKey struct {
	in, out int
	f       Filter
}

var (
	tapCache     sync.Map // tapKey -> *taps
	tapCacheUsed atomic.Int64
)

// tapsFor returns the coefficients from the cache or else, computed, in own.
func tapsFor(in, out int, f Filter, own *taps) *taps {
	key := tapKey{in, out, f}
	if tapCacheUsed.Load() >= tapCacheWeights { // full: what is not there will not be
		if t, ok := tapCache.Load(key); ok {
			return t.(*taps)
		}
		own.set(in, out, f)
		return own
	}
	if t, ok := tapCache.Load(key); ok {
		return t.(*taps)
	}
	t := makeTaps(in, out, f)
	tapCache.Store(key, t)
	tapCacheUsed.Add(int64(len(t.weight)))
	return t
}
