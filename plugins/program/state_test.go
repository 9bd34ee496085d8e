package program_test

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/vit"
)

// lossOf is a loss that reads a feature: the mean of a linear map.
func lossOf(b *sdk.Builder, x sdk.Tensor) sdk.Tensor {
	return b.Mean(b.GELU(b.Linear("head", x, 3)))
}

func TestTeacherFollowsTheStudent(t *testing.T) {
	plan := func(when sdk.When) func(b *sdk.Builder) error {
		return func(b *sdk.Builder) error {
			momentum := b.Schedule("momentum", sdk.ConstantSchedule(.75))
			b.Teacher(momentum, when)
			v := b.View("a")
			s := b.Linear("head", b.Student("s", v).Class(), 4)
			k := b.Linear("head", b.TeacherPass("t", v).Class(), 4, sdk.OfTeacher())
			b.Metric("teacher", b.Mean(b.Mul(k, k)))
			return b.Minimize(b.Add(b.Mean(b.Mul(s, k)), b.Mean(s)))
		}
	}
	for _, when := range []sdk.When{sdk.AfterStep, sdk.BeforeForward} {
		m, store := compiled(t, plan(when), nil)
		for _, name := range []string{"backbone.norm.weight", "head.head.weight"} {
			s, k := store.Get(name), store.Get("teacher."+name)
			if k == nil || !k.Frozen || !slices.Equal(s.Data, k.Data) {
				t.Fatalf("the teacher does not start as a frozen copy of %s", name)
			}
		}
		s, k := store.Get("head.head.weight"), store.Get("teacher.head.head.weight")
		start := k.Data[0]
		mustRun(t, m)
		still := m.Metrics()["teacher"]
		s.Data[0] = start + 1
		var seen []float64
		for range 2 { // two passes of one step, or a step that is tried again
			mustRun(t, m)
			seen = append(seen, m.Metrics()["teacher"])
		}
		if k.Data[0] != start {
			t.Errorf("%v: the teacher has moved in the store before the step was known to be good", when)
		}
		if moved := when == sdk.BeforeForward; (seen[0] != still) != moved || seen[0] != seen[1] {
			t.Errorf("%v: the forward passes see teachers of %v, before the student moved %v", when, seen, still)
		}
		must.Do(t, m.MoveTeacher())
		programtest.Near(t, "teacher", float64(k.Data[0]), float64(start)+.25, 1e-6)
		for _, p := range m.Exec().Parameters() {
			if strings.HasPrefix(p.Name, "teacher.") {
				t.Errorf("%s gets a gradient", p.Name)
			}
		}
	}
}

