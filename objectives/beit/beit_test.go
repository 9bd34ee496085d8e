package beit

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
	plans "github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/sdk"
)

// file is a tokenizer of 16 tokens of 4×4 pixels.
const file = "testdata/tokenizer.safetensors"

func backbone(patch, height, width, channels int) sdk.Backbone {
	return sdk.Backbone{Name: "vit", Family: "vit", Dim: 32, Depth: 2, Heads: 4, Patch: patch, Height: height, Width: width,
		Channels: channels, PrefixTokens: 1, LayerNormEps: 1e-6}
}

func try(info sdk.Backbone, options map[string]any) (*sdk.Trial, error) {
	return sdk.Try(New(), sdk.Run{Batch: 4, Backbone: info}, options)
}

func TestPlan(t *testing.T) {
	trial := must.Get(try(backbone(16, 224, 160, 3), map[string]any{"tokenizer": file}))(t)
	plan := trial.Plan
	want := sdk.Requirements{Families: []string{"vit"}, ClassToken: sdk.ClassTokenRequired, RelPos: sdk.RelPosShared, PosEmbed: sdk.PosEmbedNone,
		LayerScale: .1, DropPath: .1, SplitQKVBias: true, NoDecay: []string{"pos_embed", "cls_token"}, Init: initial()}
	if !reflect.DeepEqual(plan.Requirements, want) {
		t.Errorf("the backbone's requirements are %v, want %v", plan.Requirements, want)
	}
	// 14×10 patches; the tokenizer has 4 pixels for each.
	if v := plan.Views[1]; v.Height != 56 || v.Width != 40 || v.SameGeometryAs != "image" || len(v.Mean) != 3 {
		t.Errorf("the tokenizer's view is %v", v)
	}
	checkParameters(t, plan)
	if len(plan.Results.Pictures) != 1 || plan.Results.Metrics[0].Name != "mlm_acc" {
		t.Errorf("pictures %v, metrics %v", plan.Results.Pictures, plan.Results.Metrics)
	}
}

// checkParameters holds the plan to its parameters: the tokenizer's come from its file and are
// frozen.
func checkParameters(t *testing.T, plan *sdk.Plan) {
	t.Helper()
	for _, p := range plan.Params {
		if strings.HasPrefix(p.Name, "tokenizer.") != p.Frozen || p.Frozen && p.Init.Kind != plans.InitFile {
			t.Errorf("%s: frozen %v, from %v", p.Name, p.Frozen, p.Init.Kind)
		}
	}
	if p := plan.Param("lm_head.weight"); p == nil || p.Shape[0] != 16 || p.Shape[1] != 32 || !p.Decay {
		t.Errorf("lm_head.weight: %v", p)
	}
	if p := plan.Param("mask_token"); p == nil || !p.Decay || p.Init.A != .02 || p.Init.B != .02 {
		t.Errorf("mask_token: %v", p)
	}
	if plan.Param("tokenizer.codebook") == nil || plan.Param("tokenizer.decoder.out.weight") == nil {
		t.Error("the tokenizer's parameters are missing")
	}
}

func TestOptions(t *testing.T) {
	small := backbone(4, 32, 32, 3)
	trial := must.Get(try(small, map[string]any{"tokenizer": file, "rel_pos": "both", "abs_pos": true, "layer_scale": 0, "drop_path": 0, "color_jitter": 0}))(t)
	plan := trial.Plan
	r := plan.Requirements
	if r.RelPos != sdk.RelPosBoth || r.PosEmbed != sdk.PosEmbedLearned || r.LayerScale != 0 || r.DropPath != 0 {
		t.Errorf("the backbone's requirements are %v", r)
	}
	if a := plan.Views[0].Augmentations; len(a) != 1 || plan.Views[0].ColorsFirst {
		t.Errorf("without a jitter the view is %v", plan.Views[0])
	}
	for want, tc := range map[string]struct {
		info    sdk.Backbone
		options map[string]any
	}{
		"vittool tokenizer train":  {small, nil},
		"no such file":             {small, map[string]any{"tokenizer": "testdata/none"}},
		"not a safetensors file":   {small, map[string]any{"tokenizer": "testdata/small.yaml"}},
		"images of 3 channels":     {backbone(4, 32, 32, 1), map[string]any{"tokenizer": file}},
		"in blocks of 30 to 24":    {small, map[string]any{"tokenizer": file, "min_block": 30}},
		"masks 0 of 64":            {small, map[string]any{"tokenizer": file, "mask_ratio": .001}},
		"did you mean none?":       {small, map[string]any{"tokenizer": file, "rel_pos": "some"}},
		`did you mean mask_ratio?`: {small, map[string]any{"mask_rate": .5}},
		"works with [vit]":         {sdk.Backbone{Name: "r", Family: "cnn", Patch: 32, Height: 64, Width: 64, Channels: 3}, map[string]any{"tokenizer": file}},
		"no block of 13 to 14":     {backbone(8, 32, 32, 3), map[string]any{"tokenizer": file, "mask_ratio": .85, "min_block": 13}},
		"into the 1×8 patches":     {backbone(4, 4, 32, 3), map[string]any{"tokenizer": file, "min_block": 1}},
		"in blocks of 16 to 10":    {small, map[string]any{"tokenizer": file, "max_block": 10}},
	} {
		if _, err := try(tc.info, tc.options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q in it", tc.options, err, want)
		}
	}
}

// Where few shapes of a block fit, no image is left without a masked patch.
func TestMaskIsNeverEmpty(t *testing.T) {
	blocks := Blocks{Rows: 5, Cols: 5, Masked: 20, Min: 16, Max: 20}
	if !blocks.possible() {
		t.Fatal("4×4 of 5×5 patches are called impossible")
	}
	for i := range uint64(2000) {
		bitmap := make([]byte, 25)
		blocks.Draw(sdk.NewRNG(1, i), bitmap)
		if bytes.Count(bitmap, []byte{1}) == 0 {
			t.Fatalf("draw %d masks nothing", i)
		}
	}
}

// A mask depends on the sample, the step and the seed, and on nothing else: not on the batch it is
// in.
func TestMaskFollowsSample(t *testing.T) {
	trial := must.Get(try(backbone(4, 32, 32, 3), map[string]any{"tokenizer": file, "min_block": 4}))(t)
	mask := func(seed, step uint64, ids ...uint64) []byte {
		return trial.Masks(seed, step, ids...)[0].Bitmap
	}
	a := mask(1, 2, 10, 20, 30)
	if !bytes.Equal(a[64:128], mask(1, 2, 20)) {
		t.Error("the mask of a sample depends on its batch")
	}
	for name, other := range map[string][]byte{"sample": mask(1, 2, 11), "step": mask(1, 3, 10), "seed": mask(2, 2, 10)} {
		if bytes.Equal(a[:64], other) {
			t.Errorf("the mask does not depend on the %s", name)
		}
	}
	if n := bytes.Count(a[:64], []byte{1}); n < 12 || n > 24 {
		t.Errorf("%d of 64 patches are masked, 24 are wanted at most", n)
	}
}
