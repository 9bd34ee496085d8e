package ui

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/train"
)

// Log passes progress on and writes messages to the run folder's log.txt too. The folder is known
// once the run starts; earlier messages are kept until then.
type Log struct {
	train.Progress
	file    io.WriteCloser
	log     *slog.Logger
	pending []func(*slog.Logger)
}

// WithLog adds a log to a way of showing progress.
func WithLog(p train.Progress) *Log { return &Log{Progress: p} }

// Start opens the log. A log that can't be written is a warning and does not stop the run.
func (l *Log) Start(p train.Overview) {
	l.Progress.Start(p)
	f, err := os.OpenFile(filepath.Join(p.RunDir, runs.LogFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		l.Progress.Warning(fmt.Sprintf("no log is kept: %v", err))
		return
	}
	l.file = f
	l.log = slog.New(slog.NewTextHandler(f, nil))
	l.log.Info("start", "objective", p.Objective, "model", p.Model, "images", p.Images,
		"batch", p.BatchSize, "first_step", p.FirstStep, "steps", p.TotalSteps)
	for _, write := range l.pending {
		write(l.log)
	}
	l.pending = nil
}

// Evaluated passes an evaluation on and logs it.
func (l *Log) Evaluated(e runs.EvalLine) {
	l.Progress.Evaluated(e)
	l.write(func(log *slog.Logger) {
		log.Info("evaluated", "step", e.Step, "epoch", e.Epoch, "knn", e.KNN, "k", e.K, "seconds", e.Seconds)
	})
}

// Event passes a message on and logs it.
func (l *Log) Event(message string) {
	l.Progress.Event(message)
	l.write(func(log *slog.Logger) { log.Info(message) })
}

// Warning does the same with a warning.
func (l *Log) Warning(message string) {
	l.Progress.Warning(message)
	l.write(func(log *slog.Logger) { log.Warn(message) })
}

func (l *Log) write(line func(*slog.Logger)) {
	if l.log == nil {
		l.pending = append(l.pending, line)
		return
	}
	line(l.log)
}

// Done logs how the run ended.
func (l *Log) Done(r *train.Result) {
	l.Progress.Done(r)
	if l.log != nil && r != nil {
		l.log.Info("end", "step", r.Step, "loss", r.Loss, "loss_of", r.LossOf, "loss_last_step", r.LastLoss, "digest", r.Digest, "seconds", r.ElapsedS,
			"images_per_s", r.ImagesPerS, "interrupted", r.Interrupted, "failed", r.Failed)
	}
}

// Close logs the error that ended a run, if any, and closes the log.
func (l *Log) Close(err error) {
	if l.log != nil && err != nil {
		l.log.Error("stopped", "error", err.Error())
	}
	if l.file != nil {
		_ = l.file.Close() // nothing that matters is only in the log
	}
}
