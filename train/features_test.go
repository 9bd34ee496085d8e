package train

import (
	"testing"

	"github.com/vittool/vittool/plugins/pb"
)

// What a plan recommends is what its checkpoints say.
func TestRecommendedFeatures(t *testing.T) {
	class, pooled := pb.Output_OUTPUT_CLASS, pb.Output_OUTPUT_POOLED
	for _, tc := range []struct {
		plan *pb.Recommended
		want Features
	}{
		{nil, Features{"student", "mean", 0}},
		{&pb.Recommended{}, Features{"student", "mean", 0}},
		{&pb.Recommended{Features: []pb.Output{pooled}}, Features{"student", "mean", 0}},
		{&pb.Recommended{Features: []pb.Output{class}}, Features{"student", "class", 0}},
		{&pb.Recommended{Network: pb.Network_NETWORK_TEACHER, Features: []pb.Output{class, pooled}}, Features{"teacher", "both", 0}},
		{&pb.Recommended{LinearBlocks: 4}, Features{"student", "mean", 4}},
	} {
		if got := featuresOf(tc.plan); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.plan, got, tc.want)
		}
	}
}
