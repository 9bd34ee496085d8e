package program_test

import (
	"strings"
	"testing"

	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
)

// Rules of initialization that don't fit the weights they name are refused.
func TestInitRules(t *testing.T) {
	for want, rule := range map[string]plan.InitRule{
		"in no block":            {Weights: "cls_token", Init: &plan.Init{Kind: plan.InitTruncNormal, A: .02, B: .02}, ByDepth: true},
		"no stack of 3 matrices": {Weights: "blocks.*.attn.proj.weight", Init: &plan.Init{Kind: plan.InitXavierUniform}, Stacked: 3},
	} {
		c, scheme, err := program.Configure(tiny(), &plan.Requirements{Init: []plan.InitRule{rule}})
		if err == nil {
			_, err = c.New(param.NewStore(), "", scheme, 3)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want one with %q", err, want)
		}
	}
}
