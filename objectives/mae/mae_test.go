package mae

import (
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
	plans "github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/sdk"
)

func backbone(patch, height, width int) sdk.Backbone {
	return sdk.Backbone{Name: "vit", Family: "vit", Dim: 768, Depth: 12, Heads: 12, Patch: patch, Height: height, Width: width,
		Channels: 3, PrefixTokens: 1, LayerNormEps: 1e-6}
}

func try(info sdk.Backbone, options map[string]any) (*sdk.Trial, error) {
	return sdk.Try(New(), sdk.Run{Batch: 4, Backbone: info}, options)
}

// int(L*(1-ratio)) in float64, truncated as in the official code.
func TestKept(t *testing.T) {
	for _, c := range []struct {
		patch, height, width int
		ratio                float64
		want                 int // 0: refused
	}{
		{16, 224, 224, .75, 49},
		{16, 224, 224, .6, 78}, // 78.4
		{4, 32, 32, .75, 16},
		{16, 32, 80, .9, 0}, // 10*(1-.9) is 0.9999999999999998
		{16, 32, 80, .8, 1}, // 10*(1-.8) is 1.9999999999999996
		{16, 32, 80, .7, 3}, // 10*(1-.7) is 3.0000000000000004
		{16, 32, 80, .1, 9},
	} {
		trial, err := try(backbone(c.patch, c.height, c.width), map[string]any{"mask_ratio": c.ratio})
		if c.want == 0 {
			if err == nil || !strings.Contains(err.Error(), "leaves none of the 10 patches visible") {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		if err != nil || trial.Plan.Masks[0].Length != c.want {
			t.Errorf("%+v: %v, %v", c, trial, err)
		}
	}
	_, err := try(backbone(16, 32, 80), map[string]any{"mask_ratio": 1e-17}) // 10*(1-1e-17) is 10
	if err == nil || !strings.Contains(err.Error(), "masks none of the 10 patches") {
		t.Errorf("nothing masked: %v", err)
	}
}

// Names, shapes and flags of the parameters are those of the official code.
func TestParameters(t *testing.T) {
	trial := must.Get(try(backbone(16, 224, 224), nil))(t)
	plan := trial.Plan
	for name, shape := range map[string][]int{
		"mask_token":                        {1, 1, 512},
		"decoder_embed.weight":              {512, 768},
		"decoder_pos_embed":                 {1, 197, 512},
		"decoder_blocks.7.attn.qkv.weight":  {1536, 512},
		"decoder_blocks.7.attn.qkv.bias":    {1536},
		"decoder_blocks.0.mlp.fc1.weight":   {2048, 512},
		"decoder_norm.bias":                 {512},
		"decoder_pred.weight":               {768, 512},
		"decoder_pred.bias":                 {768},
		"decoder_blocks.3.norm2.weight":     {512},
		"decoder_blocks.3.attn.proj.weight": {512, 512},
		"decoder_blocks.3.mlp.fc2.bias":     {512},
	} {
		p := plan.Param(name)
		if p == nil || !slices.Equal(p.Shape, shape) {
			t.Errorf("%s: %v, want shape %v", name, p, shape)
			continue
		}
		if want := len(shape) > 1 && name != "decoder_pos_embed"; p.Decay != want {
			t.Errorf("%s: decay %v", name, p.Decay)
		}
		if p.Frozen != (name == "decoder_pos_embed") {
			t.Errorf("%s: frozen %v", name, p.Frozen)
		}
	}
	if want := 2 + 1 + 1 + 8*12 + 2 + 2; len(plan.Params) != want {
		t.Errorf("%d parameters, want %d", len(plan.Params), want)
	}
	if k := plan.Param("decoder_pos_embed").Init; k.Kind != plans.InitSinCosColumn || k.Rows != 14 || k.Cols != 14 || k.Prefix != 1 {
		t.Errorf("decoder_pos_embed: %v", k)
	}
	if k := plan.Param("mask_token").Init; k.Kind != plans.InitNormal || k.A != .02 {
		t.Errorf("mask_token: %v", k)
	}
}

func TestOptionsReachTheProgram(t *testing.T) {
	trial := must.Get(try(backbone(16, 224, 224), map[string]any{"norm_pix_loss": false, "decoder_dim": 64, "decoder_depth": 1, "decoder_heads": 4, "mlp_ratio": 2.5}))(t)
	plan := trial.Plan
	if plan.Count("normalize_patches") != 0 || plan.Count("vit_block") != 1 || plan.Results.Pictures[0].PatchNormalized {
		t.Errorf("%v", plan.Nodes)
	}
	if p := plan.Param("decoder_blocks.0.mlp.fc1.weight"); p.Shape[0] != 160 {
		t.Errorf("mlp_ratio 2.5 gives %v", p.Shape)
	}
	for want, options := range map[string]map[string]any{
		"decoder_heads 16 does not divide decoder_dim 100": {"decoder_dim": 100},
		"a number that 4 divides":                          {"decoder_dim": 6, "decoder_heads": 2},
		"valid is above 0 to below 1":                      {"mask_ratio": 1},
		`did you mean mask_ratio?`:                         {"mask_rate": .5},
	} {
		if _, err := try(backbone(16, 224, 224), options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q in it", options, err, want)
		}
	}
	cnn := backbone(32, 224, 224)
	cnn.Family = "cnn"
	if _, err := try(cnn, nil); err == nil || !strings.Contains(err.Error(), "works with [vit]") {
		t.Error(err)
	}
}

// A mask depends on the sample, the step and the seed, and on nothing else: not on the batch it is
// in.
func TestMaskFollowsSample(t *testing.T) {
	trial := must.Get(try(backbone(4, 32, 32), nil))(t)
	mask := func(seed, step uint64, ids ...uint64) []int32 {
		return trial.Masks(seed, step, ids...)[0].Values
	}
	a := mask(1, 2, 10, 20, 30)
	if !slices.Equal(a[16:32], mask(1, 2, 20)) {
		t.Error("the mask of a sample depends on its batch")
	}
	for name, other := range map[string][]int32{"sample": mask(1, 2, 11), "step": mask(1, 3, 10), "seed": mask(2, 2, 10)} {
		if slices.Equal(a[:16], other) {
			t.Errorf("the mask does not depend on the %s", name)
		}
	}
}
