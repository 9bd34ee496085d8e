package simsiam

import (
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/plugins/sdk"
)

// networks are a transformer and a residual network.
var networks = []sdk.Backbone{
	{Name: "vit", Family: "vit", Dim: 384, Depth: 12, Heads: 12, Patch: 16, Height: 224, Width: 224, Channels: 3, PrefixTokens: 1},
	{Name: "resnet18", Family: "cnn", Dim: 512, Depth: 4, Patch: 32, Height: 224, Width: 224, Channels: 3, StageDims: []int{64, 128, 256, 512}},
}

func try(network sdk.Backbone, options map[string]any) (*sdk.Trial, error) {
	return sdk.Try(New(), sdk.Run{Batch: 4, Backbone: network}, options)
}

// One bias is a constant, the predictor's learning rate stays, everything decays, and each crop
// passes alone.
func TestParameters(t *testing.T) {
	for _, network := range networks {
		for _, fixed := range []bool{true, false} {
			trial, err := try(network, map[string]any{"out_dim": 64, "pred_hidden": 16, "fix_pred_lr": fixed})
			if err != nil {
				t.Fatal(err)
			}
			d := network.Dim
			want := map[string][]int{
				"projector.0.weight": {d, d}, "projector.1.weight": {d}, "projector.1.bias": {d}, "projector.3.weight": {d, d}, "projector.4.weight": {d},
				"projector.4.bias": {d}, "projector.6.weight": {64, d}, "projector.6.bias": {64},
				"predictor.0.weight": {16, 64}, "predictor.1.weight": {16}, "predictor.1.bias": {16}, "predictor.3.weight": {64, 16}, "predictor.3.bias": {64},
			}
			for _, p := range trial.Plan.Params {
				if !slices.Equal(p.Shape, want[p.Name]) || !p.Decay || p.Frozen != (p.Name == "projector.6.bias") ||
					p.ConstantLR != (fixed && strings.HasPrefix(p.Name, "predictor.")) {
					t.Errorf("%s: %+v, want the shape %v", network.Name, p, want[p.Name])
				}
				delete(want, p.Name)
			}
			if len(want) > 0 {
				t.Errorf("%s: parameters are missing: %v", network.Name, want)
			}
			if trial.Plan.Buffer("projector.7.running_mean") == nil || trial.Plan.Requirements.Decay != sdk.DecayAll {
				t.Errorf("%s: buffers %v, %v", network.Name, trial.Plan.Buffers, trial.Plan.Requirements)
			}
			if p := trial.Plan.Passes; len(p) != 2 || len(p[0].Views) != 1 || len(p[1].Views) != 1 {
				t.Errorf("%s: passes %v", network.Name, p)
			}
		}
	}
}

func TestOptionsReachThePlan(t *testing.T) {
	trial, err := try(networks[1], map[string]any{"head_hidden": 32, "crop_size": 100, "blur": []float64{0, .5}})
	if err != nil {
		t.Fatal(err)
	}
	if p := trial.Plan.Param("projector.3.weight"); !slices.Equal(p.Shape, []int{32, 32}) {
		t.Errorf("%v", p)
	}
	for v, want := range []int{3, 4} { // jitter, gray, blur of the second only, flip
		if view := trial.Plan.Views[v]; len(view.Augmentations) != want || view.Height != 100 {
			t.Errorf("view %+v", view)
		}
	}
	if _, err := try(networks[0], map[string]any{"pred_hidden": 0}); err == nil || !strings.Contains(err.Error(), "pred_hidden") {
		t.Errorf("%v", err)
	}
}
