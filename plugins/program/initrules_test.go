package program_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
)

// A plan may carry its initialization as rules; those of MoCo v3 and BEiT give the bits of the schemes of their names.
func TestInitRules(t *testing.T) {
	xavier := plan.Init{Kind: plan.InitXavierUniform}
	cut := plan.Init{Kind: plan.InitTruncNormal, A: .02, B: .02}
	zeros := plan.Init{Kind: plan.InitZeros}
	for name, rules := range map[string][]plan.InitRule{
		"mocov3": {
			{Weights: "blocks.*.attn.qkv.weight", Init: xavier, Stacked: 3}, {Weights: "blocks.*.attn.*.weight", Init: xavier},
			{Weights: "blocks.*.mlp.*.weight", Init: xavier}, {Weights: "patch_embed.proj.weight", Init: xavier},
			{Weights: "patch_embed.proj.bias", Init: zeros},
		},
		"beit": {
			{Weights: "blocks.*.attn.proj.weight", Init: cut, ByDepth: true}, {Weights: "blocks.*.mlp.fc2.weight", Init: cut, ByDepth: true},
			{Weights: "blocks.*.attn.*.weight", Init: cut}, {Weights: "blocks.*.mlp.*.weight", Init: cut},
			{Weights: "patch_embed.proj.weight", Init: cut}, {Weights: "patch_embed.proj.bias", Init: zeros},
			{Weights: "*_token", Init: cut}, {Weights: "pos_embed", Init: cut},
		},
	} {
		weights := func(r plan.Requirements) []*param.Parameter {
			c, scheme, err := program.Backbone(tiny(), &r)
			if err != nil {
				t.Fatal(err)
			}
			network, err := c.New(param.NewStore(), "", scheme, 3)
			if err != nil {
				t.Fatal(err)
			}
			return network.Weights()
		}
		ruled := weights(plan.Requirements{InitRules: rules})
		for i, p := range weights(plan.Requirements{Init: name}) {
			if !slices.Equal(p.Data, ruled[i].Data) {
				t.Errorf("%s: %s differs", name, p.Name)
			}
		}
	}
	for want, rule := range map[string]plan.InitRule{
		"in no block":            {Weights: "cls_token", Init: cut, ByDepth: true},
		"no stack of 3 matrices": {Weights: "blocks.*.attn.proj.weight", Init: xavier, Stacked: 3},
	} {
		c, scheme, err := program.Backbone(tiny(), &plan.Requirements{InitRules: []plan.InitRule{rule}})
		if err == nil {
			_, err = c.New(param.NewStore(), "", scheme, 3)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want one with %q", err, want)
		}
	}
}
