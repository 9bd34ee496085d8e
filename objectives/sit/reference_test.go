package sit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/objectives/sit"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/vit"
)

func TestReference(t *testing.T) {
	programtest.Reference(t, "sit", map[string]func(*testing.T, string){
		"init_stats":   func(t *testing.T, path string) { programtest.InitStatistics(t, path, sitWeights) },
		"augmentation": sitAugmentations, "corruption_stats": sitCorruptions,
	}, map[string]func(*testing.T, *golden.Case){"sit": sitCase})
}

// TestReferenceRefusals: a damaged case is refused.
func TestReferenceRefusals(t *testing.T) {
	programtest.Refusals(t, "sit", []programtest.Refusal{
		{Name: "unknown key", File: "a_traj", Edit: programtest.Set("rotation", true), Want: "rotation"},
	})
}

// sitConfig describes a case of the reference.
type sitConfig struct {
	programtest.NetworkConfig
	OutDim     int            `json:"out_dim"`
	Layers     int            `json:"head_layers"`
	Hidden     int            `json:"head_hidden"`
	Temp       float64        `json:"temp"`
	Lambda     float64        `json:"lmbda"`
	Drop       float64        `json:"drop_perc"`
	Replace    float64        `json:"drop_replace"`
	Align      int            `json:"drop_align"`
	Fill       string         `json:"drop_type"`
	Momentum   *float64       `json:"teacher_momentum"`
	Trajectory *sitTrajectory `json:"traj"`
}

// sitTrajectory is the training recipe of a case.
type sitTrajectory struct {
	programtest.Trajectory
	Clip     float64 `json:"clip_grad"`
	Momentum float64 `json:"momentum_teacher"`
}

// sitPlace keeps the names of the official code: the backbone's as they are, those of the heads
// behind our prefix.
func sitPlace(name string) string {
	rest, teacher := strings.CutPrefix(name, runs.TeacherPrefix)
	prefix := ""
	if teacher {
		prefix = runs.TeacherPrefix
	}
	switch {
	case programtest.IsStatistic(rest):
		return runs.BufferPrefix + prefix + rest
	case strings.HasPrefix(rest, runs.BackbonePrefix):
		return prefix + rest
	}
	return prefix + runs.HeadPrefix + rest
}

// paintedView is the view that stands in for the crops of the reference as they were corrupted.
const paintedView = "reference_corrupted_"

func openSiT(t *testing.T, cfg sitConfig, channels int, r *sitTrajectory, seed uint64) *programtest.Compiled {
	t.Helper()
	o := programtest.Compilation{
		Opening: programtest.Opening{Objective: sit.New(), Network: cfg.ViT(channels, vit.PosLearned), Batch: cfg.Batch, Total: 10,
			Options: map[string]any{"out_dim": cfg.OutDim, "head_layers": cfg.Layers, "head_hidden": cfg.Hidden, "temperature": cfg.Temp, "lmbda": cfg.Lambda}},
		Seed: seed, Place: sitPlace, Extra: sitResults,
		Change: func(p *plan.Plan) { sitInputs(p, cfg.Size.H*(cfg.Size.W+1)/2) },
	}
	if cfg.Momentum != nil { // a case, not only statistics of weights
		o.Options["teacher_momentum"], o.Options["drop_perc"], o.Options["drop_replace"] = *cfg.Momentum, cfg.Drop, cfg.Replace
		o.Options["drop_align"], o.Options["drop_type"] = cfg.Align, strings.Split(cfg.Fill, "-")
	}
	if r != nil {
		o.Options["teacher_momentum"] = r.Momentum
		o.Total = r.Total()
	}
	return o.Compile(t)
}

// sitInputs makes the program read the corrupted crops of the reference, whose noise is not ours,
// and keeps the operator that would paint them for a comparison where it can be made. Masks get
// room for the given number of rectangles, one per run of changed pixels.
func sitInputs(p *plan.Plan, rectangles int) {
	k := 0
	for _, n := range p.Nodes {
		if n.Op != "corrupt" {
			continue
		}
		k++
		painted := *n
		painted.Name = fmt.Sprintf("painted_%d", k)
		p.Nodes = append(p.Nodes, &painted)
		view := *p.Views[k-1]
		view.Name = fmt.Sprintf("%s%d", paintedView, k)
		p.Views = append(p.Views, &view)
		n.Op, n.Inputs = "scale", []plan.Argument{{Name: "x", Ref: plan.Ref{Of: plan.RefView, Name: view.Name}}}
		n.Attributes = map[string]any{"factor": 1.}
	}
	for _, m := range p.Masks {
		m.Length = rectangles
	}
}

