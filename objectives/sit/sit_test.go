package sit

import (
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/sdk"
)

func try(patch, side int, options map[string]any) (*sdk.Trial, error) {
	return sdk.Try(New(), sdk.Run{Batch: 4, Backbone: sdk.Backbone{Name: "vit", Family: "vit", Dim: 384, Depth: 12, Heads: 6,
		Patch: patch, Height: side, Width: side, Channels: 3, PrefixTokens: 1}}, options)
}

// Names, shapes and flags of the parameters are those of the official code; all have an average.
func TestParameters(t *testing.T) {
	trial := must.Get(try(16, 224, nil))(t)
	plan := trial.Plan
	want := map[string][]int{
		"head.mlp.0.weight": {4096, 384}, "head.mlp.0.bias": {4096}, "head.mlp.1.weight": {4096}, "head.mlp.1.bias": {4096},
		"head.mlp.3.weight": {4096, 4096}, "head.mlp.3.bias": {4096}, "head.mlp.4.weight": {4096}, "head.mlp.4.bias": {4096},
		"head.mlp.6.weight": {256, 4096}, "head.mlp.6.bias": {256},
		"head_recons.mlp.0.weight": {384, 384}, "head_recons.mlp.0.bias": {384}, "head_recons.mlp.2.weight": {384, 384}, "head_recons.mlp.2.bias": {384},
		"head_recons.mlp.4.weight": {384, 384}, "head_recons.mlp.4.bias": {384},
		"head_recons.convTrans.weight": {384, 3, 16, 16}, "head_recons.convTrans.bias": {3},
	}
	for _, p := range plan.Params {
		if !slices.Equal(p.Shape, want[p.Name]) || p.Decay != (len(p.Shape) > 1) || p.Frozen || !p.TeacherCopy {
			t.Errorf("%v, want the shape %v", p, want[p.Name])
		}
		delete(want, p.Name)
	}
	if len(want) > 0 {
		t.Errorf("parameters are missing: %v", want)
	}
	if n := len(plan.Buffers); n != 2*3*3 { // three statistics of three norms of two networks
		t.Errorf("%d buffers", n)
	}
}

func TestOptionsReachThePlan(t *testing.T) {
	trial := must.Get(try(4, 32, map[string]any{"task_weights": "learned", "lmbda": 5, "crop_size": 24, "blur": []float64{0, 0}}))(t)
	plan := trial.Plan
	learned := 0
	for _, p := range plan.Params {
		if strings.HasPrefix(p.Name, "task_weights.") {
			learned++
			if p.TeacherCopy || p.Decay || len(p.Shape) > 0 {
				t.Errorf("%v", p)
			}
		}
	}
	if learned != 2 || plan.Views[0].Height != 24 || len(plan.Views[0].Augmentations) != 3 {
		t.Errorf("%d learned weights, view %v", learned, plan.Views[0])
	}
	for want, options := range map[string]map[string]any{
		"9 pixels of 32":              {"drop_align": 9},
		"crop_size 30 is no multiple": {"crop_size": 30},
		"smaller share comes first":   {"crop_scale": []float64{.9, .2}},
		"solarize has 3 values":       {"solarize": []float64{0, .1, .2}},
		"hue = 0.6: is out of range":  {"color_jitter": []float64{.4, .4, .2, .6}},
		"at least one of zeros":       {"drop_type": []string{}},
		"zeros, noise, copy":          {"drop_type": []string{"holes"}},
		"fixed, learned":              {"task_weights": "guessed"},
		`did you mean drop_replace?`:  {"drop_replaced": .5},
	} {
		if _, err := try(4, 32, options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q in it", options, err, want)
		}
	}
}

// However unlikely the shape of an image, painting ends before its rectangles run out, with the
// share that was drawn.
func TestRectanglesSuffice(t *testing.T) {
	for _, tc := range []struct {
		painting
		share float64
	}{
		{painting{32, 32, 1}, .5}, {painting{32, 32, 4}, .7}, {painting{32, 32, 1}, .9}, {painting{224, 224, 1}, .5}, {painting{224, 224, 16}, .9},
		{painting{160, 224, 16}, .5}, {painting{16, 16, 1}, .7}, {painting{24, 24, 1}, .5},
		{painting{32, 32, 3}, .9}, {painting{224, 96, 7}, .5}, {painting{48, 64, 5}, .7}, // sides that are no multiple
	} {
		most, used := tc.bound(tc.share), 0
		for draw := range uint64(300) {
			rects := tc.rects(sdk.NewRNG(1, draw), tc.share, most, func(*sdk.Rect) {})
			used = max(used, len(rects))
			seen, covered := make([]bool, tc.height*tc.width), 0
			for _, x := range rects {
				if x.Top+x.Height > tc.height || x.Left+x.Width > tc.width {
					t.Fatalf("%+v: %+v leads past the border", tc, x)
				}
				for y := x.Top; y < x.Top+x.Height; y++ {
					for i := y*tc.width + x.Left; i < y*tc.width+x.Left+x.Width; i++ {
						if !seen[i] {
							seen[i] = true
							covered++
						}
					}
				}
			}
			if got := float64(covered) / float64(len(seen)); got < min(.5, tc.share) {
				t.Fatalf("%+v: %d rectangles cover %g", tc, len(rects), got)
			}
		}
		if used > most*3/4 {
			t.Errorf("%+v: %d of %d rectangles were used", tc, used, most)
		}
	}
}

// A corruption depends on the crop, the sample, the step and the seed.
func TestCorruptionFollowsSample(t *testing.T) {
	trial := must.Get(try(4, 32, map[string]any{"drop_replace": 0, "drop_type": []string{"zeros", "noise", "copy"}}))(t)
	plan := trial.Plan
	n := plan.Masks[0].Length * sdk.CorruptionStride
	mask := func(crop int, seed, step uint64, ids ...uint64) []int32 {
		return trial.Masks(seed, step, ids...)[crop].Values
	}
	a := mask(0, 1, 2, 10, 20, 30)
	if !slices.Equal(a[n:2*n], mask(0, 1, 2, 20)) {
		t.Error("the corruption of a sample depends on its batch")
	}
	for name, other := range map[string][]int32{"crop": mask(1, 1, 2, 10), "sample": mask(0, 1, 2, 11), "step": mask(0, 1, 3, 10), "seed": mask(0, 2, 2, 10)} {
		if slices.Equal(a[:n], other) {
			t.Errorf("the corruption does not depend on the %s", name)
		}
	}
	fills := map[int32]bool{}
	for step := range uint64(20) {
		fills[mask(0, 1, step, 1)[4]] = true
	}
	if len(fills) != 3 {
		t.Errorf("crops are filled with %v, three kinds were asked for", fills)
	}
}
