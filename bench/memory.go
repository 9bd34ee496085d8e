package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/vittool/vittool/configs"
)

// A MemoryComparison is the most memory that a process which trains holds: ours, ours with the
// insides of blocks recomputed, and PyTorch's.
type MemoryComparison struct {
	Model      string `json:"model"`
	Batch      int    `json:"batch"` // images of a step
	Parameters int64  `json:"parameters"`
	Weights    int64  `json:"weights_bytes"` // parameters, their gradients and two moments, on every side
	Plain      int64  `json:"vittool_bytes"`
	Recomputed int64  `json:"vittool_recompute_bytes"`
	Peer       string `json:"peer,omitempty"`
	PeerBytes  int64  `json:"peer_bytes,omitempty"`
}

// memorySteps are enough for the optimizer's moments and every buffer to exist.
const memorySteps = 3

// CompareMemory trains cfg for a few steps in processes of their own: program, which is this
// program's executable, and PyTorch, with its allocator as installed. A missing PyTorch leaves its
// figures empty, and so do micro-batches, of which PyTorch's step here has one.
func CompareMemory(ctx context.Context, program string, cfg configs.Config, threads int) (_ *MemoryComparison, err error) {
	m := &MemoryComparison{Model: cfg.Model.Name, Batch: cfg.Train.BatchSize * cfg.Train.Accumulate}
	for recompute, peak := range map[string]*int64{"none": &m.Plain, "blocks": &m.Recomputed} {
		cfg.Train.Recompute = recompute
		s, err := stepElsewhere(ctx, program, cfg)
		if err != nil {
			return nil, err
		}
		*peak, m.Parameters = s.PeakMemory, s.Parameters
	}
	m.Weights = 16 * m.Parameters
	if cfg.Train.Accumulate != 1 {
		return m, nil
	}
	o := peerOf(cfg, threads, false)
	o.Default = true
	peer, err := StartPyTorch(ctx, o)
	if errors.Is(err, ErrNoPyTorch) {
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, peer.Close()) }()
	for range memorySteps {
		if _, err := peer.Step(ctx); err != nil {
			return nil, err
		}
	}
	m.Peer = peer.Name()
	m.PeerBytes, err = peer.Memory()
	return m, err
}

// stepElsewhere is MeasureStep in a process that does nothing else.
func stepElsewhere(ctx context.Context, program string, cfg configs.Config) (*Step, error) {
	dir, err := os.MkdirTemp("", "vittool-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, cfg.YAML(), 0o600); err != nil {
		return nil, err
	}
	args := []string{"bench", "--only", "step", "--config", file, "--warmup", "0", "--rounds", fmt.Sprint(memorySteps), "--json", "--quiet"}
	for _, s := range Overrides() { // which are stronger than the file
		key, _, _ := strings.Cut(s, "=")
		group, name, _ := strings.Cut(key, ".")
		args = append(args, fmt.Sprintf("%s=%v", key, cfg.Map()[group].(map[string]any)[name]))
	}
	var out, stderr bytes.Buffer
	c := exec.CommandContext(ctx, program, args...)
	c.Stdout, c.Stderr = &out, &stderr
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("measuring memory in a process of its own: %w: %s", err, stderr.String())
	}
	var r Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return nil, fmt.Errorf("measuring memory in a process of its own: its report: %w", err)
	}
	return r.Step, nil
}

func (m *MemoryComparison) write(w io.Writer) {
	mib := func(b int64) string { return fmt.Sprintf("%.0f MiB", float64(b)/(1<<20)) }
	fmt.Fprintf(w, "\npeak memory of a process that trains %s, batch %d; weights, gradients and moments are %s of it\n", m.Model, m.Batch, mib(m.Weights))
	row := func(name string, b int64) {
		fmt.Fprintf(w, "%-12s %s", name, mib(b))
		if m.PeerBytes > 0 && b != m.PeerBytes {
			fmt.Fprintf(w, ", %.2f of the peer's; without weights %.2f", float64(b)/float64(m.PeerBytes), float64(b-m.Weights)/float64(m.PeerBytes-m.Weights))
		}
		fmt.Fprintln(w)
	}
	row("vittool", m.Plain)
	row("recomputing", m.Recomputed)
	if m.PeerBytes > 0 {
		row(m.Peer, m.PeerBytes)
	}
}
