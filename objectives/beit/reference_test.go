package beit_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/beit"
	"github.com/vittool/vittool/objectives/tokenizer"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// TestReference runs every file of the reference folder. The config of a file selects its test; a
// file without one fails.
func TestReference(t *testing.T) {
	programtest.Reference(t, "beit", func(t *testing.T, path string) {
		switch golden.Name(path) {
		case "beit/init_stats":
			programtest.InitStatistics(t, path, beitWeights)
			return
		case "beit/augmentation":
			beitAugmentation(t, path)
			return
		case "beit/masking_stats":
			maskingStatistics(t, path)
			return
		}
		c := golden.Whole(t, path)
		var kind struct {
			Objective string `json:"objective"`
		}
		c.ConfigInto(t, &kind)
		switch kind.Objective {
		case "beit":
			beitCase(t, c)
		case "dalle_encoder":
			dalleEncoder(t, c)
		default:
			t.Fatalf("%s: there is no test for a case of objective %q", path, kind.Objective)
		}
	})
}

// TestReferenceRefusals: a damaged case is refused.
func TestReferenceRefusals(t *testing.T) {
	programtest.Refusals(t, "beit", []programtest.Refusal{
		{Name: "unknown key", File: "b_abs_perblock_nonsquare", Edit: programtest.Set("rope", true), Want: "rope"},
		{Name: "another grid", File: "b_abs_perblock_nonsquare", Edit: programtest.Set("grid", []int{6, 4}), Want: "grid"},
	})
}

// beitConfig describes a case of the reference.
type beitConfig struct {
	programtest.NetworkConfig
	HeadDim    *int     `json:"attn_head_dim"`
	Vocabulary int      `json:"vocab"`
	LayerScale *float64 `json:"layer_scale_init"`
	AbsPos     bool     `json:"abs_pos"`
	PerBlock   bool     `json:"rel_pos_bias"`
	Shared     bool     `json:"shared_rel_pos_bias"`
	NumMask    int      `json:"num_mask"`
	MinBlock   int      `json:"min_block"`
	Trajectory *struct {
		programtest.Trajectory
		WeightDecayEnd float64 `json:"weight_decay_end"`
		ClipGrad       float64 `json:"clip_grad"`
	} `json:"traj"`
}

// digits is the base in which codes of the test's tokenizer write a token, one digit per channel.
func (c beitConfig) digits(channels int) int {
	return int(math.Ceil(math.Pow(float64(c.Vocabulary), 1/float64(channels)) - 1e-9))
}

// tokenizerFile writes a tokenizer whose tokens are single pixels, the channels being the digits of
// the token's id. So a case's token ids can be given to the objective as an image.
func (c beitConfig) tokenizerFile(t *testing.T, channels int) string {
	t.Helper()
	const width = 4
	if channels > width {
		t.Fatalf("a tokenizer of the test has at most %d channels, not %d", width, channels)
	}
	stem, out := make([]float32, width*channels*9), make([]float32, channels*width)
	book := make([]float32, c.Vocabulary*channels)
	for ch := range channels {
		stem[(ch*channels+ch)*9+4] = 1 // the centre of the kernel
		out[ch*width+ch] = 1
		for id := range c.Vocabulary {
			book[id*channels+ch] = float32(id / int(math.Pow(float64(c.digits(channels)), float64(ch))) % c.digits(channels))
		}
	}
	tensors := []tensor.Tensor{
		tensor.NewF32("encoder.stem.weight", tensor.Shape{width, channels, 3, 3}, stem),
		tensor.NewF32("encoder.out.weight", tensor.Shape{channels, width, 1, 1}, out),
		tensor.NewF32("codebook", tensor.Shape{c.Vocabulary, channels}, book),
	}
	for name, shape := range map[string]tensor.Shape{
		"encoder.stem.bias": {width}, "encoder.out.bias": {channels},
		"decoder.in.weight": {width, channels, 3, 3}, "decoder.in.bias": {width},
		"decoder.out.weight": {channels, width, 1, 1}, "decoder.out.bias": {channels},
	} {
		tensors = append(tensors, tensor.NewF32(name, shape, make([]float32, shape.Size())))
	}
	return programtest.Tokenizer(t, tensors, tokenizer.Config{
		Kind: tokenizer.VQ, Vocabulary: c.Vocabulary, Patch: 1, Channels: channels, Width: width, CodeDim: channels,
	}, make([]float64, channels), slices.Repeat([]float64{1}, channels))
}

