package program_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/vit"
)

// The masked cells of a bitmap as a list: a loss over them alone is that over all, weighted by the
// bitmap.
func TestRemovedCells(t *testing.T) {
	var cells, counted *core.Node
	m, _ := compiled(t, func(b *sdk.Builder) error {
		image := b.View("image")
		mask := b.BitMask("mask", image, func(*sdk.MaskCall, int, []byte) {}).AtMost(3)
		x := b.Student("pass", image).PatchTokens()
		sum := func(rows, weights sdk.Tensor) sdk.Tensor {
			return b.Sum(b.ScaleRows(b.Reshape(rows, -1, 8), b.Reshape(weights, -1)))
		}
		listed := sum(b.GatherTokens(x, mask.MaskedCells()), mask.Counted())
		b.Metric("listed", listed)
		b.Metric("all", sum(x, mask.Masked()))
		return b.Minimize(listed)
	}, func(_ *vit.Config, o *program.Options) {
		o.Extra = func(m *program.Compiler) ([]*core.Node, error) {
			for _, form := range []plan.Form{plan.FormMaskedCells, plan.FormCounted} {
				n, err := m.MaskNode("mask", form)
				if err != nil {
					return nil, err
				}
				cells, counted = counted, n
			}
			return nil, nil
		}
	})
	set := func(bitmap ...byte) error {
		return m.Step(program.Inputs{Masks: []plan.MaskSet{{Name: "mask", Bitmap: bitmap}}})
	}
	for range 2 { // the second time over the results of the first
		must.Do(t, set(1, 0, 1, 1 /**/, 0, 0, 0, 1 /**/, 0, 0, 0, 0 /**/, 0, 1, 1, 0))
		if want := []int32{0, 2, 3, 3, 0, 0, 0, 0, 0, 1, 2, 0}; !slices.Equal(cells.Ints(), want) {
			t.Errorf("cells %v, want %v", cells.Ints(), want)
		}
		if want := []float32{1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0}; !slices.Equal(counted.Value(), want) {
			t.Errorf("counted %v, want %v", counted.Value(), want)
		}
		if a, b := m.Metrics()["listed"], m.Metrics()["all"]; abs(a-b) > 1e-5*(1+abs(b)) {
			t.Errorf("the sum over listed cells is %g, that over all weighted ones %g", a, b)
		}
		must.Do(t, set(slices.Repeat([]byte{0, 1, 0, 0}, 4)...))
	}
	if err := set(slices.Repeat([]byte{1, 1, 1, 1}, 4)...); err == nil || !strings.Contains(err.Error(), "sample 0: 4 cells are masked, the plan has at most 3") {
		t.Errorf("too many masked cells: %v", err)
	}
}
