package mocov3

import (
	"slices"
	"strings"
	"testing"

	plans "github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/sdk"
)

func try(options map[string]any) (*sdk.Trial, error) {
	return sdk.Try(New(), sdk.Run{Batch: 4, Backbone: sdk.Backbone{Name: "vit", Family: "vit", Dim: 384, Depth: 12, Heads: 12,
		Patch: 16, Height: 224, Width: 224, Channels: 3, PrefixTokens: 1}}, options)
}

// Names, shapes and flags of parameters and running statistics are those of the official code.
func TestParameters(t *testing.T) {
	trial, err := try(nil)
	if err != nil {
		t.Fatal(err)
	}
	plan := trial.Plan
	want := map[string][]int{
		"base_encoder.head.0.weight": {4096, 384}, "base_encoder.head.1.weight": {4096}, "base_encoder.head.1.bias": {4096},
		"base_encoder.head.3.weight": {4096, 4096}, "base_encoder.head.4.weight": {4096}, "base_encoder.head.4.bias": {4096},
		"base_encoder.head.6.weight": {256, 4096},
		"predictor.0.weight":         {4096, 256}, "predictor.1.weight": {4096}, "predictor.1.bias": {4096}, "predictor.3.weight": {256, 4096},
	}
	for _, p := range plan.Params {
		if !slices.Equal(p.Shape, want[p.Name]) || !p.Decay || p.Frozen || p.TeacherCopy != strings.HasPrefix(p.Name, "base_encoder.") {
			t.Errorf("%v, want the shape %v", p, want[p.Name])
		}
		delete(want, p.Name)
	}
	if len(want) > 0 {
		t.Errorf("parameters are missing: %v", want)
	}
	var buffers []string
	for _, b := range plan.Buffers {
		buffers = append(buffers, strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(b.Name, ".running_mean"), ".running_var"), ".num_batches_tracked"))
	}
	slices.Sort(buffers)
	if got := slices.Compact(buffers); !slices.Equal(got, []string{"base_encoder.head.1", "base_encoder.head.4", "base_encoder.head.7", "predictor.1", "predictor.4",
		"teacher.base_encoder.head.1", "teacher.base_encoder.head.4", "teacher.base_encoder.head.7"}) {
		t.Errorf("statistics of %v", got)
	}
	if plan.Teacher.When != sdk.BeforeForward || plan.Requirements.Decay != sdk.DecayAll {
		t.Errorf("%v, %v", plan.Teacher, plan.Requirements)
	}
}

// After a residual network, names, shapes and passes are those of the official code: a projector of
// two layers in the place of the classifier, a predictor that ends without a batch norm, and one pass
// a crop.
func TestResidualNetwork(t *testing.T) {
	trial, err := sdk.Try(New(), sdk.Run{Batch: 4, Backbone: sdk.Backbone{Name: "resnet50", Family: "cnn", Dim: 2048, Depth: 4,
		Patch: 32, Height: 224, Width: 224, Channels: 3, StageDims: []int{256, 512, 1024, 2048}}}, map[string]any{"crop_size": 100})
	if err != nil {
		t.Fatal(err)
	}
	plan := trial.Plan
	want := map[string][]int{
		"base_encoder.fc.0.weight": {4096, 2048}, "base_encoder.fc.1.weight": {4096}, "base_encoder.fc.1.bias": {4096}, "base_encoder.fc.3.weight": {256, 4096},
		"predictor.0.weight": {4096, 256}, "predictor.1.weight": {4096}, "predictor.1.bias": {4096}, "predictor.3.weight": {256, 4096},
	}
	for _, p := range plan.Params {
		if !slices.Equal(p.Shape, want[p.Name]) || !p.Decay || p.Frozen || p.TeacherCopy != strings.HasPrefix(p.Name, "base_encoder.") {
			t.Errorf("%v, want the shape %v", p, want[p.Name])
		}
		delete(want, p.Name)
	}
	if len(want) > 0 {
		t.Errorf("parameters are missing: %v", want)
	}
	if len(plan.Passes) != 4 {
		t.Errorf("%d passes", len(plan.Passes))
	}
	for _, p := range plan.Passes {
		if len(p.Views) != 1 || !slices.Equal(p.Outputs, []sdk.Feature{sdk.PooledFeature}) {
			t.Errorf("pass %s of %v reads %v", p.Name, p.Views, p.Outputs)
		}
	}
	for _, b := range plan.Buffers {
		if strings.Contains(b.Name, "predictor.4") {
			t.Errorf("the predictor ends in a batch norm: %s", b.Name)
		}
	}
}

func TestOptionsReachThePlan(t *testing.T) {
	trial, err := try(map[string]any{"stop_grad_conv1": false, "momentum_cos": false, "momentum": .9, "crop_size": 96, "blur": []float64{0, .5}, "solarize": []float64{0, 0}})
	if err != nil {
		t.Fatal(err)
	}
	plan := trial.Plan
	if len(plan.Requirements.Frozen) > 0 || plan.Schedules[0].Kind != plans.ScheduleConstant || plan.Schedules[0].From != .9 {
		t.Errorf("%v, %v", plan.Requirements, plan.Schedules)
	}
	for v, want := range []int{3, 4} { // jitter, gray, blur of the second only, flip
		if view := plan.Views[v]; len(view.Augmentations) != want || view.Height != 96 || view.Width != 96 {
			t.Errorf("view %v", view)
		}
	}
	if trial, err = try(nil); err != nil || !slices.Equal(trial.Plan.Requirements.Frozen, []string{"patch_embed.proj.*"}) {
		t.Errorf("the patch embedding is not frozen: %v, %v", trial, err)
	}
	for want, options := range map[string]map[string]any{
		"crop_size 100 is no multiple": {"crop_size": 100},
		"smaller share comes first":    {"crop_scale": []float64{.9, .2}},
		"blur has 1 values":            {"blur": []float64{1}},
		"hue = 0.6: is out of range":   {"color_jitter": []float64{.4, .4, .2, .6}},
		"valid is above 0":             {"temperature": 0},
	} {
		if _, err := try(options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q in it", options, err, want)
		}
	}
}
