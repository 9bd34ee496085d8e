package dino

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
	plans "github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/sdk"
)

func backbone(patch, height, width int) sdk.Backbone {
	return sdk.Backbone{Name: "vit", Family: "vit", Dim: 384, Depth: 12, Heads: 6, Patch: patch, Height: height, Width: width,
		Channels: 3, PrefixTokens: 1, LayerNormEps: 1e-6}
}

func try(info sdk.Backbone, options map[string]any) (*sdk.Trial, error) {
	return sdk.Try(New(), sdk.Run{Batch: 4, Backbone: info, StepsPerEpoch: 50, Steps: 500}, options)
}

func planOf(t *testing.T, info sdk.Backbone, options map[string]any) *sdk.Plan {
	t.Helper()
	trial := must.Get(try(info, options))(t)
	return trial.Plan
}

// Names, shapes and flags of each form of the head are those of the official code.
func TestHead(t *testing.T) {
	for name, tc := range map[string]struct {
		options map[string]any
		want    map[string][]int
		buffers []string
	}{
		"default": {nil, map[string][]int{
			"mlp.0.weight": {2048, 384}, "mlp.0.bias": {2048}, "mlp.2.weight": {2048, 2048}, "mlp.2.bias": {2048},
			"mlp.4.weight": {256, 2048}, "mlp.4.bias": {256}, "last_layer.weight_g": {65536, 1}, "last_layer.weight_v": {65536, 256},
		}, []string{"center"}},
		"batch norm": {map[string]any{"head_bn": true, "head_hidden": 32, "out_dim": 64}, map[string][]int{
			"mlp.0.weight": {32, 384}, "mlp.0.bias": {32}, "mlp.1.weight": {32}, "mlp.1.bias": {32},
			"mlp.3.weight": {32, 32}, "mlp.3.bias": {32}, "mlp.4.weight": {32}, "mlp.4.bias": {32},
			"mlp.6.weight": {256, 32}, "mlp.6.bias": {256}, "last_layer.weight_g": {64, 1}, "last_layer.weight_v": {64, 256},
		}, []string{
			"mlp.1.running_mean", "mlp.1.running_var", "mlp.1.num_batches_tracked", "mlp.4.running_mean", "mlp.4.running_var", "mlp.4.num_batches_tracked",
			"teacher.mlp.1.running_mean", "teacher.mlp.1.running_var", "teacher.mlp.1.num_batches_tracked",
			"teacher.mlp.4.running_mean", "teacher.mlp.4.running_var", "teacher.mlp.4.num_batches_tracked", "center",
		}},
		"one layer": {map[string]any{"head_layers": 1, "head_bn": true}, map[string][]int{
			"mlp.weight": {256, 384}, "mlp.bias": {256}, "last_layer.weight_g": {65536, 1}, "last_layer.weight_v": {65536, 256},
		}, []string{"center"}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := planOf(t, backbone(16, 224, 224), tc.options)
			for key, shape := range tc.want {
				p := plan.Param(key)
				if p == nil || !slices.Equal(p.Shape, shape) {
					t.Errorf("%s: %v, want shape %v", key, p, shape)
					continue
				}
				if !p.TeacherCopy {
					t.Errorf("%s: the teacher has no copy", key)
				}
				if p.Decay != (len(shape) > 1) {
					t.Errorf("%s: decay %v", key, p.Decay)
				}
				if want := 0; strings.HasPrefix(key, "last_layer") {
					if p.FreezeUntil != 50 {
						t.Errorf("%s is frozen until step %d, want one epoch of 50", key, p.FreezeUntil)
					}
				} else if p.FreezeUntil != want {
					t.Errorf("%s is frozen until step %d", key, p.FreezeUntil)
				}
				if p.Frozen != (key == "last_layer.weight_g") {
					t.Errorf("%s: frozen %v", key, p.Frozen)
				}
			}
			if len(plan.Params) != len(tc.want) {
				t.Errorf("%d parameters, want %d: %v", len(plan.Params), len(tc.want), plan.Params)
			}
			var buffers []string
			for _, b := range plan.Buffers {
				buffers = append(buffers, b.Name)
			}
			slices.Sort(buffers)
			slices.Sort(tc.buffers)
			if !slices.Equal(buffers, tc.buffers) {
				t.Errorf("buffers %v, want %v", buffers, tc.buffers)
			}
		})
	}
	if p := planOf(t, backbone(16, 224, 224), map[string]any{"norm_last_layer": false, "freeze_last_layer": 1.5}).Param("last_layer.weight_g"); p.Frozen || p.FreezeUntil != 75 {
		t.Errorf("without norm_last_layer weight_g is frozen: %v, until step %d", p.Frozen, p.FreezeUntil)
	}
}

