package host

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/vittool/vittool/plugins/pb"
)

// Any bytes that a plugin sends as its plan after a restart can be compared with those of the first
// one.
func FuzzPlanDifference(f *testing.F) {
	first, err := wire(&pb.Plan{Views: []*pb.ViewSpec{{Name: "image"}}, Results: &pb.Results{}, OperatorVersion: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(first)
	f.Add(first[:len(first)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &pb.Plan{}
		if proto.Unmarshal(data, p) != nil {
			return
		}
		planDifference(first, p)
	})
}
