package bench

import (
	"testing"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/internal/must"
)

// TestKernels measures every kernel once: each must build, run, and come out with a rate that a
// computer can have.
func TestKernels(t *testing.T) {
	e := must.Get(device.NewCPU(0))(t)
	defer e.Close()
	kernels := must.Get(Kernels(t.Context(), e, 1))(t)
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
