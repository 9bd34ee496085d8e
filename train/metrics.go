package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/vittool/vittool/internal/atomicfile"
	"github.com/vittool/vittool/tensor"
)

// MetricsFile is the name of the metrics in a run folder: one JSON object a
// line, with "kind" "step", "epoch" or "eval".
const MetricsFile = "metrics.jsonl"

// metrics appends to metrics.jsonl. A line is written in one call, so that a
// killed run leaves whole lines.
type metrics struct {
	f    *os.File
	size int64
}

// stepLine is a line of kind "step".
type stepLine struct {
	Kind string `json:"kind"`
	Step
}

// epochLine is a line of kind "epoch": means over the epoch's steps.
type epochLine struct {
	Kind       string             `json:"kind"`
	Step       int                `json:"step"`
	Epoch      int                `json:"epoch"` // number of the completed epoch, 1 for the first
	Loss       float64            `json:"loss"`
	Metrics    map[string]float64 `json:"metrics,omitempty"`
	ImagesPerS float64            `json:"images_per_s"`
	DataWait   float64            `json:"data_wait"`
}

// openMetrics opens metrics.jsonl for appending. Lines past step last are cut
// off first: a run that goes on from an older checkpoint writes them anew.
func openMetrics(dir string, last int) (*metrics, error) {
	path := filepath.Join(dir, MetricsFile)
	if err := cutMetrics(path, last); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open metrics: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open metrics: %w", err)
	}
	return &metrics{f, info.Size()}, nil
}

func (m *metrics) append(line any) error {
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	n, err := m.f.Write(append(b, '\n'))
	if err != nil {
		if n > 0 { // a full disk takes part of a line
			err = errors.Join(err, m.f.Truncate(m.size))
		}
		return fmt.Errorf("write metrics: %w", atomicfile.Explain(err, filepath.Dir(m.f.Name())))
	}
	m.size += int64(n)
	return nil
}

func (m *metrics) Close() error { return m.f.Close() }

// cutMetrics truncates the file after the last whole line of a step <= last.
func cutMetrics(path string, last int) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open metrics: %w", err)
	}
	defer f.Close()
	keep := int64(0)
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		var l struct {
			Step *int `json:"step"`
		}
		if json.Unmarshal(bytes.TrimSpace(line), &l) != nil || l.Step == nil || *l.Step > last {
			break
		}
		keep += int64(len(line))
	}
	if err := f.Truncate(keep); err != nil {
		return fmt.Errorf("cut %s back to step %d: %w", path, last, err)
	}
	return f.Sync()
}

// lastEpochLine is the newest line of kind "epoch" of a run; its Epoch is 0 where
// there is none.
func lastEpochLine(dir string) (epochLine, error) {
	var last epochLine
	f, err := os.Open(filepath.Join(dir, MetricsFile))
	if errors.Is(err, os.ErrNotExist) {
		return last, nil
	}
	if err != nil {
		return last, fmt.Errorf("open metrics: %w", err)
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		text, err := r.ReadBytes('\n')
		if err == io.EOF {
			return last, nil
		}
		if err != nil {
			return last, fmt.Errorf("read %s: %w", f.Name(), err)
		}
		var line epochLine
		if json.Unmarshal(text, &line) == nil && line.Kind == "epoch" {
			last = line
		}
	}
}

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

// Names under which a checkpoint in the middle of an epoch keeps the sums so
// far, so that the epoch's line does not depend on where a run was resumed.
const (
	epochSums    = "train.epoch" // steps, sum of the loss
	epochMetrics = "train.epoch.metric."
)

// tensors are the sums to be stored; none at the start of an epoch. Speeds are
// left out: they are those of the process that writes the line.
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

func (e *epochMeans) line(step, epoch int) epochLine {
	n := float64(e.steps)
	means := map[string]float64{}
	for k, v := range e.metrics {
		means[k] = v / n
	}
	return epochLine{Kind: "epoch", Step: step, Epoch: epoch, Loss: e.loss / n, Metrics: means,
		ImagesPerS: float64(e.images) / e.seconds, DataWait: e.wait / e.seconds}
}
