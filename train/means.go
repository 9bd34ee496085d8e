package train

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// epochMeans gathers the steps of one epoch.
type epochMeans struct {
	steps, images int
	loss          float64
	metrics       map[string]float64
	seconds, wait float64
}

func (e *epochMeans) add(s Step, images int) {
	if e.metrics == nil {
		e.metrics = map[string]float64{}
	}
	e.steps++
	e.images += images
	e.loss += s.Loss
	for k, v := range s.Metrics {
		e.metrics[k] += v
	}
	e.seconds += s.Duration.Seconds()
	e.wait += s.DataWait * s.Duration.Seconds()
}

// stepSums gathers the micro-batches of one step.
type stepSums struct {
	began   time.Time
	count   float64 // micro-batches of a step
	loss    float64
	metrics map[string]float64
	images  int
	wait    time.Duration // for data and masks
}

func newStepSums(micro int) stepSums {
	return stepSums{began: time.Now(), count: float64(micro), metrics: map[string]float64{}}
}

func (s *stepSums) add(model *program.Model, batch fedBatch) {
	s.loss += model.Loss() / s.count
	for name, v := range model.Metrics() {
		s.metrics[name] += v / s.count
	}
	s.images += len(batch.IDs)
	s.wait += batch.wait
}

// step is the step as it is logged. step counts the steps done.
func (s *stepSums) step(step int, e epochs) Step {
	took := time.Since(s.began)
	return Step{Duration: took, StepLine: runs.StepLine{
		Step: step, Epoch: e.at(step), Loss: s.loss, Metrics: s.metrics,
		ImagesPerS: float64(s.images) / took.Seconds(), DataWait: s.wait.Seconds() / took.Seconds(),
	}}
}

// Names under which a checkpoint in the middle of an epoch keeps the sums so far, so that the
// epoch's line does not depend on where a run was resumed.
const (
	epochSums    = "train.epoch" // steps, sum of the loss
	epochMetrics = "train.epoch.metric."
)

// tensors are the sums to be stored; none at the start of an epoch. Speeds are left out: they are
// those of the process that writes the line.
func (e *epochMeans) tensors() []tensor.Tensor {
	if e.steps == 0 {
		return nil
	}
	out := []tensor.Tensor{tensor.NewF64(epochSums, tensor.Shape{2}, []float64{float64(e.steps), e.loss})}
	for name, v := range e.metrics {
		out = append(out, tensor.NewF64(epochMetrics+name, tensor.Shape{}, []float64{v}))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// load takes the sums from a checkpoint.
func (e *epochMeans) load(file *tensor.File) error {
	*e = epochMeans{metrics: map[string]float64{}}
	for _, t := range file.Tensors {
		metric, ok := strings.CutPrefix(t.Name, epochMetrics)
		if !ok && t.Name != epochSums {
			continue
		}
		v, err := t.Float64s()
		if err != nil {
			return err
		}
		switch {
		case ok && len(v) == 1:
			e.metrics[metric] = v[0]
		case !ok && len(v) == 2:
			e.steps, e.loss = int(v[0]), v[1]
		default:
			return fmt.Errorf("%s: tensor %s has shape %v", file.Path, t.Name, t.Shape)
		}
	}
	return nil
}

func (e *epochMeans) line(step, epoch int) runs.EpochLine {
	n := float64(e.steps)
	means := map[string]float64{}
	for k, v := range e.metrics {
		means[k] = v / n
	}
	return runs.EpochLine{Step: step, Epoch: epoch, Loss: e.loss / n, Metrics: means,
		ImagesPerS: float64(e.images) / e.seconds, DataWait: e.wait / e.seconds}
}
