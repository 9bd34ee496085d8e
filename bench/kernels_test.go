package bench

import (
	"os"
	"testing"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/internal/must"
)

// TestKernels measures kernels once: each must build, run, and come out with a rate that a computer
// can have. By default every fourth matrix product is measured, so that all three forms are among
// them; with VITTOOL_TEST_FULL all are.
func TestKernels(t *testing.T) {
	e := must.Get(device.NewCPU(0))(t)
	defer e.Close()
	list, products := must.Get(recipes())(t), 1+len(must.Get(stepShapes())(t))
	measureList := func() ([]Kernel, error) { return Kernels(t.Context(), e, 1) }
	if os.Getenv("VITTOOL_TEST_FULL") == "" {
		some := list[products:]
		for i := 1; i < products; i += 4 {
			some = append(some, list[i])
		}
		list = some
		measureList = func() ([]Kernel, error) { return measureAll(t.Context(), e, list, 1) }
	}
	kernels := must.Get(measureList())(t)
	if len(kernels) != len(list) {
		t.Errorf("%d kernels were measured, want %d", len(kernels), len(list))
	}
	for _, k := range kernels {
		t.Logf("%-50s %-32s %8.3f ms %6.0f GFLOP/s %4.0f%%", k.Name, k.Shape, k.Time.Median*1e3, k.GFLOPs, 100*k.OfPeak.Median)
		if k.Time.Median <= 0 {
			t.Errorf("%s %s took %v s", k.Name, k.Shape, k.Time.Median)
		}
		if k.GFLOPs <= 0 && k.GigaBytes <= 0 && k.NsPerValue <= 0 {
			t.Errorf("%s %s has no rate", k.Name, k.Shape)
		}
	}
}
