package program_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/beit"
	"github.com/vittool/vittool/objectives/tokenizer"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// beitConfig is what the reference says of a case.
type beitConfig struct {
	networkConfig
	HeadDim    *int     `json:"attn_head_dim"`
	Vocabulary int      `json:"vocab"`
	LayerScale *float64 `json:"layer_scale_init"`
	AbsPos     bool     `json:"abs_pos"`
	PerBlock   bool     `json:"rel_pos_bias"`
	Shared     bool     `json:"shared_rel_pos_bias"`
	NumMask    int      `json:"num_mask"`
	MinBlock   int      `json:"min_block"`
	Trajectory *struct {
		trajectory
		WeightDecayEnd float64 `json:"weight_decay_end"`
		ClipGrad       float64 `json:"clip_grad"`
	} `json:"traj"`
}

// digits is the base in which codes of the test's tokenizer write a token, one digit per channel.
func (c beitConfig) digits(channels int) int {
	return int(math.Ceil(math.Pow(float64(c.Vocabulary), 1/float64(channels)) - 1e-9))
}

// tokenizerFile writes a tokenizer whose token is what the channels of a single pixel spell: so a case's token ids
// can be shown to the objective as an image, and go the way of any token.
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
	return writeTokenizer(t, tensors, tokenizer.Config{
		Kind: tokenizer.VQ, Vocabulary: c.Vocabulary, Patch: 1, Channels: channels, Width: width, CodeDim: channels,
	}, make([]float64, channels), slices.Repeat([]float64{1}, channels))
}

func writeTokenizer(t *testing.T, tensors []tensor.Tensor, c tokenizer.Config, mean, std []float64) string {
	t.Helper()
	meta, err := c.FileMetadata(mean, std)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tokenizer.safetensors")
	if err := tensor.WriteSafetensors(path, tensors, meta); err != nil {
		t.Fatal(err)
	}
	return path
}

