package host

import (
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/plan"
)

// maskReplies are valid and broken replies on the wire.
func maskReplies(t testing.TB) [][]byte {
	t.Helper()
	var wires [][]byte
	for _, r := range []*pb.MaskReply{
		{Step: 3, Sets: []*pb.MaskSet{{Name: "keep", Values: []int32{0, 5, 300, math.MaxInt32, -1, math.MinInt32}}}},
		{Step: 4, Sets: []*pb.MaskSet{{Name: "keep", Values: []int32{7}}}},
		{Sets: []*pb.MaskSet{{Name: "keep"}}},
		{Step: 5, Sets: []*pb.MaskSet{{Name: "masked", Bitmap: []byte{0, 1, 1}}, {Name: "keep", Values: []int32{1, 2}}}},
		{Step: 6, Sets: []*pb.MaskSet{{Name: "masked", Bitmap: []byte{1}}, {Name: "keep", Values: []int32{1, 2, 3}}}},
		{Step: 7, Sets: []*pb.MaskSet{{Values: []int32{1}}}},
		{Step: 8, Sets: []*pb.MaskSet{{}}},
		{},
	} {
		b := must.Get(proto.Marshal(r))(t)
		wires = append(wires, b, b[:len(b)/2])
	}
	set := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "keep")
	loose := protowire.AppendVarint(protowire.AppendTag(set, 2, protowire.VarintType), 9) // not packed
	unknown := protowire.AppendVarint(protowire.AppendTag(set, 9, protowire.VarintType), 9)
	for _, s := range [][]byte{loose, unknown} {
		wires = append(wires, protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), s))
	}
	return wires
}

// FuzzMaskMemory decodes one reply after another into the same memory: each must equal the result
// of proto.Unmarshal.
func FuzzMaskMemory(f *testing.F) {
	wires := maskReplies(f)
	for i := range wires {
		f.Add(wires[i], wires[(i+1)%len(wires)])
		f.Add(wires[i], wires[i])
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var memory MaskMemory
		for _, wire := range [][]byte{first, second, first} {
			var got, want pb.MaskReply
			err, wantErr := memory.decode(wire, &got), proto.Unmarshal(wire, &want)
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("%v, proto.Unmarshal says %v", err, wantErr)
			}
			if err == nil && !proto.Equal(&got, &want) {
				t.Fatalf("%v, want %v", &got, &want)
			}
		}
	})
}

// TestMaskMemory: replies of one plan are decoded without new memory, by a process.
func TestMaskMemory(t *testing.T) {
	reply := &pb.MaskReply{Step: 1, Sets: []*pb.MaskSet{{Name: "keep", Values: make([]int32, 1000)}, {Name: "masked", Bitmap: make([]byte, 1000)}}}
	wire := must.Get(proto.Marshal(reply))(t)
	var memory MaskMemory
	var got pb.MaskReply
	if n := testing.AllocsPerRun(10, func() {
		must.Do(t, memory.decode(wire, &got))
	}); n > 0 {
		t.Errorf("%v allocations a reply", n)
	}
	boxes := make([]plan.Box, 4)
	boxes[3] = plan.Box{Top: 1, Left: 2, Height: 3, Width: 4, Flip: true, SourceHeight: 5, SourceWidth: 6}
	request := &plan.MaskRequest{MicroBatch: 3, Seed: 1, SampleIDs: make([]uint64, 4), Geometry: []plan.ViewGeometry{{View: "a", Boxes: boxes}, {View: "b", Boxes: boxes}}}
	var message *pb.MaskRequest
	if n := testing.AllocsPerRun(10, func() { message = memory.message(request) }); n > 0 {
		t.Errorf("%v allocations a request", n)
	}
	if b := message.Geometry[1].Boxes[3]; message.Geometry[1].View != "b" || !b.Flip || b.Width != 4 || b.SourceWidth != 6 {
		t.Errorf("the message is %v", message)
	}
	if !proto.Equal(&got, reply) {
		t.Errorf("%v", &got)
	}
}
