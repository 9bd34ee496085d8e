package mae_test

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/mae"
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
	programtest.Reference(t, "mae", func(t *testing.T, path string) {
		switch golden.Name(path) {
		case "mae/init_stats":
			programtest.InitStatistics(t, path, maeWeights)
			return
		case "mae/augmentation":
			programtest.Augmentations(t, path, mae.New(), func(p *plan.Plan) []*plan.View { return p.Views })
			return
		}
		c := golden.Whole(t, path)
		var kind struct {
			Objective string `json:"objective"`
		}
		c.ConfigInto(t, &kind)
		switch kind.Objective {
		case "mae":
			maeCase(t, c)
		default:
			t.Fatalf("%s: there is no test for a case of objective %q", path, kind.Objective)
		}
	})
}

// TestReferenceFullSize runs the case of a full-size network, which lies with those of the network.
func TestReferenceFullSize(t *testing.T) {
	if path, ok := golden.File(t, "vit", "procedural_mae_b16.safetensors"); ok {
		c := golden.Whole(t, path)
		c.Describes("objective")
		proceduralMAE(t, c)
	}
}

// TestReferenceRefusals: a damaged case is refused.
func TestReferenceRefusals(t *testing.T) {
	programtest.Refusals(t, "mae", []programtest.Refusal{
		{Name: "another loss", File: "a_plain_traj", Edit: programtest.Set("loss", "l1"), Want: "loss"},
		{Name: "clipping", File: "a_plain_traj", Edit: programtest.SetInTrajectory("clip", 1.0), Want: "traj.clip"},
		{Name: "no prediction", File: "a_plain_traj", Edit: programtest.Drop("out.pred"), Want: "out.pred"},
		{Name: "image size", File: "a_plain_traj", Edit: programtest.Set("img_size", 24), Want: "patches"},
	})
}

// caseConfig is a network with the objective of masked autoencoding.
type caseConfig struct {
	programtest.NetworkConfig
	DecDim      int                     `json:"dec_dim"`
	DecDepth    int                     `json:"dec_depth"`
	DecHeads    int                     `json:"dec_heads"`
	MaskRatio   float64                 `json:"mask_ratio"`
	NormPixLoss bool                    `json:"norm_pix_loss"`
	LenKeep     *int                    `json:"len_keep"`
	Trajectory  *programtest.Trajectory `json:"traj"`
	programtest.Procedural
}

// maeModel is the real objective's plan, compiled, with every intermediate result that a case may
// hold.
type maeModel struct {
	*program.Runner
	store *param.Store
	keep  int
	out   map[string]*core.Node
	enc   []*core.Node // encoder blocks
	dec   []*core.Node // decoder blocks
}