// beitModel is the real objective's plan, compiled.
type beitModel struct {
	*program.Model
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
	network := cfg.vit(channels, vit.PosLearned)
	if cfg.HeadDim != nil {
		network.HeadDim = *cfg.HeadDim
	}
	plan := openPlan(t, beit.New(), options, network, cfg.Batch)
	m := &beitModel{store: param.NewStore(), channels: channels, digits: cfg.digits(channels), out: map[string]*core.Node{}}
	var err error
	m.Model, err = program.Build(newEngine(t), m.store, plan, network, cfg.Batch, seed, program.Options{
		Plugin: "beit", Train: true,
		Extra: func(p *program.Model) ([]*core.Node, error) { return m.extra(p, plan) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// openPlan opens an objective as a plugin process would.
func openPlan(t *testing.T, o sdk.Objective, options map[string]any, network vit.Config, batch int) *pb.Plan {
	t.Helper()
	text, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	server, err := sdk.NewServer(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	channels := network.Channels
	plan, err := server.Open(context.Background(), &pb.OpenRequest{
		ConfigJson: text, Seed: 1, Batch: uint32(batch), TotalSteps: 10, StepsPerEpoch: 5, DatasetSize: 100, WorldSize: 1,
		Backbone: program.BackboneInfo(network, make([]float64, channels), slices.Repeat([]float64{1}, channels)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// extra names the nodes that the reference has values of.
func (m *beitModel) extra(p *program.Model, plan *pb.Plan) ([]*core.Node, error) {
	g := p.Graph()
	encoder, err := vitPass(p, plan.GetPasses()[0].GetName())
	if err != nil {
		return nil, err
	}
	m.out["out.latent"] = encoder.Tokens
	m.out["out.patch_embed"] = student(p).EmbedPatches(g, student(p).Patches(g, p.ViewNode("image")))
	for i, b := range encoder.Blocks {
		m.out[fmt.Sprintf("out.block.%d", i)] = b
		m.out[fmt.Sprintf("out.attn.%d", i)] = attention(encoder, i)
	}
	if table := p.Student.Weight("rel_pos_bias.relative_position_bias_table"); table != nil {
		rows, cols := p.Config.(vit.Config).Grid()
		index, _ := vit.RelativePositions(rows, cols)
		m.out["out.shared_rel_pos_bias"] = ops.RelativeBias(g, g.Param(table), index)
	}
	m.out["out.logits_all"] = ops.Linear(g, encoder.PatchTokens(), g.Param(m.parameter("lm_head.weight")), g.Param(m.parameter("lm_head.bias")))
	for _, n := range plan.GetNodes() {
		nodes, err := p.Outputs(n.GetName())
		if err != nil {
			return nil, err
		}
		switch {
		case n.GetOp() == pb.OpLinear && m.out["out.logits_masked"] == nil: // the second is a picture's
			m.out["out.logits_masked"] = nodes[0]
		case n.GetOp() == pb.OpNearestRow && m.tokens == nil:
			m.tokens = nodes[0]
		}
	}
	all := []*core.Node{m.tokens}
	for _, name := range sortedKeys(m.out) {
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
	return slices.DeleteFunc(m.StudentParameters(), func(p *param.Parameter) bool { return p.Given })
}

func (m *beitModel) names() []string {
	var out []string
	for _, p := range m.own() {
		out = append(out, officialName(p))
	}
	return out
}

func (m *beitModel) load(t *testing.T, c *golden.Case) {
	t.Helper()
	sameNames(t, c, "parameters", m.names(), stripped(c.Names("param."), "param."))
	for _, p := range m.own() {
		x := c.Tensor(t, "param."+officialName(p))
		if !x.Shape.Equal(p.Shape) {
			t.Fatalf("%s: %s is %v, the model has %v", c, x.Name, x.Shape, p.Shape)
		}
		copy(p.Data, c.F32(t, x.Name))
	}
}

// step shows images, masks and token ids to the model and runs it.
func (m *beitModel) step(t *testing.T, images []float32, masks []byte, ids []int64) {
	t.Helper()
	fillView(t, m.View("image"), images)
	pixels := m.View("tokens")
	cells := len(ids) / m.Batch
	for i, id := range ids {
		for ch := range m.channels {
			pixels[(i/cells*m.channels+ch)*cells+i%cells] = float32(id % int64(m.digits))
			id /= int64(m.digits)
		}
	}
	if err := m.SetMasks(&pb.MaskReply{Sets: []*pb.MaskSet{{Name: "mask", Bitmap: masks}}}); err != nil {
		t.Fatal(err)
	}
	m.SetStep(0, nil)
	if err := m.Run(); err != nil {
		t.Fatal(err)
	}
	m.counts = m.counts[:0]
	for b := range m.Batch {
		m.counts = append(m.counts, bytes.Count(masks[b*cells:][:cells], []byte{1}))
	}
}

// masked leaves out the rows of values [B, M, n] that a sample with fewer masked patches does not fill.
func masked[T any](m *beitModel, values []T) []T {
	per := len(values) / m.Batch
	row := per / int(m.Plan.GetMasks()[0].GetLength())
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
	readsAll(t, c, "param.", "buffer.", "input.images", "input.mask", "input.token_ids", "out.", "loss", "f64.mlm_acc", "grad.",
		"traj.input.images.", "traj.input.mask.", "traj.input.token_ids.", "traj.param.", "traj.losses", "traj.lr", "traj.wd", "traj.grad_norm")
	m.load(t, c)
	masks := c.U8(t, "input.mask")
	m.step(t, c.F32(t, "input.images"), masks, c.I64(t, "input.token_ids"))

	requireOutputs(t, c, m.out, "out.labels", "out.logits_masked")
	for _, name := range c.Names("out.") {
		switch name {
		case "out.labels":
			compareInts(t, c, name, masked(m, m.tokens.Ints()))
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
		compareInts(t, c, name, index)
	}
	c.CompareScalar(t, golden.ViT, "loss", m.Loss())
	if c.Has("f64.mlm_acc") {
		c.CompareScalar(t, golden.ViT, "f64.mlm_acc", m.Metrics()["mlm_acc"])
	}
	sameNames(t, c, "trainable", m.names(), cfg.Trainable)
	if len(cfg.Frozen) > 0 {
		t.Errorf("%s: %v are frozen; there is no test for that", c, cfg.Frozen)
	}
	sameNames(t, c, "gradients", stripped(c.Names("grad."), "grad."), cfg.Trainable)
	for _, name := range cfg.Trainable {
		compareGradient(t, c, m.Exec(), name, m.parameter(name))
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
			plain = append(plain, officialName(p))
		}
	}
	sameNames(t, c, "no_decay", plain, r.NoDecay)

	total := int(r.Epochs * float64(r.ItersPerEpoch))
	rate := optim.Cosine{Base: r.LR, Final: r.MinLR, Warmup: int(r.WarmupEpochs * float64(r.ItersPerEpoch)), Total: total}
	decay := optim.Cosine{Base: r.WeightDecay, Final: r.WeightDecayEnd, Total: total}
	optimizer := optim.NewAdamW(newEngine(t), optim.AdamWOptions{Beta1: r.Betas[0], Beta2: r.Betas[1], Eps: r.Eps})
	engine := newEngine(t)
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
	sameNames(t, c, "trajectory", stripped(c.Names("traj.param."), "traj.param."), m.names())
	for _, name := range c.Names("traj.param.") {
		if p := m.parameter(strings.TrimPrefix(name, "traj.param.")); p != nil {
			c.Compare(t, golden.ViT, name, p.Data)
		}
	}
}

func beitWeights(t *testing.T, stats initStats, channels int, seed uint64) func(name string) *param.Parameter {
	var cfg beitConfig
	stats.decode(t, &cfg)
	cfg.Batch = 1
	return newBEiT(t, cfg, channels, seed).parameter
}

// maskingStatistics draws as many masks as the reference did for each of its settings.
func maskingStatistics(t *testing.T, path string) {
	var want struct {
		Results []struct {
			Grid       [2]int         `json:"grid"`
			Masked     int            `json:"num_masking_patches"`
			Min        int            `json:"min_num_patches"`
			Max        int            `json:"max_num_patches"`
			MinAspect  float64        `json:"min_aspect"`
			Draws      int            `json:"draws"`
			Mean       float64        `json:"masked_mean"`
			Std        float64        `json:"masked_std"`
			Most       int            `json:"masked_max"`
			Failed     int            `json:"draws_ending_by_failed_block"`
			Blocks     map[string]int `json:"blocks_histogram"`
			PerBlock   map[string]int `json:"new_cells_per_block_histogram"`
			Histogram  map[string]int `json:"masked_histogram"`
			Neighbours float64        `json:"neighbour_agreement_mean"`
			NeighbourS float64        `json:"neighbour_agreement_std"`
			Frequency  [][]float64    `json:"cell_frequency"`
		} `json:"results"`
	}
	golden.ReadJSON(t, path, &want)
	if len(want.Results) == 0 {
		t.Fatalf("%s holds no statistics", path)
	}
	for _, w := range want.Results {
		name := fmt.Sprintf("%v, %d masked in blocks of %d to %d", w.Grid, w.Masked, w.Min, w.Max)
		if w.MinAspect != .3 {
			t.Fatalf("%s: the smallest aspect is %g; the objective has 0.3", name, w.MinAspect)
		}
		k := beit.Blocks{Rows: w.Grid[0], Cols: w.Grid[1], Masked: w.Masked, Min: w.Min, Max: w.Max}
		draws := float64(w.Draws)
		counts, perMask, perBlock := map[string]int{}, map[string]int{}, map[string]int{}
		frequency := make([]float64, k.Rows*k.Cols)
		failed, agreement := 0, 0.0
		for i := range w.Draws {
			r, removed := sdk.NewRNG(11, uint64(i)), make([]byte, k.Rows*k.Cols)
			count, blocks := 0, 0
			for count < k.Masked {
				n := k.Block(r, removed, min(k.Masked-count, k.Max))
				if n == 0 {
					failed++
					break
				}
				perBlock[fmt.Sprint(n)]++
				count, blocks = count+n, blocks+1
			}
			whole := make([]byte, len(removed))
			k.Draw(sdk.NewRNG(11, uint64(i)), whole)
			if !slices.Equal(whole, removed) {
				t.Fatalf("%s: a mask is not made of its blocks", name)
			}
			sum := 0
			for c, v := range removed {
				sum += int(v)
				frequency[c] += float64(v) / draws
			}
			if sum != count || sum > w.Most {
				t.Fatalf("%s: %d cells are masked, %d were counted, at most %d are wanted", name, sum, count, w.Most)
			}
			counts[fmt.Sprint(sum)]++
			perMask[fmt.Sprint(blocks)]++
			agreement += neighbourAgreement(removed, k.Rows, k.Cols) / draws
		}
		near := func(what string, got, want, deviation float64) {
			t.Helper()
			if math.Abs(got-want) > 6*math.Sqrt2*deviation/math.Sqrt(draws)+1e-9 {
				t.Errorf("%s: %s is %.4f, the reference has %.4f ± %.4f", name, what, got, want, 6*math.Sqrt2*deviation/math.Sqrt(draws))
			}
		}
		share := float64(w.Failed) / draws
		near("share of masks that end with a failed block", float64(failed)/draws, share, math.Sqrt(share*(1-share))+.5/math.Sqrt(draws))
		near("neighbour agreement", agreement, w.Neighbours, w.NeighbourS)
		for i, f := range frequency {
			p := w.Frequency[i/k.Cols][i%k.Cols]
			near(fmt.Sprintf("frequency of cell %d", i), f, p, math.Sqrt(p*(1-p))+.5/math.Sqrt(draws))
		}
		for what, h := range map[string][2]map[string]int{
			"masked cells": {counts, w.Histogram}, "blocks": {perMask, w.Blocks}, "new cells of a block": {perBlock, w.PerBlock},
		} {
			if d, limit := twoSample(h[0], h[1]); d > limit {
				t.Errorf("%s: %s: the chi-square distance of the histograms is %.1f, at most %.1f is expected (%v and %v)", name, what, d, limit, h[0], h[1])
			}
		}
	}
}

// neighbourAgreement is the share of neighbouring cells of equal value, the mean of both directions.
func neighbourAgreement(mask []byte, rows, cols int) float64 {
	across, down := 0.0, 0.0
	for y := range rows {
		for x := range cols {
			if x > 0 && mask[y*cols+x] == mask[y*cols+x-1] {
				across++
			}
			if y > 0 && mask[y*cols+x] == mask[(y-1)*cols+x] {
				down++
			}
		}
	}
	return (across/float64(rows*(cols-1)) + down/float64((rows-1)*cols)) / 2
}

// twoSample is the chi-square statistic of two histograms, rare values pooled, and a limit six deviations above
// its mean.
func twoSample(a, b map[string]int) (distance, limit float64) {
	na, nb := 0.0, 0.0
	keys := map[string]bool{}
	for k, v := range a {
		na, keys[k] = na+float64(v), true
	}
	for k, v := range b {
		nb, keys[k] = nb+float64(v), true
	}
	cells, restA, restB := 0.0, 0.0, 0.0
	add := func(x, y float64) {
		d := x*math.Sqrt(nb/na) - y*math.Sqrt(na/nb)
		distance += d * d / (x + y)
		cells++
	}
	for k := range keys {
		x, y := float64(a[k]), float64(b[k])
		if x+y < 20 {
			restA, restB = restA+x, restB+y
			continue
		}
		add(x, y)
	}
	if restA+restB > 0 {
		add(restA, restB)
	}
	return distance, cells + 6*math.Sqrt(2*cells) + 6
}

// beitAugmentation compares the objective's views with the official ones, and the crops that they lead to.
func beitAugmentation(t *testing.T, path string) {
	var want struct {
		Order   []string `json:"order"`
		Outputs []struct {
			Use           string                         `json:"use"`
			Size          int                            `json:"size"`
			Interpolation string                         `json:"interpolation"`
			Normalize     *struct{ Mean, Std []float64 } `json:"normalize"`
			Map           string                         `json:"map"`
		} `json:"outputs"`
		Crops []cropStatistics `json:"crop_statistics"`
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
	plan := openPlan(t, beit.New(), map[string]any{"tokenizer": dalleFile(t, 4, 1, 32)}, network, 1)
	image, small := plan.GetViews()[0], plan.GetViews()[1]
	if image.GetHeight() != 0 || image.GetWidth() != 0 || image.GetInterpolation() != pb.ViewSpec_INTERPOLATION_BICUBIC || patches.Interpolation != "bicubic" {
		t.Errorf("the network's view is %v, the reference's %+v", image, patches)
	}
	if int(small.GetHeight()) != tokens.Size || int(small.GetWidth()) != tokens.Size || small.GetInterpolation() != pb.ViewSpec_INTERPOLATION_LANCZOS || tokens.Interpolation != "lanczos" {
		t.Errorf("the tokenizer's view is %v, the reference's %+v", small, tokens)
	}
	if small.GetSameGeometryAs() != image.GetName() || !small.GetSameColors() || !image.GetColorsFirst() {
		t.Errorf("the views do not share crop and colours, or change colours after the crop: %v, %v", image, small)
	}
	for _, x := range []float64{0, .3, 1} {
		if got := (x - small.GetMean()[0]) / small.GetStd()[0]; tokens.Map != "0.8*x+0.1 for x in [0,1]" || math.Abs(got-(.8*x+.1)) > 1e-12 {
			t.Errorf("the tokenizer reads %g as %g; the reference maps by %s", x, got, tokens.Map)
		}
	}
	a := image.GetAugmentations()
	if len(a) != 2 || a[1].GetFlip().GetProbability() != .5 {
		t.Fatalf("the augmentations are %v", a)
	}
	if j := a[0].GetColorJitter(); j.GetProbability() != 1 || j.GetBrightness() != .4 || j.GetContrast() != .4 || j.GetSaturation() != .4 || j.GetHue() != 0 || j.GetFixedOrder() {
		t.Errorf("the colours change by %v", j)
	}
	for _, k := range want.Crops {
		k.compare(t)
	}
}

// probe is an objective that does nothing but run the encoder of a tokenizer file.
type probe struct {
	Tokenizer string `option:"tokenizer" help:"file"`
}

func (p *probe) Info() sdk.Info { return sdk.Info{Name: "probe", Version: "1.0.0"} }

func (p *probe) Plan(b *sdk.Builder) error {
	b.Require(sdk.Requirements{Unused: true})
	file, err := tokenizer.Open(p.Tokenizer)
	if err != nil {
		return err
	}
	image := b.View("image", sdk.Normalize(file.Mean, file.Std))
	logits := file.Net(b, "").Logits(image.Pixels())
	b.ArgMax(logits)
	return b.Minimize(b.Mean(logits))
}

// dalleFile is an encoder of the published shape with zero weights.
func dalleFile(t *testing.T, width, blocks, vocabulary int) string {
	t.Helper()
	c := tokenizer.Config{Kind: tokenizer.DALLE, Patch: 8, Channels: 3, Width: width, Blocks: blocks, Vocabulary: vocabulary}
	var tensors []tensor.Tensor
	for name, shape := range c.DALLEShapes() {
		tensors = append(tensors, tensor.NewF32(name, shape, make([]float32, tensor.Shape(shape).Size())))
	}
	return writeTokenizer(t, tensors, c, tokenizer.DALLEMean, tokenizer.DALLEStd)
}

// dalleEncoder runs the published encoder, as it is imported, over the images of a case.
func dalleEncoder(t *testing.T, c *golden.Case) {
	var cfg struct {
		Size       imageSize `json:"img_size"`
		Width      int       `json:"n_hid"`
		Blocks     int       `json:"blocks_per_group"`
		Vocabulary int       `json:"vocab"`
		Batch      int       `json:"batch"`
	}
	c.ConfigInto(t, &cfg)
	c.Describes("min_top2_margin")
	c.Fixed(t, map[string]any{"group_count": 4, "logit_laplace_eps": .1})
	if s := c.Tensor(t, "input.images").Shape; !s.Equal(tensor.Shape{cfg.Batch, 3, cfg.Size.H, cfg.Size.W}) {
		t.Fatalf("%s: input.images is %v, the config says %d of %d×%d", c, s, cfg.Batch, cfg.Size.H, cfg.Size.W)
	}
	readsAll(t, c, "param.", "input.images", "out.")
	var tensors []tensor.Tensor
	shapes := map[string][]int{}
	for _, name := range c.Names("param.") {
		x := c.Tensor(t, name)
		short := strings.TrimPrefix(name, "param.")
		shapes[short] = x.Shape
		tensors = append(tensors, tensor.NewF32(short, x.Shape, c.F32(t, name)))
	}
	description, err := tokenizer.DescribeDALLE(shapes)
	if err != nil {
		t.Fatal(err)
	}
	if description.Width != cfg.Width || description.Blocks != cfg.Blocks || description.Vocabulary != cfg.Vocabulary {
		t.Fatalf("the weights are described as %+v, the case says %+v", description, cfg)
	}
	path := writeTokenizer(t, tensors, description, tokenizer.DALLEMean, tokenizer.DALLEStd)
	network := vit.Config{Name: "none", ImageH: cfg.Size.H, ImageW: cfg.Size.W, Patch: 8, Dim: 8, Depth: 1, Heads: 1, ClassToken: true}.Normalized()
	plan := openPlan(t, &probe{}, map[string]any{"tokenizer": path}, network, cfg.Batch)
	out := map[string]*core.Node{}
	var tokens *core.Node
	m, err := program.Build(newEngine(t), param.NewStore(), plan, network, cfg.Batch, 1, program.Options{
		Plugin: "probe",
		Extra: func(p *program.Model) ([]*core.Node, error) {
			var all []*core.Node
			group := 0
			for _, n := range plan.GetNodes() {
				made, err := p.Outputs(n.GetName())
				if err != nil {
					return nil, err
				}
				switch {
				case n.GetOp() == pb.OpConv2D && out["out.input"] == nil:
					out["out.input"] = made[0]
				case n.GetOp() == pb.OpMaxPool2D:
					group++
					out[fmt.Sprintf("out.group_%d", group)] = made[0]
				case n.GetOp() == pb.OpAdd:
					out["out.group_4"] = made[0] // the last one stays
				case n.GetOp() == pb.OpConv2D:
					out["out.logits"] = made[0] // here too
				case n.GetOp() == pb.OpArgMax:
					tokens = made[0]
				}
			}
			for _, name := range sortedKeys(out) {
				all = append(all, out[name])
			}
			return append(all, tokens), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	view := plan.GetViews()[0]
	pixels := m.View(view.GetName())
	for i, v := range c.F32(t, "input.images") {
		ch := i / (cfg.Size.H * cfg.Size.W) % 3
		pixels[i] = float32((float64(v) - view.GetMean()[ch]) / view.GetStd()[ch])
	}
	if err := m.Run(); err != nil {
		t.Fatal(err)
	}
	requireOutputs(t, c, out, "out.tokens", "out.mapped")
	for _, name := range c.Names("out.") {
		switch {
		case name == "out.tokens":
			compareInts(t, c, name, tokens.Ints())
		case name == "out.mapped":
			c.Compare(t, golden.ViT, name, pixels)
		case out[name] == nil:
			t.Errorf("%s: there is no test for %s", c, name)
		default:
			c.Compare(t, golden.ViT, name, out[name].Value())
		}
	}
}
