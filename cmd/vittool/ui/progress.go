package ui

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/train"
)

// Level is the amount of output of a run.
type Level int

// The levels: errors and results only, a line now and then or a bar, every step.
const (
	Quiet Level = iota
	Normal
	Verbose
)

// NewProgress shows a run: a bar on a terminal, lines elsewhere.
func NewProgress(w io.Writer, terminal bool, level Level) train.Progress {
	head := header{w: w, quiet: level == Quiet}
	if terminal && level == Normal {
		return &bar{header: head}
	}
	l := &lines{header: head, now: time.Now, every: 5 * time.Second}
	if level == Verbose {
		l.every = 0
	}
	return l
}

// header prints the start and the end of a run, the same for lines and bar.
type header struct {
	w     io.Writer
	quiet bool
	plan  train.Overview
	knn   string // newest evaluation
}

// accuracy is the share of an evaluation in percent.
func accuracy(e runs.EvalLine) string { return fmt.Sprintf("knn %.2f %%", 100*e.KNN) }

// evaluated is an evaluation in words.
func evaluated(e runs.EvalLine) string {
	return fmt.Sprintf("%s of %s after step %d, by %s among %s", accuracy(e), counted(e.Test, "test image"), e.Step, counted(e.K, "neighbor"), counted(e.Train, "image"))
}

func (h *header) Start(p train.Overview) {
	h.plan = p
	if h.quiet {
		return
	}
	t := NewTable()
	t.Row("run", p.RunDir)
	t.Row("objective", p.Objective)
	t.Row("model", fmt.Sprintf("%s, %s parameters with the heads", p.Model, Count(float64(p.Parameters), "")))
	t.Row("data", fmt.Sprintf("%s, %.6g a step", counted(p.Images, "image"), perStep(p)))
	length := fmt.Sprintf("%s, %.4g an epoch", counted(p.TotalSteps, "step"), p.StepsPerEpoch)
	if p.FirstStep > 0 {
		length += fmt.Sprintf(", resumed after step %d", p.FirstStep)
	}
	t.Row("length", length)
	if p.StepFLOPs > 0 {
		t.Row("cost", fmt.Sprintf("%s a step, %s in all", Count(p.StepFLOPs, "FLOP"), Count(p.StepFLOPs*float64(p.TotalSteps), "FLOP")))
	}
	if p.StepBytes > 0 {
		t.Row("memory", fmt.Sprintf("%s for activations and gradients, up to %s for images", Count(float64(p.StepBytes), "B"), Count(float64(p.ImageBytes), "B")))
	}
	_ = t.Write(h.w) // a closed terminal must not stop a run
}

// counted is a number of things in words: 1 step, 2 steps.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// perStep is the number of images of a step. A micro-batch ends with its epoch, so that where the
// images are fewer than a step is to take, it is the mean.
func perStep(p train.Overview) float64 {
	size := float64(p.BatchSize)
	if p.Images < p.BatchSize && p.StepsPerEpoch > 0 {
		size = min(size, float64(p.Images)/p.StepsPerEpoch)
	}
	return size
}

func (h *header) Done(r *train.Result) {
	if h.quiet || r == nil {
		return
	}
	state := "done"
	switch {
	case r.Interrupted:
		state = fmt.Sprintf("interrupted after step %d of %d; go on with --resume --out %s", r.Step, r.TotalSteps, r.RunDir)
	case r.Failed:
		state = fmt.Sprintf("failed after step %d of %d; the error follows", r.Step, r.TotalSteps)
	}
	t := NewTable()
	t.Row("state", state)
	if r.Loss != 0 { // zero: no step was done
		t.Row("loss", fmt.Sprintf("%.4f in the last step, %.4f in the mean of %s", r.LastLoss, r.Loss, r.LossOf))
	}
	if r.Eval != nil {
		t.Row("features", evaluated(*r.Eval))
	}
	if r.ImagesPerS > 0 {
		t.Row("speed", fmt.Sprintf("%s, %.1f %% of the time waiting for data", Rate(r.ImagesPerS), 100*r.DataWait))
	}
	t.Row("time", Duration(r.Elapsed))
	if r.Skipped > 0 {
		t.Row("skipped", fmt.Sprintf("%d images that can't be read, listed in skipped.txt", r.Skipped))
	}
	t.Row("checkpoint", r.Checkpoint)
	if list := pictures(r.RunDir); len(list) > 0 {
		t.Row("pictures", strings.Join(list, ", "))
	}
	_ = t.Write(h.w)
}

