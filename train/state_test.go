package train

import (
	"bytes"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/runs"
)

// A step of two micro-batches that ends after the first leaves no trace: the state has the bytes
// from before, whichever buffers there are.
func TestRewind(t *testing.T) {
	for _, name := range []string{"moco", "instdisc", "dino", "swav", "simclr"} {
		t.Run(name, func(t *testing.T) {
			cfg := smallResidual(t, name)
			cfg.Train.BatchSize, cfg.Train.Accumulate = 4, 2
			checkRewind(t, cfg, true)
		})
	}
	t.Run("cached", func(t *testing.T) { checkRewind(t, cachedResidual(t), false) })
}

// cachedResidual is a run whose loss spans two micro-batches.
func cachedResidual(t *testing.T) *configs.Config {
	cfg := smallResidual(t, "simclr")
	cfg.Train.BatchSize, cfg.Train.Accumulate, cfg.Train.GradCache, cfg.Train.DropLast = 4, 2, true, true
	return cfg
}

// checkRewind takes back a first micro-batch; computed tells whether it yields gradients.
func checkRewind(t *testing.T, cfg *configs.Config, computed bool) {
	t.Helper()
	r := must.Get(open(t.Context(), cfg, Options{}))(t)
	defer r.finish(nil, nil)
	state := func() (all [][]byte) {
		for _, x := range r.state.tensors() {
			all = append(all, bytes.Clone(x.Bytes()))
		}
		return all
	}
	param.NormalizeRows(r.setup.device, r.state.store.Parameters()) // once more changes nothing, so that it needs no copy
	before := state()
	r.state.stepBegins(2)
	batch := must.Get(r.feed.next(t.Context()))(t)
	if ok := must.Get(r.graphs.compute(t.Context(), 0, 2, batch))(t); ok != computed {
		t.Fatalf("gradients after the first micro-batch: %v", ok)
	}
	batch.Release()
	if computed {
		must.Do(t, r.graphs.commit())
	}
	changed := 0
	for i, x := range r.state.tensors() {
		if !bytes.Equal(x.Bytes(), before[i]) {
			changed++
		}
	}
	if changed == 0 {
		t.Error("the micro-batch changes no running statistics")
	}
	r.state.rewind()
	for i, x := range r.state.tensors() {
		if !bytes.Equal(x.Bytes(), before[i]) {
			t.Errorf("%s keeps a trace of the micro-batch", x.Name)
		}
	}
	for _, b := range r.state.moving {
		if p := r.setup.objective.Plan().Buffer(b.Name[min(len(b.Name), len(runs.BufferPrefix)):]); p != nil && p.Waits() {
			t.Errorf("%s is copied although it waits for the end of the step", b.Name)
		}
	}
}