// Small crops keep the official proportion to large ones, in whole patches.
func TestCrops(t *testing.T) {
	for _, tc := range []struct {
		patch, height, width int
		options              map[string]any
		local, global        [2]int
	}{
		{16, 224, 224, nil, [2]int{96, 96}, [2]int{224, 224}},
		{4, 32, 32, nil, [2]int{12, 12}, [2]int{32, 32}},
		{16, 160, 224, nil, [2]int{64, 96}, [2]int{160, 224}},
		{4, 32, 32, map[string]any{"local_size": 16, "global_size": 24}, [2]int{16, 16}, [2]int{24, 24}},
		{32, 32, 32, nil, [2]int{32, 32}, [2]int{32, 32}},
	} {
		plan := planOf(t, backbone(tc.patch, tc.height, tc.width), tc.options)
		for i, v := range plan.Views {
			want := tc.global
			if i >= 2 {
				want = tc.local
			}
			if [2]int{v.Height, v.Width} != want {
				t.Errorf("%+v: view %s is %d×%d, want %v", tc, v.Name, v.Height, v.Width, want)
			}
		}
		if len(plan.Views) != 10 || len(plan.Passes) != 3 {
			t.Errorf("%d views in %d passes", len(plan.Views), len(plan.Passes))
		}
	}
	if plan := planOf(t, backbone(16, 224, 224), map[string]any{"local_crops": 0}); len(plan.Views) != 2 || len(plan.Passes) != 2 {
		t.Errorf("without small crops: %d views in %d passes", len(plan.Views), len(plan.Passes))
	}
}

// The teacher's temperature goes through its warm-up epoch by epoch, both ends included.
func TestTemperature(t *testing.T) {
	for epochs, want := range map[int][]float64{0: {.07}, 1: {.04, .07}, 3: {.04, .055, .07, .07}} {
		plan := planOf(t, backbone(16, 224, 224), map[string]any{"teacher_temp": .07, "warmup_teacher_temp": .04, "warmup_teacher_temp_epochs": epochs})
		for _, s := range plan.Schedules {
			if s.Kind != plans.ScheduleTable {
				continue
			}
			if len(s.Values) != len(want) || s.StepsPerValue != 50 {
				t.Errorf("%d epochs: %v every %v steps", epochs, s.Values, s.StepsPerValue)
				continue
			}
			for i, v := range s.Values {
				if math.Abs(1/v-want[i]) > 1e-12 {
					t.Errorf("%d epochs: temperature %d is %v, want %v", epochs, i, 1/v, want[i])
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	for want, options := range map[string]map[string]any{
		"local_size 10 is no multiple of the patch size 16": {"local_size": 10},
		"global_size 30 is no multiple":                     {"global_size": 30},
		"global_scale has 1 values; it takes 2":             {"global_scale": []float64{.4}},
		"local_scale is [0.4, 0.05]":                        {"local_scale": []float64{.4, .05}},
		"hue = 0.6: is out of range":                        {"color_jitter": []float64{.4, .4, .2, .6}},
		"blur has 2 values; it takes 3":                     {"blur": []float64{1, 0}},
		"valid is above 0":                                  {"student_temp": 0},
		`did you mean out_dim?`:                             {"out_dims": 5},
	} {
		if _, err := try(backbone(16, 224, 224), options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q in it", options, err, want)
		}
	}
}

// A residual network is read by its pooled output, needs no part of transformers, and sees crops of
// any size.
func TestResidualNetwork(t *testing.T) {
	cnn := backbone(32, 224, 224)
	cnn.Name, cnn.Family, cnn.Heads, cnn.PrefixTokens, cnn.StageDims = "resnet18", "cnn", 0, 0, []int{64, 128, 256, 512}
	plan := planOf(t, cnn, map[string]any{"local_size": 90})
	if r := plan.Requirements; r.ClassToken != sdk.ClassTokenDefault || r.PosEmbed != sdk.PosEmbedDefault || r.DropPath != 0 {
		t.Errorf("it requires %+v", r)
	}
	for _, p := range plan.Passes {
		if !slices.Equal(p.Outputs, []sdk.Feature{sdk.PooledFeature}) {
			t.Errorf("pass %s reads %v", p.Name, p.Outputs)
		}
	}
	if !slices.Equal(plan.Recommended.Features, []sdk.Feature{sdk.PooledFeature}) {
		t.Errorf("it recommends %v", plan.Recommended.Features)
	}
	if last := plan.Views[len(plan.Views)-1]; last.Height != 90 {
		t.Errorf("small crops of %d pixels", last.Height)
	}
}
