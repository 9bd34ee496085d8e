package runs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/vittool/vittool/internal/atomicfile"
)

// Kinds of lines in metrics.jsonl, which is one JSON object a line.
const (
	KindStep  = "step"
	KindEpoch = "epoch"
	KindEval  = "eval"
)

// StepLine is a line of kind "step": one optimizer step.
type StepLine struct {
	Kind         string             `json:"kind"`  // set by Metrics
	Step         int                `json:"step"`  // 1 for the first
	Epoch        float64            `json:"epoch"` // epochs completed, fractional
	Loss         float64            `json:"loss"`
	LearningRate float64            `json:"lr"`
	WeightDecay  float64            `json:"weight_decay"`
	GradientNorm float64            `json:"grad_norm"`
	Metrics      map[string]float64 `json:"metrics,omitempty"`
	ImagesPerS   float64            `json:"images_per_s"`
	DataWait     float64            `json:"data_wait"` // share of the step spent waiting for data and masks
}

// EpochLine is a line of kind "epoch": means over the epoch's micro-batches.
type EpochLine struct {
	Kind       string             `json:"kind"` // set by Metrics
	Step       int                `json:"step"`
	Epoch      int                `json:"epoch"` // number of the completed epoch, 1 for the first
	Loss       float64            `json:"loss"`
	Metrics    map[string]float64 `json:"metrics,omitempty"`
	ImagesPerS float64            `json:"images_per_s"`
	DataWait   float64            `json:"data_wait"`
}

// EvalLine is a line of kind "eval": the features of the network after a step, measured with labelled
// images by their nearest neighbors.
type EvalLine struct {
	Kind    string  `json:"kind"` // set by Metrics
	Step    int     `json:"step"`
	Epoch   float64 `json:"epoch"` // epochs completed, fractional
	KNN     float64 `json:"knn"`   // share of the test images whose class is right
	K       int     `json:"k"`     // neighbors
	Network string  `json:"network"`
	Pool    string  `json:"pool"`
	Train   int     `json:"train_images"`
	Test    int     `json:"test_images"`
	Seconds float64 `json:"seconds"`
}

// Metrics appends to metrics.jsonl. A line is written in one call, so that a killed run leaves
// whole lines.
type Metrics struct {
	f    *os.File
	size int64
}

// OpenMetrics opens metrics.jsonl for appending. Lines past step last are cut off first: a run that
// goes on from an older checkpoint writes them anew.
func OpenMetrics(dir string, last int) (*Metrics, error) {
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
	return &Metrics{f, info.Size()}, nil
}

// Step appends a line of kind "step".
func (m *Metrics) Step(line StepLine) error {
	line.Kind = KindStep
	return m.append(line)
}

// Epoch appends a line of kind "epoch".
func (m *Metrics) Epoch(line EpochLine) error {
	line.Kind = KindEpoch
	return m.append(line)
}

// Eval appends a line of kind "eval".
func (m *Metrics) Eval(line EvalLine) error {
	line.Kind = KindEval
	return m.append(line)
}

func (m *Metrics) append(line any) error {
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

// Close closes the file.
func (m *Metrics) Close() error {
	if m == nil {
		return nil
	}
	return m.f.Close()
}

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

// Point is the part of a line of metrics.jsonl that a curve shows.
type Point struct {
	Kind  string  // KindStep, KindEpoch or KindEval
	Step  int     // from 0 on
	Epoch float64 // of a step it is fractional
	Loss  float64
	LR    float64 // learning rate; 0 where it was not noted
	KNN   float64 // accuracy of an evaluation
}

// maxLine bounds one line of metrics.jsonl, in bytes.
const maxLine = 1 << 20

// ReadMetrics calls f with every line of kind "step", "epoch" or "eval". Lines of other kinds are
// passed over; a line that is not JSON, or whose loss or accuracy is no number, is an error that
// names it, but for a last line without its end, which a killed run may leave.
func ReadMetrics(r io.Reader, f func(Point)) error {
	b := bufio.NewReaderSize(r, maxLine)
	for n := 1; ; n++ {
		line, err := b.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("metrics: line %d is longer than %d bytes", n, maxLine)
		}
		if err != nil {
			return fmt.Errorf("metrics: line %d: %w", n, err)
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		var m struct {
			Kind  string   `json:"kind"`
			Step  int      `json:"step"`
			Epoch float64  `json:"epoch"`
			Loss  *float64 `json:"loss"`
			LR    float64  `json:"lr"`
			KNN   *float64 `json:"knn"`
		}
		if err := json.Unmarshal(line, &m); err != nil {
			return fmt.Errorf("metrics: line %d: %w", n, err)
		}
		p, value, name := Point{Kind: m.Kind, Step: m.Step, Epoch: m.Epoch, LR: m.LR}, m.Loss, "loss"
		to := &p.Loss
		switch m.Kind {
		case KindStep, KindEpoch:
		case KindEval:
			value, name, to = m.KNN, "knn", &p.KNN
		default:
			continue
		}
		if value == nil || m.Step < 0 {
			return fmt.Errorf("metrics: line %d: a line of kind %q needs a %s and a step from 0 on", n, m.Kind, name)
		}
		*to = *value
		f(p)
	}
}

// Last are the newest lines of a run, one of each kind; Step is 0 in those that there are not.
type Last struct {
	Step  StepLine
	Epoch EpochLine
	Eval  EvalLine
}

// LastLines reads the newest lines of a run. Damaged lines are passed over.
func LastLines(dir string) (last Last, err error) {
	content, err := os.ReadFile(filepath.Join(dir, MetricsFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return last, fmt.Errorf("read metrics: %w", err)
	}
	for text := range bytes.Lines(content) {
		var line struct{ Kind string }
		if !bytes.HasSuffix(text, []byte("\n")) || json.Unmarshal(text, &line) != nil {
			continue
		}
		next := last
		switch line.Kind {
		case KindStep:
			next.Step = StepLine{}
			err = json.Unmarshal(text, &next.Step)
		case KindEpoch:
			next.Epoch = EpochLine{}
			err = json.Unmarshal(text, &next.Epoch)
		case KindEval:
			next.Eval = EvalLine{}
			err = json.Unmarshal(text, &next.Eval)
		}
		if err == nil {
			last = next
		}
	}
	return last, nil
}
