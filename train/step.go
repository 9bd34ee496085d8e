package train

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/atomicfile"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/program"
)

// fill puts a batch, its masks and its targets into the graph's inputs. Masks
// follow from the number of the batch; schedules, stochastic depth and random nodes
// from the optimizer's step and the samples.
func (r *run) fill(ctx context.Context, model *program.Model, step int, batch fedBatch) error {
	plan := r.objective.Plan()
	model.SetStep(uint64(step), batch.IDs)
	model.SetLabels(batch.Labels)
	for i, v := range plan.GetViews() {
		copy(model.View(v.GetName()), batch.Views[i])
		if err := model.SetGeometry(v.GetName(), batch.boxes(i)); err != nil {
			return err
		}
	}
	if batch.masks != nil {
		if err := model.SetMasks(batch.masks); err != nil {
			return err
		}
	}
	if err := model.Remember(r.targets); err != nil {
		return err
	}
	if r.evaluator != nil {
		r.evaluator.masks = batch.masks
		return r.evaluator.targets(ctx, plan, model, uint64(step), batch.IDs)
	}
	return nil
}

// NotFiniteError says that a step computed NaN or infinity. Nothing was changed
// by the step.
type NotFiniteError struct {
	Step   int // the first is 1
	Tensor string
	Index  int
	Value  float32
	Rate   string // key of the learning rate that is in force
}

func (e *NotFiniteError) Error() string {
	return fmt.Sprintf("step %d: %s is not finite (element %d is %v); no parameter was changed and the last checkpoint is good: "+
		"lower %s, lengthen train.warmup_epochs or set train.clip_norm, and start again, or look at the images of this step",
		e.Step, e.Tensor, e.Index, e.Value, e.Rate)
}

// finite looks for NaN and infinity in the loss and all gradients.
func (r *run) finite(model *program.Model, step int) error {
	if tensor, index, value, ok := model.Exec().FirstNonFinite(); !ok {
		rate := "train.base_lr"
		if r.cfg.Train.LR > 0 {
			rate = "train.lr"
		}
		return &NotFiniteError{Step: step + 1, Tensor: tensor, Index: index, Value: value, Rate: rate}
	}
	return nil
}

// blame makes an error about values in the graph one of the objective, which decided
// them: masks, indices and targets can be of the right form and still mean nothing.
func (r *run) blame(err error) error {
	var operand *core.OperandError
	var known *host.PluginError
	if !errors.As(err, &operand) || errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	return &host.PluginError{Plugin: r.cfg.Objective.Name, Kind: host.Reply, Text: "what it decided for this step can't be computed with: " + operand.Error(), Err: err}
}

// commit lets the objective's state follow a pass that turned out good: buffers,
// running statistics. The next pass reads what this one wrote.
func (r *run) commit(pass int) error {
	if pass == 0 && r.cfg.Train.Accumulate > 1 {
		r.remember()
	}
	if err := r.current.Commit(); err != nil {
		return err
	}
	if r.evaluator != nil {
		r.evaluator.commit()
	}
	return nil
}

// remember keeps the buffers as they are before the first of several passes, in
// memory that every step uses again.
func (r *run) remember() {
	if r.state == nil {
		r.state = map[*param.Parameter][]float32{}
	}
	for _, b := range r.store.Buffers() {
		r.state[b] = append(r.state[b][:0], b.Data...)
	}
	r.midstep = true
}

// rewind undoes the passes of a step that does not come to its end, so that a
// checkpoint holds the state between two steps.
func (r *run) rewind() {
	if !r.midstep {
		return
	}
	for b, data := range r.state {
		copy(b.Data, data)
	}
	r.midstep = false
}

// log tells people and files of a step that is done.
func (r *run) log(loss, norm, lr, wd float64, wait, took time.Duration) error {
	s := Step{
		Step: r.step, Epoch: float64(r.step) / float64(r.stepsPerEpoch), Loss: loss, LearningRate: lr, WeightDecay: wd,
		GradientNorm: norm, Metrics: r.passMetrics, ImagesPerS: float64(r.images) / took.Seconds(), DataWait: wait.Seconds() / took.Seconds(), Duration: took,
	}
	r.epoch.add(s, r.images)
	r.all.add(s, r.images)
	r.progress.Step(s)
	if r.step%r.cfg.Run.LogEvery == 0 || r.step == r.total {
		if err := r.metrics.append(stepLine{"step", s}); err != nil {
			return err
		}
		scalars := map[string]float64{"train/loss": loss, "train/lr": lr, "train/weight_decay": wd, "train/grad_norm": norm, "speed/images_per_s": s.ImagesPerS, "speed/data_wait": s.DataWait}
		for name, v := range s.Metrics {
			scalars["train/"+name] = v
		}
		if err := r.events.scalars(r.step, scalars); err != nil {
			return fmt.Errorf("write TensorBoard file: %w", atomicfile.Explain(err, r.folder.Dir))
		}
	}
	if r.step%r.stepsPerEpoch == 0 {
		line := r.epoch.line(r.step, r.step/r.stepsPerEpoch)
		r.epoch, r.lastEpoch = epochMeans{}, line
		if err := r.metrics.append(line); err != nil {
			return err
		}
		if err := r.events.scalars(r.step, map[string]float64{"epoch/loss": line.Loss}); err != nil {
			return fmt.Errorf("write TensorBoard file: %w", atomicfile.Explain(err, r.folder.Dir))
		}
	}
	return nil
}

