package host

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/sdk"
)

// valid is a request and the plan that MAE answers it with.
func valid(t testing.TB) (*pb.OpenRequest, *pb.Plan) {
	t.Helper()
	o, err := builtin("mae")
	if err != nil {
		t.Fatal(err)
	}
	s, err := sdk.NewServer(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{"decoder_dim": 8, "decoder_depth": 1, "decoder_heads": 2})
	if err != nil {
		t.Fatal(err)
	}
	r := &pb.OpenRequest{ConfigJson: config, Batch: 2, Backbone: backbone()}
	plan, err := s.Open(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return r, plan
}

func TestValidatePlan(t *testing.T) {
	request, plan := valid(t)
	if err := ValidatePlan(plan, request); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(p *pb.Plan){
		"operator_version is 9":                func(p *pb.Plan) { p.OperatorVersion = 9 },
		"views is empty":                       func(p *pb.Plan) { p.Views = nil },
		"patches of 4 do not divide":           func(p *pb.Plan) { p.Views[0].Height = 15 },
		"scale is 0.5..0.2":                    func(p *pb.Plan) { p.Views[0].ScaleMin, p.Views[0].ScaleMax = .5, .2 },
		"probability 2":                        func(p *pb.Plan) { p.Views[0].Augmentations[0].GetFlip().Probability = 2 },
		"augmentation 0: unknown kind":         func(p *pb.Plan) { p.Views[0].Augmentations[0].Kind = nil },
		"same_geometry_as":                     func(p *pb.Plan) { p.Views[0].SameGeometryAs = "image" },
		"length is 17, valid are 1..16":        func(p *pb.Plan) { p.Masks[0].Length = 17 },
		`names the view "other"`:               func(p *pb.Plan) { p.Masks[0].View = "other" },
		"two are named":                        func(p *pb.Plan) { p.Params = append(p.Params, p.Params[0]) },
		"impossible shape":                     func(p *pb.Plan) { p.Params[0].Shape = []uint64{1 << 40, 1 << 40} },
		"has no name":                          func(p *pb.Plan) { p.Nodes[0].Name = "" },
		"initial values":                       func(p *pb.Plan) { p.Params[0].Init = &pb.Init{Kind: pb.Init_KIND_DATA} },
		"init.a is NaN":                        func(p *pb.Plan) { p.Params[0].Init = &pb.Init{A: math.NaN()} },
		"table of 0+0":                         func(p *pb.Plan) { p.Params[0].Init = &pb.Init{Kind: pb.Init_KIND_SINCOS_ROW} },
		"schedule \"none\"":                    func(p *pb.Plan) { p.Teacher = &pb.Teacher{Momentum: "none"} },
		"recommended.network is the teacher":   func(p *pb.Plan) { p.Recommended = &pb.Recommended{Network: pb.Network_NETWORK_TEACHER} },
		"recommended.features is [OUTPUT_MAP]": func(p *pb.Plan) { p.Recommended = &pb.Recommended{Features: []pb.Output{pb.Output_OUTPUT_MAP}} },
		"both in this order": func(p *pb.Plan) {
			p.Recommended = &pb.Recommended{Features: []pb.Output{pb.Output_OUTPUT_POOLED, pb.Output_OUTPUT_CLASS}}
		},
		"recommended.linear_blocks is 1025, more than 1024": func(p *pb.Plan) { p.Recommended = &pb.Recommended{LinearBlocks: 1025} },
		"recommended.network is 7":                          func(p *pb.Plan) { p.Recommended = &pb.Recommended{Network: 7} },
		"runs the teacher":                                  func(p *pb.Plan) { p.Passes[0].Network = pb.Network_NETWORK_TEACHER },
		"taps block 2":                                      func(p *pb.Plan) { p.Passes[0].Taps = []uint32{2} },
		"0 masks for 1 views":                               func(p *pb.Plan) { p.Passes[0].Masks = nil },
		"empty reference":                                   func(p *pb.Plan) { p.Nodes[0].Inputs[0].Ref = nil },
		"does not list it":                                  func(p *pb.Plan) { p.Passes[0].Outputs = nil },
		"it needs one of each":                              func(p *pb.Plan) { p.Nodes[0].Op = pb.OpEvaluate },
		"the loss":                                          func(p *pb.Plan) { p.Results = nil },
		"which the plan does not have":                      func(p *pb.Plan) { p.Nodes = p.Nodes[1:] },
		"drop_path is 1":                                    func(p *pb.Plan) { p.Backbone.DropPath = 1 },
		"results.images has none": func(p *pb.Plan) {
			p.Passes[0].MaskUse = pb.PassSpec_MASK_USE_CORRUPTED
		},
		"without reading it": func(p *pb.Plan) {
			p.Nodes[0].Op, p.Evaluate = pb.OpEvaluate, &pb.EvaluateSpec{Updates: []string{"center"}}
		},
	} {
		p := proto.CloneOf(plan)
		change(p)
		if err := ValidatePlan(p, request); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
}

func TestValidateMasks(t *testing.T) {
	plan := &pb.Plan{
		Views: []*pb.ViewSpec{{Name: "image"}},
		Masks: []*pb.MaskSpec{
			{Name: "keep", View: "image", Kind: pb.MaskSpec_KIND_KEEP, Length: 2},
			{Name: "bits", View: "image", Kind: pb.MaskSpec_KIND_BITMAP},
			{Name: "indices", View: "image", Kind: pb.MaskSpec_KIND_INDICES, Length: 1, Limit: 5},
			{Name: "holes", View: "image", Kind: pb.MaskSpec_KIND_CORRUPTION, Length: 1},
		},
	}
	request := maskRequest(3, 2)
	good := func() *pb.MaskReply {
		return &pb.MaskReply{Step: 3, Sets: []*pb.MaskSet{
			{Name: "keep", Values: []int32{0, 15, 3, 1}},
			{Name: "bits", Bitmap: make([]byte, 32)},
			{Name: "indices", Values: []int32{0, 4}},
			{Name: "holes", Values: []int32{0, 0, 16, 16, 1, 0, 0, 0, 0, 2, 3, 4, 5, 2, 1, 12, 11, 1}},
		}}
	}
	if err := ValidateMasks(plan, backbone(), request, good()); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(r *pb.MaskReply){
		"step is 4":                        func(r *pb.MaskReply) { r.Step = 4 },
		`mask "holes" of the plan is miss`: func(r *pb.MaskReply) { r.Sets = r.Sets[:3] },
		`mask "keep" twice`:                func(r *pb.MaskReply) { r.Sets[1].Name = "keep" },
		`no mask "extra"`:                  func(r *pb.MaskReply) { r.Sets = append(r.Sets, &pb.MaskSet{Name: "extra"}) },
		"sample 1: patch 16, valid are":    func(r *pb.MaskReply) { r.Sets[0].Values[2] = 16 },
		"sample 0: patch -1":               func(r *pb.MaskReply) { r.Sets[0].Values[0] = -1 },
		"sample 1: patch 3 twice":          func(r *pb.MaskReply) { r.Sets[0].Values[3] = 3 },
		"has 3 numbers, expected 2":        func(r *pb.MaskReply) { r.Sets[0].Values = r.Sets[0].Values[:3] },
		"bitmap is set":                    func(r *pb.MaskReply) { r.Sets[0].Bitmap = []byte{1} },
		"31 cells":                         func(r *pb.MaskReply) { r.Sets[1].Bitmap = r.Sets[1].Bitmap[1:] },
		"sample 1: cell 4 is 2":            func(r *pb.MaskReply) { r.Sets[1].Bitmap[20] = 2 },
		"values is set for a bitmap":       func(r *pb.MaskReply) { r.Sets[1].Values = []int32{1} },
		"index 5, valid are 0..4":          func(r *pb.MaskReply) { r.Sets[2].Values[1] = 5 },
		"is not inside":                    func(r *pb.MaskReply) { r.Sets[3].Values[0] = 1 },
		"fill 3":                           func(r *pb.MaskReply) { r.Sets[3].Values[4] = 3 },
		"source sample 2":                  func(r *pb.MaskReply) { r.Sets[3].Values[14] = 2 },
		"source (13,11)":                   func(r *pb.MaskReply) { r.Sets[3].Values[15] = 13 },
	} {
		r := good()
		change(r)
		if err := ValidateMasks(plan, backbone(), request, r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
}

// Whatever bytes a plugin sends as its plan: an error, never a panic.
func FuzzValidatePlan(f *testing.F) {
	request, plan := valid(f)
	seed, err := wire(plan)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &pb.Plan{}
		if proto.Unmarshal(data, p) != nil {
			return
		}
		if ValidatePlan(p, request) == nil && p.Results.GetLoss() == nil {
			t.Fatal("a plan without a loss was accepted")
		}
		planDifference(plan, p)
	})
}

// Whatever bytes a plugin sends as masks: an error or masks that can be used without looking.
func FuzzValidateMasks(f *testing.F) {
	_, plan := valid(f)
	request := maskRequest(1, 2)
	seed, err := wire(&pb.MaskReply{Step: 1, Sets: []*pb.MaskSet{{Name: "mask", Values: []int32{0, 1, 2, 3, 4, 5, 6, 7}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &pb.MaskReply{}
		if proto.Unmarshal(data, r) != nil || ValidateMasks(plan, backbone(), request, r) != nil {
			return
		}
		used := make([]bool, 16)
		for _, v := range r.Sets[0].Values[:4] {
			if used[v] {
				t.Fatalf("%d twice", v)
			}
			used[v] = true
		}
	})
}

func FuzzReadLine(f *testing.F) {
	f.Add([]byte("a\nb"), []byte("c\n\n"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		l := &lineLog{}
		for _, p := range [][]byte{a, b} {
			if n, err := l.Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		if len(l.last()) > tailLines+crashLines+1 {
			t.Fatal("too long")
		}
	})
}
