package f32

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

// TestMain fails when assembly was asked for but silently left out.
func TestMain(m *testing.M) {
	if os.Getenv("VITTOOL_REQUIRE_ASM") == "1" && len(Available()) == 1 {
		fmt.Fprintln(os.Stderr, "VITTOOL_REQUIRE_ASM=1, but no assembly level is available in this build on this processor")
		os.Exit(1)
	}
	if err := Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// setLevel switches the whole process to level l. Buffers packed by PackB at another level must be
// packed again. It must not be called while kernels run.
func setLevel(l Level) error {
	kernels() // the environment is read once, before any explicit choice
	t := tableFor(l)
	if t == nil {
		return unavailable(l)
	}
	currentTable.Store(t)
	return nil
}

// eachLevel runs f at every level this machine has.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	before := Current()
	defer func() {
		must.Do(t, setLevel(before))
	}()
	for _, l := range Available() {
		must.Do(t, setLevel(l))
		t.Run(l.String(), f)
	}
}

func newPool(t testing.TB, threads int) *Pool {
	p := NewPool(threads)
	t.Cleanup(p.Close)
	return p
}

// guard surrounds the operands of a test; any other value there afterwards is a write out of
// bounds.
const guard = float32(-7.25e11)

// guarded is a slice with guard values on both sides, off alignment.
type guarded struct {
	name string
	all  []float32
	x    []float32
}

const margin = 40

func newGuarded(name string, n int) *guarded {
	all := make([]float32, n+2*margin+3)
	for i := range all {
		all[i] = guard
	}
	g := &guarded{name: name, all: all}
	g.x = all[margin+n%3 : margin+n%3+n : margin+n%3+n]
	clear(g.x)
	return g
}

// random fills the slice with values of a normal distribution.
func (g *guarded) random(r *rand.Rand, scale float64) *guarded {
	for i := range g.x {
		g.x[i] = float32(r.NormFloat64() * scale)
	}
	return g
}

func (g *guarded) check(t testing.TB) {
	t.Helper()
	at := margin + len(g.x)%3
	for i, v := range g.all {
		if v != guard && (i < at || i >= at+len(g.x)) {
			t.Fatalf("%s: wrote %v at index %d of a slice of %d", g.name, v, i-at, len(g.x))
		}
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func maxAbs(x []float64) float64 {
	m := 0.0
	for _, v := range x {
		m = math.Max(m, math.Abs(v))
	}
	return m
}

// near fails unless every value is within tolerance times the largest reference value (or scale, if
// that is larger).
func near(t testing.TB, name string, got []float32, want []float64, tolerance, scale float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	limit := tolerance * math.Max(maxAbs(want), scale)
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - w); !(d <= limit) {
			t.Fatalf("%s[%d] = %v, want %v (off by %.3g, tolerance %.3g)", name, i, got[i], w, d, limit)
		}
	}
}

func sameBits(t testing.TB, name string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s[%d] = %v, want the bits of %v", name, i, got[i], want[i])
		}
	}
}

func geluTrue(x float64) float64 { return 0.5 * x * math.Erfc(-x/math.Sqrt2) }

func geluSlope(x float64) float64 {
	return 0.5*math.Erfc(-x/math.Sqrt2) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
}

// some returns every case, or a part of them under the race detector, which makes the plain
// reference loops ten times slower.
func some[T any](cases []T) []T {
	if !raceEnabled {
		return cases
	}
	var part []T
	for i := 0; i < len(cases); i += 7 {
		part = append(part, cases[i])
	}
	return part
}
