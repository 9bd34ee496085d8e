package simclr

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

// The head keeps the width of the features; its last batch norm has no shift; biases and norms take
// no decay. Both crops are one pass.
func TestParameters(t *testing.T) {
	for _, network := range networks {
		trial, err := try(network, map[string]any{"head_layers": 3})
		if err != nil {
			t.Fatal(err)
		}
		d := network.Dim
		want := map[string][]int{
			"projector.0.weight": {d, d}, "projector.1.weight": {d}, "projector.1.bias": {d}, "projector.3.weight": {d, d},
			"projector.4.weight": {d}, "projector.4.bias": {d}, "projector.6.weight": {128, d}, "projector.7.weight": {128},
		}
		for _, p := range trial.Plan.Params {
			if !slices.Equal(p.Shape, want[p.Name]) || p.Decay != (len(p.Shape) > 1) || p.Frozen || p.TeacherCopy {
				t.Errorf("%s: %v, want the shape %v", network.Name, p, want[p.Name])
			}
			delete(want, p.Name)
		}
		if len(want) > 0 {
			t.Errorf("%s: parameters are missing: %v", network.Name, want)
		}
		if p := trial.Plan.Passes; len(p) != 1 || len(p[0].Views) != 2 || !slices.Equal(p[0].Outputs, []sdk.Feature{sdk.PooledFeature}) {
			t.Errorf("%s: passes %v", network.Name, p)
		}
	}
}

func TestOptionsReachThePlan(t *testing.T) {
	trial, err := try(networks[1], map[string]any{"head_bn": false, "head_hidden": 64, "out_dim": 32, "blur_kernel": 23, "crop_size": 100})
	if err != nil {
		t.Fatal(err)
	}
	plan := trial.Plan
	want := map[string][]int{"projector.0.weight": {64, 512}, "projector.0.bias": {64}, "projector.2.weight": {32, 64}, "projector.2.bias": {32}}
	for _, p := range plan.Params {
		if !slices.Equal(p.Shape, want[p.Name]) {
			t.Errorf("%v, want the shape %v", p, want[p.Name])
		}
	}
	if len(plan.Params) != len(want) || len(plan.Buffers) > 0 {
		t.Errorf("%d parameters, buffers %v", len(plan.Params), plan.Buffers)
	}
	for _, v := range plan.Views {
		blurs := 0
		for _, a := range v.Augmentations {
			if a.Kind == sdk.BlurAugmentation {
				blurs++
				if a.Kernel != 23 || !a.SigmaPerBatch || !a.ZeroBorder || a.Probability != .5 {
					t.Errorf("blur %+v", a)
				}
			}
		}
		if blurs != 1 || v.Height != 100 || v.Attempts != 100 {
			t.Errorf("view %+v", v)
		}
	}
	for want, options := range map[string]map[string]any{
		"odd number of taps":         {"blur_kernel": 4},
		"smaller share comes first":  {"crop_scale": []float64{.9, .2}},
		"hue = 0.6: is out of range": {"color_jitter": []float64{.4, .4, .2, .6}},
		"valid is above 0":           {"loss_scale": 0},
	} {
		if _, err := try(networks[0], options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q in it", options, err, want)
		}
	}
}
