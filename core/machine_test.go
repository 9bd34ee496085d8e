package core_test

import (
	"slices"
	"testing"

	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/internal/must"
)

// TestTapeMachineAgrees runs the same graph on gorgonia's tape machine: the loss and every gradient
// must have the same bits.
func TestTapeMachineAgrees(t *testing.T) {
	s := parametersOf(t, 1)
	e := devicetest.New(t, 2)
	m := buildTransformer(t, e, s, tBatch, 1)
	m.run(t)
	loss, grads := m.loss.Value()[0], map[string][]float32{}
	for _, p := range m.exe.Parameters() {
		grads[p.Name] = slices.Clone(m.exe.Grad(p))
		clear(m.exe.Grad(p))
	}
	m.loss.Value()[0] = 0

	must.Do(t, m.exe.RunOnTape())
	if got := m.loss.Value()[0]; got != loss {
		t.Errorf("loss %v, on the tape machine %v", loss, got)
	}
	for _, p := range m.exe.Parameters() {
		if !slices.Equal(m.exe.Grad(p), grads[p.Name]) {
			t.Errorf("the gradient of %s differs on the tape machine", p.Name)
		}
	}
}

// TestRunAllocates: the allocations of a run of a compiled graph (closures of its loss) depend
// neither on the batch nor on the number of blocks.
func TestRunAllocates(t *testing.T) {
	allocations := func(depth, batch int) float64 {
		m := buildTransformer(t, devicetest.New(t, 1), parametersOf(t, depth), batch, depth)
		m.run(t)
		return testing.AllocsPerRun(5, func() { m.run(t) })
	}
	base := allocations(1, tBatch)
	for _, c := range [][2]int{{4, tBatch}, {1, 8 * tBatch}} {
		if n := allocations(c[0], c[1]); n > base {
			t.Errorf("%d blocks, batch %d: %v allocations a run, and %v with 1 block and a batch of %d", c[0], c[1], n, base, tBatch)
		}
	}
}
