// Package device holds the threads and the memory budget of computation, and arithmetic outside of
// graphs: matrix products and random numbers.
package device

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/vittool/vittool/core/internal/f32"
)

// CPU is the device of all computation today: a pool of threads that run kernels. Graphs of one CPU
// share it; their kernels take turns.
type CPU struct {
	// Budget bounds the memory of the graphs of this device; nil means no bound.
	Budget *Budget

	pool *f32.Pool
	once sync.Once
	peak float64
}

// NewCPU starts a CPU with the given number of threads; 0 means one per processor
// (runtime.GOMAXPROCS). Kernels that the environment variable VITTOOL_KERNELS names and this
// machine cannot run are an error.
func NewCPU(threads int) (*CPU, error) {
	if threads < 0 {
		return nil, fmt.Errorf("threads is %d: use 0 for one per processor, or a positive number", threads)
	}
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	if err := f32.Err(); err != nil {
		return nil, err
	}
	return &CPU{pool: f32.NewPool(threads)}, nil
}

// Apart returns the same threads with the memory that is left, but for reserve bytes, as a budget of
// its own: for graphs that are dropped before others take memory. It is not closed by itself.
func (d *CPU) Apart(reserve int64) *CPU {
	apart := &CPU{pool: d.pool}
	if b := d.Budget; b != nil {
		apart.Budget = &Budget{Limit: b.Limit - b.Used - reserve}
	}
	return apart
}

// Threads returns the number of threads.
func (d *CPU) Threads() int { return d.pool.Threads() }

// Pool returns the threads themselves, for kernels.
func (d *CPU) Pool() *f32.Pool { return d.pool }

// Level names the kernels in use: generic, avx2 or avx512. Runs of one level give the same bits for
// any number of threads.
func (d *CPU) Level() string { return f32.Current().String() }

// Peak returns the measured peak of fused multiply-adds with all threads, in GFLOP/s. The first
// call measures it for a twentieth of a second.
func (d *CPU) Peak() float64 {
	d.once.Do(func() { d.peak = f32.Peak(d.pool) })
	return d.peak
}

// MeasurePeak measures the peak anew for a twentieth of a second, in GFLOP/s.
func (d *CPU) MeasurePeak() float64 { return f32.Peak(d.pool) }

// PeakNow measures the momentary peak for a hundredth of a second, in GFLOP/s.
func (d *CPU) PeakNow() float64 { return f32.PeakNow(d.pool) }

// Close ends the threads. Graphs of the device must not run any more.
func (d *CPU) Close() { d.pool.Close() }