func TestBuffers(t *testing.T) {
	m, store := compiled(t, func(b *sdk.Builder) error {
		v := b.View("a")
		x := b.Student("s", v).Class() // [4,8]
		center := b.Buffer(sdk.BufferSpec{Name: "center", Shape: []int{4, 8}, Init: sdk.InitZeros()})
		queue := b.Buffer(sdk.BufferSpec{Name: "queue", Shape: []int{6, 8}, Init: sdk.InitNormal(1), Update: sdk.UpdateRing, UnitNormRows: true})
		bank := b.Buffer(sdk.BufferSpec{Name: "bank", Shape: []int{16, 8}, Init: sdk.InitZeros(), Update: sdk.UpdateRows})
		b.Update(center, x)
		b.Update(queue, x)
		b.Update(bank, x, b.SampleIDs())
		return b.Minimize(b.Mean(b.Mul(b.Add(x, center.Tensor()), x)))
	}, nil)
	queue, position := store.Get("buffer.queue"), store.Get("buffer.queue.position")
	for r := range 6 {
		square := 0.0
		for _, v := range queue.Data[r*8:][:8] {
			square += float64(v) * float64(v)
		}
		programtest.Near(t, "square of a queue row", square, 1, 1e-5)
	}
	old := slices.Clone(queue.Data)
	mustRun(t, m)
	if !slices.Equal(queue.Data, old) || store.Get("buffer.center").Data[0] != 0 {
		t.Fatal("buffers changed before Commit")
	}
	for range 2 {
		must.Do(t, m.Commit())
	}
	x := store.Get("buffer.center").Data // as written
	if position.Data[0] != 2 {
		t.Errorf("the ring stands at %g, want 2 after 8 rows of 6", position.Data[0])
	}
	for place, row := range []int{2, 3, 2, 3, 0, 1} { // rows 0..3, then 0..3 from place 4 on
		if !slices.Equal(queue.Data[place*8:][:8], x[row*8:][:8]) {
			t.Errorf("place %d of the ring does not hold row %d", place, row)
		}
	}
	bank := store.Get("buffer.bank").Data
	for row, id := range []int{3, 1, 4, 2} {
		if !slices.Equal(bank[id*8:][:8], x[row*8:][:8]) {
			t.Errorf("row %d of the bank does not hold sample %d", id, row)
		}
	}
	if bank[0] != 0 || bank[5*8] != 0 {
		t.Error("rows of other samples were written")
	}
	programtest.Step(t, m, program.Inputs{Step: 1, IDs: []uint64{3, 1, 4, 99}})
	before := slices.Clone(bank)
	if err := m.Commit(); err == nil || !strings.Contains(err.Error(), "row 99") {
		t.Errorf("error %v: want one about row 99", err)
	}
	if !slices.Equal(before, bank) {
		t.Error("a refused update was written in part")
	}
}

// Views of one size run as one batch; masks of each view reach their rows; teacher and student
// agree at the start.
func TestPassOverSeveralViews(t *testing.T) {
	m, _ := compiled(t, func(b *sdk.Builder) error {
		a, c := b.View("a"), b.View("b")
		both := b.Linear("head", b.Student("both", a, sdk.With(c)).Class(), 3) // [8,3]
		one := b.Linear("head", b.Student("one", a).Class(), 3)
		two := b.Linear("head", b.Student("two", c).Class(), 3)
		b.Metric("difference", b.Mean(b.Mul(difference(b, both, one, two), difference(b, both, one, two))))
		return b.Minimize(b.Mean(both))
	}, nil)
	mustRun(t, m)
	programtest.Near(t, "difference of a joint pass and two single ones", m.Metrics()["difference"], 0, 1e-12)
}

func difference(b *sdk.Builder, both, one, two sdk.Tensor) sdk.Tensor {
	return b.Add(both, b.Scale(b.Concat(0, one, two), -1))
}

func TestMaskedViewsFillTheirRows(t *testing.T) {
	m, _ := compiled(t, func(b *sdk.Builder) error {
		a, c := b.View("a"), b.View("b")
		token := b.Param("mask_token", []int{1, 1, 8}, sdk.InitNormal(.02))
		ma := b.BitMask("ma", a, nil)
		mc := b.BitMask("mc", c, nil)
		x := b.Student("s", a, sdk.With(c), sdk.ReplaceMasked(ma, token), sdk.ReplaceMasked(mc, token)).PatchTokens() // [8,4,8]
		y := b.Student("plain", a).PatchTokens()
		b.Metric("masked", b.Sum(ma.Masked()))
		first := b.Reshape(x, 2, -1)
		b.Metric("x", b.Mean(b.Mul(first, first)))
		return b.Minimize(b.Add(b.Mean(b.GELU(x)), b.Mean(b.GELU(y))))
	}, nil)
	set := func(a, b []byte) {
		programtest.Step(t, m, program.Inputs{Masks: []plan.MaskSet{{Name: "mc", Bitmap: b}, {Name: "ma", Bitmap: a}}})
	}
	none, some := make([]byte, 16), slices.Repeat([]byte{1, 0, 0, 1}, 4)
	set(none, none)
	plain := m.Loss()
	set(some, none)
	programtest.Near(t, "masked cells", m.Metrics()["masked"], 8, 0)
	a := m.Loss()
	set(none, some)
	if b := m.Loss(); a == plain || b == plain || a == b {
		t.Errorf("losses %g, %g and %g: masks of the two views do not reach the network apart", plain, a, b)
	}
	if err := m.Step(program.Inputs{Masks: []plan.MaskSet{{Name: "ma", Bitmap: slices.Repeat([]byte{2}, 16)}}}); err == nil || !strings.Contains(err.Error(), "valid are 0 and 1") {
		t.Errorf("error %v: want one about the value 2", err)
	}
}

