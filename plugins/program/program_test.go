package program_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/objectives/mae"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/vit"
	"google.golang.org/protobuf/proto"
)

// objective is a plan as a function, for tests.
type objective struct {
	plan func(b *sdk.Builder) error
}

func (o *objective) Info() sdk.Info            { return sdk.Info{Name: "test", Version: "1.0.0"} }
func (o *objective) Plan(b *sdk.Builder) error { return o.plan(b) }

// tiny is a network that runs in a moment.
func tiny() vit.Config {
	return vit.Config{Name: "tiny", ImageH: 8, ImageW: 8, Patch: 4, Channels: 3, Dim: 8, Depth: 2, Heads: 2, MLPRatio: 2, QKVBias: true, ClassToken: true}.Normalized()
}

const tinyBatch = 4

// planOf opens an objective.
func planOf(t testing.TB, o sdk.Objective, options string) *pb.Plan {
	t.Helper()
	server, err := sdk.NewServer(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := server.Open(context.Background(), &pb.OpenRequest{
		ConfigJson: []byte(options), Seed: 1, Batch: tinyBatch, TotalSteps: 10, StepsPerEpoch: 5, DatasetSize: 16, WorldSize: 1,
		Backbone: program.BackboneInfo(tiny(), []float64{0, 0, 0}, []float64{1, 1, 1}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func tinyMAE(t testing.TB) *pb.Plan {
	return planOf(t, mae.New(), `{"decoder_dim": 8, "decoder_depth": 1, "decoder_heads": 2, "mask_ratio": 0.5}`)
}

// compiled builds the plan of a function, with its views filled.
func compiled(t testing.TB, plan func(b *sdk.Builder) error, change func(*vit.Config, *program.Options)) (*program.Model, *param.Store) {
	t.Helper()
	c, o := tiny(), program.Options{Plugin: "test", Train: true, TotalSteps: 10}
	if change != nil {
		change(&c, &o)
	}
	store := param.NewStore()
	m, err := program.Build(newEngine(t), store, planOf(t, &objective{plan}, "{}"), c, tinyBatch, 1, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range m.Plan.GetViews() {
		r := prng.New(9, v.GetName())
		for i := range m.View(v.GetName()) {
			m.View(v.GetName())[i] = float32(r.NormFloat64())
		}
	}
	m.SetStep(0, []uint64{3, 1, 4, 2})
	return m, store
}

func mustRun(t testing.TB, m *program.Model) {
	t.Helper()
	if err := m.Run(); err != nil {
		t.Fatal(err)
	}
}

// TestBuildRefuses changes a sound plan in one place; the error names the plugin and what is wrong.
func TestBuildRefuses(t *testing.T) {
	sound := tinyMAE(t)
	node := func(p *pb.Plan, op string) *pb.Node {
		for _, n := range p.Nodes {
			if n.Op == op {
				return n
			}
		}
		t.Fatalf("the plan has no %s", op)
		return nil
	}
	for _, tc := range []struct {
		name   string
		change func(p *pb.Plan)
		want   []string
	}{
		{"unknown operator", func(p *pb.Plan) { node(p, "linear").Op = "liner" }, []string{`"liner"`, `"linear"`, "linear_1"}},
		{"newer operators", func(p *pb.Plan) { p.OperatorVersion = 9 }, []string{"version 9"}},
		{"wrong weight", func(p *pb.Plan) { p.Params[0].Shape[1] = 5 }, []string{"node \"linear_1\" (linear)", "[8, 5]", "[4, 3, 8]"}},
		{"missing input", func(p *pb.Plan) { n := node(p, "linear"); n.Inputs = n.Inputs[:1] }, []string{"linear_1", "weight", "missing"}},
		{"unknown input", func(p *pb.Plan) { node(p, "linear").Inputs[0].Name = "y" }, []string{"linear_1", `"y"`, "x, weight, bias"}},
		{"input twice", func(p *pb.Plan) { n := node(p, "linear"); n.Inputs = append(n.Inputs, n.Inputs[0]) }, []string{"x is given twice"}},
		{"unknown attribute", func(p *pb.Plan) {
			n := node(p, "layer_norm")
			n.Attributes[0].Name = "epsilon"
		}, []string{`"epsilon"`, "eps"}},
		{"wrong attribute type", func(p *pb.Plan) {
			node(p, "vit_block").Attributes[0].Value = &pb.Attribute_String_{String_: "two"}
		}, []string{"heads", "int"}},
		{"attribute without value", func(p *pb.Plan) { node(p, "vit_block").Attributes[0].Value = nil }, []string{"heads", "no value"}},
		{"no heads", func(p *pb.Plan) { node(p, "vit_block").Attributes = nil }, []string{"heads (int) is missing"}},
		{"heads", func(p *pb.Plan) { node(p, "vit_block").Attributes[0].Value = &pb.Attribute_Int{Int: 3} }, []string{"vit_block_1", "attention"}},
		{"zero heads", func(p *pb.Plan) { node(p, "vit_block").Attributes[0].Value = &pb.Attribute_Int{Int: 0} }, []string{"heads is 0"}},
		{"order", func(p *pb.Plan) {
			n := node(p, "patchify")
			n.Attributes[1].Value = &pb.Attribute_String_{String_: "cwh"}
		}, []string{`"cwh"`, "hwc, chw"}},
		{"patch", func(p *pb.Plan) { node(p, "patchify").Attributes[0].Value = &pb.Attribute_Int{Int: 3} }, []string{"patchify_1", "[4, 3, 8, 8]"}},
		{"integers for numbers", func(p *pb.Plan) {
			n := node(p, "restore_tokens")
			n.Inputs[0].Ref = proto.CloneOf(n.Inputs[2].Ref)
		}, []string{"restore_tokens_1", "input x takes numbers"}},
		{"circle", func(p *pb.Plan) {
			node(p, "linear").Inputs[0].Ref = &pb.Ref{Of: &pb.Ref_Node{Node: "linear_1"}}
		}, []string{"linear_1", "reads itself"}},
		{"missing node", func(p *pb.Plan) {
			node(p, "linear").Inputs[0].Ref = &pb.Ref{Of: &pb.Ref_Node{Node: "gone"}}
		}, []string{"linear_1", `no node "gone"`}},
		{"missing output", func(p *pb.Plan) { p.Results.Loss.Output = 7 }, []string{"loss", "output 7"}},
		{"empty reference", func(p *pb.Plan) { node(p, "linear").Inputs[0].Ref = nil }, []string{"reference is empty"}},
		{"missing parameter", func(p *pb.Plan) { p.Params = p.Params[1:] }, []string{`no parameter "decoder_embed.weight"`}},
		{"parameter twice", func(p *pb.Plan) { p.Params[1].Name = p.Params[0].Name }, []string{"two of parameter"}},
		{"nameless", func(p *pb.Plan) { p.Params[1].Name = "" }, []string{"parameter 1 has no name"}},
		{"huge parameter", func(p *pb.Plan) { p.Params[0].Shape = []uint64{1 << 20, 1 << 20} }, []string{"decoder_embed.weight", "1048576"}},
		{"overflowing parameter", func(p *pb.Plan) { p.Params[0].Shape = []uint64{1 << 63, 4} }, []string{"decoder_embed.weight"}},
		{"unknown initialisation", func(p *pb.Plan) { p.Params[0].Init.Kind = 99 }, []string{"decoder_embed.weight", "99"}},
		{"sincos shape", func(p *pb.Plan) {
			p.Params[0].Init = &pb.Init{Kind: pb.Init_KIND_SINCOS_COLUMN, Rows: 2, Cols: 2, Prefix: 1}
		}, []string{"[1, 5, a multiple of 4]"}},
		{"data of another length", func(p *pb.Plan) {
			p.Params[0].Init = &pb.Init{Kind: pb.Init_KIND_DATA, Values: []float32{1}}
		}, []string{"1 initial values"}},
		{"missing loss", func(p *pb.Plan) { p.Results.Loss = nil }, []string{"no loss"}},
		{"loss of many", func(p *pb.Plan) { p.Results.Loss.Output = 1 }, []string{"loss", "[4, 4]", "one number"}},
		{"loss without gradient", func(p *pb.Plan) { p.Results.Loss = &pb.Ref{Of: &pb.Ref_Scalar{Scalar: "s"}} }, []string{"loss"}},
		{"no pass", func(p *pb.Plan) { p.Passes = nil }, []string{`no pass "encoder"`}},
		{"pass of no view", func(p *pb.Plan) { p.Passes[0].Views = nil }, []string{"encoder", "no view"}},
		{"pass of an unknown view", func(p *pb.Plan) { p.Passes[0].Views[0] = "elsewhere" }, []string{"encoder", `"elsewhere"`}},
		{"pass of an unknown mask", func(p *pb.Plan) { p.Passes[0].Masks[0] = "elsewhere" }, []string{"encoder", `"elsewhere"`}},
		{"pass without mask", func(p *pb.Plan) { p.Passes[0].Masks = nil }, []string{"encoder", "0 masks"}},
		{"teacher pass without teacher", func(p *pb.Plan) { p.Passes[0].Network = pb.Network_NETWORK_TEACHER }, []string{"encoder", "no teacher"}},
		{"bitmap to drop by", func(p *pb.Plan) { p.Masks[0].Kind = pb.MaskSpec_KIND_BITMAP }, []string{"mask"}},
		{"mask of no kind", func(p *pb.Plan) { p.Masks[0].Kind = 0 }, []string{"mask", "UNSPECIFIED"}},
		{"mask keeps too many", func(p *pb.Plan) { p.Masks[0].Length = 5 }, []string{"mask", "5 of 2×2"}},
		{"mask keeps none", func(p *pb.Plan) { p.Masks[0].Length = 0 }, []string{"mask", "0 of 2×2"}},
		{"mask of another grid", func(p *pb.Plan) { p.Masks[0].Rows = 3 }, []string{"3×2 cells", "2×2 patches"}},
		{"mask of an unknown view", func(p *pb.Plan) { p.Masks[0].View = "elsewhere" }, []string{`"elsewhere"`}},
		{"huge mask", func(p *pb.Plan) { p.Masks[0].Rows = 1 << 31 }, []string{"too large"}},
		{"view that the patch does not divide", func(p *pb.Plan) { p.Views[0].Height = 9 }, []string{"height 9", "patch size 4"}},
		{"unknown picture view", func(p *pb.Plan) { p.Results.Pictures[0].View = "elsewhere" }, []string{"reconstruction", `"elsewhere"`}},
		{"picture shape", func(p *pb.Plan) { p.Results.Pictures[0].Layout = pb.Picture_LAYOUT_IMAGE }, []string{"[4, 4, 48]", "[4, 3, 8, 8]"}},
		{"unknown init scheme", func(p *pb.Plan) { p.Backbone.Init = "he" }, []string{`"he"`, "mae"}},
		{"wrong family", func(p *pb.Plan) { p.Backbone.Families = []string{"cnn"} }, []string{"cnn", "vit"}},
		{"bad pattern", func(p *pb.Plan) { p.Backbone.Frozen = []string{"[a"} }, []string{`"[a"`}},
		{"unknown momentum", func(p *pb.Plan) { p.Teacher = &pb.Teacher{Momentum: "m"} }, []string{`"m"`}},
		{"empty table", func(p *pb.Plan) {
			p.Schedules = []*pb.Schedule{{Name: "s", Kind: pb.Schedule_KIND_TABLE}}
		}, []string{"schedule s", "without values"}},
		{"schedule of NaN", func(p *pb.Plan) {
			p.Schedules = []*pb.Schedule{{Name: "s", From: math.NaN()}}
		}, []string{"schedule s", "NaN"}},
		{"teacher copy without teacher", func(p *pb.Plan) { p.Params[0].TeacherCopy = true }, []string{"no teacher"}},
		{"integer buffer", func(p *pb.Plan) {
			p.Buffers = []*pb.BufferSpec{{Name: "b", Shape: []uint64{2}, Dtype: pb.DType_DTYPE_I32}}
		}, []string{"buffer b"}},
		{"update of no buffer", func(p *pb.Plan) {
			p.Results.Updates = []*pb.BufferResult{{Buffer: "b", Value: p.Results.Loss}}
		}, []string{"buffer b", "no such"}},
		{"update of another shape", func(p *pb.Plan) {
			p.Buffers = []*pb.BufferSpec{{Name: "b", Shape: []uint64{2}}}
			p.Results.Updates = []*pb.BufferResult{{Buffer: "b", Value: p.Results.Loss}}
		}, []string{"buffer b", "[]", "[2]"}},
		{"huge result", func(p *pb.Plan) {
			node(p, "restore_tokens").Attributes[0].Value = &pb.Attribute_Int{Int: 1 << 40}
		}, []string{"restore_tokens_1", "1099511627776"}},
		{"evaluate without a spec", func(p *pb.Plan) {
			n := node(p, "layer_norm")
			n.Op, n.Attributes = "evaluate", nil
		}, []string{"evaluate", "EvaluateSpec"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plan := proto.CloneOf(sound)
			tc.change(plan)
			m, err := program.Build(newEngine(t), param.NewStore(), plan, tiny(), tinyBatch, 1, program.Options{Plugin: "broken", Train: true})
			if err == nil {
				t.Fatalf("no error, model of batch %d", m.Batch)
			}
			for _, w := range append(tc.want, "broken") {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

func TestMasksAreChecked(t *testing.T) {
	m, err := program.Build(newEngine(t), param.NewStore(), tinyMAE(t), tiny(), tinyBatch, 1, program.Options{Plugin: "mae", Train: true})
	if err != nil {
		t.Fatal(err)
	}
	good := []int32{0, 1, 1, 2, 2, 3, 3, 0}
	reply := func(name string, values []int32) *pb.MaskReply {
		return &pb.MaskReply{Sets: []*pb.MaskSet{{Name: name, Values: values}}}
	}
	if err := m.SetMasks(reply("mask", good)); err != nil {
		t.Fatal(err)
	}
	mustRun(t, m)
	before := m.Loss()
	for _, tc := range []struct {
		name  string
		reply *pb.MaskReply
		want  string
	}{
		{"none", &pb.MaskReply{}, `lacks the set "mask"`},
		{"nil", nil, `lacks the set "mask"`},
		{"unknown", reply("other", good), `"other"`},
		{"twice", &pb.MaskReply{Sets: append(reply("mask", good).Sets, reply("mask", good).Sets...)}, "twice"},
		{"short", reply("mask", good[:7]), "7 values"},
		{"beyond the last patch", reply("mask", append(slices.Clone(good[:7]), 4)), "keeps patch 4"},
		{"negative", reply("mask", append(slices.Clone(good[:7]), -1)), "keeps patch -1"},
		{"repeated", reply("mask", append(slices.Clone(good[:7]), 3)), "keeps patch 3 twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := m.SetMasks(tc.reply); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "mae") {
				t.Errorf("error %v: want one with %q", err, tc.want)
			}
		})
	}
	mustRun(t, m)
	if m.Loss() != before {
		t.Error("a refused reply changed the masks")
	}
}

// A model of another batch size shares the weights, and evaluation computes the same loss as training.
func TestModelsShareOneStore(t *testing.T) {
	e, store := newEngine(t), param.NewStore()
	var losses []float64
	for i, o := range []program.Options{{Train: true}, {Train: false}, {Train: true}} {
		m, err := program.Build(e, store, tinyMAE(t), tiny(), 2, uint64(i), o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range m.View("image") {
			m.View("image")[i] = float32(math.Sin(float64(i)))
		}
		if err := m.SetMasks(&pb.MaskReply{Sets: []*pb.MaskSet{{Name: "mask", Values: []int32{0, 1, 3, 2}}}}); err != nil {
			t.Fatal(err)
		}
		m.SetStep(0, nil)
		mustRun(t, m)
		losses = append(losses, m.Loss())
		if !o.Train && len(m.Exec().Parameters()) != 0 {
			t.Error("a model for evaluation has gradients")
		}
	}
	if losses[0] != losses[1] || losses[0] != losses[2] {
		t.Errorf("losses %v differ", losses)
	}
	if store.Get("backbone.blocks.0.attn.qkv.weight") == nil || store.Get("head.decoder_pred.weight") == nil {
		t.Error("names in the store do not follow the prefixes")
	}
}

// The same bits on any number of threads.
func TestThreadsDoNotMatter(t *testing.T) {
	var losses []float64
	var gradients [][]float32
	for _, threads := range []int{1, 2, 3} {
		e, err := device.NewCPU(threads)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		m, err := program.Build(e, param.NewStore(), tinyMAE(t), tiny(), tinyBatch, 1, program.Options{Train: true})
		if err != nil {
			t.Fatal(err)
		}
		for i := range m.View("image") {
			m.View("image")[i] = float32(math.Sin(float64(i)))
		}
		if err := m.SetMasks(&pb.MaskReply{Sets: []*pb.MaskSet{{Name: "mask", Values: []int32{0, 1, 1, 2, 2, 3, 3, 0}}}}); err != nil {
			t.Fatal(err)
		}
		mustRun(t, m)
		losses = append(losses, m.Loss())
		var all []float32
		for _, p := range m.Exec().Parameters() {
			all = append(all, m.Exec().Grad(p)...)
		}
		gradients = append(gradients, all)
	}
	for i := range losses {
		if losses[i] != losses[0] || !slices.Equal(gradients[i], gradients[0]) {
			t.Errorf("run %d differs from the first", i)
		}
	}
}

// FuzzBuild compiles damaged plans: an error or a model, never a panic.
func FuzzBuild(f *testing.F) {
	sound, err := proto.Marshal(tinyMAE(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sound, uint16(0), byte(0))
	for i := uint16(0); int(i) < len(sound); i += 37 {
		f.Add(sound, i, byte(i))
	}
	e := newEngine(f)
	f.Fuzz(func(t *testing.T, data []byte, at uint16, value byte) {
		data = slices.Clone(data)
		if len(data) > 0 {
			data[int(at)%len(data)] = value
		}
		plan := &pb.Plan{}
		if len(data) > 1<<14 || proto.Unmarshal(data, plan) != nil || tooLarge(plan) {
			return
		}
		_, _ = program.Build(e, param.NewStore(), plan, tiny(), tinyBatch, 1, program.Options{Train: true})
	})
}

// tooLarge says that a plan would be honoured and take the machine's memory.
func tooLarge(p *pb.Plan) bool {
	const most = 1 << 10
	size := func(shape []uint64) bool {
		n := uint64(1)
		for _, d := range shape {
			if d > most || n > 1<<20 {
				return true
			}
			n *= max(d, 1)
		}
		return n > 1<<20
	}
	for _, x := range p.Params {
		if size(x.Shape) {
			return true
		}
	}
	for _, x := range p.Buffers {
		if size(x.Shape) {
			return true
		}
	}
	for _, x := range p.Targets {
		if size(x.Shape) {
			return true
		}
	}
	for _, x := range p.Views {
		if x.Height > most || x.Width > most {
			return true
		}
	}
	for _, x := range p.Masks {
		if x.Length > most || x.Rows > most || x.Cols > most {
			return true
		}
	}
	for _, n := range p.Nodes {
		for _, a := range n.Attributes {
			if a.GetInt() > most {
				return true
			}
		}
	}
	return false
}
