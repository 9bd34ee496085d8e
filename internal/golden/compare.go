package golden

import (
	"math"
	"strings"
	"testing"
)

// Compare compares got with the stored tensor of that name, by the tolerance rule of README-cnn.md,
// section 2, or of README.md; see [Case.Objective]. A failure names the tensor, the index of the
// worst element, both values and the tolerance.
func (c *Case) Compare(t testing.TB, name string, got []float32) {
	t.Helper()
	wide := make([]float64, len(got))
	for i, v := range got {
		wide[i] = float64(v)
	}
	c.CompareFloat64(t, name, wide)
}

// CompareScalar is CompareFloat64 for one number, such as a loss.
func (c *Case) CompareScalar(t testing.TB, name string, got float64) {
	t.Helper()
	c.CompareFloat64(t, name, []float64{got})
}

// CompareFloat64 is Compare for float64 results; the tolerance is the same.
func (c *Case) CompareFloat64(t testing.TB, name string, got []float64) {
	t.Helper()
	want := c.F64(t, name)
	if len(got) != len(want) {
		t.Errorf("%s: %s has %d elements, the reference %d", Name(c.Path), name, len(got), len(want))
		return
	}
	var limit func(i int) float64
	if c.Meta["objective"] == "" {
		limit = c.vitLimit(t, name, want)
	} else {
		limit = c.cnnLimit(t, name, want)
	}
	worst, at := -1.0, 0
	for i := range want {
		l := limit(i)
		if math.IsInf(l, 1) {
			continue
		}
		e := math.Abs(got[i] - want[i])
		if l < 0 { // zero in theory: the size of the gradient itself counts
			e, l = math.Abs(got[i]), -l
		}
		excess := e / l
		if e == 0 {
			excess = 0
		}
		if math.IsNaN(e) {
			excess = math.Inf(1)
		}
		if excess > worst {
			worst, at = excess, i
		}
	}
	if worst > 1 {
		l := limit(at)
		t.Errorf("%s: %s[%d] = %.9g, the reference has %.9g: difference %.3g, tolerance %.3g",
			Name(c.Path), name, at, got[at], want[at], math.Abs(got[at]-want[at]), math.Abs(l))
	}
}

// vitLimit returns the tolerance of each element. A negative one bounds the value itself instead of
// the difference, for gradients that are zero in theory.
func (c *Case) vitLimit(t testing.TB, name string, want []float64) func(int) float64 {
	d, m := c.deviation[name][0], maxAbs(want)
	trajectory := strings.HasPrefix(name, "traj.")
	floor := 4e-6
	switch {
	case name == "traj.losses":
		floor = 1e-5
	case trajectory:
		floor = 5e-5
	}
	plain := max(4*d, floor*m)
	loose := 0.0
	if trajectory && c.Has("traj.lr") {
		for _, lr := range c.F64(t, "traj.lr") {
			loose += 2 * lr
		}
		if strings.HasSuffix(name, "running_mean") {
			loose *= 10
		}
		if c.ill[name] {
			return func(int) float64 { return max(plain, loose) }
		}
	}
	ranges := c.zero[c.trainedOf(name)]
	if len(ranges) == 0 || !(trajectory || strings.HasPrefix(name, "grad.")) {
		return func(int) float64 { return plain }
	}
	row := 1
	for _, n := range c.Tensor(t, name).Shape[1:] {
		row *= n
	}
	largest := c.largestGradient(t)
	return func(i int) float64 {
		for _, r := range ranges {
			if i/row >= r[0] && i/row < r[1] {
				if trajectory {
					return max(plain, loose)
				}
				return -1e-5 * largest
			}
		}
		return plain
	}
}

// cnnLimit returns the tolerance of each element: 8 times the deviation of PyTorch in float32 from
// float64.
func (c *Case) cnnLimit(t testing.TB, name string, want []float64) func(int) float64 {
	s := maxAbs(want)
	gradient := strings.HasPrefix(name, "grad.")
	if gradient {
		largest := c.largestGradient(t)
		if c.ill[name] {
			return func(int) float64 { return 1e-5 * largest }
		}
		s = max(s, 0.01*largest)
	}
	if c.ill[name] {
		return func(int) float64 { return math.Inf(1) }
	}
	limit := 8 * max(c.deviation[name][0], c.group[groupOf(name)]*s, 1e-6*s)
	return func(int) float64 { return limit }
}

// largestGradient returns the largest absolute value of all gradients of the case.
func (c *Case) largestGradient(t testing.TB) float64 {
	t.Helper()
	largest := 0.0
	for _, n := range c.Names("grad.") {
		largest = max(largest, maxAbs(c.F64(t, n)))
	}
	return largest
}

// groupOf returns the group of a name under the CNN rule: loss, out, grad, after, traj.
func groupOf(name string) string {
	g, _, _ := strings.Cut(name, ".")
	return g
}

// trainedOf returns the trained parameter behind the name of a result, such as a teacher's copy.
func (c *Case) trainedOf(name string) string {
	for _, p := range []string{"traj.param.", "traj.teacher.", "grad."} {
		if rest, ok := strings.CutPrefix(name, p); ok {
			name = rest
			break
		}
	}
	if c.Trained != nil {
		return c.Trained(name)
	}
	return name
}

func maxAbs(v []float64) float64 {
	m := 0.0
	for _, x := range v {
		m = max(m, math.Abs(x))
	}
	return m
}
