// Package device owns the threads and the memory that computation takes, and the little
// arithmetic that stands outside of any graph.
package device

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/vittool/vittool/core/internal/f32"
)

// CPU is the device of all computation today: the threads that run kernels. Graphs of one CPU share them;
// their kernels take turns.
type CPU struct {
	// Budget bounds the memory of the graphs that are built; nil does not.
	Budget *Budget

	pool *f32.Pool
	once sync.Once
	peak float64
}

// NewCPU starts a CPU with the given number of threads; 0 means one per
// processor (runtime.GOMAXPROCS). It fails when the environment variable
// VITTOOL_KERNELS asks for kernels this machine cannot run.
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

// Threads returns the number of threads.
func (e *CPU) Threads() int { return e.pool.Threads() }

// Pool returns the threads themselves, for kernels.
func (e *CPU) Pool() *f32.Pool { return e.pool }

// Level names the kernels in use: generic, avx2 or avx512. Results are equal bit
// for bit between runs of one level, whatever the number of threads.
func (e *CPU) Level() string { return f32.Current().String() }

// Peak returns the measured peak of fused multiply-adds in GFLOP/s with all
// threads. The first call measures for a moment.
func (e *CPU) Peak() float64 {
	e.once.Do(func() { e.peak = f32.Peak(e.pool) })
	return e.peak
}

// MeasurePeak measures the peak anew, as thoroughly as Peak: in a twentieth of a second.
func (e *CPU) MeasurePeak() float64 { return f32.Peak(e.pool) }

// PeakNow measures the peak in a hundredth of a second, for a share of what the machine
// gives at that moment.
func (e *CPU) PeakNow() float64 { return f32.PeakNow(e.pool) }

// Close ends the threads. Graphs of the device must not run any more.
func (e *CPU) Close() { e.pool.Close() }
