package plan_test

import (
	"slices"
	"testing"

	"github.com/vittool/vittool/plugins/plan"
)

// TestFixedInStep: rings, rows and reductions stand still within a step, unless an operator or the
// plugin writes them.
func TestFixedInStep(t *testing.T) {
	p := &plan.Plan{
		Buffers: []*plan.Buffer{
			{Name: "ring", Update: plan.UpdateRing}, {Name: "rows", Update: plan.UpdateRows}, {Name: "newest", Update: plan.UpdateNewestFirst},
			{Name: "mean", Reduction: plan.ReductionMean}, {Name: "sum", Reduction: plan.ReductionSum}, {Name: "last"},
			{Name: "statistics", Reduction: plan.ReductionMean}, {Name: "of the plugin", Update: plan.UpdateRing},
		},
		Nodes: []*plan.Node{{Name: "bn", Op: "batch_norm", Inputs: []plan.Argument{
			{Name: "x", Ref: plan.Ref{Of: plan.RefBuffer, Name: "mean"}}, {Name: "running_mean", Ref: plan.Ref{Of: plan.RefBuffer, Name: "statistics"}},
		}}},
		Evaluate: &plan.Evaluate{Buffers: []string{"ring", "of the plugin"}, Updates: []string{"of the plugin"}},
	}
	var fixed []string
	for _, b := range p.Buffers {
		if p.FixedInStep(b) {
			fixed = append(fixed, b.Name)
		}
	}
	if want := []string{"ring", "rows", "newest", "mean", "sum"}; !slices.Equal(fixed, want) {
		t.Errorf("%q are the same throughout a step, want %q", fixed, want)
	}
}