// A corrupted pass reads images that the program made of the view, and rectangles become a map of
// changed pixels.
func TestCorruptedPass(t *testing.T) {
	p := planOf(t, &objective{func(b *sdk.Builder) error {
		v := b.View("a")
		b.Corruption("c", v, 2, nil)
		pass := b.Student("s", v, sdk.Corrupted())
		b.Images(pass, b.Scale(v.Pixels(), 3))
		clean := b.Student("clean", v)
		d := b.Add(pass.Tokens(), b.Scale(clean.Tokens(), -1))
		b.Metric("difference", b.Mean(b.Mul(d, d)))
		b.Metric("tap", b.Mean(b.Mul(clean.Tap(1), clean.Tap(1))))
		b.Metric("map", b.Mean(b.Mul(pass.Map(), pass.Map())))
		b.Metric("patches", b.Mean(b.Mul(pass.PatchTokens(), pass.PatchTokens())))
		return b.Minimize(lossOf(b, pass.PatchTokens()))
	}}, nil)
	blocks := plan.Ref{Of: plan.RefMask, Name: "c", Form: plan.FormChanged}
	p.Nodes = append(p.Nodes, &plan.Node{Name: "changed", Op: "sum", Inputs: []plan.Argument{{Name: "x", Ref: blocks}}})
	p.Results.Metrics = append(p.Results.Metrics, &plan.Metric{Name: "changed", Value: plan.Ref{Of: plan.RefNode, Name: "changed"}})
	m := must.Get(program.Build(devicetest.New(t, 0), param.NewStore(), p, tiny(), tinyBatch, 1, program.Options{Train: true}))(t)
	for i := range m.View("a") {
		m.View("a")[i] = float32(math.Sin(float64(i)))
	}
	values := make([]int32, 4*2*9)
	copy(values, []int32{1, 2, 3, 4, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, -1, 0, 0, 0}) // 12 pixels, and 4 of which 4 overlap
	set := func() error {
		return m.Step(program.Inputs{Masks: []plan.MaskSet{{Name: "c", Values: values}}})
	}
	must.Do(t, set())
	got := m.Metrics()
	programtest.Near(t, "changed pixels", got["changed"], 12, 0)
	programtest.Near(t, "mean square of the map", got["map"], got["patches"], 1e-6)
	if got["difference"] == 0 || got["tap"] == 0 {
		t.Errorf("metrics %v: the corrupted pass reads the clean images", got)
	}
	for name, change := range map[string]func(){
		"is not inside 8 x 8": func() { values[2] = 8 },
		"fill 3":              func() { values[2], values[4] = 3, 3 },
		"source sample 4":     func() { values[14], values[17] = 4, 1 },
		"clean is 0":          func() { values[14] = 2 },
	} {
		copy(values, []int32{1, 2, 3, 4, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, -1, 0, 0, 0})
		change()
		if err := set(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v: want one with %q", err, name)
		}
	}
}

func TestSchedulesReachTheProgram(t *testing.T) {
	m, _ := compiled(t, func(b *sdk.Builder) error {
		rise := sdk.LinearSchedule(1, 3)
		rise.Steps = 4
		s := b.Schedule("k", rise)
		x := lossOf(b, b.Student("s", b.View("a")).Pooled())
		b.Metric("plain", x)
		return b.Minimize(b.ScaleBy(x, s))
	}, nil)
	for step, want := range map[uint64]float64{0: 1, 2: 2, 4: 3, 100: 3} {
		programtest.Step(t, m, program.Inputs{Step: step})
		if v, ok := m.Scalar("k"); !ok || v != want {
			t.Errorf("step %d: the schedule is %g, want %g", step, v, want)
		}
		programtest.Near(t, "loss over plain loss", m.Loss()/m.Metrics()["plain"], want, 1e-6)
	}
}

