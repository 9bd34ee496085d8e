package train

import (
	"fmt"
	"maps"
	"sort"
	"strings"
	"time"

	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// batchSums are the figures of one micro-batch.
type batchSums struct {
	images  int
	loss    float64
	metrics map[string]float64
}

// epochMeans gathers the micro-batches of one epoch.
type epochMeans struct {
	batches, images int
	loss            float64
	metrics         map[string]float64
	seconds, wait   float64
}

// add counts a micro-batch of a step that took its share of the time.
func (e *epochMeans) add(b batchSums, s Step, share float64) {
	if e.metrics == nil {
		e.metrics = map[string]float64{}
	}
	e.batches++
	e.images += b.images
	e.loss += b.loss
	for k, v := range b.metrics {
		e.metrics[k] += v
	}
	seconds := s.Duration.Seconds() * share
	e.seconds += seconds
	e.wait += s.DataWait * seconds
}

// stepSums gathers the micro-batches of one step.
type stepSums struct {
	began   time.Time
	batches []batchSums
	images  []int         // of the micro-batches since the last one in batches
	wait    time.Duration // for data and masks
}

func newStepSums() stepSums { return stepSums{began: time.Now()} }

// read counts a micro-batch whose loss is not there yet.
func (s *stepSums) read(batch fedBatch) {
	s.images = append(s.images, len(batch.IDs))
	s.wait += batch.wait
}

// add gives the micro-batches read since the last call the loss and the metrics of a computation,
// which span them.
func (s *stepSums) add(c computation) {
	loss, metrics := c.Loss(), maps.Clone(c.Metrics())
	for _, images := range s.images {
		s.batches = append(s.batches, batchSums{images, loss, metrics})
	}
	s.images = s.images[:0]
}

// step is the step as it is logged: means over its micro-batches. step counts the steps done.
func (s *stepSums) step(step int, e epochs) Step {
	took, count, images := time.Since(s.began), float64(len(s.batches)), 0
	line := runs.StepLine{Step: step, Epoch: e.at(step), Metrics: map[string]float64{}, DataWait: s.wait.Seconds() / took.Seconds()}
	for _, b := range s.batches {
		images += b.images
		line.Loss += b.loss / count
		for name, v := range b.metrics {
			line.Metrics[name] += v / count
		}
	}
	line.ImagesPerS = float64(images) / took.Seconds()
	return Step{Duration: took, StepLine: line}
}

// Names under which a checkpoint in the middle of an epoch keeps the sums so far, so that the
// epoch's line does not depend on where a run was resumed.
const (
	epochSums    = "train.epoch" // micro-batches, sum of the loss
	epochMetrics = "train.epoch.metric."
)

// tensors are the sums to be stored; none at the start of an epoch. Speeds are left out: they are
// those of the process that writes the line.
func (e *epochMeans) tensors() []tensor.Tensor {
	if e.batches == 0 {
		return nil
	}
	out := []tensor.Tensor{tensor.NewF64(epochSums, tensor.Shape{2}, []float64{float64(e.batches), e.loss})}
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
			e.batches, e.loss = int(v[0]), v[1]
		default:
			return fmt.Errorf("%s: tensor %s has shape %v", file.Path, t.Name, t.Shape)
		}
	}
	return nil
}

func (e *epochMeans) line(step, epoch int) runs.EpochLine {
	n := float64(e.batches)
	means := map[string]float64{}
	for k, v := range e.metrics {
		means[k] = v / n
	}
	return runs.EpochLine{Step: step, Epoch: epoch, Loss: e.loss / n, Metrics: means,
		ImagesPerS: float64(e.images) / e.seconds, DataWait: e.wait / e.seconds}
}
