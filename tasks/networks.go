package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// ExportedNetwork is a network of an objective's own that was written to a file.
type ExportedNetwork struct {
	Name     string
	Tensors  int
	Numbers  int // values of all tensors
	Metadata map[string]string
}

// ExportNetwork writes what the run's objective exports under a name, such as a
// tokenizer, to a safetensors file: its tensors under the objective's names, and
// the metadata that the objective gives them.
func (r *Run) ExportNetwork(ctx context.Context, name, path string, mode host.Mode, log io.Writer) (*ExportedNetwork, error) {
	objective, err := r.open(ctx, ReconstructOptions{Mode: mode, LogWriter: log}, 1, 1)
	if err != nil {
		return nil, err
	}
	defer objective.Close()
	export, err := exportNamed(objective.Plan(), r.Config.Objective.Name, name)
	if err != nil {
		return nil, err
	}
	n := &ExportedNetwork{Name: name, Metadata: map[string]string{}}
	for key, v := range export.GetMetadata() {
		n.Metadata[key] = v
	}
	for key, v := range map[string][]float64{runs.MetaMean: r.Mean, runs.MetaStd: r.Std} {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("export %s: %s: %w", name, key, err)
		}
		n.Metadata[key] = string(text)
	}
	n.Metadata["producer"], n.Metadata["source_digest"] = "vittool", r.file.Meta[runs.MetaDigest]
	var tensors []tensor.Tensor
	add := func(prefix string, names []string) error {
		for _, name := range names {
			t, ok := r.file.Get(prefix + name)
			if !ok {
				return fmt.Errorf("%s: has no tensor %s%s, which the objective exports", r.Path, prefix, name)
			}
			data, err := t.Float32s()
			if err != nil {
				return fmt.Errorf("%s: %w", r.Path, err)
			}
			tensors = append(tensors, tensor.NewF32(name, t.Shape, data))
			n.Numbers += len(data)
		}
		return nil
	}
	if err := add(runs.HeadPrefix, export.GetParams()); err != nil {
		return nil, err
	}
	if err := add(runs.BufferPrefix, export.GetBuffers()); err != nil {
		return nil, err
	}
	n.Tensors = len(tensors)
	if err := tensor.WriteSafetensors(path, tensors, n.Metadata); err != nil {
		return nil, fmt.Errorf("export %s to %s: %w", name, path, err)
	}
	return n, nil
}

func exportNamed(plan *pb.Plan, objective, name string) (*pb.Export, error) {
	var names []string
	for _, e := range plan.GetExports() {
		if e.GetName() == name {
			return e, nil
		}
		names = append(names, e.GetName())
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("objective %s exports no network of its own, and so no %s", objective, name)
	}
	return nil, fmt.Errorf("objective %s exports no %s; it has %s", objective, name, strings.Join(names, ", "))
}