// A network with stochastic depth draws anew each step, by sample and not by place, and not at all
// in evaluation.
func TestStochasticDepthByStep(t *testing.T) {
	depth := func(c *vit.Config, o *program.Options) { c.DropPath = .5 }
	plan := func(b *sdk.Builder) error { return b.Minimize(lossOf(b, b.Student("s", b.View("a")).Class())) }
	m, _ := compiled(t, plan, depth)
	losses, ids := map[float64]bool{}, []uint64{1, 2, 3, 4}
	for step := range uint64(12) {
		programtest.Step(t, m, program.Inputs{Step: step, IDs: ids})
		losses[m.Loss()] = true
	}
	if len(losses) < 3 {
		t.Errorf("%d different losses in 12 steps", len(losses))
	}
	programtest.Step(t, m, program.Inputs{Step: 3, IDs: ids})
	again := m.Loss()
	programtest.Step(t, m, program.Inputs{Step: 4, IDs: ids})
	programtest.Step(t, m, program.Inputs{Step: 3, IDs: ids})
	if m.Loss() != again {
		t.Error("the same step gives two losses")
	}
	still, _ := compiled(t, plan, nil)
	quiet, _ := compiled(t, plan, func(c *vit.Config, o *program.Options) { c.DropPath, o.Train = .5, false })
	mustRun(t, still)
	mustRun(t, quiet)
	programtest.Near(t, "loss in evaluation", quiet.Loss(), still.Loss(), 1e-6)
}

// evaluator computes mean((x-1)²)/2 and its gradient, as a plugin would.
type evaluator struct {
	fail  error
	calls int
}

func (e *evaluator) Evaluate(v *program.Evaluation) (float64, error) {
	e.calls++
	if e.fail != nil {
		return 0, e.fail
	}
	loss, n := 0.0, float64(len(v.Inputs[0]))
	for i, x := range v.Inputs[0] {
		d := float64(x) - 1
		loss += d * d / 2 / n
		if g := v.InputGradients[0]; g != nil {
			g[i] = float32(d / n)
		}
	}
	v.Metrics["step"] = float64(v.Step)
	return loss, nil
}

func TestEvaluateInThePlugin(t *testing.T) {
	head := func(b *sdk.Builder) sdk.Tensor { return b.Linear("head", b.Student("s", b.View("a")).Class(), 3) }
	e := &evaluator{}
	remote, _ := compiled(t, func(b *sdk.Builder) error {
		return b.Minimize(b.Scale(b.Evaluate([]sdk.EvaluateInput{{Name: "x", Value: head(b), Gradient: true}}), 2))
	}, func(_ *vit.Config, o *program.Options) { o.Evaluator = e })
	local, _ := compiled(t, func(b *sdk.Builder) error {
		ones := b.Buffer(sdk.BufferSpec{Name: "ones", Shape: []int{4, 3}, Init: sdk.InitOnes()})
		d := b.Add(head(b), b.Scale(ones.Tensor(), -1))
		return b.Minimize(b.Mean(b.Mul(d, d)))
	}, nil)
	programtest.Step(t, remote, program.Inputs{Step: 5})
	mustRun(t, local)
	programtest.Near(t, "loss", remote.Loss(), local.Loss(), 1e-6)
	if e.calls != 1 || remote.Metrics()["step"] != 5 {
		t.Errorf("%d calls, metrics %v", e.calls, remote.Metrics())
	}
	for i, p := range remote.Exec().Parameters() {
		q := local.Exec().Parameters()[i]
		a, b := remote.Exec().Grad(p), local.Exec().Grad(q)
		for j := range a {
			if math.Abs(float64(a[j]-b[j])) > 1e-5 {
				t.Fatalf("gradient of %s[%d]: %g and %g", p.Name, j, a[j], b[j])
			}
		}
	}
	e.fail = errors.New("no licence")
	if err := remote.Step(program.Inputs{}); err == nil || !strings.Contains(err.Error(), "no licence") {
		t.Errorf("error %v: want the plugin's", err)
	}
}