// newMAE opens the objective as a plugin process would, and compiles its plan.
func newMAE(t *testing.T, cfg caseConfig, channels int, seed uint64) *maeModel {
	t.Helper()
	network := cfg.ViT(channels, vit.PosSinCos)
	// The objective is opened with the network as it stands before its own requirements are
	// applied.
	p := programtest.Opening{Objective: mae.New(), Options: map[string]any{
		"mask_ratio": cfg.MaskRatio, "norm_pix_loss": cfg.NormPixLoss, "mlp_ratio": cfg.MLPRatio,
		"decoder_dim": cfg.DecDim, "decoder_depth": cfg.DecDepth, "decoder_heads": cfg.DecHeads,
		"decoder_qkv_bias": cfg.QKVBias == nil || *cfg.QKVBias,
	}, Network: network, Batch: cfg.Batch}.Plan(t)
	m := &maeModel{store: param.NewStore(), out: map[string]*core.Node{}}
	var err error
	m.Runner, err = program.Build(devicetest.New(t, 0), m.store, p, network, cfg.Batch, seed, program.Options{
		Plugin: "mae", Train: true,
		Extra: m.extra,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.keep = p.Masks[0].Length
	return m
}

// extra names the nodes that the reference has values of.
func (m *maeModel) extra(p *program.Compiler) ([]*core.Node, error) {
	g := p.Graph()
	encoder, err := programtest.ViTPass(p, p.Plan.Passes[0].Name)
	if err != nil {
		return nil, err
	}
	m.out["out.latent"] = encoder.Tokens
	m.out["out.patch_embed"] = programtest.Student(p).EmbedPatches(g, programtest.Student(p).PatchPixels(g, p.ViewNode(p.Plan.Views[0].Name)))
	for i, b := range encoder.Blocks {
		m.out[fmt.Sprintf("out.enc.block.%d", i)] = b
		m.out[fmt.Sprintf("out.enc.attn.%d", i)] = programtest.Attention(encoder, i)
		m.enc = append(m.enc, b)
	}
	for _, n := range p.Plan.Nodes {
		nodes, err := p.Outputs(n.Name)
		if err != nil {
			return nil, err
		}
		switch n.Op {
		case "vit_block":
			m.out[fmt.Sprintf("out.dec.block.%d", len(m.dec))] = nodes[0]
			m.out[fmt.Sprintf("out.dec.attn.%d", len(m.dec))] = nodes[1]
			m.dec = append(m.dec, nodes[0])
		case "slice_tokens":
			m.out["out.pred"] = nodes[0]
		case "patchify", "normalize_patches": // the later of the two is the target
			m.out["out.target"] = nodes[0]
		case "patch_mse":
			m.out["out.loss_per_patch"] = nodes[1]
		}
	}
	var all []*core.Node
	for _, name := range programtest.SortedKeys(m.out) {
		all = append(all, m.out[name])
	}
	return all, nil
}

// parameter finds a parameter by the official name.
func (m *maeModel) parameter(name string) *param.Parameter {
	if p := m.store.Get(runs.BackbonePrefix + name); p != nil {
		return p
	}
	return m.store.Get(runs.HeadPrefix + name)
}

// load sets all parameters to "param.<name>"; both sides must have the same names and shapes.
func (m *maeModel) load(t *testing.T, c *golden.Case) {
	t.Helper()
	params := programtest.StudentParameters(m.Runner, m.store)
	if n := len(c.Names("param.")); n != len(params) {
		t.Errorf("%s: %d parameters in the file, %d in the model", c, n, len(params))
	}
	for _, p := range params {
		x := c.Tensor(t, "param."+programtest.OfficialName(p))
		if !x.Shape.Equal(p.Shape) {
			t.Fatalf("%s: %s is %v, the model has %v", c, x.Name, x.Shape, p.Shape)
		}
		copy(p.Data, c.F32(t, x.Name))
	}
}

// step fills the inputs: images, and the keep lists that the noise means.
func (m *maeModel) step(t *testing.T, images, noise []float32) (keep []int32) {
	t.Helper()
	programtest.FillView(t, m.View(m.Plan.Views[0].Name), images)
	patches := m.Config.(vit.Config).Patches()
	if len(noise) != m.Batch*patches {
		t.Fatalf("the case has noise for %d patches and the network %d images of %d", len(noise), m.Batch, patches)
	}
	for b := range m.Batch {
		row := make([]float64, patches)
		for i := range row {
			row[i] = float64(noise[b*patches+i])
		}
		list := make([]int32, m.keep)
		sdk.KeepFromNoise(row, list)
		keep = append(keep, list...)
	}
	programtest.Step(t, m.Runner, program.Inputs{Masks: []plan.MaskSet{{Name: m.Plan.Masks[0].Name, Values: keep}}})
	return keep
}

// masked is the reference's mask: 1 where a patch is not visible.
func (m *maeModel) masked(keep []int32, patches int) []float64 {
	out := slices.Repeat([]float64{1}, m.Batch*patches)
	for i, k := range keep {
		out[i/m.keep*patches+int(k)] = 0
	}
	return out
}

// restoreOrder is argsort(argsort(noise)) per sample.
func restoreOrder(noise []float32, batch int) []int64 {
	patches := len(noise) / batch
	out := make([]int64, len(noise))
	for b := range batch {
		row := noise[b*patches:][:patches]
		order := make([]int, patches)
		for i := range order {
			order[i] = i
		}
		sort.SliceStable(order, func(i, j int) bool { return row[order[i]] < row[order[j]] })
		for rank, i := range order {
			out[b*patches+i] = int64(rank)
		}
	}
	return out
}

func maeCase(t *testing.T, c *golden.Case) {
	var cfg caseConfig
	c.ConfigInto(t, &cfg)
	images := c.Tensor(t, "input.images")
	if cfg.Batch != images.Shape[0] {
		t.Fatalf("%s: batch %d, images %v", c, cfg.Batch, images.Shape)
	}
	m := newMAE(t, cfg, images.Shape[1], 1)
	if cfg.LenKeep != nil && m.keep != *cfg.LenKeep {
		t.Fatalf("%s: the plan keeps %d patches, the reference %d", c, m.keep, *cfg.LenKeep)
	}
	m.load(t, c)
	programtest.ReadsAll(t, c, "param.", "input.images", "input.noise", "out.", "loss", "grad.", "traj.input.images.", "traj.input.noise.",
		"traj.param.", "traj.losses", "traj.lr", "traj.wd")
	noise := c.F32(t, "input.noise")
	keep := m.step(t, c.F32(t, "input.images"), noise)

	programtest.RequireOutputs(t, c, m.out, "out.ids_keep", "out.ids_restore", "out.mask")
	for _, name := range c.Names("out.") {
		switch name {
		case "out.ids_keep":
			programtest.CompareInts(t, c, name, keep)
		case "out.ids_restore":
			programtest.CompareInts(t, c, name, restoreOrder(noise, m.Batch))
		case "out.mask":
			programtest.CompareInts(t, c, name, m.masked(keep, len(noise)/m.Batch))
		default:
			if m.out[name] == nil {
				t.Errorf("%s: there is no test for %s", c, name)
				continue
			}
			c.Compare(t, golden.ViT, name, m.out[name].Value())
		}
	}
	c.CompareScalar(t, golden.ViT, "loss", m.Loss())
	compareTrainable(t, c, m, cfg)
	programtest.SameNames(t, c, "gradients", programtest.Stripped(c.Names("grad."), "grad."), cfg.Trainable)
	for _, name := range cfg.Trainable {
		programtest.CompareGradient(t, c, m.Exec(), name, m.parameter(name))
	}
	if cfg.Trajectory != nil {
		maeTrajectory(t, c, m, cfg.Trajectory)
	} else if n := c.Names("traj."); len(n) > 0 {
		t.Errorf("%s: there is a trajectory and no recipe for it", c)
	}
}

// compareTrainable holds the set of trained parameters against the reference's.
func compareTrainable(t *testing.T, c *golden.Case, m *maeModel, cfg caseConfig) {
	t.Helper()
	var frozen []string
	for _, p := range programtest.StudentParameters(m.Runner, m.store) {
		if p.Frozen {
			frozen = append(frozen, programtest.OfficialName(p))
		}
	}
	programtest.SameNames(t, c, "trainable", trainedNames(m), cfg.Trainable)
	programtest.SameNames(t, c, "frozen", frozen, cfg.Frozen)
}

func trainedNames(m *maeModel) []string {
	var trained []string
	for _, p := range programtest.StudentParameters(m.Runner, m.store) {
		if !p.Frozen {
			trained = append(trained, programtest.OfficialName(p))
		}
	}
	return trained
}

// maeTrajectory trains for some steps from the initial parameters.
func maeTrajectory(t *testing.T, c *golden.Case, m *maeModel, r *programtest.Trajectory) {
	t.Helper()
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

	schedule := optim.EpochCosine{LR: r.LR, Min: r.MinLR, WarmupEpochs: r.WarmupEpochs, Epochs: r.Epochs, PerEpoch: r.ItersPerEpoch}
	optimizer := optim.NewAdamW(devicetest.New(t, 0), optim.AdamWOptions{Beta1: r.Betas[0], Beta2: r.Betas[1], Eps: r.Eps})
	var losses, rates, decays []float64
	for s := range r.Steps {
		m.step(t, c.F32(t, fmt.Sprintf("traj.input.images.%d", s)), c.F32(t, fmt.Sprintf("traj.input.noise.%d", s)))
		losses = append(losses, m.Loss())
		lr := schedule.At(r.FirstIteration + s)
		rates, decays = append(rates, lr), append(decays, r.WeightDecay)
		optimizer.Step(m.Exec().Parameters(), m.Exec().Grad, lr, r.WeightDecay)
	}
	c.CompareFloat64(t, golden.ViT, "traj.lr", rates)
	c.CompareFloat64(t, golden.ViT, "traj.losses", losses)
	if c.Has("traj.wd") {
		c.CompareFloat64(t, golden.ViT, "traj.wd", decays)
	}
	programtest.SameNames(t, c, "trajectory", programtest.Stripped(c.Names("traj.param."), "traj.param."), trainedNames(m))
	for _, name := range c.Names("traj.param.") {
		p := m.parameter(strings.TrimPrefix(name, "traj.param."))
		if p == nil {
			t.Errorf("%s: the model has no parameter for %s", c, name)
			continue
		}
		c.Compare(t, golden.ViT, name, p.Data)
	}
}

// proceduralMAE is the full-size masked autoencoder with weights from a hash.
func proceduralMAE(t *testing.T, c *golden.Case) {
	var cfg caseConfig
	c.ConfigInto(t, &cfg)
	c.Describes("arch", "formula")
	if cfg.Sample == nil || cfg.EncoderToken == nil || cfg.DecoderToken == nil {
		t.Fatalf("%s: the config does not say which tokens to sample", c)
	}
	channels := 0
	for _, x := range cfg.Tensors {
		if x.Name == "patch_embed.proj.weight" {
			channels = x.Shape[1]
		}
	}
	m := newMAE(t, cfg, channels, 1)
	cfg.Load(t, m.parameter)
	images := make([]float32, len(m.View(m.Plan.Views[0].Name)))
	cfg.Images(t, images)
	noise := make([]float32, cfg.Batch*m.Config.(vit.Config).Patches())
	cfg.Fill(noise, programtest.NoiseTensor, func(x uint64) float32 { return float32(float64(x) / (1 << 20)) })
	for i, v := range cfg.NoiseCheck {
		if float64(noise[i]) != v {
			t.Fatalf("%s: noise[%d] = %v, the config says %v", c, i, noise[i], v)
		}
	}
	keep := m.step(t, images, noise)

	c.CompareScalar(t, golden.ViT, "loss", m.Loss())
	latent, pred := m.out["out.latent"], m.out["out.pred"]
	tokens, width := latent.Shape()[1], latent.Shape()[2]
	got := map[string][]float64{"out.mask": m.masked(keep, len(noise)/m.Batch)}
	for b := range m.Batch {
		got["out.latent_cls"] = append(got["out.latent_cls"], programtest.Wide(latent.Value()[b*tokens*width:][:width])...)
	}
	got["out.pred_first16"] = programtest.Wide(pred.Value()[:16])
	got["out.pred_last_tok100_16"] = programtest.Wide(pred.Value()[((m.Batch-1)*pred.Shape()[1]+100)*pred.Shape()[2]:][:16])
	for k, v := range cfg.BlockSummary(m.enc, *cfg.Sample, *cfg.EncoderToken) {
		got["out.enc_block_"+k] = v
	}
	for k, v := range cfg.BlockSummary(m.dec, *cfg.Sample, *cfg.DecoderToken) {
		got["out.dec_block_"+k] = v
	}
	for name := range got {
		c.Require(t, name)
	}
	c.Require(t, "out.ids_restore")
	for _, name := range c.Names("out.") {
		switch {
		case name == "out.ids_restore":
			programtest.CompareInts(t, c, name, restoreOrder(noise, m.Batch))
		case name == "out.mask":
			programtest.CompareInts(t, c, name, got[name])
		case strings.HasPrefix(name, "out.grad_"):
		case got[name] == nil:
			t.Errorf("%s: there is no test for %s", c, name)
		default:
			c.CompareFloat64(t, golden.ViT, name, got[name])
		}
	}
	programtest.CompareGradients(t, c, m.Exec(), cfg.GradRows, m.parameter)
}

func maeWeights(t *testing.T, stats programtest.InitStats, channels int, seed uint64) (func(name string) *param.Parameter, []*param.Parameter) {
	var cfg caseConfig
	stats.Decode(t, &cfg)
	cfg.Batch = 1
	m := newMAE(t, cfg, channels, seed)
	return m.parameter, m.Student.Parameters()
}