// sitResults names the nodes that the reference has values of.
func sitResults(m *programtest.Compiled, _ *program.Compiler) {
	student := m.ViTPass("student")
	m.Out["out.student_tokens"], m.Out["out.teacher_tokens"] = student.Tokens, m.ViTPass("teacher").Tokens
	m.ViTBlocks(student, "out.student_block.%d", "out.student_attn.%d")
	normalized, _ := m.NodesOf("l2_normalize")
	for i, name := range []string{"out.student_head", "out.teacher_head"} {
		m.Out[name] = m.ReadBy(normalized[i], "x")
	}
	_, painted := m.NodesOf("patch_conv_transpose")
	m.Out["out.reconstruction"] = painted[0]
	entropies, _ := m.NodesOf("cross_entropy")
	scales, scaled := m.NodesOf("scale")
	for i, s := range scales {
		for k, name := range []string{"loss.contrastive.s0t1", "loss.contrastive.s1t0"} {
			if s.Inputs[0].Ref.Name == entropies[k].Name {
				m.Out[name] = scaled[i]
			}
		}
	}
	_, corrupted := m.NodesOf("corrupt")
	for i, n := range corrupted {
		m.Out[fmt.Sprintf("painted_%d", i)] = n
	}
}

// sitStep runs a step on crops "<prefix>clean0<suffix>" and so on, and compares the pixels that our
// own operator paints.
func sitStep(t *testing.T, c *golden.Case, m *programtest.Compiled, cfg sitConfig, prefix, suffix string, step int) {
	t.Helper()
	var sets []plan.MaskSet
	compare := []func(){}
	for v := range 2 {
		name := func(what string) string { return fmt.Sprintf("%s%s%d%s", prefix, what, v, suffix) }
		clean, corrupted, mask := c.F32(t, name("clean")), c.F32(t, name("corrupted")), c.U8(t, name("mask"))
		m.Show(t, c, m.Plan.Views[v].Name, name("clean"))
		m.Show(t, c, fmt.Sprintf("%s%d", paintedView, v+1), name("corrupted"))
		shape := c.Tensor(t, name("mask")).Shape
		p := pasting{t: t, owner: c.String() + ": " + name(""), cfg: cfg, clean: clean, corrupted: corrupted, mask: mask, channels: shape[1], height: shape[2], width: shape[3]}
		set := plan.MaskSet{Name: m.Plan.Masks[v].Name}
		length := m.Plan.Masks[v].Length * sdk.CorruptionStride
		var noisy []bool
		for b := range m.Batch {
			values, noise := p.rects(b)
			set.Values = append(append(set.Values, values...), make([]int32, length-len(values))...)
			noisy = append(noisy, noise)
		}
		sets = append(sets, set)
		compare = append(compare, func() { p.compare(m.Out[fmt.Sprintf("painted_%d", v)].Value(), noisy) })
	}
	programtest.Step(t, m.Runner, program.Inputs{Step: uint64(step), Masks: sets})
	for _, f := range compare {
		f()
	}
}

// pasting is one crop of the batch before and after its corruption.
type pasting struct {
	t                       *testing.T
	owner                   string
	cfg                     sitConfig
	clean, corrupted        []float32 // [B,C,H,W]
	mask                    []byte    // [B,C,H,W]
	channels, height, width int
}

// fill finds with which kind of pixels the masked places of a crop were filled, and of which sample
// they are.
func (p pasting) fill(mask []uint8, now []float32) (fill, source int32) {
	is := func(value func(i int) float32) bool {
		for i, v := range mask {
			if v == 1 && now[i] != value(i) {
				return false
			}
		}
		return true
	}
	if is(func(int) float32 { return 0 }) {
		return int32(sdk.Zeros), -1
	}
	fill, source = int32(sdk.Noise), -1
	size := len(mask)
	for other := range len(p.clean) / size {
		if is(func(i int) float32 { return p.clean[other*size+i] }) {
			fill, source = int32(sdk.Copy), int32(other)
		}
	}
	return fill, source
}

