// Package programtest helps tests to open objectives, compile their plans, and compare a step with
// reference data.
package programtest

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/sdk"
)

// Opening are the circumstances in which an objective is opened. Pixels are not normalized.
type Opening struct {
	Objective sdk.Objective
	Options   map[string]any
	Network   backbone.Config // before the plan's own requirements
	Batch     int
	Total     int // steps of the run; 0: 10
	PerEpoch  int // steps; 0: 5
	Images    int // of the data set; 0: 100
}

// Plan opens the objective inside the host and returns its plan.
func (o Opening) Plan(t testing.TB) *plan.Plan {
	t.Helper()
	h := o.Open(t)
	defer h.Close()
	return h.Plan()
}

// Open opens the objective inside the host. The caller closes it.
func (o Opening) Open(t testing.TB) *host.Objective {
	t.Helper()
	if o.Total == 0 {
		o.Total = 10
	}
	if o.PerEpoch == 0 {
		o.PerEpoch = 5
	}
	if o.Images == 0 {
		o.Images = 100
	}
	text, err := json.Marshal(o.Options)
	if err != nil {
		t.Fatal(err)
	}
	options := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(text)) // as options come from a file
	d.UseNumber()
	if err := d.Decode(&options); err != nil {
		t.Fatal(err)
	}
	channels := o.Network.Info().Channels
	h, err := host.Open(context.Background(), host.Options{
		Name: o.Objective.Info().Name, Builtin: func(string) (sdk.Objective, error) { return o.Objective, nil }, Mode: host.Inproc,
		Config: options, Run: host.Run{Seed: 1, Batch: o.Batch, Steps: o.Total, StepsPerEpoch: float64(o.PerEpoch), DatasetSize: o.Images,
			Backbone: program.BackboneInfo(o.Network, make([]float64, channels), slices.Repeat([]float64{1}, channels))},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}
