package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/train"
)

// A Training is a real run of [train.Pretrain] in a temporary folder, data, plugin and all, held up
// after every step until the next is asked for.
type Training struct {
	name    string
	dir     string
	cancel  context.CancelFunc
	release chan struct{}   // the loop may do its next step
	stepped chan train.Step // it has done one
	planned chan train.Overview
	ended   chan struct{}
	err     error // once ended is closed
}

// StartTraining starts the run of cfg under a name, and lets it do nothing yet. Close removes its
// files.
func StartTraining(ctx context.Context, name string, cfg configs.Config) (*Training, error) {
	dir, err := os.MkdirTemp("", "vittool-bench-")
	if err != nil {
		return nil, err
	}
	cfg.Run.Out = filepath.Join(dir, "run")
	cfg.Run.CheckpointEvery, cfg.Run.PicturesEvery = configs.Interval{}, configs.Interval{}
	cfg.Eval = configs.Default().Eval
	cfg.Train.Steps = math.MaxInt32 / 4 // Close ends it
	ctx, cancel := context.WithCancel(ctx)
	t := &Training{name: name, dir: dir, cancel: cancel, release: make(chan struct{}), stepped: make(chan train.Step),
		planned: make(chan train.Overview, 1), ended: make(chan struct{})}
	go func() {
		defer close(t.ended)
		_, t.err = train.Pretrain(ctx, &cfg, train.Options{Progress: held{t, ctx}})
	}()
	return t, nil
}

// held is the Progress of a Training: it lets the loop go on when told to.
type held struct {
	t   *Training
	ctx context.Context
}

func (h held) Start(p train.Overview) { h.t.planned <- p; h.wait() }

func (h held) Step(s train.Step) {
	select {
	case h.t.stepped <- s:
		h.wait()
	case <-h.ctx.Done():
	}
}

func (h held) Evaluated(runs.EvalLine) {}
func (h held) Event(string)            {}
func (h held) Warning(string)          {}
func (h held) Done(*train.Result)      {}

func (h held) wait() {
	select {
	case <-h.t.release:
	case <-h.ctx.Done():
	}
}

// Name is the one given to StartTraining.
func (t *Training) Name() string { return t.name }

// Plan waits until the run is ready to train.
func (t *Training) Plan(ctx context.Context) (train.Overview, error) {
	p, err := received(ctx, t, t.planned)
	if err == nil {
		t.planned <- p
	}
	return p, err
}

// received takes a message of the loop.
func received[T any](ctx context.Context, t *Training, from <-chan T) (message T, err error) {
	select {
	case message = <-from:
		return message, nil
	case <-t.ended:
		return message, t.failure()
	case <-ctx.Done():
		return message, ctx.Err()
	}
}

// Step does one step of training and returns how long it took: from the moment the loop was let go
// until it reported the step, logging included.
func (t *Training) Step(ctx context.Context) (time.Duration, error) {
	d, _, err := t.Next(ctx)
	return d, err
}

// Next is Step with the loop's report of the step.
func (t *Training) Next(ctx context.Context) (time.Duration, train.Step, error) {
	if _, err := t.Plan(ctx); err != nil { // compiled and ready, so that only the step is timed
		return 0, train.Step{}, err
	}
	start := time.Now()
	select {
	case t.release <- struct{}{}:
	case <-t.ended:
		return 0, train.Step{}, t.failure()
	case <-ctx.Done():
		return 0, train.Step{}, ctx.Err()
	}
	s, err := received(ctx, t, t.stepped)
	return time.Since(start), s, err
}

func (t *Training) failure() error {
	if t.err == nil {
		return errors.New("the run ended by itself")
	}
	return fmt.Errorf("%s: %w", t.name, t.err)
}

// Close ends the run and removes its folder.
func (t *Training) Close() error {
	t.cancel()
	<-t.ended
	err := t.err
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(t.dir))
}
