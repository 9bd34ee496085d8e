package moco

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

// The head of v2 has a hidden layer, that of v1 none; everything decays and has an averaged copy.
func TestParameters(t *testing.T) {
	for _, network := range networks {
		d := network.Dim
		for _, c := range []struct {
			mlp  bool
			want map[string][]int
		}{
			{true, map[string][]int{"projector.0.weight": {d, d}, "projector.0.bias": {d}, "projector.2.weight": {128, d}, "projector.2.bias": {128}}},
			{false, map[string][]int{"projector.weight": {128, d}, "projector.bias": {128}}},
		} {
			trial, err := try(network, map[string]any{"mlp": c.mlp})
			if err != nil {
				t.Fatal(err)
			}
			plan := trial.Plan
			for _, p := range plan.Params {
				if !slices.Equal(p.Shape, c.want[p.Name]) || !p.Decay || p.Frozen || !p.TeacherCopy {
					t.Errorf("%s: %v, want the shape %v", network.Name, p, c.want[p.Name])
				}
			}
			if len(plan.Params) != len(c.want) || plan.Requirements.Decay != sdk.DecayAll || plan.Teacher.When != sdk.BeforeForward {
				t.Errorf("%s: %d parameters, %v, %v", network.Name, len(plan.Params), plan.Requirements, plan.Teacher)
			}
			if len(plan.Buffers) != 1 || !slices.Equal(plan.Buffers[0].Shape, []int{65536, 128}) || plan.Buffers[0].Update != sdk.UpdateRing || !plan.Buffers[0].UnitNormRows {
				t.Errorf("%s: buffers %v", network.Name, plan.Buffers)
			}
		}
	}
}

func TestOptionsReachThePlan(t *testing.T) {
	trial, err := try(networks[1], map[string]any{"symmetric": true, "queue": 12, "momentum": .9, "momentum_end": .99, "gray_first": true, "crop_size": 100})
	if err != nil {
		t.Fatal(err)
	}
	plan := trial.Plan
	if len(plan.Passes) != 4 || len(plan.Buffers) != 2 || len(plan.Results.Updates) != 2 {
		t.Errorf("%d passes, buffers %v", len(plan.Passes), plan.Buffers)
	}
	if s := plan.Schedules[0]; s.From != .9 || s.To != .99 {
		t.Errorf("the momentum is %v", s)
	}
	for _, v := range plan.Views {
		if v.Augmentations[0].Kind != sdk.GrayAugmentation || v.Augmentations[1].Kind != sdk.ColorAugmentation || v.Width != 100 {
			t.Errorf("view %+v", v)
		}
	}
	for want, options := range map[string]map[string]any{
		"no multiple of the micro-batch of 4": {"queue": 10},
		"smaller share comes first":           {"crop_scale": []float64{.9, .2}},
		"valid is above 0":                    {"temperature": 0},
	} {
		if _, err := try(networks[0], options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q in it", options, err, want)
		}
	}
}
