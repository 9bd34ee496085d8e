package train

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/data"
)

// Options are what a run needs besides its configuration.
type Options struct {
	// Resume goes on with the run in run.out from its newest valid checkpoint.
	Resume bool
	// Progress sees every step; nil: nobody does.
	Progress Progress
	// AfterCheckpoint is called after a checkpoint was written at a step for
	// which pictures are due (run.pictures_every), and after the last one. An
	// error is reported and does not stop the run.
	AfterCheckpoint func(runDir string, step int) error
}

// Pretrain runs the objective of cfg from the first step, or from the newest
// checkpoint, to the last.
//
// A cancelled ctx ends the run after the step in progress with a checkpoint;
// the result then says Interrupted and the error is ctx.Err(). On any other
// error the run folder keeps its last good checkpoint.
func Pretrain(ctx context.Context, cfg *configs.Config, opts Options) (result *Result, err error) {
	r, err := open(ctx, cfg, opts)
	if err != nil {
		return nil, err
	}
	if r.step >= r.total {
		return r.alreadyDone()
	}
	defer func() { result, err = r.finish(result, err) }()

	for step := r.step; step < r.total; step++ {
		began := time.Now()
		lr, wd := r.rate.At(step), r.decay.At(step)

		// Gradients: the mean over accumulate passes of images → views → masks
		// → backbone → heads → loss → backward.
		var loss float64
		var wait time.Duration
		r.images, r.passMetrics = 0, map[string]float64{}
		for pass := range cfg.Train.Accumulate {
			batch, err := r.feed.next(ctx)
			if err != nil {
				return r.stop(step, err)
			}
			wait += batch.wait
			model, err := r.model(len(batch.IDs))
			if err != nil {
				if e := r.fits(false); e != nil {
					err = e
				}
				return r.stop(step, err)
			}
			if err := r.fill(ctx, model, step, batch); err != nil {
				return r.stop(step, r.blame(err))
			}
			if err := model.Run(); err != nil {
				return r.stop(step, r.blame(err))
			}
			if err := r.finite(model, step); err != nil {
				return nil, err // no weight has changed yet
			}
			if err := r.commit(pass); err != nil {
				return nil, err
			}
			loss += model.Loss() / float64(cfg.Train.Accumulate)
			r.addMetrics(model, cfg.Train.Accumulate)
			r.gradients.Add(model.Exec(), pass)
			r.images += len(batch.IDs)
			batch.Release()
		}

		// One step of the optimizer, then of the teacher that follows the weights.
		norm := r.gradients.Clip(cfg.Train)
		r.optimizer.Step(r.gradients.Parameters(), optim.Active(r.gradients.Of, step), lr, wd)
		if err := r.current.AfterStep(); err != nil {
			return nil, err
		}
		r.step, r.midstep = step+1, false

		// What people and later processes see.
		if err := r.log(loss, norm, lr, wd, wait, time.Since(began)); err != nil {
			return r.stop(r.step, err)
		}
		if r.step == r.total || cfg.Run.CheckpointEvery.Due(step, r.stepsPerEpoch) || cfg.Run.PicturesEvery.Due(step, r.stepsPerEpoch) {
			if err := r.checkpoint(); err != nil {
				return nil, err
			}
		}
		if ctx.Err() != nil && r.step < r.total {
			return r.stop(r.step, ctx.Err())
		}
	}
	return r.result(), nil
}

// stop ends a run early at a state between two steps: what ended it does not
// take the work since the last checkpoint with it.
func (r *run) stop(step int, cause error) (*Result, error) {
	r.rewind()
	if step != r.lastCheckpoint.Step {
		if err := r.checkpoint(); err != nil {
			return nil, errors.Join(cause, err)
		}
	}
	result := r.result()
	result.Interrupted = errors.Is(cause, context.Canceled)
	if result.Interrupted {
		return result, cause
	}
	result.Failed = true
	space := " "
	if strings.Contains(cause.Error(), "\n") { // it ends with what somebody else wrote
		space = "\n"
	}
	return result, fmt.Errorf("after step %d: %w%s(the work so far is in %s; go on with %s)", step, cause, space, result.Checkpoint, r.remedy(cause))
}

// remedy says how to go on with a run that cause ended. Images that can't be
// read have to stay as they are: others would be another run.
func (r *run) remedy(cause error) string {
	var images *data.Error
	switch {
	case !errors.As(cause, &images):
		return "--resume"
	case r.cfg.Data.OnError == string(data.Fail):
		return "--resume data.on_error=skip and a sufficient data.max_failed, or start a new run once the files are repaired or removed"
	}
	return "--resume and a larger data.max_failed, or start a new run once the files are repaired or removed"
}
