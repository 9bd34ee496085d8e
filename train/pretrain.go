package train

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/data"
)

// Options are the needs of a run besides its configuration.
type Options struct {
	// Resume goes on with the run in run.out from its newest valid checkpoint.
	Resume bool
	// AcceptPluginChange resumes also with a third-party plugin whose plan, or whose own computation,
	// is not that of the run so far.
	AcceptPluginChange bool
	// Progress sees every step; nil: nobody does.
	Progress Progress
	// AfterCheckpoint is called after a checkpoint was written at a step for which pictures are due
	// (run.pictures_every), and after the last one. An error is reported and does not stop the run.
	AfterCheckpoint func(runDir string, step int) error
	// OpenEvaluation prepares the evaluation of features that eval.data asks for, before the first
	// step and before there is a run folder. Without it such a run is refused.
	OpenEvaluation func(Trained) (Evaluation, error)
}

// Pretrain runs the objective of cfg from the first step, or from the newest checkpoint, to the
// last.
//
// A cancelled ctx ends the run after the step in progress with a checkpoint; the result then says
// Interrupted and the error is ctx.Err(). On any other error the run folder keeps its last good
// checkpoint.
func Pretrain(ctx context.Context, cfg *configs.Config, opts Options) (result *Result, err error) {
	r, err := open(ctx, cfg, opts)
	if err != nil {
		return nil, err
	}
	if r.done() {
		return r.alreadyDone(ctx)
	}
	defer func() { result, err = r.finish(result, err) }()
	if err := r.evaluate(ctx); err != nil { // after the last step of a process that did not come to it
		return r.stop(r.state.step, err)
	}

	for step := r.state.step; step < r.setup.total; step++ {
		micros := r.setup.epochs.micro(step)
		sums := newStepSums()
		r.state.stepBegins(micros)

		// Gradients: the mean over micro-batches of images → views → masks → backbone → heads →
		// loss → backward, each computed by a graph on the setup's device, which setup.go chooses.
		for micro := range micros {
			batch, err := r.feed.next(ctx)
			if err != nil {
				return r.stop(step, err)
			}
			computed, err := r.graphs.compute(ctx, step, micros, batch)
			if err != nil {
				return r.stop(step, err)
			}
			sums.read(batch)
			batch.Release()
			if !computed { // the loss spans all micro-batches of the step, and this is not the last one
				continue
			}
			if err := r.graphs.checkFinite(step); err != nil {
				return nil, err // no weight has changed yet
			}
			if err := r.graphs.commit(); err != nil {
				return nil, err
			}
			r.gradients.Add(r.graphs.current, micro, micros)
			sums.add(r.graphs.current)
		}

		// A data parallel run would take the mean of the gradients over all its processes here
		// (all-reduce): they are accumulated and not yet clipped.

		// One step of the optimizer, then of the teacher that follows the weights and of queues.
		norm := r.gradients.Clip(cfg.Train)
		lr, wd := r.setup.rate.At(step), r.setup.decay.At(step)
		r.state.optimizer.Step(r.gradients.Parameters(), optim.Active(r.gradients.Of, step), optim.Rate{Now: lr, Peak: cfg.Train.PeakLR()}, wd)
		if err := r.graphs.finishStep(); err != nil {
			return nil, err
		}
		r.state.stepDone()

		// Metrics and checkpoints, for people and for later processes.
		if err := r.log(sums, norm, lr, wd); err != nil {
			return r.stop(r.state.step, err)
		}
		if r.checkpointDue() {
			if err := r.checkpoint(); err != nil {
				return nil, err
			}
		}
		if err := r.evaluate(ctx); err != nil {
			return r.stop(r.state.step, err)
		}
		r.draw()
		if ctx.Err() != nil && !r.done() {
			return r.stop(r.state.step, ctx.Err())
		}
	}
	return r.result(), nil
}

// stop ends a run early at a state between two steps, with a checkpoint: the work since the last
// one is not lost.
func (r *run) stop(step int, cause error) (*Result, error) {
	r.state.rewind()
	if step != r.recorder.newest.Step {
		if err := r.checkpoint(); err != nil {
			return nil, errors.Join(cause, err)
		}
		r.draw()
	}
	result := r.result()
	result.Interrupted = errors.Is(cause, context.Canceled)
	if result.Interrupted {
		return result, cause
	}
	result.Failed = true
	space := " "
	if strings.Contains(cause.Error(), "\n") { // it ends with lines of the plugin
		space = "\n"
	}
	return result, fmt.Errorf("after step %d: %w%s(the work so far is in %s; go on with %s)", step, cause, space, result.Checkpoint, r.remedy(cause))
}

// remedy says how to go on with a run that cause ended. Images that can't be read have to stay as
// they are: others would be another run.
func (r *run) remedy(cause error) string {
	var images *data.Error
	switch {
	case !errors.As(cause, &images):
		return "--resume"
	case r.setup.cfg.Data.OnError == string(data.Fail):
		return "--resume data.on_error=skip and a sufficient data.max_failed, or start a new run once the files are repaired or removed"
	}
	return "--resume and a larger data.max_failed, or start a new run once the files are repaired or removed"
}
