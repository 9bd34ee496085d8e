package tasks

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// ExportedNetwork describes an exported network of an objective.
type ExportedNetwork struct {
	Name     string
	Tensors  int
	Numbers  int // values of all tensors
	Metadata map[string]string
}

// ExportNetwork writes a named network of the run's objective, such as a tokenizer, to a
// safetensors file. Tensors have the names of the objective, the metadata is the objective's.
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
	for key, v := range export.Metadata {
		n.Metadata[key] = v
	}
	if err := describeIn(n.Metadata, map[string]any{runs.MetaMean: r.Mean, runs.MetaStd: r.Std}); err != nil {
		return nil, err
	}
	n.Metadata["producer"], n.Metadata["source_digest"] = "vittool", r.file.Meta[runs.MetaDigest]
	var tensors []tensor.Tensor
	add := func(prefix string, names []string) error {
		for _, name := range names {
			t, ok := r.file.Get(prefix + name)
			if !ok {
				return fmt.Errorf("%s: tensor %s%s, which the objective exports, is missing", r.Path, prefix, name)
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
	if err := add(runs.HeadPrefix, export.Params); err != nil {
		return nil, err
	}
	if err := add(runs.BufferPrefix, export.Buffers); err != nil {
		return nil, err
	}
	n.Tensors = len(tensors)
	if err := tensor.WriteSafetensors(path, tensors, n.Metadata); err != nil {
		return nil, fmt.Errorf("export %s to %s: %w", name, path, err)
	}
	return n, nil
}

func exportNamed(p *plan.Plan, objective, name string) (*plan.Export, error) {
	var names []string
	for _, e := range p.Exports {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("objective %s exports no network of its own, and so no %s", objective, name)
	}
	return nil, fmt.Errorf("objective %s exports no %s; it has %s", objective, name, strings.Join(names, ", "))
}
