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

// TestReference runs every file of the reference folder. The config of a file selects its test; a
// file without one fails.
func TestReference(t *testing.T) {
	programtest.Reference(t, "sit", func(t *testing.T, path string) {
		switch golden.Name(path) {
		case "sit/init_stats":
			programtest.InitStatistics(t, path, sitWeights)
			return
		case "sit/augmentation":
			sitAugmentations(t, path)
			return
		case "sit/corruption_stats":
			sitCorruptions(t, path)
			return
		}
		c := golden.Whole(t, path)
		var kind struct {
			Objective string `json:"objective"`
		}
		c.ConfigInto(t, &kind)
		switch kind.Objective {
		case "sit":
			sitCase(t, c)
		default:
			t.Fatalf("%s: there is no test for a case of objective %q", path, kind.Objective)
		}
	})
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
	WeightDecayEnd float64 `json:"weight_decay_end"`
	Clip           float64 `json:"clip_grad"`
	Momentum       float64 `json:"momentum_teacher"`
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
		o.Total = int(r.Epochs * float64(r.ItersPerEpoch))
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
func sitResults(m *programtest.Compiled, p *program.Compiler) error {
	for _, who := range []string{"student", "teacher"} {
		pass, err := programtest.ViTPass(p, who)
		if err != nil {
			return err
		}
		m.Out["out."+who+"_tokens"] = pass.Tokens
		if who == "teacher" {
			continue
		}
		for i, b := range pass.Blocks {
			m.Out[fmt.Sprintf("out.student_block.%d", i)] = b
			m.Out[fmt.Sprintf("out.student_attn.%d", i)] = programtest.Attention(pass, i)
		}
	}
	normalized, _, err := programtest.NodesOf(p, "l2_normalize")
	if err != nil {
		return err
	}
	for i, name := range []string{"out.student_head", "out.teacher_head"} {
		if m.Out[name], err = programtest.ReadBy(p, normalized[i], "x"); err != nil {
			return err
		}
	}
	_, painted, err := programtest.NodesOf(p, "patch_conv_transpose")
	if err != nil {
		return err
	}
	m.Out["out.reconstruction"] = painted[0]
	entropies, _, err := programtest.NodesOf(p, "cross_entropy")
	if err != nil {
		return err
	}
	scales, scaled, err := programtest.NodesOf(p, "scale")
	if err != nil {
		return err
	}
	for i, s := range scales {
		for k, name := range []string{"loss.contrastive.s0t1", "loss.contrastive.s1t0"} {
			if s.Inputs[0].Ref.Name == entropies[k].Name {
				m.Out[name] = scaled[i]
			}
		}
	}
	_, corrupted, err := programtest.NodesOf(p, "corrupt")
	if err != nil {
		return err
	}
	for i, n := range corrupted {
		m.Out[fmt.Sprintf("painted_%d", i)] = n
	}
	return nil
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
		programtest.FillView(t, m.View(m.Plan.Views[v].Name), clean)
		programtest.FillView(t, m.View(fmt.Sprintf("%s%d", paintedView, v+1)), corrupted)
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
	programtest.Constants(t, c, map[string]float64{"bn_momentum": .1, "bn_eps": 1e-5, "normalize_eps": 1e-12})
	images := c.Tensor(t, "input.clean0")
	if cfg.Batch != images.Shape[0] || cfg.Momentum == nil {
		t.Fatalf("%s: batch %d, images %v, momentum %v", c, cfg.Batch, images.Shape, cfg.Momentum)
	}
	known := []string{"param.", "teacher.", "buffer.", "out.", "loss", "loss.contrastive", "loss.contrastive.s0t1", "loss.contrastive.s1t0", "loss.reconstruction",
		"grad.", "after.buffer.", "after.teacher.", "traj.param.", "traj.teacher.", "traj.buffer.", "traj.losses", "traj.losses.contrastive", "traj.losses.reconstruction",
		"traj.lr", "traj.wd", "traj.momentum", "traj.clipped_count", "traj.grad_norm"}
	for _, kind := range []string{"clean", "corrupted", "mask"} {
		for v := range 2 {
			known = append(known, fmt.Sprintf("input.%s%d", kind, v), fmt.Sprintf("traj.input.%s%d.", kind, v))
		}
	}
	programtest.ReadsAll(t, c, known...)
	m := openSiT(t, cfg, images.Shape[1], nil, 1)
	m.Load(t, c)
	sitStep(t, c, m, cfg, "input.", "", 0)
	m.CompareResults(t, c, cfg.NetworkConfig)
	c.CompareScalar(t, golden.ViT, "loss.contrastive", m.Metrics()["contrastive"])
	c.CompareScalar(t, golden.ViT, "loss.reconstruction", m.Metrics()["reconstruction"])
	for _, name := range []string{"loss.contrastive.s0t1", "loss.contrastive.s1t0"} {
		c.Compare(t, golden.ViT, name, m.Out[name].Value())
	}
	m.Finish(t)
	m.CompareState(t, c, "after.", []string{"buffer.", "teacher."}, m.Copies())
	if cfg.Trajectory != nil {
		sitTrain(t, c, cfg, images.Shape[1])
	} else if n := c.Names("traj."); len(n) > 0 {
		t.Errorf("%s: there is a trajectory and no recipe for it", c)
	}
}

// sitTrain trains for some steps from the initial state.
func sitTrain(t *testing.T, c *golden.Case, cfg sitConfig, channels int) {
	t.Helper()
	r := cfg.Trajectory
	m := openSiT(t, cfg, channels, r, 1)
	m.Load(t, c)
	m.ComparePlain(t, c, r.Trajectory)
	params := m.Exec().Parameters()
	perEpoch := float64(r.ItersPerEpoch)
	total := int(r.Epochs * perEpoch)
	rate := optim.Cosine{Base: r.LR, Final: r.MinLR, Warmup: int(r.WarmupEpochs * perEpoch), Total: total}
	decay := optim.Cosine{Base: r.WeightDecay, Final: r.WeightDecayEnd, Total: total}
	optimizer := optim.NewAdamW(m.Engine, optim.AdamWOptions{Beta1: r.Betas[0], Beta2: r.Betas[1], Eps: r.Eps})
	got := map[string][]float64{}
	add := func(name string, v float64) { got["traj."+name] = append(got["traj."+name], v) }
	for s := range r.Steps {
		it := r.FirstIteration + s
		sitStep(t, c, m, cfg, "traj.input.", fmt.Sprintf(".%d", s), it)
		add("losses", m.Loss())
		add("losses.contrastive", m.Metrics()["contrastive"])
		add("losses.reconstruction", m.Metrics()["reconstruction"])
		add("lr", rate.At(it))
		add("wd", decay.At(it))
		momentum, _ := m.Scalar("teacher_momentum")
		add("momentum", momentum)
		norm, clipped := optim.ClipPerTensor(m.Engine, params, m.Exec().Grad, r.Clip)
		add("clipped_count", float64(clipped))
		add("grad_norm", norm)
		optimizer.Step(params, m.Exec().Grad, rate.At(it), decay.At(it))
		m.Finish(t)
	}
	for _, name := range programtest.SortedKeys(got) {
		if c.Has(name) {
			c.CompareFloat64(t, golden.ViT, name, got[name])
		}
	}
	m.CompareState(t, c, "traj.", []string{"param.", "teacher.", "buffer."}, append(m.Copies(), params...))
}

func sitWeights(t *testing.T, stats programtest.InitStats, channels int, seed uint64) (func(name string) *param.Parameter, []*param.Parameter) {
	var cfg sitConfig
	stats.Decode(t, &cfg)
	cfg.Batch = 2
	cfg.Temp, cfg.Lambda = max(cfg.Temp, .1), max(cfg.Lambda, 1) // the initial weights depend on neither
	m := openSiT(t, cfg, channels, nil, seed)
	return func(name string) *param.Parameter { return m.Store.Get(sitPlace(name)) }, m.Student.Parameters()
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
	m := programtest.Compilation{Opening: o, Seed: 1, Place: sitPlace, Extra: func(*programtest.Compiled, *program.Compiler) error { return nil }}.Compile(t)
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
