package programtest

import (
	"math"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// LoadBackbone fills a backbone from "param.<name>"; each of its weights must be there.
func LoadBackbone(t testing.TB, c *golden.Case, b *vit.Backbone) {
	t.Helper()
	for _, p := range b.Parameters() {
		name := "param." + p.Name
		if s := c.Tensor(t, name).Shape; !s.Equal(p.Shape) {
			t.Fatalf("%s: %s is %v, the network has %v", c, name, s, p.Shape)
		}
		copy(p.Data, c.F32(t, name))
	}
}

// ReadsAll fails if a case holds a tensor that no part of the test reads.
func ReadsAll(t testing.TB, c *golden.Case, known ...string) {
	t.Helper()
	for _, name := range c.Names("") {
		if !slices.ContainsFunc(known, func(k string) bool { return name == k || strings.HasSuffix(k, ".") && strings.HasPrefix(name, k) }) {
			t.Errorf("%s: there is no test for %s", c, name)
		}
	}
}

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

// FillView copies images into the input of a view; both must have the same size.
func FillView(t testing.TB, dst, images []float32) {
	t.Helper()
	if len(dst) != len(images) {
		t.Fatalf("the case has images of %d values and the network that its config describes reads %d", len(images), len(dst))
	}
	copy(dst, images)
}

// Stripped cuts a prefix off all names.
func Stripped(names []string, prefix string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.TrimPrefix(n, prefix)
	}
	return out
}

// SortedKeys lists the keys of a map in order.
func SortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// OfficialName is the name of a parameter without our prefixes.
func OfficialName(p *param.Parameter) string {
	return strings.TrimPrefix(strings.TrimPrefix(p.Name, runs.BackbonePrefix), runs.HeadPrefix)
}

// SameNames compares two sets of names.
func SameNames(t *testing.T, c *golden.Case, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: %s: got %v, the reference has %v", c, what, got, want)
	}
}

// CompareInts compares integers with a tensor of the case.
func CompareInts[T int32 | int64 | float64](t *testing.T, c *golden.Case, name string, got []T) {
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
func Numbers(t *testing.T, c *golden.Case, name string) []float32 {
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
	c.Compare(t, golden.ViT, "grad."+name, g)
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
	if err := m.Step(in); err != nil {
		t.Fatal(err)
	}
}
