package programtest

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/tensor"
)

// RequireOutputs fails where the file lacks a result that its kind has. Attention and the blocks of
// a second view are the exceptions: the official files hold those of some passes only.
func RequireOutputs(t testing.TB, c *golden.Case, computed map[string]*core.Node, more ...string) {
	t.Helper()
	for _, name := range append(SortedKeys(computed), more...) {
		if !strings.Contains(name, "attn") && !(strings.Contains(name, ".block.") && strings.HasSuffix(name, ".view1")) {
			c.Require(t, name)
		}
	}
}

// Stripped lists the names of a case that begin with a prefix, without it.
func Stripped(c *golden.Case, prefix string) []string {
	out := c.Names(prefix)
	for i, n := range out {
		out[i] = strings.TrimPrefix(n, prefix)
	}
	return out
}

// SortedKeys lists the keys of a map in order.
func SortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// SameNames compares two sets of names.
func SameNames(t *testing.T, c *golden.Case, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: %s: got %v, the reference has %v", c, what, got, want)
	}
}

// CompareInts compares integers with a tensor of the case.
func CompareInts[T int32 | int64 | float64](t testing.TB, c *golden.Case, name string, got []T) {
	t.Helper()
	want := c.I64(t, name)
	if len(want) != len(got) {
		t.Errorf("%s: %s has %d elements, the reference %d", c, name, len(got), len(want))
		return
	}
	for i := range want {
		if int64(got[i]) != want[i] {
			t.Errorf("%s: %s[%d] = %v, the reference has %d", c, name, i, got[i], want[i])
			return
		}
	}
}

// Numbers reads floats, or a count of batches as one.
func Numbers(t testing.TB, c *golden.Case, name string) []float32 {
	t.Helper()
	if c.Tensor(t, name).DType != tensor.I64 {
		return c.F32(t, name)
	}
	var out []float32
	for _, v := range c.I64(t, name) {
		out = append(out, float32(v))
	}
	return out
}

// CompareGradient compares the gradient of a parameter with "grad.<name>".
func CompareGradient(t testing.TB, c *golden.Case, exe *core.Executable, name string, p *param.Parameter) {
	t.Helper()
	if p == nil {
		t.Errorf("%s: the network has no parameter %s", c, name)
		return
	}
	g := exe.Grad(p)
	if g == nil {
		t.Errorf("%s: no gradient reaches %s", c, name)
		return
	}
	c.Compare(t, "grad."+name, g)
}

// Wide converts to 64-bit floats.
func Wide[T float32 | int32](v []T) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// Near fails where got is farther than tolerance from want.
func Near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.9g, want %.9g", what, got, want)
	}
}

// Step runs a step of a model.
func Step(t testing.TB, m *program.Runner, in program.Inputs) {
	t.Helper()
	must.Do(t, m.Step(in))
}
