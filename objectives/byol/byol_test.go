package byol

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

// The teacher has a projector and no predictor; biases and norms take no decay.
func TestParameters(t *testing.T) {
	for _, network := range networks {
		trial, err := try(network, map[string]any{"head_hidden": 64, "pred_hidden": 48, "out_dim": 32})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][]int{
			"projector.0.weight": {64, network.Dim}, "projector.0.bias": {64}, "projector.1.weight": {64}, "projector.1.bias": {64},
			"projector.3.weight": {32, 64}, "projector.3.bias": {32},
			"predictor.0.weight": {48, 32}, "predictor.0.bias": {48}, "predictor.1.weight": {48}, "predictor.1.bias": {48},
			"predictor.3.weight": {32, 48}, "predictor.3.bias": {32},
		}
		for _, p := range trial.Plan.Params {
			if !slices.Equal(p.Shape, want[p.Name]) || p.Decay != (len(p.Shape) > 1) || p.TeacherCopy != strings.HasPrefix(p.Name, "projector.") {
				t.Errorf("%s: %v, want the shape %v", network.Name, p, want[p.Name])
			}
			delete(want, p.Name)
		}
		if len(want) > 0 {
			t.Errorf("%s: parameters are missing: %v", network.Name, want)
		}
		if trial.Plan.Teacher.When != sdk.AfterStep || trial.Plan.Buffer("teacher.projector.1.running_mean") == nil || trial.Plan.Buffer("teacher.predictor.1.running_mean") != nil {
			t.Errorf("%s: teacher %v, buffers %v", network.Name, trial.Plan.Teacher, trial.Plan.Buffers)
		}
		if len(trial.Plan.Passes) != 4 {
			t.Errorf("%s: passes %v; each crop passes each network alone", network.Name, trial.Plan.Passes)
		}
	}
}

func TestOptionsReachThePlan(t *testing.T) {
	trial, err := try(networks[0], map[string]any{"last_bias": false, "teacher_momentum": .9, "teacher_momentum_end": .95, "crop_size": 96})
	if err != nil {
		t.Fatal(err)
	}
	plan := trial.Plan
	if s := plan.Schedules[0]; s.From != .9 || s.To != .95 {
		t.Errorf("the average is %v", s)
	}
	if plan.Param("projector.3.bias") != nil || plan.Param("predictor.3.bias") != nil || plan.Param("projector.0.bias") == nil {
		t.Errorf("without last biases: %v", plan.Params)
	}
	for v, want := range []int{4, 5} { // jitter, gray, blur, solarizing of the second only, flip
		if view := plan.Views[v]; len(view.Augmentations) != want || view.Height != 96 || view.Width != 96 {
			t.Errorf("view %v", view)
		}
	}
	both, err := try(networks[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	one, err := try(networks[0], map[string]any{"symmetric": false})
	if err != nil {
		t.Fatal(err)
	}
	if len(both.Plan.Nodes) != len(one.Plan.Nodes)+1 || len(one.Plan.Results.Metrics) != len(both.Plan.Results.Metrics) {
		t.Errorf("%d nodes with both directions, %d with one: all passes run in both", len(both.Plan.Nodes), len(one.Plan.Nodes))
	}
	for want, options := range map[string]map[string]any{
		"crop_size 100 is no multiple": {"crop_size": 100},
		"valid is 0 to 1":              {"teacher_momentum_end": 1.5},
		"smaller share comes first":    {"crop_scale": []float64{.9, .2}},
	} {
		if _, err := try(networks[0], options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q in it", options, err, want)
		}
	}
}
