package ui

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

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
	plan  train.Plan
}

func (h *header) Start(p train.Plan) {
	h.plan = p
	if h.quiet {
		return
	}
	t := NewTable()
	t.Row("run", p.RunDir)
	t.Row("objective", p.Objective)
	t.Row("model", fmt.Sprintf("%s, %s parameters with the heads", p.Model, Count(float64(p.Parameters), "")))
	t.Row("data", fmt.Sprintf("%d images, %d a step", p.Images, p.BatchSize))
	length := fmt.Sprintf("%d steps, %d an epoch", p.TotalSteps, p.StepsPerEpoch)
	if p.FirstStep > 0 {
		length += fmt.Sprintf(", resumed after step %d", p.FirstStep)
	}
	t.Row("length", length)
	if p.StepFLOPs > 0 {
		t.Row("cost", fmt.Sprintf("%s a step, %s in all", Count(p.StepFLOPs, "FLOP"), Count(p.StepFLOPs*float64(p.TotalSteps), "FLOP")))
	}
	if p.StepBytes > 0 {
		t.Row("memory", Count(float64(p.StepBytes), "B")+" for activations and gradients")
	}
	_ = t.Write(h.w) // a closed terminal must not stop a run
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
		t.Row("loss", fmt.Sprintf("%.4f", r.Loss))
	}
	if r.ImagesPerS > 0 {
		t.Row("speed", fmt.Sprintf("%.0f images/s, %.1f %% of the time waiting for data", r.ImagesPerS, 100*r.DataWait))
	}
	t.Row("time", Duration(r.Elapsed))
	if r.Skipped > 0 {
		t.Row("skipped", fmt.Sprintf("%d images that can't be read, listed in skipped.txt", r.Skipped))
	}
	t.Row("checkpoint", r.Checkpoint)
	_ = t.Write(h.w)
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
	fmt.Fprintf(l.w, "step %d/%d  epoch %.2f  loss %.4f  lr %.2e  %.0f images/s%s\n",
		s.Step, l.plan.TotalSteps, s.Epoch, s.Loss, s.LearningRate, s.ImagesPerS, left)
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
	bar *progressbar.ProgressBar
}

func (b *bar) Start(p train.Plan) {
	b.header.Start(p)
	b.bar = progressbar.NewOptions(p.TotalSteps,
		progressbar.OptionSetWriter(b.w),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetWidth(24),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}),
	)
	_ = b.bar.Set(p.FirstStep) // drawing is not worth failing for, here and below
}

func (b *bar) Step(s train.Step) {
	b.bar.Describe(fmt.Sprintf("epoch %.1f  loss %.4f  %.0f images/s", s.Epoch, s.Loss, s.ImagesPerS))
	_ = b.bar.Set(s.Step)
}

func (b *bar) Event(message string) {
	if b.bar == nil {
		fmt.Fprintln(b.w, message)
		return
	}
	_ = b.bar.Clear()
	fmt.Fprintln(b.w, message)
	_ = b.bar.RenderBlank()
}

func (b *bar) Warning(message string) { b.Event("warning: " + message) }

func (b *bar) Done(r *train.Result) {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
	b.header.Done(r)
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
