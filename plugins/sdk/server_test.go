package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/pb"
)

// sample is an objective with every type of option.
type sample struct {
	Flag    bool      `option:"flag" help:"h"`
	Count   int       `option:"count" min:"0" help:"h"`
	Ratio   float64   `option:"ratio" above:"0" below:"1" help:"h"`
	Kind    string    `option:"kind" choices:"a,b" help:"h"`
	Layers  []int     `option:"layers" min:"0" help:"h"`
	Weights []float64 `option:"weights" help:"h"`
	Names   []string  `option:"names" help:"h"`
	plan    func(o sample, b *Builder) error
}

func (o sample) Info() Info { return Info{Name: "sample", Version: "1.0.0"} }

func (o sample) Plan(b *Builder) error {
	if o.plan != nil {
		return o.plan(o, b)
	}
	return b.Minimize(b.Mean(b.Student("encoder", b.View("image")).Tokens()))
}

func request() *pb.OpenRequest {
	return &pb.OpenRequest{Batch: 2, Backbone: &pb.BackboneInfo{Name: "vit", Family: "vit", Dim: 8, Depth: 2, Heads: 2, Patch: 4,
		ImageH: 16, ImageW: 24, Channels: 3, PrefixTokens: 1, LayerNormEps: 1e-5}}
}

func server(t *testing.T, o Objective) *Server {
	t.Helper()
	return must.Get(NewServer(o, nil))(t)
}

func TestOptionsFromTags(t *testing.T) {
	var got sample
	o := sample{Ratio: .5, Kind: "a", Layers: []int{1}, plan: func(o sample, b *Builder) error {
		got = o
		return b.Minimize(b.Mean(b.Student("encoder", b.View("image")).Tokens()))
	}}
	s := server(t, o) // a value; a pointer works as well
	d, err := s.Describe(context.Background(), &pb.DescribeRequest{})
	if err != nil || len(d.Options) != 7 || d.Options[2].DefaultJson != "0.5" || !d.Options[2].ExclusiveMin || d.Options[5].DefaultJson != "[]" {
		t.Fatalf("%v, %v", d, err)
	}
	config := must.Get(json.Marshal(map[string]any{"flag": true, "count": 3, "kind": "b", "layers": []int{4, 5}, "weights": []float64{.5}, "names": []string{"x"}}))(t)
	r := request()
	r.ConfigJson = config
	if _, err := s.Open(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if !got.Flag || got.Count != 3 || got.Ratio != .5 || got.Kind != "b" || len(got.Layers) != 2 || got.Weights[0] != .5 || got.Names[0] != "x" {
		t.Errorf("options arrived as %+v", got)
	}
	if _, err := s.Open(context.Background(), request()); err != nil || len(got.Layers) != 1 || got.Layers[0] != 1 {
		t.Errorf("the defaults of the prototype changed: %+v, %v", got, err)
	}
	r.ConfigJson = []byte(`{"ratio":1}`)
	if _, err := s.Open(context.Background(), r); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "valid is above 0 to below 1") {
		t.Error(err)
	}
}

type (
	notStruct  int
	unexported struct {
		//lint:ignore U1000 it is read by reflection
		x int `option:"x" help:"h"`
	}
	badType struct {
		X complex128 `option:"x" help:"h"`
	}
	noHelp struct {
		X int `option:"x"`
	}
	badLimit struct {
		X int `option:"x" help:"h" min:"low"`
	}
	twoLimits struct {
		X int `option:"x" help:"h" min:"0" above:"0"`
	}
	badDefault struct {
		X int `option:"x" help:"h" min:"1"`
	}
)

func (notStruct) Info() Info           { return Info{Name: "x"} }
func (notStruct) Plan(*Builder) error  { return nil }
func (unexported) Info() Info          { return Info{Name: "x"} }
func (unexported) Plan(*Builder) error { return nil }
func (badType) Info() Info             { return Info{Name: "x"} }
func (badType) Plan(*Builder) error    { return nil }
func (noHelp) Info() Info              { return Info{Name: "x"} }
func (noHelp) Plan(*Builder) error     { return nil }
func (badLimit) Info() Info            { return Info{Name: "x"} }
func (badLimit) Plan(*Builder) error   { return nil }
func (twoLimits) Info() Info           { return Info{Name: "x"} }
func (twoLimits) Plan(*Builder) error  { return nil }
func (badDefault) Info() Info          { return Info{Name: "x"} }
func (badDefault) Plan(*Builder) error { return nil }