// checkpoint writes the state between two steps, then lets pictures be drawn.
func (r *run) checkpoint() error {
	meta, err := r.metadata()
	if err != nil {
		return err
	}
	tensors := append(r.store.Tensors(), r.optimizer.State()...)
	tensors = append(tensors, r.epoch.tensors()...)
	c, digest, err := r.folder.saveCheckpoint(r.step, tensors, meta, r.cfg.Run.Keep)
	if c.Path != "" { // written, even if what follows it failed
		r.lastCheckpoint, r.digest, r.info.Step = c, digest, r.step
	}
	if err != nil {
		return err
	}
	if err := r.folder.writeInfo(r.info); err != nil {
		return err
	}
	if err := r.targets.save(); err != nil { // a cache is worth no run
		r.progress.Warning(err.Error())
	}
	if r.step > 0 && (r.step == r.total || r.cfg.Run.PicturesEvery.Due(r.step-1, r.stepsPerEpoch)) {
		r.draw()
	}
	return nil
}

// draw lets pictures be drawn of the newest checkpoint.
func (r *run) draw() {
	if r.opts.AfterCheckpoint == nil {
		return
	}
	err := r.opts.AfterCheckpoint(r.folder.Dir, r.step)
	if err != nil && !errors.Is(err, context.Canceled) { // an interrupt was answered when it came
		r.progress.Warning("pictures: " + err.Error())
	}
}

// result sums up what has been done so far.
func (r *run) result() *Result {
	elapsed := time.Since(r.started)
	res := &Result{
		RunDir: r.folder.Dir, Step: r.step, TotalSteps: r.total, Checkpoint: r.lastCheckpoint.Path, Digest: r.digest,
		Elapsed: elapsed, ElapsedS: elapsed.Seconds(), Skipped: int(r.skippedFiles.Load()),
	}
	if r.all.steps > 0 {
		line := r.all.line(0, 0)
		res.Loss, res.ImagesPerS, res.DataWait = line.Loss, line.ImagesPerS, line.DataWait
	}
	if r.lastEpoch.Epoch > 0 {
		res.Loss = r.lastEpoch.Loss
	}
	return res
}

// alreadyDone answers a resume of a run that has reached its last step. What the
// process that reached it did not come to do, because it was killed, is done here;
// the folder of a run that came to its end stays as it is.
func (r *run) alreadyDone() (*Result, error) {
	defer r.close()
	if r.ended != StatusDone {
		if err := r.folder.settle(r.lastCheckpoint, r.cfg.Run.Keep); err != nil {
			return nil, err
		}
		loss, err := r.lastLoss()
		if err != nil {
			return nil, err
		}
		r.describe()
		r.info.Status, r.info.Error, r.info.Step, r.info.Loss = StatusDone, "", r.step, loss
		r.draw()
		if err := r.folder.writeInfo(r.info); err != nil {
			return nil, err
		}
	}
	result := r.result()
	result.Loss = r.info.Loss
	r.progress.Event(fmt.Sprintf("the run is finished: all %d steps are done, %s is its result", r.total, r.lastCheckpoint.Path))
	r.progress.Done(result)
	return result, nil
}

// lastLoss is the loss that a run ends with, from what an earlier process left: that
// of the newest whole epoch, or of the part of one that there is.
func (r *run) lastLoss() (float64, error) {
	line, err := lastEpochLine(r.folder.Dir)
	if err != nil || line.Epoch > 0 || r.epoch.steps == 0 {
		return line.Loss, err
	}
	return r.epoch.loss / float64(r.epoch.steps), nil
}

// finish records how the run ended and releases everything.
func (r *run) finish(result *Result, err error) (*Result, error) {
	r.info.Step, r.info.Error = r.lastCheckpoint.Step, "" // what is done and not written is lost
	if result != nil {
		r.info.Loss = result.Loss
	}
	switch {
	case err == nil:
		r.info.Status = StatusDone
	case errors.Is(err, context.Canceled):
		r.info.Status = StatusInterrupted
	default:
		r.info.Status, r.info.Error = StatusFailed, err.Error()
	}
	e := r.folder.writeInfo(r.info)
	if e != nil && err != nil {
		e = r.folder.overwriteInfo(r.info)
	}
	if err == nil {
		err = e
	}
	r.close()
	if result != nil {
		r.progress.Done(result)
	}
	return result, err
}

// addMetrics mixes the metrics of a pass into those of the step.
func (r *run) addMetrics(model *program.Model, passes int) {
	for name, v := range model.Metrics() {
		r.passMetrics[name] += v / float64(passes)
	}
}
