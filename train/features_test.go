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
		{nil, Features{"student", "mean"}},
		{&pb.Recommended{}, Features{"student", "mean"}},
		{&pb.Recommended{Features: []pb.Output{pooled}}, Features{"student", "mean"}},
		{&pb.Recommended{Features: []pb.Output{class}}, Features{"student", "class"}},
		{&pb.Recommended{Network: pb.Network_NETWORK_TEACHER, Features: []pb.Output{class, pooled}}, Features{"teacher", "both"}},
	} {
		if got := featuresOf(tc.plan); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.plan, got, tc.want)
		}
	}
}
