package beit_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives/beit"
	"github.com/vittool/vittool/objectives/tokenizer"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

func TestReference(t *testing.T) {
	programtest.Reference(t, "beit", map[string]func(*testing.T, string){
		"init_stats":   func(t *testing.T, path string) { programtest.InitStatistics(t, path, beitWeights) },
		"augmentation": beitAugmentation, "masking_stats": maskingStatistics,
	}, map[string]func(*testing.T, *golden.Case){"beit": beitCase, "dalle_encoder": dalleEncoder})
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
		ClipGrad float64 `json:"clip_grad"`
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

// beitModel is a compiled plan, and the base of its tokens.
type beitModel struct {
	*programtest.Compiled
	channels, digits int
}

func openBEiT(t *testing.T, cfg beitConfig, channels int, seed uint64) beitModel {
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
	m := programtest.Compilation{
		Opening: programtest.Opening{Objective: beit.New(), Options: options, Network: network, Batch: cfg.Batch},
		Seed:    seed, Extra: beitResults, Kinds: []string{"param."},
	}.Compile(t)
	return beitModel{m, channels, cfg.digits(channels)}
}

// beitResults names the nodes that the reference has values of, and "tokens" [B, M], those of the
// masked patches.
func beitResults(m *programtest.Compiled, p *program.Compiler) {
	g, encoder := p.Graph(), m.ViTPass(p.Plan.Passes[0].Name)
	m.Out["out.latent"] = encoder.Tokens
	m.Out["out.patch_embed"] = m.PatchEmbedding("image")
	m.ViTBlocks(encoder, "out.block.%d", "out.attn.%d")
	if table := p.Student.Weight("rel_pos_bias.relative_position_bias_table"); table != nil {
		rows, cols := p.Config.(vit.Config).Grid()
		index, _ := vit.RelativePositions(rows, cols)
		m.Out["out.shared_rel_pos_bias"] = ops.RelativeBias(g, g.Param(table), index)
	}
	m.Out["out.logits_all"] = ops.Linear(g, encoder.PatchTokens(), g.Param(m.Parameter("lm_head.weight")), g.Param(m.Parameter("lm_head.bias")))
	_, linears := m.NodesOf("linear")
	_, nearest := m.NodesOf("nearest_row")
	m.Out["out.logits_masked"], m.Out["tokens"] = linears[0], nearest[0] // the second ones are a picture's
}

// step shows images "<prefix>images<suffix>", masks and token ids to the model and runs it.
func (m beitModel) step(t *testing.T, c *golden.Case, prefix, suffix string) {
	t.Helper()
	m.Show(t, c, "image", prefix+"images"+suffix)
	masks, ids := c.U8(t, prefix+"mask"+suffix), c.I64(t, prefix+"token_ids"+suffix)
	pixels := m.View("tokens")
	cells := len(ids) / m.Batch
	for i, id := range ids {
		for ch := range m.channels {
			pixels[(i/cells*m.channels+ch)*cells+i%cells] = float32(id % int64(m.digits))
			id /= int64(m.digits)
		}
	}
	programtest.Step(t, m.Runner, program.Inputs{Masks: []plan.MaskSet{{Name: "mask", Bitmap: masks}}})
	counts := make([]int, m.Batch) // of masked patches
	for b := range counts {
		counts[b] = bytes.Count(masks[b*cells:][:cells], []byte{1})
	}
	m.Values["out.labels"] = masked(counts, int(m.Plan.Masks[0].Length), m.Out["tokens"].Ints())
	m.Values["out.logits_masked"] = masked(counts, int(m.Plan.Masks[0].Length), m.Out["out.logits_masked"].Value())
}

// masked leaves out the rows of values [B, most, n] that a sample with fewer masked patches does not
// fill.
func masked[T any](counts []int, most int, values []T) []T {
	per := len(values) / len(counts)
	var out []T
	for b, n := range counts {
		out = append(out, values[b*per:][:n*(per/most)]...)
	}
	return out
}

func beitCase(t *testing.T, c *golden.Case) {
	var cfg beitConfig
	c.ConfigInto(t, &cfg)
	m := openBEiT(t, cfg, c.Tensor(t, "input.images").Shape[1], 1)
	rows, cols := m.Config.(vit.Config).Grid()
	c.Fixed(t, map[string]any{"grid": []int{rows, cols}})
	m.Load(t, c)
	m.step(t, c, "input.", "")
	m.CompareResults(t, c, cfg.Trainable, cfg.Frozen)
	index, _ := vit.RelativePositions(rows, cols)
	for _, name := range c.Names("buffer.") {
		programtest.CompareInts(t, c, name, index)
	}
	if c.Has("f64.mlm_acc") {
		c.CompareScalar(t, "f64.mlm_acc", m.Metrics()["mlm_acc"])
	}
	if r := cfg.Trajectory; r != nil {
		training := r.AdamW(t, m.Compiled, func(s int) { m.step(t, c, "traj.input.", fmt.Sprintf(".%d", s)) })
		training.Clip = func(_ int, figure func(string, float64)) optim.Gradients {
			figure("grad_norm", optim.ClipGlobalNorm(m.Device, m.Exec().Parameters(), m.Exec().Grad, r.ClipGrad))
			return m.Exec().Grad
		}
		m.Train(t, c, training)
	}
}

func beitWeights(t *testing.T, stats programtest.InitStats, channels int, seed uint64) (func(name string) *param.Parameter, []*param.Parameter) {
	var cfg beitConfig
	stats.Decode(t, &cfg)
	cfg.Batch = 1
	return openBEiT(t, cfg, channels, seed).Weights()
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
	network := must.Get(vit.Variant("vit_base_patch16_224"))(t)
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