// beitModel is the real objective's plan, compiled.
type beitModel struct {
	*program.Runner
	store    *param.Store
	channels int
	digits   int
	out      map[string]*core.Node
	tokens   *core.Node // [B, M] of the masked patches
	counts   []int      // of masked patches, in the last step
}

func newBEiT(t *testing.T, cfg beitConfig, channels int, seed uint64) *beitModel {
	t.Helper()
	options := map[string]any{
		"tokenizer": cfg.tokenizerFile(t, channels), "abs_pos": cfg.AbsPos, "rel_pos": "none", "layer_scale": 0, "drop_path": 0,
		"mask_ratio": .5, "min_block": 1,
	}
	if cfg.NumMask > 0 {
		options["mask_ratio"] = float64(cfg.NumMask) / float64(cfg.Size.H/cfg.Patch*(cfg.Size.W/cfg.Patch))
		options["min_block"] = cfg.MinBlock
	}
	switch {
	case cfg.Shared && cfg.PerBlock:
		options["rel_pos"] = "both"
	case cfg.Shared:
		options["rel_pos"] = "shared"
	case cfg.PerBlock:
		options["rel_pos"] = "per_block"
	}
	if cfg.LayerScale != nil {
		options["layer_scale"] = *cfg.LayerScale
	}
	network := cfg.ViT(channels, vit.PosLearned)
	if cfg.HeadDim != nil {
		network.HeadDim = *cfg.HeadDim
	}
	p := programtest.Opening{Objective: beit.New(), Options: options, Network: network, Batch: cfg.Batch}.Plan(t)
	m := &beitModel{store: param.NewStore(), channels: channels, digits: cfg.digits(channels), out: map[string]*core.Node{}}
	var err error
	m.Runner, err = program.Build(devicetest.New(t, 0), m.store, p, network, cfg.Batch, seed, program.Options{
		Plugin: "beit", Train: true,
		Extra: func(p *program.Compiler) ([]*core.Node, error) { return m.extra(p) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// extra names the nodes that the reference has values of.
func (m *beitModel) extra(p *program.Compiler) ([]*core.Node, error) {
	g := p.Graph()
	encoder, err := programtest.ViTPass(p, p.Plan.Passes[0].Name)
	if err != nil {
		return nil, err
	}
	m.out["out.latent"] = encoder.Tokens
	m.out["out.patch_embed"] = programtest.Student(p).EmbedPatches(g, programtest.Student(p).PatchPixels(g, p.ViewNode("image")))
	for i, b := range encoder.Blocks {
		m.out[fmt.Sprintf("out.block.%d", i)] = b
		m.out[fmt.Sprintf("out.attn.%d", i)] = programtest.Attention(encoder, i)
	}
	if table := p.Student.Weight("rel_pos_bias.relative_position_bias_table"); table != nil {
		rows, cols := p.Config.(vit.Config).Grid()
		index, _ := vit.RelativePositions(rows, cols)
		m.out["out.shared_rel_pos_bias"] = ops.RelativeBias(g, g.Param(table), index)
	}
	m.out["out.logits_all"] = ops.Linear(g, encoder.PatchTokens(), g.Param(m.parameter("lm_head.weight")), g.Param(m.parameter("lm_head.bias")))
	for _, n := range p.Plan.Nodes {
		nodes, err := p.Outputs(n.Name)
		if err != nil {
			return nil, err
		}
		switch {
		case n.Op == "linear" && m.out["out.logits_masked"] == nil: // the second is a picture's
			m.out["out.logits_masked"] = nodes[0]
		case n.Op == "nearest_row" && m.tokens == nil:
			m.tokens = nodes[0]
		}
	}
	all := []*core.Node{m.tokens}
	for _, name := range programtest.SortedKeys(m.out) {
		all = append(all, m.out[name])
	}
	return all, nil
}

// parameter finds a parameter by the official name.
func (m *beitModel) parameter(name string) *param.Parameter {
	if p := m.store.Get(runs.BackbonePrefix + name); p != nil {
		return p
	}
	return m.store.Get(runs.HeadPrefix + name)
}

// own lists the parameters but those of the tokenizer.
func (m *beitModel) own() []*param.Parameter {
	return slices.DeleteFunc(programtest.StudentParameters(m.Runner, m.store), func(p *param.Parameter) bool { return p.Given })
}

func (m *beitModel) names() []string {
	var out []string
	for _, p := range m.own() {
		out = append(out, programtest.OfficialName(p))
	}
	return out
}

func (m *beitModel) load(t *testing.T, c *golden.Case) {
	t.Helper()
	programtest.SameNames(t, c, "parameters", m.names(), programtest.Stripped(c.Names("param."), "param."))
	for _, p := range m.own() {
		x := c.Tensor(t, "param."+programtest.OfficialName(p))
		if !x.Shape.Equal(p.Shape) {
			t.Fatalf("%s: %s is %v, the model has %v", c, x.Name, x.Shape, p.Shape)
		}
		copy(p.Data, c.F32(t, x.Name))
	}
}

// step shows images, masks and token ids to the model and runs it.
func (m *beitModel) step(t *testing.T, images []float32, masks []byte, ids []int64) {
	t.Helper()
	programtest.FillView(t, m.View("image"), images)
	pixels := m.View("tokens")
	cells := len(ids) / m.Batch
	for i, id := range ids {
		for ch := range m.channels {
			pixels[(i/cells*m.channels+ch)*cells+i%cells] = float32(id % int64(m.digits))
			id /= int64(m.digits)
		}
	}
	programtest.Step(t, m.Runner, program.Inputs{Masks: []plan.MaskSet{{Name: "mask", Bitmap: masks}}})
	m.counts = m.counts[:0]
	for b := range m.Batch {
		m.counts = append(m.counts, bytes.Count(masks[b*cells:][:cells], []byte{1}))
	}
}

// masked leaves out the rows of values [B, M, n] that a sample with fewer masked patches does not
// fill.
func masked[T any](m *beitModel, values []T) []T {
	per := len(values) / m.Batch
	row := per / int(m.Plan.Masks[0].Length)
	var out []T
	for b, n := range m.counts {
		out = append(out, values[b*per:][:n*row]...)
	}
	return out
}

func beitCase(t *testing.T, c *golden.Case) {
	var cfg beitConfig
	c.ConfigInto(t, &cfg)
	images := c.Tensor(t, "input.images")
	if cfg.Batch != images.Shape[0] {
		t.Fatalf("%s: batch %d, images %v", c, cfg.Batch, images.Shape)
	}
	m := newBEiT(t, cfg, images.Shape[1], 1)
	rows, cols := m.Config.(vit.Config).Grid()
	c.Fixed(t, map[string]any{"grid": []int{rows, cols}})
	programtest.ReadsAll(t, c, "param.", "buffer.", "input.images", "input.mask", "input.token_ids", "out.", "loss", "f64.mlm_acc", "grad.",
		"traj.input.images.", "traj.input.mask.", "traj.input.token_ids.", "traj.param.", "traj.losses", "traj.lr", "traj.wd", "traj.grad_norm")
	m.load(t, c)
	masks := c.U8(t, "input.mask")
	m.step(t, c.F32(t, "input.images"), masks, c.I64(t, "input.token_ids"))

	programtest.RequireOutputs(t, c, m.out, "out.labels", "out.logits_masked")
	for _, name := range c.Names("out.") {
		switch name {
		case "out.labels":
			programtest.CompareInts(t, c, name, masked(m, m.tokens.Ints()))
		case "out.logits_masked":
			c.Compare(t, golden.ViT, name, masked(m, m.out["out.logits_masked"].Value()))
		default:
			if m.out[name] == nil {
				t.Errorf("%s: there is no test for %s", c, name)
				continue
			}
			c.Compare(t, golden.ViT, name, m.out[name].Value())
		}
	}
	index, _ := vit.RelativePositions(rows, cols)
	for _, name := range c.Names("buffer.") {
		programtest.CompareInts(t, c, name, index)
	}
	c.CompareScalar(t, golden.ViT, "loss", m.Loss())
	if c.Has("f64.mlm_acc") {
		c.CompareScalar(t, golden.ViT, "f64.mlm_acc", m.Metrics()["mlm_acc"])
	}
	programtest.SameNames(t, c, "trainable", m.names(), cfg.Trainable)
	if len(cfg.Frozen) > 0 {
		t.Errorf("%s: %v are frozen; there is no test for that", c, cfg.Frozen)
	}
	programtest.SameNames(t, c, "gradients", programtest.Stripped(c.Names("grad."), "grad."), cfg.Trainable)
	for _, name := range cfg.Trainable {
		programtest.CompareGradient(t, c, m.Exec(), name, m.parameter(name))
	}
	if cfg.Trajectory != nil {
		beitTrajectory(t, c, m, cfg)
	} else if n := c.Names("traj."); len(n) > 0 {
		t.Errorf("%s: there is a trajectory and no recipe for it", c)
	}
}

// beitTrajectory trains for some steps from the initial parameters.
func beitTrajectory(t *testing.T, c *golden.Case, m *beitModel, cfg beitConfig) {
	t.Helper()
	r := cfg.Trajectory
	if r.Optimizer != "adamw" {
		t.Fatalf("%s: there is no test for optimizer %q", c, r.Optimizer)
	}
	m.load(t, c)
	var plain []string
	for _, p := range m.Exec().Parameters() {
		if !p.Decay {
			plain = append(plain, programtest.OfficialName(p))
		}
	}
	programtest.SameNames(t, c, "no_decay", plain, r.NoDecay)

	total := int(r.Epochs * float64(r.ItersPerEpoch))
	rate := optim.Cosine{Base: r.LR, Final: r.MinLR, Warmup: int(r.WarmupEpochs * float64(r.ItersPerEpoch)), Total: total}
	decay := optim.Cosine{Base: r.WeightDecay, Final: r.WeightDecayEnd, Total: total}
	optimizer := optim.NewAdamW(devicetest.New(t, 0), optim.AdamWOptions{Beta1: r.Betas[0], Beta2: r.Betas[1], Eps: r.Eps})
	engine := devicetest.New(t, 0)
	var losses, rates, decays, norms []float64
	for s := range r.Steps {
		m.step(t, c.F32(t, fmt.Sprintf("traj.input.images.%d", s)), c.U8(t, fmt.Sprintf("traj.input.mask.%d", s)),
			c.I64(t, fmt.Sprintf("traj.input.token_ids.%d", s)))
		losses = append(losses, m.Loss())
		lr, wd := rate.At(r.FirstIteration+s), decay.At(r.FirstIteration+s)
		rates, decays = append(rates, lr), append(decays, wd)
		norms = append(norms, optim.ClipGlobalNorm(engine, m.Exec().Parameters(), m.Exec().Grad, r.ClipGrad))
		optimizer.Step(m.Exec().Parameters(), m.Exec().Grad, lr, wd)
	}
	c.CompareFloat64(t, golden.ViT, "traj.lr", rates)
	c.CompareFloat64(t, golden.ViT, "traj.wd", decays)
	c.CompareFloat64(t, golden.ViT, "traj.losses", losses)
	if c.Has("traj.grad_norm") {
		c.CompareFloat64(t, golden.ViT, "traj.grad_norm", norms)
	}
	programtest.SameNames(t, c, "trajectory", programtest.Stripped(c.Names("traj.param."), "traj.param."), m.names())
	for _, name := range c.Names("traj.param.") {
		if p := m.parameter(strings.TrimPrefix(name, "traj.param.")); p != nil {
			c.Compare(t, golden.ViT, name, p.Data)
		}
	}
}

func beitWeights(t *testing.T, stats programtest.InitStats, channels int, seed uint64) (func(name string) *param.Parameter, []*param.Parameter) {
	var cfg beitConfig
	stats.Decode(t, &cfg)
	cfg.Batch = 1
	m := newBEiT(t, cfg, channels, seed)
	return m.parameter, m.Student.Parameters()
}

// viewStatistics describes one of the two views in the reference.
type viewStatistics struct {
	Use           string                         `json:"use"`
	Size          int                            `json:"size"`
	Interpolation string                         `json:"interpolation"`
	Normalize     *struct{ Mean, Std []float64 } `json:"normalize"`
	Map           string                         `json:"map"`
}

// beitAugmentation compares the objective's views with the official ones, and the crops that they
// lead to.
func beitAugmentation(t *testing.T, path string) {
	var want struct {
		Order   []string                     `json:"order"`
		Outputs []viewStatistics             `json:"outputs"`
		Crops   []programtest.CropStatistics `json:"crop_statistics"`
	}
	golden.ReadJSON(t, path, &want)
	if len(want.Outputs) != 2 || want.Outputs[0].Use != "patches" || want.Outputs[1].Use != "tokens" || len(want.Crops) == 0 {
		t.Fatalf("%s: outputs %v", path, want.Outputs)
	}
	patches, tokens := want.Outputs[0], want.Outputs[1]
	order := []string{"color_jitter (brightness 0.4, contrast 0.4, saturation 0.4, no hue, always applied)", "horizontal_flip 0.5", "random_resized_crop scale [0.08,1.0]"}
	if !slices.Equal(want.Order, order) {
		t.Fatalf("%s: the order is %q; this test reads %q", path, want.Order, order)
	}
	network, err := vit.Variant("vit_base_patch16_224")
	if err != nil {
		t.Fatal(err)
	}
	network = network.WithImage(patches.Size, patches.Size).Normalized()
	opened := programtest.Opening{Objective: beit.New(), Options: map[string]any{"tokenizer": dalleFile(t, 4, 1, 32)}, Network: network, Batch: 1}.Plan(t)
	image, small := opened.Views[0], opened.Views[1]
	patches.compare(t, image, "bicubic", plan.InterpolationBicubic)
	tokens.compare(t, small, "lanczos", plan.InterpolationLanczos)
	if small.SameGeometryAs != image.Name || !small.SameColors || !image.ColorsFirst {
		t.Errorf("the views do not share crop and colours, or change colours after the crop: %v, %v", image, small)
	}
	for _, x := range []float64{0, .3, 1} {
		if got := (x - small.Mean[0]) / small.Std[0]; tokens.Map != "0.8*x+0.1 for x in [0,1]" || math.Abs(got-(.8*x+.1)) > 1e-12 {
			t.Errorf("the tokenizer reads %g as %g; the reference maps by %s", x, got, tokens.Map)
		}
	}
	jitter := plan.Augmentation{Kind: plan.ColorJitter, Probability: 1, Brightness: .4, Contrast: .4, Saturation: .4}
	flip := plan.Augmentation{Kind: plan.Flip, Probability: .5}
	if a := image.Augmentations; len(a) != 2 || *a[0] != jitter || *a[1] != flip {
		t.Errorf("the augmentations are %v, want %v and %v", a, jitter, flip)
	}
	for _, k := range want.Crops {
		k.Compare(t)
	}
}

// compare refuses a view of another size, or interpolated in another way than the reference, whose
// word for it is name.
func (w viewStatistics) compare(t *testing.T, v *plan.View, name string, interpolation plan.Interpolation) {
	t.Helper()
	if v.Height != w.Size || v.Width != w.Size || v.Interpolation != interpolation || w.Interpolation != name {
		t.Errorf("the view of the %s is %v, the reference's %+v", w.Use, v, w)
	}
}