func TestBadDeclarations(t *testing.T) {
	for want, o := range map[string]Objective{
		"is a struct": notStruct(0), "must be exported": unexported{}, "complex128": badType{}, "no help": noHelp{},
		"not a number": badLimit{}, "two limits": twoLimits{}, "out of range": badDefault{},
	} {
		if _, err := NewServer(o, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%T: %v, want %q in it", o, err, want)
		}
	}
}

// Mistakes in a plan come back with the name of the faulty part.
func TestBuilderMistakes(t *testing.T) {
	for want, plan := range map[string]func(b *Builder) error{
		`two views are named "image"`: func(b *Builder) error {
			b.View("image")
			return b.Minimize(b.Mean(b.Student("e", b.View("image")).Tokens()))
		},
		"recommended linear blocks: -1 is not": func(b *Builder) error {
			b.RecommendLinearBlocks(-1)
			return b.Minimize(b.Mean(b.Student("e", b.View("image")).Tokens()))
		},
		"cannot be divided into 3 heads": func(b *Builder) error {
			return b.Minimize(b.Mean(b.Block("block", b.Student("e", b.View("image")).Tokens(), 3, 16)))
		},
		"leaves 25 of 24 patches visible": func(b *Builder) error {
			v := b.View("image")
			b.KeepMask("mask", v, 25, nil)
			return b.Minimize(b.Mean(b.Student("e", v).Tokens()))
		},
		"divisible by 4": func(b *Builder) error {
			v := b.View("image")
			x := b.AddPositions(b.Student("e", v).Tokens(), b.SinCosColumn("pos", v, 6, 1), 0)
			return b.Minimize(b.Mean(x))
		},
		"not a tensor of this plan": func(b *Builder) error { return b.Minimize(Tensor{}) },
		`input "b" is not`:          func(b *Builder) error { return b.Minimize(b.Add(b.View("image").Pixels(), Tensor{})) },
		"8 and 48 values per patch": func(b *Builder) error {
			v := b.View("image")
			m := b.BitMask("mask", v, nil)
			return b.Minimize(b.PatchMSE(b.Student("e", v).Tokens(), b.PatchPixels(v, ChannelLast), m))
		},
		"shapes [4 8] and [5 8]": func(b *Builder) error {
			x := b.Student("e", b.View("image")).Tokens()
			b.Linear("head", x, 4)
			return b.Minimize(b.Mean(b.Linear("head", x, 5)))
		},
		"student's layer before": func(b *Builder) error {
			return b.Minimize(b.Mean(b.Linear("head", b.Student("e", b.View("image")).Tokens(), 4, OfTeacher())))
		},
		"the objective works with [cnn]": func(b *Builder) error {
			b.Require(Requirements{Families: []string{"cnn"}})
			return b.Minimize(b.Mean(b.Student("e", b.View("image")).Tokens()))
		},
		"at most one Evaluate": func(b *Builder) error {
			b.Evaluate(nil)
			return b.Minimize(b.Evaluate(nil))
		},
		"deliberate":      func(*Builder) error { return errors.New("deliberate") },
		"panicked: a bug": func(*Builder) error { panic("a bug") },
		"forgot to return the result": func(b *Builder) error {
			b.Failf("forgot to return the result")
			return nil
		},
	} {
		s := server(t, sample{Ratio: .5, Kind: "a", plan: func(_ sample, b *Builder) error { return plan(b) }})
		_, err := s.Open(context.Background(), request())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
		if c := status.Code(err); c != codes.FailedPrecondition && c != codes.Internal {
			t.Errorf("%q has the code %v, which a host may retry", want, c)
		}
	}
}

