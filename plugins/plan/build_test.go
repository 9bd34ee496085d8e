package plan_test

import (
	"slices"
	"testing"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/vit"
	"google.golang.org/protobuf/proto"
)

// FuzzBuild compiles damaged plans: an error or a model, never a panic.
func FuzzBuild(f *testing.F) {
	sound, err := proto.Marshal(valid(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sound, uint16(0), byte(0))
	for i := uint16(0); int(i) < len(sound); i += 37 {
		f.Add(sound, i, byte(i))
	}
	e, err := device.NewCPU(0)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(e.Close)
	network := vit.Config{Name: "vit_test", ImageH: 16, ImageW: 16, Patch: 4, Channels: 3, Dim: 8, Depth: 2, Heads: 2, MLPRatio: 2, QKVBias: true, ClassToken: true}.Normalized()
	f.Fuzz(func(t *testing.T, data []byte, at uint16, value byte) {
		data = slices.Clone(data)
		if len(data) > 0 {
			data[int(at)%len(data)] = value
		}
		message := &pb.Plan{}
		if len(data) > 1<<14 || proto.Unmarshal(data, message) != nil {
			return
		}
		p, err := plan.FromProto(message, backbone)
		if err != nil || tooLarge(p) {
			return
		}
		_, _ = program.Build(e, param.NewStore(), p, network, 4, 1, program.Options{Train: true})
	})
}

// tooLarge reports a plan that would be honoured and take the machine's memory.
func tooLarge(p *plan.Plan) bool {
	const most = 1 << 10
	size := func(shape []int) bool {
		n := 1
		for _, d := range shape {
			if d > most || n > 1<<20 {
				return true
			}
			n *= d
		}
		return n > 1<<20
	}
	return slices.ContainsFunc(p.Params, func(x *plan.Param) bool { return size(x.Shape) }) ||
		slices.ContainsFunc(p.Buffers, func(x *plan.Buffer) bool { return size(x.Shape) }) ||
		slices.ContainsFunc(p.Targets, func(x *plan.Target) bool { return size(x.Shape) }) ||
		slices.ContainsFunc(p.Views, func(x *plan.View) bool { return x.Height > most || x.Width > most }) ||
		slices.ContainsFunc(p.Masks, func(x *plan.Mask) bool { return x.Length > most || x.Rows > most || x.Cols > most }) ||
		slices.ContainsFunc(p.Nodes, func(n *plan.Node) bool {
			for _, v := range n.Attributes {
				if i, ok := v.(int); ok && i > most {
					return true
				}
			}
			return false
		})
}
