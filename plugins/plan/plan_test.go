package plan_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives/mae"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/tensor"
	"google.golang.org/protobuf/proto"
)

var backbone = plan.Backbone{Name: "vit_test", Family: "vit", Dim: 8, Depth: 2, Heads: 2, Patch: 4, Height: 16, Width: 16,
	Channels: 3, PrefixTokens: 1, LayerNormEps: 1e-6}

// opened is the plan of an objective for the backbone, as its plugin sends it.
func opened(t testing.TB, o sdk.Objective, options map[string]any) *pb.Plan {
	t.Helper()
	s := must.Get(sdk.NewServer(o, nil))(t)
	config := must.Get(json.Marshal(options))(t)
	p, err := s.Open(context.Background(), &pb.OpenRequest{ConfigJson: config, Batch: 2, TotalSteps: 10, StepsPerEpoch: 5, Backbone: &pb.BackboneInfo{
		Name: "vit_test", Family: "vit", Dim: 8, Depth: 2, Heads: 2, Patch: 4, ImageH: 16, ImageW: 16, GridH: 4, GridW: 4, Channels: 3,
		PrefixTokens: 1, LayerNormEps: 1e-6, Mean: []float64{0, 0, 0}, Std: []float64{1, 1, 1}}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func valid(t testing.TB) *pb.Plan {
	return opened(t, mae.New(), map[string]any{"decoder_dim": 8, "decoder_depth": 1, "decoder_heads": 2})
}

// objective is a plan as a function.
type objective struct {
	plan func(b *sdk.Builder) error
}

func (o *objective) Info() sdk.Info            { return sdk.Info{Name: "test", Version: "1.0.0"} }
func (o *objective) Plan(b *sdk.Builder) error { return o.plan(b) }

func node(p *pb.Plan, op string) *pb.Node {
	return p.Nodes[slices.IndexFunc(p.Nodes, func(n *pb.Node) bool { return n.Op == op })]
}

// A fault is a change of a sound plan and a part of the error that it leads to.
type fault struct {
	want   string
	change func(p *pb.Plan)
}

func refuse(t *testing.T, sound *pb.Plan, faults []fault) {
	t.Helper()
	if _, err := plan.FromProto(sound, backbone); err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		p := proto.CloneOf(sound)
		f.change(p)
		if _, err := plan.FromProto(p, backbone); err == nil || !strings.Contains(err.Error(), f.want) {
			t.Errorf("error %v, want %q in it", err, f.want)
		}
	}
}

func TestFromProtoRefuses(t *testing.T) {
	refuse(t, valid(t), []fault{
		{"operator_version is 9", func(p *pb.Plan) { p.OperatorVersion = 9 }},
		{`the backbone vit_test is of the family "vit"`, func(p *pb.Plan) { p.Backbone.Families = []string{"cnn"} }},
		{"drop_path is 1", func(p *pb.Plan) { p.Backbone.DropPath = 1 }},
		{`frozen: pattern "[a"`, func(p *pb.Plan) { p.Backbone.Frozen = []string{"[a"} }},
		{"backbone.unused is set", func(p *pb.Plan) { p.Backbone.Unused = true }},
		{"views is empty", func(p *pb.Plan) { p.Views = nil }},
		{"no multiple of the patch size 4", func(p *pb.Plan) { p.Views[0].Height = 15 }},
		{"field scale_min = 0.5 is above field scale_max = 0.2", func(p *pb.Plan) { p.Views[0].ScaleMin, p.Views[0].ScaleMax = .5, .2 }},
		{"augmentation 0: flip: probability = 2: is out of range; valid is 0 to 1", func(p *pb.Plan) { p.Views[0].Augmentations[0].GetFlip().Probability = 2 }},
		{"augmentation 0: its kind is missing", func(p *pb.Plan) { p.Views[0].Augmentations[0].Kind = nil }},
		{"field resize_factor = 100: is out of range; valid is 1 to 16", func(p *pb.Plan) { p.Views[0].ResizeFactor = 100 }},
		{"field std[2] = 0: is out of range; valid is above 0", func(p *pb.Plan) { p.Views[0].Std = []float64{1, 1, 0} }},
		{"field mean has 2 values, and the images have 3 channels", func(p *pb.Plan) { p.Views[0].Mean = []float64{1, 1} }},
		{"field same_colors is set", func(p *pb.Plan) { p.Views[0].SameColors = true }},
		{`names the view "second", which shares the geometry of "image" itself`, func(p *pb.Plan) {
			second, third := proto.CloneOf(p.Views[0]), proto.CloneOf(p.Views[0])
			second.Name, second.SameGeometryAs, third.Name, third.SameGeometryAs = "second", "image", "third", "second"
			p.Views = append(p.Views, second, third)
		}},
		{"gaussian_blur: sigma_min = 0: is out of range; valid is above 0 to 1000", func(p *pb.Plan) {
			p.Views[0].Augmentations[0].Kind = &pb.Augmentation_GaussianBlur_{GaussianBlur: &pb.Augmentation_GaussianBlur{SigmaMax: 1}}
		}},
		{"same_geometry_as", func(p *pb.Plan) { p.Views[0].SameGeometryAs = "image" }},
		{"views[0].crop is 9, which this vittool does not know", func(p *pb.Plan) { p.Views[0].Crop = 9 }},
		{"length = 17: is out of range; valid is 1 to 16", func(p *pb.Plan) { p.Masks[0].Length = 17 }},
		{"length = 0: is out of range; valid is 1 to 16", func(p *pb.Plan) { p.Masks[0].Length = 0 }},
		{`names the view "other"`, func(p *pb.Plan) { p.Masks[0].View = "other" }},
		{"field kind is none; valid are", func(p *pb.Plan) { p.Masks[0].Kind = 0 }},
		{"rows and cols are 3 and 0", func(p *pb.Plan) { p.Masks[0].Kind, p.Masks[0].Rows = pb.MaskSpec_KIND_BITMAP, 3 }},
		{"3×2 cells", func(p *pb.Plan) { p.Masks[0].Rows, p.Masks[0].Cols = 3, 2 }},
		{"rows and cols are 2147483648 and 1", func(p *pb.Plan) {
			p.Masks[0].Kind, p.Masks[0].Rows, p.Masks[0].Cols = pb.MaskSpec_KIND_BITMAP, 1<<31, 1
		}},
		{"is masked by the bitmap", func(p *pb.Plan) { p.Masks[0].Kind = pb.MaskSpec_KIND_BITMAP }},
	})
}

func TestParametersRefuse(t *testing.T) {
	refuse(t, valid(t), []fault{
		{"two are named", func(p *pb.Plan) { p.Params = append(p.Params, p.Params[0]) }},
		{"params: one has no name", func(p *pb.Plan) { p.Params[1].Name = "" }},
		{`"decoder_embed.weight" has the impossible shape [1099511627776 1099511627776]`, func(p *pb.Plan) { p.Params[0].Shape = []uint64{1 << 40, 1 << 40} }},
		{"impossible shape [1048576 1048576]", func(p *pb.Plan) { p.Params[0].Shape = []uint64{1 << 20, 1 << 20} }},
		{"impossible shape [9223372036854775808 4]", func(p *pb.Plan) { p.Params[0].Shape = []uint64{1 << 63, 4} }},
		{"impossible shape [0]: dimensions must be positive and their product at most 2^31", func(p *pb.Plan) { p.Params[0].Shape = []uint64{0} }},
		{"initial values", func(p *pb.Plan) { p.Params[0].Init = &pb.Init{Kind: pb.Init_KIND_DATA} }},
		{"1 initial values", func(p *pb.Plan) { p.Params[0].Init = &pb.Init{Kind: pb.Init_KIND_DATA, Values: []float32{1}} }},
		{"init.kind is 99", func(p *pb.Plan) { p.Params[0].Init.Kind = 99 }},
		{"init.a is NaN", func(p *pb.Plan) { p.Params[0].Init = &pb.Init{A: math.NaN()} }},
		{"table of 0+0", func(p *pb.Plan) { p.Params[0].Init = &pb.Init{Kind: pb.Init_KIND_SINCOS_ROW} }},
		{"[1, 5, a multiple of 4]", func(p *pb.Plan) {
			p.Params[0].Init = &pb.Init{Kind: pb.Init_KIND_SINCOS_COLUMN, Rows: 2, Cols: 2, Prefix: 1}
		}},
		{`names "he": want "timm"`, func(p *pb.Plan) {
			p.Backbone = &pb.BackboneRequirements{Init: "he"}
		}},
		{"which no backbone's weights start from", func(p *pb.Plan) {
			p.Backbone = &pb.BackboneRequirements{InitRules: []*pb.InitRule{{Weights: "*", Init: &pb.Init{Kind: pb.Init_KIND_FILE}}}}
		}},
		{"syntax error in pattern", func(p *pb.Plan) {
			p.Backbone = &pb.BackboneRequirements{InitRules: []*pb.InitRule{{Weights: "[", Init: &pb.Init{}}}}
		}},
		{"field teacher_copy is set", func(p *pb.Plan) { p.Params[0].TeacherCopy = true }},
		{`buffer "b" has elements of type i32`, func(p *pb.Plan) {
			p.Buffers = []*pb.BufferSpec{{Name: "b", Shape: []uint64{2}, Dtype: pb.DType_DTYPE_I32}}
		}},
		{"schedule \"none\"", func(p *pb.Plan) { p.Teacher = &pb.Teacher{Momentum: "none"} }},
		{`schedule "s": field values is empty`, func(p *pb.Plan) {
			p.Schedules = []*pb.Schedule{{Name: "s", Kind: pb.Schedule_KIND_TABLE}}
		}},
		{"schedules[0].from is NaN", func(p *pb.Plan) { p.Schedules = []*pb.Schedule{{Name: "s", From: math.NaN()}} }},
	})
}

func TestResultsRefuse(t *testing.T) {
	refuse(t, valid(t), []fault{
		{"recommended.network is the teacher", func(p *pb.Plan) { p.Recommended = &pb.Recommended{Network: pb.Network_NETWORK_TEACHER} }},
		{"recommended.features is [map]", func(p *pb.Plan) { p.Recommended = &pb.Recommended{Features: []pb.Output{pb.Output_OUTPUT_MAP}} }},
		{"both in this order", func(p *pb.Plan) {
			p.Recommended = &pb.Recommended{Features: []pb.Output{pb.Output_OUTPUT_POOLED, pb.Output_OUTPUT_CLASS}}
		}},
		{"recommended.linear_blocks is 1025; valid are 0..1024", func(p *pb.Plan) { p.Recommended = &pb.Recommended{LinearBlocks: 1025} }},
		{"recommended.network is 7", func(p *pb.Plan) { p.Recommended = &pb.Recommended{Network: 7} }},
		{`pass "encoder" has no view`, func(p *pb.Plan) { p.Passes[0].Views = nil }},
		{`pass "encoder" (views) names the view "elsewhere"`, func(p *pb.Plan) { p.Passes[0].Views[0] = "elsewhere" }},
		{`pass "encoder" (masks) names the mask "elsewhere"`, func(p *pb.Plan) { p.Passes[0].Masks[0] = "elsewhere" }},
		{"(sub_batches) has 2 sub-batches and 1 views: want one view without masks", func(p *pb.Plan) { p.Passes[0].SubBatches = 2 }},
		{"runs the teacher", func(p *pb.Plan) { p.Passes[0].Network = pb.Network_NETWORK_TEACHER }},
		{"block 2 is tapped", func(p *pb.Plan) { p.Passes[0].Taps = []uint32{2} }},
		{"0 masks for 1 views", func(p *pb.Plan) { p.Passes[0].Masks = nil }},
		{"results.images has none", func(p *pb.Plan) { p.Passes[0].MaskUse = pb.PassSpec_MASK_USE_CORRUPTED }},
		{"does not list it", func(p *pb.Plan) { p.Passes[0].Outputs = nil }},
		{`names the pass "encoder"`, func(p *pb.Plan) { p.Passes = nil }},
		{"the loss", func(p *pb.Plan) { p.Results = nil }},
		{"the loss has no reference", func(p *pb.Plan) { p.Results.Loss = nil }},
		{"the loss names the schedule", func(p *pb.Plan) { p.Results.Loss = &pb.Ref{Of: &pb.Ref_Scalar{Scalar: "s"}} }},
		{"the loss reads output 7", func(p *pb.Plan) { p.Results.Loss.Output = 7 }},
		{`picture "reconstruction" names the view "elsewhere"`, func(p *pb.Plan) { p.Results.Pictures[0].View = "elsewhere" }},
		{`update of "b" names the buffer "b"`, func(p *pb.Plan) {
			p.Results.Updates = []*pb.BufferResult{{Buffer: "b", Value: p.Results.Loss}}
		}},
		{"replaced twice", func(p *pb.Plan) {
			p.Buffers = []*pb.BufferSpec{{Name: "b"}}
			u := &pb.BufferResult{Buffer: "b", Value: p.Results.Loss}
			p.Results.Updates = []*pb.BufferResult{u, u}
		}},
		{"without reading it", func(p *pb.Plan) {
			n := node(p, "linear")
			p.Nodes = append(p.Nodes, &pb.Node{Name: "e", Op: pb.OpEvaluate, Inputs: n.Inputs[:1]})
			p.Evaluate = &pb.EvaluateSpec{Updates: []string{"center"}}
		}},
		{"evaluate names", func(p *pb.Plan) {
			n := node(p, "linear")
			p.Nodes = append(p.Nodes, &pb.Node{Name: "e", Op: pb.OpEvaluate, Inputs: n.Inputs[:1]})
			p.Evaluate = &pb.EvaluateSpec{}
		}},
	})
}

func TestNodesRefuses(t *testing.T) {
	integer := func(n int64) *pb.Attribute_Int { return &pb.Attribute_Int{Int: n} }
	refuse(t, valid(t), []fault{
		{`node "linear_1" (liner): there is no such operator in version 1 of the operators; did you mean linear?`, func(p *pb.Plan) { node(p, "linear").Op = "liner" }},
		{`node "linear_1" (linear): input weight [O, I] is missing`, func(p *pb.Plan) { n := node(p, "linear"); n.Inputs = n.Inputs[:1] }},
		{`there is no input "y"; the operator takes x, weight, bias`, func(p *pb.Plan) { node(p, "linear").Inputs[0].Name = "y" }},
		{"x is given twice", func(p *pb.Plan) { n := node(p, "linear"); n.Inputs = append(n.Inputs, n.Inputs[0]) }},
		{`there is no attribute "epsilon"; the operator takes eps`, func(p *pb.Plan) { node(p, "layer_norm").Attributes[0].Name = "epsilon" }},
		{"attribute heads: the value is not of type int", func(p *pb.Plan) {
			node(p, "vit_block").Attributes[0].Value = &pb.Attribute_String_{String_: "two"}
		}},
		{"attribute heads: it has no value", func(p *pb.Plan) { node(p, "vit_block").Attributes[0].Value = nil }},
		{"heads (int) is missing", func(p *pb.Plan) { node(p, "vit_block").Attributes = nil }},
		{"attribute heads = 0: is out of range; valid is 1 to 2147483647", func(p *pb.Plan) { node(p, "vit_block").Attributes[0].Value = integer(0) }},
		{`attribute order = "cwh": is not one of its values; did you mean`, func(p *pb.Plan) { node(p, "patchify").Attributes[1].Value = &pb.Attribute_String_{String_: "cwh"} }},
		{"eps is 0.1: version 1", func(p *pb.Plan) {
			n := node(p, "normalize_patches")
			n.Attributes = []*pb.Attribute{{Name: "eps", Value: &pb.Attribute_Float{Float: .1}}}
		}},
		{`names the node "linear_1", which the plan does not have`, func(p *pb.Plan) { // itself
			node(p, "linear").Inputs[0].Ref = &pb.Ref{Of: &pb.Ref_Node{Node: "linear_1"}}
		}},
		{`node "linear_1" (linear), input "x" names the node "gone"`, func(p *pb.Plan) {
			node(p, "linear").Inputs[0].Ref = &pb.Ref{Of: &pb.Ref_Node{Node: "gone"}}
		}},
		{"attribute length = 1099511627776: is out of range; valid is 1 to 1048576", func(p *pb.Plan) {
			node(p, "restore_tokens").Attributes[0].Value = integer(1 << 40)
		}},
		{"attribute patch = 0: is out of range", func(p *pb.Plan) { node(p, "patchify").Attributes[0].Value = integer(0) }},
		{`input "x" takes numbers and reads integers, the mask`, func(p *pb.Plan) {
			for _, a := range node(p, "restore_tokens").Inputs {
				if a.Ref.GetMask() != nil {
					node(p, "linear").Inputs[0].Ref = a.Ref
				}
			}
		}},
		{"attribute view = 5 of 2 views: is out of range", func(p *pb.Plan) {
			p.Nodes = append(p.Nodes, &pb.Node{Name: "rows", Op: pb.OpViewRows, Inputs: []*pb.Argument{{Name: "x", Ref: node(p, "linear").Inputs[0].Ref}},
				Attributes: []*pb.Attribute{{Name: "view", Value: integer(5)}, {Name: "views", Value: integer(2)}}})
		}},
		{"attribute shape[1] = 0: is out of range", func(p *pb.Plan) {
			p.Nodes = append(p.Nodes, &pb.Node{Name: "draw", Op: pb.OpRandom, Attributes: []*pb.Attribute{
				{Name: "shape", Value: &pb.Attribute_Ints_{Ints: &pb.Attribute_Ints{Values: []int64{2, 0}}}},
				{Name: "distribution", Value: &pb.Attribute_String_{String_: "normal"}}}})
		}},
		{"reads no corruption", func(p *pb.Plan) {
			image := node(p, "patchify").Inputs[0].Ref
			for _, a := range node(p, "restore_tokens").Inputs {
				if a.Ref.GetMask() != nil {
					p.Nodes = append(p.Nodes, &pb.Node{Name: "paint", Op: pb.OpCorrupt, Inputs: []*pb.Argument{{Name: "images", Ref: image}, {Name: "mask", Ref: a.Ref}}})
				}
			}
		}},
		{"has no reference", func(p *pb.Plan) { node(p, "linear").Inputs[0].Ref = nil }},
		{"nodes: one has no name", func(p *pb.Plan) { p.Nodes[0].Name = "" }},
		{`names the param "decoder_embed.weight"`, func(p *pb.Plan) { p.Params = p.Params[1:] }},
		{"which the plan does not have", func(p *pb.Plan) { p.Nodes = p.Nodes[1:] }},
		{"which a keep list of length 4 is not", func(p *pb.Plan) {
			for _, a := range node(p, "restore_tokens").Inputs {
				if k := a.Ref.GetMask(); k != nil {
					k.Form = pb.MaskRef_FORM_REMOVED_BLOCKS
				}
			}
		}},
		{"it needs one of each", func(p *pb.Plan) {
			n := node(p, "layer_norm")
			n.Op, n.Attributes = pb.OpEvaluate, nil
		}},
	})
}

// normHead has one batch norm with buffers that its operator changes.
func normHead(b *sdk.Builder) error {
	return b.Minimize(b.Mean(b.BatchNorm("bn", b.Student("s", b.View("a")).Tokens(), sdk.WithStatistics(1e-3, .25))))
}

func TestBuffersOfOperators(t *testing.T) {
	refuse(t, opened(t, &objective{normHead}, nil), []fault{
		{"takes a buffer of the plan", func(p *pb.Plan) {
			p.Nodes[0].Inputs[3].Ref = &pb.Ref{Of: &pb.Ref_Param{Param: "bn.weight"}}
		}},
		{"is updated by ring", func(p *pb.Plan) { p.Buffers[0].Update = pb.BufferSpec_UPDATE_RING }},
		{"changes it already", func(p *pb.Plan) {
			p.Results.Updates = append(p.Results.Updates, &pb.BufferResult{Buffer: "bn.running_mean", Value: &pb.Ref{Of: &pb.Ref_Buffer{Buffer: "bn.running_mean"}}})
		}},
		{"attribute momentum = 2: is out of range; valid is 0 to 1", func(p *pb.Plan) { p.Nodes[0].Attributes[1].Value = &pb.Attribute_Float{Float: 2} }},
	})
}

// Images of a pass may come late in the program, but not from the pass itself.
func TestCyclesByWayOfImages(t *testing.T) {
	late := func(b *sdk.Builder) error {
		v := b.View("a")
		pass := b.Student("s", v, sdk.Corrupted())
		loss := b.Mean(pass.Tokens())
		b.Images(pass, b.Scale(v.Pixels(), 3))
		return b.Minimize(loss)
	}
	refuse(t, opened(t, &objective{late}, nil), []fault{
		{"depends on itself, by way of the images of a pass", func(p *pb.Plan) { p.Results.Images[0].Images = p.Results.Loss }},
	})
}

// weightsFile writes a frozen network of one tensor.
func weightsFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weights.safetensors")
	must.Do(t, tensor.WriteSafetensors(path, []tensor.Tensor{tensor.NewF32("w", tensor.Shape{3, 48}, make([]float32, 144))}, nil))
	return path
}

// A cached target follows from the pixels of its view and from files alone.
func TestCachedTargetRefuses(t *testing.T) {
	path := weightsFile(t)
	sound := func(b *sdk.Builder) error {
		w, err := sdk.OpenWeights(path)
		if err != nil {
			return err
		}
		image, other := b.View("image"), b.View("other")
		frozen := b.Param("frozen", w.Shape("w"), w.Init("w"), sdk.Frozen()).Tensor()
		trained := b.Param("trained", w.Shape("w"), w.Init("w")).Tensor()
		x := b.Student("pass", image).Class()
		b.Reshape(b.PatchPixels(other, sdk.ChannelLast), -1, 48)
		random := b.Random(sdk.Normal, 16, 48)
		seen := b.MatMul(b.Reshape(b.PatchPixels(image, sdk.ChannelLast), -1, 48), frozen, false, true)
		t := b.CacheTarget("t", image, b.Reshape(b.ArgMax(seen), -1, 16), sdk.I32, 16)
		return b.Minimize(b.Add(b.Add(b.Mean(x), b.Mean(trained)), b.Add(b.Mean(random), b.Mean(b.GatherRows(frozen, b.Reshape(t, -1))))))
	}
	first := func(p *pb.Plan, r *pb.Ref) { node(p, "matmul").Inputs[0].Ref = r }
	refuse(t, opened(t, &objective{sound}, nil), []fault{
		{`target "t" is cached, so it may read the view "image" and frozen parameters from files only`, func(p *pb.Plan) {
			first(p, &pb.Ref{Of: &pb.Ref_View{View: "other"}})
		}},
		{`it reads the parameter "trained"`, func(p *pb.Plan) { first(p, &pb.Ref{Of: &pb.Ref_Param{Param: "trained"}}) }},
		{`it reads the pass "pass"`, func(p *pb.Plan) {
			first(p, &pb.Ref{Of: &pb.Ref_Feature{Feature: &pb.Feature{Pass: "pass", Output: pb.Output_OUTPUT_CLASS}}})
		}},
		{"draws random numbers", func(p *pb.Plan) { first(p, &pb.Ref{Of: &pb.Ref_Node{Node: node(p, "random").Name}}) }},
	})
}

func TestFilledIn(t *testing.T) {
	p := must.Get(plan.FromProto(valid(t), backbone))(t)
	if v := p.Views[0]; v.Height != 16 || v.Width != 16 {
		t.Errorf("the view has %d x %d pixels", v.Height, v.Width)
	}
	if m := p.Masks[0]; m.Rows != 4 || m.Cols != 4 {
		t.Errorf("the mask has %d x %d cells", m.Rows, m.Cols)
	}
	for _, n := range p.Nodes {
		for _, a := range plan.Lookup(n.Op).Attributes {
			if n.Attributes[a.Name] == nil {
				t.Errorf("%v has no attribute %s", n, a.Name)
			}
		}
	}
}

func decisions() *plan.Plan {
	view := &plan.View{Name: "image", Height: 16, Width: 16}
	return &plan.Plan{Views: []*plan.View{view}, Masks: []*plan.Mask{
		{Name: "keep", View: "image", Kind: plan.MaskKeep, Length: 2, Rows: 4, Cols: 4},
		{Name: "bits", View: "image", Kind: plan.MaskBitmap, Rows: 4, Cols: 4, Length: 15},
		{Name: "indices", View: "image", Kind: plan.MaskIndices, Length: 1, Limit: 5},
		{Name: "holes", View: "image", Kind: plan.MaskCorruption, Length: 1},
	}}
}

func TestCheckMasks(t *testing.T) {
	p := decisions()
	good := func() []plan.MaskSet {
		return []plan.MaskSet{
			{Name: "keep", Values: []int32{0, 15, 3, 1}},
			{Name: "bits", Bitmap: make([]byte, 32)},
			{Name: "indices", Values: []int32{0, 4}},
			{Name: "holes", Values: []int32{0, 0, 16, 16, 1, 0, 0, 0, 0, 2, 3, 4, 5, 2, 1, 12, 11, 1}},
		}
	}
	must.Do(t, p.CheckMasks(good(), 2))
	for want, change := range map[string]func(s []plan.MaskSet) []plan.MaskSet{
		`mask "holes" of the plan is miss`: func(s []plan.MaskSet) []plan.MaskSet { return s[:3] },
		`mask "keep" twice`:                func(s []plan.MaskSet) []plan.MaskSet { s[1].Name = "keep"; return s },
		`no mask "extra"`:                  func(s []plan.MaskSet) []plan.MaskSet { return append(s, plan.MaskSet{Name: "extra"}) },
		"sample 1: patch 16, valid are":    func(s []plan.MaskSet) []plan.MaskSet { s[0].Values[2] = 16; return s },
		"sample 0: patch -1":               func(s []plan.MaskSet) []plan.MaskSet { s[0].Values[0] = -1; return s },
		"sample 1: patch 3 twice":          func(s []plan.MaskSet) []plan.MaskSet { s[0].Values[3] = 3; return s },
		"has 3 numbers, expected 2":        func(s []plan.MaskSet) []plan.MaskSet { s[0].Values = s[0].Values[:3]; return s },
		"bitmap is set":                    func(s []plan.MaskSet) []plan.MaskSet { s[0].Bitmap = []byte{1}; return s },
		"31 cells":                         func(s []plan.MaskSet) []plan.MaskSet { s[1].Bitmap = s[1].Bitmap[1:]; return s },
		"sample 1: cell 4 is 2":            func(s []plan.MaskSet) []plan.MaskSet { s[1].Bitmap[20] = 2; return s },
		"sample 0: 16 cells are masked, the plan has at most 15": func(s []plan.MaskSet) []plan.MaskSet {
			copy(s[1].Bitmap, slices.Repeat([]byte{1}, 16))
			return s
		},
		"values is set for a bitmap": func(s []plan.MaskSet) []plan.MaskSet { s[1].Values = []int32{1}; return s },
		"index 5, valid are 0..4":    func(s []plan.MaskSet) []plan.MaskSet { s[2].Values[1] = 5; return s },
		"is not inside":              func(s []plan.MaskSet) []plan.MaskSet { s[3].Values[0] = 1; return s },
		"fill 3":                     func(s []plan.MaskSet) []plan.MaskSet { s[3].Values[4] = 3; return s },
		"source sample 2":            func(s []plan.MaskSet) []plan.MaskSet { s[3].Values[14] = 2; return s },
		"source (13,11)":             func(s []plan.MaskSet) []plan.MaskSet { s[3].Values[15] = 13; return s },
	} {
		if err := p.CheckMasks(change(good()), 2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	sets := good()
	if n := testing.AllocsPerRun(10, func() { _ = p.CheckMasks(sets, 2) }); n > 0 {
		t.Errorf("%v allocations a check", n)
	}
}

// Any bytes that a plugin sends as its plan: an error or a plan that holds together, never a panic.
func FuzzFromProto(f *testing.F) {
	for _, p := range []*pb.Plan{valid(f), opened(f, &objective{normHead}, nil)} {
		seed, err := proto.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		message := &pb.Plan{}
		if proto.Unmarshal(data, message) != nil {
			return
		}
		p, err := plan.FromProto(message, backbone)
		if err != nil {
			return
		}
		if p.Results.Loss.Of == plan.RefNone {
			t.Fatal("a plan without a loss was accepted")
		}
		for _, n := range p.Nodes {
			for _, in := range n.Inputs {
				if in.Ref.Of == plan.RefNone || in.Ref.Name == "" {
					t.Fatalf("%v reads nothing", n)
				}
			}
		}
	})
}

// Any numbers that a plugin sends as masks: an error or masks that can be used as they are.
func FuzzCheckMasks(f *testing.F) {
	p := decisions()
	p.Masks = p.Masks[:1]
	f.Add([]byte{0, 15, 3, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		values := make([]int32, len(data))
		for i, b := range data {
			values[i] = int32(int8(b))
		}
		if p.CheckMasks([]plan.MaskSet{{Name: "keep", Values: values}}, 2) != nil {
			return
		}
		for sample := range 2 {
			a, b := values[2*sample], values[2*sample+1]
			if a < 0 || b < 0 || a > 15 || b > 15 || a == b {
				t.Fatalf("%d and %d were accepted", a, b)
			}
		}
	})
}

// A network with stages gives maps of whole images of any size: a plan that needs tokens of it is
// told so.
func TestNetworkOfMaps(t *testing.T) {
	maps := backbone
	maps.Name, maps.Family, maps.Depth, maps.Patch, maps.PrefixTokens, maps.StageDims = "resnet_test", "cnn", 4, 8, 0, []int{1, 2, 4, 8}
	pooled := func(options ...sdk.PassOption) func(b *sdk.Builder) error {
		return func(b *sdk.Builder) error {
			return b.Minimize(b.Mean(b.Student("encoder", b.View("image", sdk.Size(13, 20)), options...).Pooled()))
		}
	}
	for part, text := range map[string]func(b *sdk.Builder) error{
		"": pooled(),
		"reads the feature class": func(b *sdk.Builder) error {
			return b.Minimize(b.Mean(b.Student("encoder", b.View("image")).Class()))
		},
		"reads the feature patch tokens": func(b *sdk.Builder) error {
			return b.Minimize(b.Mean(b.Student("encoder", b.View("image")).PatchTokens()))
		},
		"masks patches": func(b *sdk.Builder) error {
			v := b.View("image")
			keep := b.KeepMask("keep", v, 2, nil)
			return b.Minimize(b.Mean(b.Student("encoder", v, sdk.DropMasked(keep)).Pooled()))
		},
	} {
		_, err := plan.FromProto(opened(t, &objective{text}, nil), maps)
		var lack *plan.LackError
		switch {
		case part == "" && err != nil:
			t.Error(err)
		case part != "" && (!errors.As(err, &lack) || !strings.Contains(err.Error(), `pass "encoder" `+part+", and the backbone resnet_test")):
			t.Errorf("%v, want %q in it", err, part)
		}
	}
}