// A layer called twice shares its weights; the teacher reads the copies of the same ones.
func TestSharedLayers(t *testing.T) {
	s := server(t, sample{Ratio: .5, Kind: "a", plan: func(_ sample, b *Builder) error {
		v := b.View("image")
		m := b.Schedule("m", ConstantSchedule(.99))
		b.Teacher(m, AfterStep)
		x := b.Linear("head", b.Student("s", v).Class(), 4)
		y := b.Linear("head", b.TeacherPass("t", v).Class(), 4, OfTeacher())
		return b.Minimize(b.Mean(b.Add(x, y)))
	}})
	plan := must.Get(s.Open(context.Background(), request()))(t)
	if len(plan.Params) != 2 || !plan.Params[0].TeacherCopy || plan.Nodes[1].Inputs[1].Ref.GetTeacherParam() != "head.weight" {
		t.Errorf("%v", plan)
	}
}

func TestCallsOutOfOrder(t *testing.T) {
	ctx := context.Background()
	s := server(t, sample{Ratio: .5, Kind: "a"})
	if _, err := s.Mask(ctx, &pb.MaskRequest{}); err == nil || !strings.Contains(err.Error(), "before Open") {
		t.Error(err)
	}
	if _, err := s.Open(ctx, request()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Evaluate(ctx, &pb.EvaluateRequest{}); status.Code(err) != codes.Unimplemented {
		t.Error(err)
	}
	if _, err := s.Targets(ctx, &pb.TargetsRequest{}); status.Code(err) != codes.Unimplemented {
		t.Error(err)
	}
	if _, err := s.Close(ctx, &pb.CloseRequest{}); err != nil {
		t.Error(err)
	}
	if _, err := s.Close(ctx, &pb.CloseRequest{}); err != nil {
		t.Error(err)
	}
}

func TestCorruptionAndIndices(t *testing.T) {
	var view View
	s := server(t, sample{Ratio: .5, Kind: "a", plan: func(_ sample, b *Builder) error {
		view = b.View("image")
		b.Corruption("holes", view, 2, func(c *MaskCall, i int) []Rect {
			box, _ := c.Box(view, i)
			return []Rect{{Top: 1, Left: 2, Height: 3, Width: int(box.Width), Fill: Copy, Source: -1, SourceTop: 5, SourceLeft: 6, Clean: true}}
		})
		b.Indices("negatives", view, 3, 100, func(c *MaskCall, i int, out []int32) {
			for j := range out {
				out[j] = int32(c.Samples[i]) + int32(j)
			}
		})
		return b.Minimize(b.Mean(b.Student("e", view).Tokens()))
	}})
	if _, err := s.Open(context.Background(), request()); err != nil {
		t.Fatal(err)
	}
	got, err := s.Mask(context.Background(), &pb.MaskRequest{Step: 4, SampleIds: []uint64{10, 20},
		Geometry: []*pb.ViewGeometry{{View: "image", Boxes: []*pb.Box{{Width: 7}, {Width: 8}}}}})
	if err != nil {
		t.Fatal(err)
	}
	want := &pb.MaskReply{Step: 4, Sets: []*pb.MaskSet{
		{Name: "holes", Values: []int32{
			1, 2, 3, 7, 2, -1, 5, 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			1, 2, 3, 8, 2, -1, 5, 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		}},
		{Name: "negatives", Values: []int32{10, 11, 12, 20, 21, 22}},
	}}
	if !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Regions outside of their segment are refused before anything is read.
func TestBindBounds(t *testing.T) {
	mem := make([]byte, 256)
	give := func(*pb.Segment) ([]byte, error) { return mem, nil }
	for name, c := range map[string]struct {
		region *pb.Region
		ok     bool
	}{
		"fits":      {&pb.Region{Segment: "s", Shape: []uint64{4, 8}, Offset: 128}, true},
		"too long":  {&pb.Region{Segment: "s", Shape: []uint64{4, 9}, Offset: 128}, false},
		"overflow":  {&pb.Region{Segment: "s", Shape: []uint64{1 << 40, 1 << 40}}, false},
		"offset":    {&pb.Region{Segment: "s", Shape: []uint64{1}, Offset: 1 << 40}, false},
		"unaligned": {&pb.Region{Segment: "s", Shape: []uint64{1}, Offset: 4}, false},
		"unknown":   {&pb.Region{Segment: "other", Shape: []uint64{1}}, false},
	} {
		_, err := bind(&pb.BindRequest{Segments: []*pb.Segment{{Name: "s"}}, Regions: []*pb.Region{c.region}}, give)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
