package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"

	"github.com/vittool/vittool/configs"
)

// A Step is the cost of one step of training: images from disk or demo, masks from the plugin's
// process, forward and backward pass, optimizer, logging.
type Step struct {
	Model       string  `json:"model"`
	Objective   string  `json:"objective"`
	Batch       int     `json:"batch"`
	Parameters  int64   `json:"parameters"`
	FLOPs       float64 `json:"flops"` // of the model, forward and backward
	Time        Summary `json:"seconds"`
	ImagesPerS  float64 `json:"images_per_s"` // at the median
	GFLOPs      float64 `json:"gflops"`
	OfPeak      Summary `json:"share_of_peak"`     // share of the peak that was measured next to each step
	DataWait    Summary `json:"data_wait"`         // share of a step spent waiting for images and masks
	Allocations float64 `json:"allocations"`       // objects a step, all goroutines
	Allocated   float64 `json:"allocated_bytes"`   // bytes a step
	PeakMemory  int64   `json:"peak_memory_bytes"` // of the process so far; 0: unknown here
}

// MeasureStep runs steps of cfg and reports those after the warm-up. peak measures the machine's
// peak at the moment, before and after each reported step. Another step, which is not reported,
// follows each measurement: meanwhile the loader reads ahead, which must not count.
func MeasureStep(ctx context.Context, cfg configs.Config, warmup, rounds int, peak func() float64) (_ *Step, err error) {
	t, err := StartTraining(ctx, "training", cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	plan, err := t.Plan(ctx)
	if err != nil {
		return nil, err
	}
	for range warmup {
		if _, err := t.Step(ctx); err != nil {
			return nil, err
		}
	}
	var before, after runtime.MemStats
	var times, waits Series
	var objects, bytes uint64
	peaks := Series{peak()}
	for range rounds {
		if _, err := t.Step(ctx); err != nil {
			return nil, err
		}
		runtime.ReadMemStats(&before)
		d, s, err := t.Next(ctx)
		if err != nil {
			return nil, err
		}
		runtime.ReadMemStats(&after)
		objects, bytes = objects+after.Mallocs-before.Mallocs, bytes+after.TotalAlloc-before.TotalAlloc
		times, waits, peaks = append(times, d.Seconds()), append(waits, s.DataWait), append(peaks, peak())
	}

	median := times.Median()
	return &Step{
		Model: plan.Model, Objective: plan.Objective, Batch: plan.BatchSize, Parameters: plan.Parameters, FLOPs: plan.StepFLOPs,
		Time: times.Summary(), ImagesPerS: float64(plan.BatchSize) / median, GFLOPs: plan.StepFLOPs / median / 1e9,
		OfPeak: shareOfPeak(plan.StepFLOPs, times, peaks).Summary(), DataWait: waits.Summary(),
		Allocations: float64(objects) / float64(rounds), Allocated: float64(bytes) / float64(rounds), PeakMemory: peakMemory(),
	}, nil
}

func (s *Step) write(w io.Writer) {
	fmt.Fprintf(w, "\na step of %s with %s, batch %d (minimum / median / maximum of %d)\n", s.Objective, s.Model, s.Batch, s.Time.Count)
	fmt.Fprintf(w, "time         %s s\n", s.Time.Format("%.3f"))
	fmt.Fprintf(w, "images       %.0f a second\n", s.ImagesPerS)
	fmt.Fprintf(w, "arithmetic   %.1f GFLOP, %.0f GFLOP/s, %s %% of the peak of the same moment\n", s.FLOPs/1e9, s.GFLOPs, s.OfPeak.percent("%.0f"))
	fmt.Fprintf(w, "data wait    %s %% of a step\n", s.DataWait.percent("%.1f"))
	fmt.Fprintf(w, "allocations  %.0f objects, %.1f KiB a step\n", s.Allocations, s.Allocated/1024)
	if s.PeakMemory > 0 {
		fmt.Fprintf(w, "peak memory  %.0f MiB\n", float64(s.PeakMemory)/(1<<20))
	}
}

// peakMemory is the most memory this process has held, in bytes; 0 where the system does not say.
func peakMemory() int64 {
	kib, _, _ := strings.Cut(procField("/proc/self/status", "VmHWM"), " ")
	n, err := strconv.ParseInt(kib, 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// A Boundary is the cost of the objective's own process.
type Boundary struct {
	Process Summary `json:"process_seconds"`
	Inproc  Summary `json:"inproc_seconds"`
	Ratio   Summary `json:"ratio"` // process over inproc, round by round
	// Fastest is the same ratio of the two fastest steps, those that the rest of the machine
	// disturbed least.
	Fastest float64 `json:"fastest_ratio"`
}

// MeasureBoundary runs cfg with the objective in its own process and inside this one, in turn.
func MeasureBoundary(ctx context.Context, cfg configs.Config, warmup, rounds int) (_ *Boundary, err error) {
	var sides []Stepper
	for _, mode := range []string{"process", "inproc"} {
		cfg.Objective.Mode = mode
		t, err := StartTraining(ctx, mode, cfg)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, t.Close()) }()
		sides = append(sides, t)
	}
	s, err := Interleave(ctx, warmup, rounds, sides...)
	if err != nil {
		return nil, err
	}
	return &Boundary{s[0].Summary(), s[1].Summary(), s[0].Over(s[1]).Summary(), s[0].Min() / s[1].Min()}, nil
}

func (b *Boundary) write(w io.Writer) {
	fmt.Fprintf(w, "\nthe objective in its own process, against inside this one, %d steps of each in turn\n", b.Ratio.Count)
	fmt.Fprintf(w, "own process  %s s\n", b.Process.Format("%.4f"))
	fmt.Fprintf(w, "inside       %s s\n", b.Inproc.Format("%.4f"))
	fmt.Fprintf(w, "ratio        %s, of the fastest steps %.3f\n", b.Ratio.Format("%.3f"), b.Fastest)
}