// rects returns the corruption of sample b as rectangles one pixel high.
func (p pasting) rects(b int) (values []int32, noise bool) {
	area := p.height * p.width
	size := p.channels * area
	mask, now := p.mask[b*size:][:size], p.corrupted[b*size:][:size]
	for i, v := range mask {
		if v != mask[i%area] {
			p.t.Fatalf("%s: the mask of sample %d differs between channels", p.owner, b)
		}
		if v == 0 && now[i] != p.clean[b*size+i] {
			p.t.Fatalf("%s: sample %d has changed outside of its mask", p.owner, b)
		}
	}
	fill, source := p.fill(mask, now)
	kinds := strings.Split(p.cfg.Fill, "-")
	switch {
	case fill == int32(sdk.Zeros) && !slices.Contains(kinds, "zeros"), fill == int32(sdk.Copy) && p.cfg.Replace == 0,
		fill == int32(sdk.Noise) && !slices.ContainsFunc(kinds, func(k string) bool { return k != "zeros" }):
		p.t.Fatalf("%s: sample %d is filled by %d, which the config does not allow", p.owner, b, fill)
	}
	for y := range p.height {
		for x := 0; x < p.width; x++ {
			first := x
			for x < p.width && mask[y*p.width+x] == 1 {
				x++
			}
			if x > first {
				values = append(values, int32(y), int32(first), 1, int32(x-first), fill, source, int32(y), int32(first), 1)
			}
		}
	}
	return values, fill == int32(sdk.Noise)
}

// compare compares the pixels that our operator painted with the reference. Noise must be noise,
// everywhere else bits are equal.
func (p pasting) compare(got []float32, noisy []bool) {
	p.t.Helper()
	size := len(got) / len(noisy)
	for i, v := range got {
		b := i / size
		if changed := p.mask[i] == 1; noisy[b] && changed {
			if v == p.clean[i] {
				p.t.Fatalf("%s: value %d of sample %d was not painted over", p.owner, i%size, b)
			}
		} else if v != p.corrupted[i] {
			p.t.Fatalf("%s: value %d of sample %d is %v, the reference has %v", p.owner, i%size, b, v, p.corrupted[i])
		}
	}
}

func sitCase(t *testing.T, c *golden.Case) {
	var cfg sitConfig
	c.ConfigInto(t, &cfg)
	c.Describes("mask_fraction") // follows from the masks
	c.Fixed(t, map[string]any{"bn_momentum": .1, "bn_eps": 1e-5, "normalize_eps": 1e-12})
	if cfg.Momentum == nil {
		t.Fatalf("%s: no momentum", c)
	}
	channels := c.Tensor(t, "input.clean0").Shape[1]
	m := openSiT(t, cfg, channels, nil, 1)
	m.Load(t, c)
	sitStep(t, c, m, cfg, "input.", "", 0)
	m.CompareResults(t, c, cfg.Trainable, cfg.Frozen)
	c.CompareScalar(t, "loss.contrastive", m.Metrics()["contrastive"])
	c.CompareScalar(t, "loss.reconstruction", m.Metrics()["reconstruction"])
	for _, name := range []string{"loss.contrastive.s0t1", "loss.contrastive.s1t0"} {
		c.Compare(t, name, m.Out[name].Value())
	}
	m.Finish(t)
	m.CompareState(t, c, "after.")
	r := cfg.Trajectory
	if r == nil {
		return
	}
	m = openSiT(t, cfg, channels, r, 1)
	training := r.AdamW(t, m, func(s int) { sitStep(t, c, m, cfg, "traj.input.", fmt.Sprintf(".%d", s), r.FirstIteration+s) })
	training.Clip = func(_ int, figure func(string, float64)) optim.Gradients {
		figure("losses.contrastive", m.Metrics()["contrastive"])
		figure("losses.reconstruction", m.Metrics()["reconstruction"])
		momentum, _ := m.Scalar("teacher_momentum")
		figure("momentum", momentum)
		return m.ClipPerTensor(r.Clip, figure)
	}
	m.Train(t, c, training)
}

