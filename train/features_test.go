package train

import (
	"testing"

	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/runs"
)

// The recommendation of a plan stands in its checkpoints.
func TestRecommendedFeatures(t *testing.T) {
	class, pooled := plan.FeatureClass, plan.FeaturePooled
	for _, tc := range []struct {
		plan *plan.Recommended
		want runs.Features
	}{
		{nil, runs.Features{Network: "student", Pool: "mean"}},
		{&plan.Recommended{}, runs.Features{Network: "student", Pool: "mean"}},
		{&plan.Recommended{Features: []plan.Feature{pooled}}, runs.Features{Network: "student", Pool: "mean"}},
		{&plan.Recommended{Features: []plan.Feature{class}}, runs.Features{Network: "student", Pool: "class"}},
		{&plan.Recommended{Network: plan.NetworkTeacher, Features: []plan.Feature{class, pooled}}, runs.Features{Network: "teacher", Pool: "both"}},
		{&plan.Recommended{LinearBlocks: 4}, runs.Features{Network: "student", Pool: "mean", LinearBlocks: 4}},
	} {
		if got := featuresOf(tc.plan); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.plan, got, tc.want)
		}
	}
}
