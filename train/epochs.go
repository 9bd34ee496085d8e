package train

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/data"
)

// epochs relates optimizer steps to epochs. An epoch is a number of images: those of the data set,
// without the images that train.drop_last leaves out. A step takes the next train.accumulate
// micro-batches wherever an epoch ends, so an epoch may end within a step, and its number of steps
// need not be whole. A run that is measured in epochs ends with the last image of the last one: its
// last step takes the micro-batches that are left.
type epochs struct {
	images     int // of an epoch
	dropped    int // images that an epoch leaves out, different ones each time
	batch      int // images of a micro-batch; the last one of an epoch may have fewer
	batches    int // micro-batches of an epoch
	accumulate int // micro-batches of a step
	run        int // micro-batches of the run
}

// newEpochs counts the epochs of n images. The run has at least one micro-batch.
func newEpochs(n int, t configs.Train) epochs {
	e := epochs{images: n, batch: t.BatchSize, accumulate: t.Accumulate, batches: data.BatchesPerEpoch(n, t.BatchSize, t.DropLast)}
	if t.DropLast {
		e.images = e.batches * e.batch
		e.dropped = n - e.images
	}
	if e.run = t.Steps * t.Accumulate; t.Steps == 0 {
		e.run = t.Epochs * e.batches
	}
	return e
}

// total is the number of steps of the run.
func (e epochs) total() int { return (e.run + e.accumulate - 1) / e.accumulate }

// micro is the number of micro-batches of a step, counted from 0.
func (e epochs) micro(step int) int { return e.read(step+1) - e.read(step) }

// read is the number of micro-batches of the first steps of a run.
func (e epochs) read(steps int) int { return min(steps*e.accumulate, e.run) }

// whole is the number of epochs that are over after the first steps.
func (e epochs) whole(steps int) int { return e.read(steps) / e.batches }

// at is the position after the first steps: epochs that are over, and the share of images of the
// next one.
func (e epochs) at(steps int) float64 {
	n := e.read(steps)
	images := n/e.batches*e.images + n%e.batches*e.batch
	return float64(images) / float64(e.images)
}

// perEpoch is the mean number of steps of an epoch.
func (e epochs) perEpoch() float64 { return float64(e.batches) / float64(e.accumulate) }

// rounded reports whether the position would be another one if an epoch were a whole number of steps.
func (e epochs) rounded() bool { return e.batches%e.accumulate > 0 || e.images%e.batch > 0 }

// length is the length of the run for messages.
func (e epochs) length() string {
	steps := "steps"
	if e.total() == 1 {
		steps = "step"
	}
	return fmt.Sprintf("%d %s, %.4g epochs", e.total(), steps, e.at(e.total()))
}

// due reports whether an interval ends with the last of the first steps. An interval of epochs
// ends with the step that reads the last image of one of them.
func (e epochs) due(i configs.Interval, steps int) bool {
	if i.Epochs > 0 {
		return steps > 0 && e.whole(steps)/i.Epochs > e.whole(steps-1)/i.Epochs
	}
	return i.Steps > 0 && steps > 0 && steps%i.Steps == 0
}

// epochCosine is optim.EpochCosine over the images read.
type epochCosine struct {
	optim.EpochCosine
	epochs epochs
}

// At returns the value of a step.
func (s epochCosine) At(step int) float64 { return s.AtEpoch(s.epochs.at(step)) }

// epochSteps is optim.EpochSteps over the images read, after a linear warm-up.
type epochSteps struct {
	optim.EpochSteps
	warmup float64 // epochs
	epochs epochs
}

// At returns the value of a step.
func (s epochSteps) At(step int) float64 {
	e := s.epochs.at(step)
	if e < s.warmup {
		return s.LR * e / s.warmup
	}
	return s.EpochSteps.At(int(e))
}

// schedules returns the learning rate and the weight decay of every step. A warm-up longer than the
// run takes all of it.
func schedules(t configs.Train, e epochs) (rate, decay optim.Schedule) {
	total := e.total()
	end := e.at(total)
	warmup := min(t.WarmupEpochs, end)
	switch {
	case len(t.Milestones) > 0:
		rate = epochSteps{optim.EpochSteps{LR: t.PeakLR(), Factor: 0.1, Milestones: t.Milestones, PerEpoch: 1}, warmup, e}
	case t.Schedule == "iteration":
		steps := int(math.Round(warmup * e.perEpoch()))
		rate = optim.Cosine{Base: t.PeakLR(), Final: t.MinLR, Warmup: steps, Total: total}
	default:
		rate = epochCosine{optim.EpochCosine{LR: t.PeakLR(), Min: t.MinLR, WarmupEpochs: warmup, Epochs: end}, e}
	}
	decay = optim.Constant(t.WeightDecay)
	if t.WeightDecayEnd != 0 {
		decay = optim.Cosine{Base: t.WeightDecay, Final: t.WeightDecayEnd, Total: total}
	}
	return rate, decay
}