func sitWeights(t *testing.T, stats programtest.InitStats, channels int, seed uint64) (func(name string) *param.Parameter, []*param.Parameter) {
	var cfg sitConfig
	stats.Decode(t, &cfg)
	cfg.Batch = 2
	cfg.Temp, cfg.Lambda = max(cfg.Temp, .1), max(cfg.Lambda, 1) // the initial weights depend on neither
	return openSiT(t, cfg, channels, nil, seed).Weights()
}

// sitAugmentations compares the crops, and the options that say how they are corrupted.
func sitAugmentations(t *testing.T, path string) {
	programtest.Augmentations(t, path, sit.New(), func(p *plan.Plan) []*plan.View { return p.Views })
	var want struct {
		Defaults struct {
			Drop    float64 `json:"drop_perc"`
			Replace float64 `json:"drop_replace"`
			Align   int     `json:"drop_align"`
			Fill    string  `json:"drop_type"`
		} `json:"corruption_defaults"`
	}
	golden.ReadJSON(t, path, &want)
	network, err := vit.Variant("vit_tiny_patch16_224")
	if err != nil {
		t.Fatal(err)
	}
	h := programtest.Opening{Objective: sit.New(), Network: network, Batch: 1}.Open(t)
	defer h.Close()
	got := map[string]string{}
	for _, o := range h.Description().Options {
		got[o.Key] = o.Default
	}
	d := want.Defaults
	for key, v := range map[string]any{"drop_perc": d.Drop, "drop_replace": d.Replace, "drop_align": d.Align, "drop_type": strings.Split(d.Fill, "-")} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got[key] != string(text) {
			t.Errorf("%s is %s, the reference has %s", key, got[key], text)
		}
	}
}

// With learned weights the loss is exp(-s)·L + s/2 of the contrastive task and exp(-s)·L + s of the
// reconstruction, and s moves by its derivative; at the start the reconstruction has the weight
// lmbda.
func TestSiTLearnsTaskWeights(t *testing.T) {
	const lambda = 5
	options := map[string]any{"out_dim": 8, "head_hidden": 8, "lmbda": lambda, "task_weights": "learned"}
	o := programtest.Opening{Objective: sit.New(), Options: options, Batch: 4, Total: 10, Network: vit.Config{
		Name: "small", ImageH: 16, ImageW: 16, Patch: 4, Channels: 3, Dim: 16, Depth: 1, Heads: 2, MLPRatio: 2, ClassToken: true}}
	m := programtest.Compilation{Opening: o, Seed: 1, Place: sitPlace, Extra: func(*programtest.Compiled, *program.Compiler) {}}.Compile(t)
	h := o.Open(t)
	defer h.Close()
	ids := []uint64{4, 7, 9, 2}
	masks, err := h.Mask(context.Background(), &plan.MaskRequest{MicroBatch: 3, Seed: 1, SampleIDs: ids})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range m.Plan.Views {
		r := prng.New(2, v.Name)
		for i := range m.View(v.Name) {
			m.View(v.Name)[i] = float32(r.NormFloat64())
		}
	}
	contrastive, reconstruction := m.Store.Get("head.task_weights.contrastive"), m.Store.Get("head.task_weights.reconstruction")
	programtest.Near(t, "weight of the reconstruction", math.Exp(-float64(reconstruction.Data[0])), lambda, 1e-5)
	contrastive.Data[0], reconstruction.Data[0] = .3, -.2
	programtest.Step(t, m.Runner, program.Inputs{Step: 3, IDs: ids, Masks: masks})
	c, r := m.Metrics()["contrastive"], m.Metrics()["reconstruction"]
	wc, wr := math.Exp(-.3), math.Exp(.2)
	programtest.Near(t, "loss", m.Loss(), wc*c+.3/2+wr*r-.2, 1e-5)
	programtest.Near(t, "gradient of the contrastive task's s", float64(m.Exec().Grad(contrastive)[0]), -wc*c+.5, 1e-5)
	programtest.Near(t, "gradient of the reconstruction's s", float64(m.Exec().Grad(reconstruction)[0]), -wr*r+1, 1e-5)
	programtest.Near(t, "logged weight", m.Metrics()["weight_contrastive"], wc, 1e-6)
}
