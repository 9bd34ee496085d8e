package train

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/runs"
)

// checkpoint writes the state between two steps.
func (r *run) checkpoint() error {
	meta, err := r.metadata()
	if err != nil {
		return err
	}
	if err := r.recorder.save(meta, r.state.tensors()); err != nil {
		return err
	}
	s := &r.setup
	if err := r.graphs.targets.save(); err != nil { // no reason to stop a run
		s.progress.Warning(err.Error())
	}
	return nil
}

// draw lets pictures be drawn of the checkpoint of the last step, where they are due.
func (r *run) draw() {
	s, step := &r.setup, r.state.step
	if step > 0 && (step == s.total || s.epochs.due(s.cfg.Run.PicturesEvery, step)) {
		r.recorder.draw(step)
	}
}

// checkpointDue reports whether a checkpoint is due after the step that was done last.
func (r *run) checkpointDue() bool {
	o, e, step := r.setup.cfg.Run, r.setup.epochs, r.state.step
	return r.done() || e.due(o.CheckpointEvery, step) || e.due(o.PicturesEvery, step)
}

func (r *run) metadata() (runs.Meta, error) {
	s, objective := &r.setup, r.setup.objective.Plan()
	network, err := backbone.Encode(s.network)
	if err != nil {
		return runs.Meta{}, fmt.Errorf("checkpoint: configuration of the network: %w", err)
	}
	mean, std := s.cfg.Data.Normalization()
	meta := runs.Meta{
		Step: r.state.step, Config: s.cfg.Result().YAML(), Model: json.RawMessage(network), Objective: r.recorder.info.Objective, Data: r.recorder.info.Data,
		Mean: mean, Std: std, Kernels: s.device.Level(), Files: objective.FileDigests(),
	}
	if s.cfg.Objective.Plugin != "" {
		meta.Plan = s.objective.PlanDigest()
	}
	if recommended := objective.Recommended; recommended != nil {
		features := featuresOf(recommended)
		meta.Features = &features
	}
	return meta, nil
}

// featuresOf is the recommendation of a plan.
func featuresOf(r *plan.Recommended) runs.Features {
	if r == nil {
		r = &plan.Recommended{}
	}
	f := runs.Features{Network: r.Network.String(), Pool: runs.PoolMean, LinearBlocks: r.LinearBlocks}
	switch {
	case len(r.Features) == 2:
		f.Pool = runs.PoolBoth
	case slices.Contains(r.Features, plan.FeatureClass):
		f.Pool = runs.PoolClass
	}
	return f
}