// pictures lists the newest picture of each kind in a run folder, the loss curve last.
func pictures(runDir string) []string {
	var list, curve []string
	files, _ := filepath.Glob(filepath.Join(runDir, runs.PicturesDir, "*.png")) // sorted, so by step
	kinds := map[string]int{}
	for _, f := range files {
		kind, _, drawn := strings.Cut(filepath.Base(f), "-0")
		switch i, known := kinds[kind]; {
		case !drawn:
			curve = append(curve, f)
		case known:
			list[i] = f
		default:
			kinds[kind] = len(list)
			list = append(list, f)
		}
	}
	return append(list, curve...)
}

// lines prints a line at the first step, at most every few seconds after it, and at the last step.
type lines struct {
	header
	now   func() time.Time
	every time.Duration
	last  time.Time
}

func (l *lines) Step(s train.Step) {
	now := l.now()
	if l.quiet || (now.Sub(l.last) < l.every && s.Step != l.plan.TotalSteps) {
		return
	}
	l.last = now
	left := ""
	if s.ImagesPerS > 0 && s.Step < l.plan.TotalSteps {
		seconds := float64(l.plan.TotalSteps-s.Step) * float64(l.plan.BatchSize) / s.ImagesPerS
		left = ", " + Duration(time.Duration(seconds*float64(time.Second))) + " left"
	}
	knn := ""
	if l.knn != "" {
		knn = "  " + l.knn
	}
	fmt.Fprintf(l.w, "step %d/%d  epoch %.2f  loss %.4f%s  lr %.2e  %s%s\n",
		s.Step, l.plan.TotalSteps, s.Epoch, s.Loss, knn, s.LearningRate, Rate(s.ImagesPerS), left)
}

func (l *lines) Evaluated(e runs.EvalLine) {
	l.knn = accuracy(e)
	l.Event(fmt.Sprintf("%s (%s)", evaluated(e), Duration(time.Duration(e.Seconds*float64(time.Second)))))
}

func (l *lines) Event(message string) {
	if !l.quiet {
		fmt.Fprintln(l.w, message)
	}
}

func (l *lines) Warning(message string) { fmt.Fprintln(l.w, "warning: "+message) }

// bar draws a progress bar with the time left.
type bar struct {
	header
	gauge *gauge // nil before the start
}

func (b *bar) Start(p train.Overview) {
	b.header.Start(p)
	b.gauge = newGauge(b.w, "step", p.FirstStep, p.TotalSteps)
	b.gauge.draw()
}

func (b *bar) Step(s train.Step) {
	facts := []string{fmt.Sprintf("loss %.4f", s.Loss), fmt.Sprintf("epoch %.1f", s.Epoch), Rate(s.ImagesPerS)}
	if b.knn != "" {
		facts = slices.Insert(facts, 1, b.knn)
	}
	b.gauge.set(s.Step, facts...)
}

// Evaluated shows the newest figure in the bar; report lists all.
func (b *bar) Evaluated(e runs.EvalLine) {
	b.knn = accuracy(e)
	if b.gauge != nil {
		b.gauge.draw()
	}
}

func (b *bar) Event(message string) {
	if b.gauge == nil {
		fmt.Fprintln(b.w, message)
		return
	}
	b.gauge.clear()
	fmt.Fprintln(b.w, message)
	b.gauge.draw()
}

func (b *bar) Warning(message string) { b.Event("warning: " + message) }

func (b *bar) Done(r *train.Result) {
	if b.gauge != nil {
		b.gauge.clear()
		b.gauge = nil
	}
	b.header.Done(r)
}

// Rate writes images per second with two digits at least.
func Rate(imagesPerS float64) string {
	switch {
	case imagesPerS >= 9.95:
		return fmt.Sprintf("%.0f images/s", imagesPerS)
	case imagesPerS >= 0.995:
		return fmt.Sprintf("%.1f images/s", imagesPerS)
	}
	return fmt.Sprintf("%.2g images/s", imagesPerS)
}

// Count writes a large number with the letter of its thousands before a unit, as in 5.7 M or 1.2
// TFLOP.
func Count(x float64, unit string) string {
	letters := []string{"", "k", "M", "G", "T", "P", "E", "Z"}
	i := 0
	for ; x >= 999.5 && i+1 < len(letters); i++ {
		x /= 1000
	}
	return strings.TrimSpace(fmt.Sprintf("%.3g %s%s", x, letters[i], unit))
}

// Duration writes a span of time to two units: 3h12m, 4m05s, 7.3s.
func Duration(d time.Duration) string {
	switch {
	case d >= time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}
