package host

import (
	"context"
	"fmt"
	"math"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/plan"
)

// Mask returns the masks of a step, checked, in the order of the reply. The reply must not be
// changed.
func (h *Objective) Mask(ctx context.Context, r *plan.MaskRequest) ([]plan.MaskSet, error) {
	return h.MaskInto(ctx, r, &MaskMemory{})
}

// MaskInto is Mask with a reply that lies in memory, and is good until the next call with it.
func (h *Objective) MaskInto(ctx context.Context, r *plan.MaskRequest, memory *MaskMemory) ([]plan.MaskSet, error) {
	var reply *pb.MaskReply
	request := memory.message(r)
	err := h.call(ctx, "Mask", func(ctx context.Context, c pb.ObjectiveClient, _ uint32) (err error) {
		reply, err = c.Mask(ctx, request, memory.callOptions()...)
		return err
	})
	if err != nil {
		return nil, err
	}
	wrong := func(err error) ([]plan.MaskSet, error) {
		return nil, h.broken("Mask", fmt.Sprintf("micro-batch %d: %v", r.MicroBatch, err))
	}
	if reply.GetStep() != r.MicroBatch {
		return wrong(fmt.Errorf("field step is %d, asked for %d", reply.GetStep(), r.MicroBatch))
	}
	memory.typed = memory.typed[:0]
	for _, s := range reply.GetSets() {
		memory.typed = append(memory.typed, plan.MaskSet{Name: s.GetName(), Values: s.GetValues(), Bitmap: s.GetBitmap()})
	}
	if err := h.plan.CheckMasks(memory.typed, len(r.SampleIDs)); err != nil {
		return wrong(err)
	}
	return memory.typed, nil
}

// MaskMemory is memory for calls of Mask, one after the other, so that a training run does not
// allocate requests and masks anew in each step. The zero value is ready. The next call with it
// overwrites the reply of the last one; it serves one call at a time. Objectives inside the host
// return masks in memory of their own.
type MaskMemory struct {
	request pb.MaskRequest
	boxes   []pb.Box
	sets    []*pb.MaskSet // of the last reply
	typed   []plan.MaskSet
}

// message is the request as it goes over the wire.
func (m *MaskMemory) message(r *plan.MaskRequest) *pb.MaskRequest {
	q := &m.request
	q.Step, q.Seed, q.SampleIds = r.MicroBatch, r.Seed, r.SampleIDs
	if len(q.Geometry) != len(r.Geometry) {
		q.Geometry = nil
		for range r.Geometry {
			q.Geometry = append(q.Geometry, &pb.ViewGeometry{})
		}
	}
	n := 0
	for _, v := range r.Geometry {
		n += len(v.Boxes)
	}
	if len(m.boxes) < n {
		m.boxes = make([]pb.Box, n)
	}
	free := m.boxes
	for i, v := range r.Geometry {
		to := q.Geometry[i]
		to.View, to.Boxes = v.View, to.Boxes[:0]
		for _, from := range v.Boxes {
			b := &free[0]
			free = free[1:]
			b.Top, b.Left, b.Height, b.Width = from.Top, from.Left, from.Height, from.Width
			b.Flip, b.SourceHeight, b.SourceWidth = from.Flip, uint32(from.SourceHeight), uint32(from.SourceWidth)
			to.Boxes = append(to.Boxes, b)
		}
	}
	return q
}

// callOptions lets a call decode into m.
func (m *MaskMemory) callOptions() []grpc.CallOption {
	return []grpc.CallOption{grpc.ForceCodecV2(maskCodec{encoding.GetCodecV2("proto"), m})}
}

// maskCodec is protobuf's codec, but for replies to Mask.
type maskCodec struct {
	encoding.CodecV2
	memory *MaskMemory
}

// Unmarshal implements encoding.CodecV2.
func (c maskCodec) Unmarshal(data mem.BufferSlice, v any) error {
	reply, ok := v.(*pb.MaskReply)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	return c.memory.decode(buffer.ReadOnlyData(), reply)
}

// decode is proto.Unmarshal for a reply that has the same sets as the last one, which is how a
// plan's masks come; any other goes through proto.Unmarshal itself.
func (m *MaskMemory) decode(wire []byte, reply *pb.MaskReply) error {
	reply.Reset()
	if m.again(wire, reply) {
		reply.Sets = m.sets
		return nil
	}
	m.sets = nil // half overwritten
	if err := proto.Unmarshal(wire, reply); err != nil {
		return err
	}
	for _, s := range reply.Sets {
		if len(s.ProtoReflect().GetUnknown()) > 0 { // would stay in the next reply
			return nil
		}
	}
	m.sets = reply.Sets
	return nil
}

// again decodes into the sets of the last reply; false says that it could not, for any reason.
func (m *MaskMemory) again(wire []byte, reply *pb.MaskReply) bool {
	sets := 0
	for len(wire) > 0 {
		number, kind, n := protowire.ConsumeTag(wire)
		if n < 0 {
			return false
		}
		wire = wire[n:]
		switch {
		case number == 1 && kind == protowire.VarintType:
			reply.Step, n = protowire.ConsumeVarint(wire)
		case number == 2 && kind == protowire.BytesType && sets < len(m.sets):
			var set []byte
			if set, n = protowire.ConsumeBytes(wire); n < 0 || !setAgain(set, m.sets[sets]) {
				return false
			}
			sets++
		default:
			return false
		}
		if n < 0 {
			return false
		}
		wire = wire[n:]
	}
	return sets == len(m.sets)
}

// setAgain decodes a set into the memory of an earlier one of the same name.
func setAgain(wire []byte, s *pb.MaskSet) bool {
	named := len(s.Name) == 0 // an empty name is not on the wire
	values, bitmap := s.Values[:0], s.Bitmap[:0]
	for len(wire) > 0 {
		number, kind, n := protowire.ConsumeTag(wire)
		if n < 0 || kind != protowire.BytesType {
			return false
		}
		field, size := protowire.ConsumeBytes(wire[n:])
		if size < 0 {
			return false
		}
		wire = wire[n+size:]
		switch number {
		case 1:
			if string(field) != s.Name {
				return false
			}
			named = true
		case 2:
			for len(field) > 0 {
				v, n := protowire.ConsumeVarint(field)
				if n < 0 {
					return false
				}
				values, field = append(values, int32(v&math.MaxUint32)), field[n:]
			}
		case 3:
			bitmap = append(bitmap[:0], field...)
		default:
			return false
		}
	}
	s.Values, s.Bitmap = values, bitmap
	return named
}
