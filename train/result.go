package train

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vittool/vittool/runs"
)

// result sums up the run so far.
func (r *run) result() *Result {
	c, elapsed := &r.recorder, time.Since(r.recorder.started)
	res := &Result{
		RunDir: c.folder.Dir, Step: r.state.step, TotalSteps: r.setup.total, Checkpoint: c.newest.Path, Digest: c.digest,
		Elapsed: elapsed, ElapsedS: elapsed.Seconds(), Skipped: int(c.skippedFiles.Load()), FinalLoss: r.finalLoss(),
	}
	if line := c.last.Eval; line.Step > 0 {
		res.Eval = &line
	}
	if c.process.batches > 0 {
		line := c.process.line(0, 0)
		res.ImagesPerS, res.DataWait = line.ImagesPerS, line.DataWait
	}
	return res
}

// alreadyDone answers a resume of a run that has reached its last step. The process that reached it
// may have been killed before the run was closed, which is done here; the folder of a run that came
// to its end stays as it is.
func (r *run) alreadyDone(ctx context.Context) (*Result, error) {
	defer r.close()
	c := &r.recorder
	if r.resumed.status != runs.StatusDone {
		if err := c.folder.Settle(c.newest, r.setup.cfg.Run.Keep); err != nil {
			return nil, err
		}
		var err error
		if c.last, err = runs.LastLines(c.folder.Dir); err != nil {
			return nil, err
		}
		if r.evaluationDue() { // the process was killed before or while it evaluated
			if err := c.openMetrics(r.state.step); err != nil {
				return nil, err
			}
			if err := r.evaluate(ctx); err != nil {
				result := r.result()
				result.Interrupted = errors.Is(err, context.Canceled)
				return result, err
			}
		}
		c.describe()
		c.info.Status, c.info.Error, c.info.Step, c.info.FinalLoss, c.info.Eval = runs.StatusDone, "", r.state.step, r.finalLoss(), r.result().Eval
		c.draw(r.state.step)
		if err := c.folder.WriteInfo(c.info); err != nil {
			return nil, err
		}
	}
	result := r.result()
	result.FinalLoss, result.Eval = c.info.FinalLoss, c.info.Eval
	r.setup.progress.Event(fmt.Sprintf("the run is finished: all %d steps are done, %s is its result", r.setup.total, c.newest.Path))
	r.setup.progress.Done(result)
	return result, nil
}

// finalLoss is the loss that the run has come to, over all its processes.
func (r *run) finalLoss() (f runs.FinalLoss) {
	c, part := &r.recorder, &r.state.epoch
	if c.last.Step.Step == r.state.step {
		f.LastLoss = c.last.Step.Loss
	}
	switch {
	case c.last.Epoch.Epoch > 0:
		f.Loss, f.LossOf = c.last.Epoch.Loss, fmt.Sprintf("epoch %d", c.last.Epoch.Epoch)
	case part.batches > 0:
		f.Loss, f.LossOf = part.loss/float64(part.batches), "epoch 1 so far"
	}
	return f
}

// finish records how the run ended and releases everything.
func (r *run) finish(result *Result, err error) (*Result, error) {
	c := &r.recorder
	c.info.Step, c.info.Error = c.newest.Step, "" // steps after the newest checkpoint are lost
	if result != nil {
		c.info.FinalLoss, c.info.Eval = result.FinalLoss, result.Eval
	}
	switch {
	case err == nil:
		c.info.Status = runs.StatusDone
	case errors.Is(err, context.Canceled):
		c.info.Status = runs.StatusInterrupted
	default:
		c.info.Status, c.info.Error = runs.StatusFailed, err.Error()
	}
	e := c.folder.WriteInfo(c.info)
	if e != nil && err != nil {
		e = c.folder.OverwriteInfo(c.info)
	}
	if err == nil {
		err = e
	}
	r.close()
	if result != nil {
		r.setup.progress.Done(result)
	}
	return result, err
}
