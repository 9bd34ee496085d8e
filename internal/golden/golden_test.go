package golden

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// recorder notes failures instead of failing.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// TestCompareCatches: the stored values pass, values just outside the tolerance fail with tensor,
// index and both values named.
func TestCompareCatches(t *testing.T) {
	c := Open(t, filepath.Join(Repository(t), "testdata", "reference", "optim", "a_optimizers.safetensors"))
	name := c.Names("out.adamw.")[0]
	want := c.F64(t, name)
	at := len(want) / 2
	shifted := func(by float64) []float64 {
		got := append([]float64{}, want...)
		got[at] += by
		return got
	}
	for _, tc := range []struct {
		objective string // of the metadata, which chooses the rule
		limit     float64
	}{
		{c.Meta["objective"], 8 * max(c.deviation[name][0], c.group["out"]*maxAbs(want), 1e-6*maxAbs(want))},
		{"", max(4*c.deviation[name][0], 4e-6*maxAbs(want))},
	} {
		c.Meta["objective"] = tc.objective
		r := &recorder{TB: t}
		c.CompareFloat64(r, name, shifted(0.99*tc.limit))
		if len(r.failures) != 0 {
			t.Errorf("inside the tolerance: %v", r.failures)
		}
		c.CompareFloat64(r, name, shifted(1.01*tc.limit))
		if len(r.failures) != 1 {
			t.Fatalf("outside the tolerance: %d failures", len(r.failures))
		}
		for _, part := range []string{name, fmt.Sprintf("[%d]", at), "tolerance"} {
			if !strings.Contains(r.failures[0], part) {
				t.Errorf("%q does not name %q", r.failures[0], part)
			}
		}
	}
	c.Meta["objective"] = "optim"
	r := &recorder{TB: t}
	c.CompareFloat64(r, name, want[1:])
	got := shifted(0)
	got[0] /= 0 * got[0]
	c.CompareFloat64(r, name, got)
	if len(r.failures) != 2 {
		t.Errorf("a wrong length and a NaN give %d failures, want 2: %v", len(r.failures), r.failures)
	}
}

// TestKnownZeroGradients: where the true gradient is zero only the size counts.
func TestKnownZeroGradients(t *testing.T) {
	c := Open(t, filepath.Join(Repository(t), "testdata", "reference", "mae", "a_plain_traj.safetensors"))
	for name, ranges := range c.zero {
		limit := c.vitLimit(t, "grad."+name, c.F64(t, "grad."+name))
		if l := limit(ranges[0][0]); l != -1e-5*c.largestGradient(t) {
			t.Errorf("%s: limit %v inside the range", name, l)
		}
		if l := limit(ranges[0][0] - 1); l <= 0 {
			t.Errorf("%s: limit %v outside the range", name, l)
		}
	}
	if len(c.zero) == 0 {
		t.Error("no known_zero_grads were read")
	}
}
