package mae_test

import (
	"fmt"
	"slices"
	"sort"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/mae"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/vit"
)

func TestReference(t *testing.T) {
	programtest.Reference(t, "mae", map[string]func(*testing.T, string){
		"init_stats": func(t *testing.T, path string) { programtest.InitStatistics(t, path, maeWeights) },
		"augmentation": func(t *testing.T, path string) {
			programtest.Augmentations(t, path, mae.New(), func(p *plan.Plan) []*plan.View { return p.Views })
		},
	}, map[string]func(*testing.T, *golden.Case){"mae": maeCase})
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

// maeModel is a compiled plan and the number of patches that it keeps.
type maeModel struct {
	*programtest.Compiled
	keep int
}

func openMAE(t *testing.T, cfg caseConfig, channels int, seed uint64) maeModel {
	t.Helper()
	m := programtest.Compilation{Opening: programtest.Opening{Objective: mae.New(), Options: map[string]any{
		"mask_ratio": cfg.MaskRatio, "norm_pix_loss": cfg.NormPixLoss, "mlp_ratio": cfg.MLPRatio,
		"decoder_dim": cfg.DecDim, "decoder_depth": cfg.DecDepth, "decoder_heads": cfg.DecHeads,
		"decoder_qkv_bias": cfg.QKVBias == nil || *cfg.QKVBias,
	}, Network: cfg.ViT(channels, vit.PosSinCos), Batch: cfg.Batch}, Seed: seed, Extra: maeResults}.Compile(t)
	return maeModel{m, m.Plan.Masks[0].Length}
}

// maeResults names the nodes that the reference has values of.
func maeResults(m *programtest.Compiled, p *program.Compiler) {
	encoder := m.ViTPass(p.Plan.Passes[0].Name)
	m.Out["out.latent"] = encoder.Tokens
	m.Out["out.patch_embed"] = m.PatchEmbedding(p.Plan.Views[0].Name)
	m.ViTBlocks(encoder, "out.enc.block.%d", "out.enc.attn.%d")
	decoder := 0
	for _, n := range p.Plan.Nodes {
		nodes := m.Outputs(n.Name)
		switch n.Op {
		case "vit_block":
			m.Out[fmt.Sprintf("out.dec.block.%d", decoder)] = nodes[0]
			m.Out[fmt.Sprintf("out.dec.attn.%d", decoder)] = nodes[1]
			decoder++
		case "slice_tokens":
			m.Out["out.pred"] = nodes[0]
		case "patchify", "normalize_patches": // the later of the two is the target
			m.Out["out.target"] = nodes[0]
		case "patch_mse":
			m.Out["out.loss_per_patch"] = nodes[1]
		}
	}
}

// step runs a step with the keep lists that the noise means. The images were shown before.
func (m maeModel) step(t *testing.T, noise []float32) {
	t.Helper()
	patches := m.Config.(vit.Config).Patches()
	if len(noise) != m.Batch*patches {
		t.Fatalf("the case has noise for %d patches and the network %d images of %d", len(noise), m.Batch, patches)
	}
	var keep []int32
	removed := slices.Repeat([]int64{1}, len(noise))
	for b := range m.Batch {
		list := make([]int32, m.keep)
		sdk.KeepFromNoise(programtest.Wide(noise[b*patches:][:patches]), list)
		keep = append(keep, list...)
		for _, k := range list {
			removed[b*patches+int(k)] = 0
		}
	}
	m.Values["out.ids_keep"], m.Values["out.ids_restore"], m.Values["out.mask"] = keep, restoreOrder(noise, m.Batch), removed
	programtest.Step(t, m.Runner, program.Inputs{Masks: []plan.MaskSet{{Name: m.Plan.Masks[0].Name, Values: keep}}})
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
	m := openMAE(t, cfg, c.Tensor(t, "input.images").Shape[1], 1)
	if cfg.LenKeep != nil && m.keep != *cfg.LenKeep {
		t.Fatalf("%s: the plan keeps %d patches, the reference %d", c, m.keep, *cfg.LenKeep)
	}
	m.Load(t, c)
	view := m.Plan.Views[0].Name
	m.Show(t, c, view, "input.images")
	m.step(t, c.F32(t, "input.noise"))
	m.CompareResults(t, c, cfg.Trainable, cfg.Frozen)
	if cfg.Trajectory != nil {
		m.Train(t, c, cfg.Trajectory.AdamW(t, m.Compiled, func(s int) {
			m.Show(t, c, view, fmt.Sprintf("traj.input.images.%d", s))
			m.step(t, c.F32(t, fmt.Sprintf("traj.input.noise.%d", s)))
		}))
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
	m := openMAE(t, cfg, channels, 1)
	cfg.Load(t, m.Parameter)
	cfg.Images(t, m.View(m.Plan.Views[0].Name))
	noise := make([]float32, cfg.Batch*m.Config.(vit.Config).Patches())
	cfg.Fill(noise, programtest.NoiseTensor, func(x uint64) float32 { return float32(float64(x) / (1 << 20)) })
	for i, v := range cfg.NoiseCheck {
		if float64(noise[i]) != v {
			t.Fatalf("%s: noise[%d] = %v, the config says %v", c, i, noise[i], v)
		}
	}
	m.step(t, noise)

	c.CompareScalar(t, "loss", m.Loss())
	latent, pred := m.Out["out.latent"], m.Out["out.pred"]
	tokens, width := latent.Shape()[1], latent.Shape()[2]
	got := map[string][]float64{}
	for b := range m.Batch {
		got["out.latent_cls"] = append(got["out.latent_cls"], programtest.Wide(latent.Value()[b*tokens*width:][:width])...)
	}
	got["out.pred_first16"] = programtest.Wide(pred.Value()[:16])
	got["out.pred_last_tok100_16"] = programtest.Wide(pred.Value()[((m.Batch-1)*pred.Shape()[1]+100)*pred.Shape()[2]:][:16])
	var encoder, decoder []*core.Node
	for i := range cfg.Depth {
		encoder = append(encoder, m.Out[fmt.Sprintf("out.enc.block.%d", i)])
	}
	for i := range cfg.DecDepth {
		decoder = append(decoder, m.Out[fmt.Sprintf("out.dec.block.%d", i)])
	}
	for k, v := range cfg.BlockSummary(encoder, *cfg.Sample, *cfg.EncoderToken) {
		got["out.enc_block_"+k] = v
	}
	for k, v := range cfg.BlockSummary(decoder, *cfg.Sample, *cfg.DecoderToken) {
		got["out.dec_block_"+k] = v
	}
	for _, name := range []string{"out.ids_restore", "out.mask"} {
		programtest.CompareInts(t, c, name, m.Values[name].([]int64))
	}
	programtest.CompareSummary(t, c, got, "out.ids_restore", "out.mask")
	programtest.CompareGradients(t, c, m.Exec(), cfg.GradRows, m.Parameter)
}

func maeWeights(t *testing.T, stats programtest.InitStats, channels int, seed uint64) (func(name string) *param.Parameter, []*param.Parameter) {
	var cfg caseConfig
	stats.Decode(t, &cfg)
	cfg.Batch = 1
	return openMAE(t, cfg, channels, seed).Weights()
}