func TestPictures(t *testing.T) {
	shown := func(b *sdk.Builder) error {
		v := b.View("a")
		mask := b.KeepMask("m", v, 1, nil)
		exact := b.PatchPixels(v, sdk.ChannelLast)
		b.Picture(sdk.Picture{Name: "exact", Prediction: b.NormalizePatches(exact), PatchNormalized: true, View: v, Mask: mask})
		b.Picture(sdk.Picture{Name: "first", Prediction: b.PatchPixels(v, sdk.ChannelFirst), Layout: sdk.PatchesChannelFirst, View: v, Mask: mask})
		b.Picture(sdk.Picture{Name: "twice", Prediction: b.Scale(v.Pixels(), 2), Layout: sdk.WholeImages, View: v, Mask: mask})
		return b.Minimize(lossOf(b, b.Student("s", v, sdk.DropMasked(mask)).Class()))
	}
	if m, _ := compiled(t, shown, nil); len(m.Pictures(program.OriginalStatistics)) != 0 {
		t.Error("a training model draws pictures")
	}
	m, _ := compiled(t, shown, func(_ *vit.Config, o *program.Options) { o.Train = false })
	programtest.Step(t, m, program.Inputs{Masks: []plan.MaskSet{{Name: "m", Values: []int32{0, 1, 2, 3}}}})
	pictures := m.Pictures(program.OriginalStatistics)
	if len(pictures) != 3 {
		t.Fatalf("%d pictures", len(pictures))
	}
	for _, p := range pictures {
		factor := float32(1)
		if p.Name == "twice" {
			factor = 2
		}
		for b := range 4 {
			for i := range 3 * 64 {
				at := b*3*64 + i
				patch := i%64/8/4*2 + i%8/4
				masked := patch != b // sample b keeps patch b
				if p.Masked[b*64+i%64] != masked {
					t.Fatalf("%s: pixel %d of sample %d masked: %v", p.Name, i, b, !masked)
				}
				want, visible := p.Original[at], p.Original[at]
				if masked {
					want, visible = factor*want, 0
				}
				if math.Abs(float64(p.Reconstruction[at]-want)) > 1e-5 || p.Visible[at] != visible {
					t.Fatalf("%s: pixel %d of sample %d is %g, visible %g, want %g and %g", p.Name, i, b, p.Reconstruction[at], p.Visible[at], want, visible)
				}
			}
		}
	}
}

