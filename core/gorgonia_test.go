package core_test

import (
	"math"
	"testing"

	"github.com/vittool/vittool/core/device/devicetest"
)

// TestGorgoniaGradAgrees lets gorgonia differentiate the same forward operators.
func TestGorgoniaGradAgrees(t *testing.T) {
	s := parametersOf(t, 1)
	e := devicetest.New(t, 1)
	ours := buildTransformer(t, e, s, tBatch, 1)
	ours.run(t)

	m, g := recordTransformer(e, s, tBatch, 1)
	loss, gradients, err := g.GorgoniaGradients(m.loss)
	if err != nil {
		t.Fatal(err)
	}
	if b := ours.loss.Value()[0]; loss != b {
		t.Errorf("loss %v, ours %v", loss, b)
	}
	if len(gradients) != len(s.Parameters()) {
		t.Errorf("%d gradients for %d parameters", len(gradients), len(s.Parameters()))
	}
	for p, want := range gradients {
		got := ours.exe.Grad(p)
		largest := 0.0
		for _, v := range want {
			largest = max(largest, math.Abs(float64(v)))
		}
		for k := range want {
			if math.Abs(float64(got[k]-want[k])) > 1e-5*largest {
				t.Errorf("%s[%d]: %v, gorgonia.Grad gives %v", p.Name, k, got[k], want[k])
				break
			}
		}
	}
}
