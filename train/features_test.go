package train

import (
	"testing"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/runs"
)

// What a plan recommends is what its checkpoints say.
func TestRecommendedFeatures(t *testing.T) {
	class, pooled := pb.Output_OUTPUT_CLASS, pb.Output_OUTPUT_POOLED
	for _, tc := range []struct {
		plan *pb.Recommended
		want runs.Features
	}{
		{nil, runs.Features{Network: "student", Pool: "mean"}},
		{&pb.Recommended{}, runs.Features{Network: "student", Pool: "mean"}},
		{&pb.Recommended{Features: []pb.Output{pooled}}, runs.Features{Network: "student", Pool: "mean"}},
		{&pb.Recommended{Features: []pb.Output{class}}, runs.Features{Network: "student", Pool: "class"}},
		{&pb.Recommended{Network: pb.Network_NETWORK_TEACHER, Features: []pb.Output{class, pooled}}, runs.Features{Network: "teacher", Pool: "both"}},
		{&pb.Recommended{LinearBlocks: 4}, runs.Features{Network: "student", Pool: "mean", LinearBlocks: 4}},
	} {
		if got := featuresOf(tc.plan); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.plan, got, tc.want)
		}
	}
}