// TestVisibleStatistics: masked patches of normalized predictions get the statistics of visible
// patches, weighted by 1/distance⁴.
func TestVisibleStatistics(t *testing.T) {
	m, _ := compiled(t, func(b *sdk.Builder) error {
		v := b.View("a")
		mask := b.KeepMask("m", v, 2, nil)
		b.Picture(sdk.Picture{Name: "p", Prediction: b.NormalizePatches(b.PatchPixels(v, sdk.ChannelLast)), PatchNormalized: true, View: v, Mask: mask})
		return b.Minimize(lossOf(b, b.Student("s", v, sdk.DropMasked(mask)).Class()))
	}, func(_ *vit.Config, o *program.Options) { o.Train = false })
	programtest.Step(t, m, program.Inputs{Masks: []plan.MaskSet{{Name: "m", Values: []int32{0, 1, 0, 1, 0, 1, 0, 1}}}})
	p, exact := m.Pictures(program.VisibleStatistics)[0], m.Pictures(program.OriginalStatistics)[0]
	for b := range 4 {
		var mean, scale [4]float64 // of the 2×2 patches of 4×4 pixels
		values := func(patch int, f func(at int)) {
			for i := range 3 * 64 {
				if i%64/8/4*2+i%8/4 == patch {
					f(b*3*64 + i)
				}
			}
		}
		for n := range mean {
			values(n, func(at int) { mean[n] += float64(p.Original[at]) / 48 })
			values(n, func(at int) {
				scale[n] += (float64(p.Original[at]) - mean[n]) * (float64(p.Original[at]) - mean[n]) / 47
			})
			scale[n] = math.Sqrt(scale[n] + 1e-6)
		}
		wantMean, wantScale := mean, scale
		for n, near := range map[int][2]int{2: {0, 1}, 3: {1, 0}} { // the other patch is sqrt(2) away
			wantMean[n] = (mean[near[0]] + mean[near[1]]/4) / 1.25
			wantScale[n] = (scale[near[0]] + scale[near[1]]/4) / 1.25
		}
		for n := range mean {
			values(n, func(at int) {
				normalized := (float64(exact.Prediction[at]) - mean[n]) / scale[n]
				if got, want := float64(p.Prediction[at]), normalized*wantScale[n]+wantMean[n]; math.Abs(got-want) > 1e-4 {
					t.Fatalf("sample %d, patch %d: pixel %g, want %g", b, n, got, want)
				}
				if got := float64(p.Flat[at]); math.Abs(got-wantMean[n]) > 1e-5 {
					t.Fatalf("sample %d, patch %d: flat %g, want %g", b, n, got, wantMean[n])
				}
			})
		}
	}
}

// Every recommendation of a plan for the network reaches it, and a setting of the user's is not
// overruled.
func TestBackboneRequirements(t *testing.T) {
	network, scheme, err := program.Configure(tiny(), &plan.Requirements{
		PosEmbed: plan.PosEmbedNone, RelPos: plan.RelPosShared,
		LayerScale: .1, DropPath: .2, SplitQKVBias: true,
		Init: []plan.InitRule{{Weights: "*.weight", Init: &plan.Init{Kind: plan.InitNormal, A: 3}, Stacked: 3, ByDepth: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := network.(vit.Config)
	want := backbone.Scheme{{Weights: "*.weight", Init: param.Init{Kind: "normal", A: 3}, Stacked: 3, ByDepth: true}}
	if c.PosEmbed != vit.PosNone || c.RelPos != vit.RelPosShared || c.LayerScale != .1 || c.DropPath != .2 || !c.SplitQVBias || !reflect.DeepEqual(scheme, want) {
		t.Errorf("got %+v, %v", c, scheme)
	}
	own := tiny()
	own.DropPath = .3
	if network, _, err = program.Configure(own, &plan.Requirements{DropPath: .2}); err != nil || network.(vit.Config).DropPath != .3 {
		t.Errorf("network %+v, error %v: the user's stochastic depth is .3", network, err)
	}
	if _, scheme, _ = program.Configure(own, &plan.Requirements{}); scheme != nil {
		t.Errorf("without a wish the initialization is %v", scheme)
	}

	m, store := compiled(t, func(b *sdk.Builder) error {
		b.Require(sdk.Requirements{Decay: sdk.DecayAll, NoDecay: []string{"cls_token", "*.norm1.*"}, Frozen: []string{"patch_embed.proj.*"}})
		return b.Minimize(lossOf(b, b.Student("s", b.View("a")).Class()))
	}, nil)
	for name, want := range map[string][2]bool{ // decay, frozen
		"backbone.cls_token":               {false, false},
		"backbone.blocks.1.norm1.bias":     {false, false},
		"backbone.blocks.1.norm2.bias":     {true, false},
		"backbone.patch_embed.proj.weight": {true, true},
	} {
		if p := store.Get(name); p.Decay != want[0] || p.Frozen != want[1] {
			t.Errorf("%s: decay %v, frozen %v", name, p.Decay, p.Frozen)
		}
	}
	mustRun(t, m)
	if m.Exec().Grad(store.Get("backbone.patch_embed.proj.weight")) != nil {
		t.Error("a frozen weight has a gradient")
	}
}
