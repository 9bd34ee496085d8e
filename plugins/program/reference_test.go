package program_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/mae"
	"github.com/vittool/vittool/objectives/mocov3"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/vit"
)

// TestReference runs every file of the reference folders of the network and the objectives. What a file holds follows from
// its own config; a file that cannot be interpreted fails.
func TestReference(t *testing.T) {
	for _, folder := range []string{"vit", "mae", "dino", "beit", "sit", "mocov3"} {
		for _, path := range golden.Files(t, folder) {
			t.Run(golden.Name(path), func(t *testing.T) { referenceFile(t, path) })
		}
	}
}

func referenceFile(t *testing.T, path string) {
	switch golden.Name(path) {
	case "vit/init_stats":
		initStatistics(t, path, vitWeights)
		return
	case "mae/init_stats":
		initStatistics(t, path, maeWeights)
		return
	case "dino/init_stats":
		initStatistics(t, path, dinoWeights)
		return
	case "mocov3/init_stats":
		initStatistics(t, path, mocoWeights)
		return
	case "mocov3/augmentation":
		augmentations(t, path, mocov3.New(), (*pb.Plan).GetViews)
		return
	case "sit/init_stats":
		initStatistics(t, path, sitWeights)
		return
	case "sit/augmentation":
		sitAugmentations(t, path)
		return
	case "sit/corruption_stats":
		sitCorruptions(t, path)
		return
	case "beit/init_stats":
		initStatistics(t, path, beitWeights)
		return
	case "beit/augmentation":
		beitAugmentation(t, path)
		return
	case "beit/masking_stats":
		maskingStatistics(t, path)
		return
	case "mae/augmentation":
		augmentations(t, path, mae.New(), (*pb.Plan).GetViews)
		return
	case "dino/augmentation":
		dinoAugmentations(t, path)
		return
	}
	c := golden.Whole(t, path)
	var kind struct {
		Objective string `json:"objective"`
	}
	c.ConfigInto(t, &kind)
	switch kind.Objective {
	case "vit":
		vitForward(t, c)
	case "vit_sincos":
		sinCosTables(t, c)
	case "vit_pos_interp":
		positionInterpolation(t, c)
	case "vit_procedural":
		proceduralViT(t, c)
	case "mae":
		maeCase(t, c)
	case "dino":
		dinoCase(t, c)
	case "mocov3":
		mocoCase(t, c)
	case "sit":
		sitCase(t, c)
	case "beit":
		beitCase(t, c)
	case "dalle_encoder":
		dalleEncoder(t, c)
	case "mae_procedural":
		proceduralMAE(t, c)
	default:
		t.Fatalf("%s: there is no test for a case of objective %q", path, kind.Objective)
	}
}

// networkConfig is what the reference says of a network, whatever is done with it.
type networkConfig struct {
	Size      imageSize `json:"img_size"`
	Patch     int       `json:"patch"`
	Dim       int       `json:"dim"`
	Depth     int       `json:"depth"`
	Heads     int       `json:"heads"`
	MLPRatio  float64   `json:"mlp_ratio"`
	QKVBias   *bool     `json:"qkv_bias"`
	LNEps     float64   `json:"ln_eps"`
	Batch     int       `json:"batch"`
	Trainable []string  `json:"trainable"`
	Frozen    []string  `json:"frozen"`
}

// caseConfig is a network with the objective of masked autoencoding.
type caseConfig struct {
	networkConfig
	DecDim      int         `json:"dec_dim"`
	DecDepth    int         `json:"dec_depth"`
	DecHeads    int         `json:"dec_heads"`
	MaskRatio   float64     `json:"mask_ratio"`
	NormPixLoss bool        `json:"norm_pix_loss"`
	LenKeep     *int        `json:"len_keep"`
	Trajectory  *trajectory `json:"traj"`
	procedural
}

// trajectory is the training recipe of a case.
type trajectory struct {
	Optimizer      string     `json:"optimizer"`
	LR             float64    `json:"lr"`
	MinLR          float64    `json:"min_lr"`
	Betas          [2]float64 `json:"betas"`
	Eps            float64    `json:"eps"`
	WeightDecay    float64    `json:"weight_decay"`
	WarmupEpochs   float64    `json:"warmup_epochs"`
	Epochs         float64    `json:"epochs"`
	ItersPerEpoch  int        `json:"iters_per_epoch"`
	FirstIteration int        `json:"first_iteration"`
	Steps          int        `json:"steps"`
	NoDecay        []string   `json:"no_decay"`
}

// imageSize is one number or height and width.
type imageSize struct{ H, W int }

func (s *imageSize) UnmarshalJSON(b []byte) error {
	var one int
	if json.Unmarshal(b, &one) == nil {
		s.H, s.W = one, one
		return nil
	}
	return json.Unmarshal(b, &[]any{&s.H, &s.W})
}

// vit is the encoder that the case describes.
func (c networkConfig) vit(channels int, positions vit.PosEmbed) vit.Config {
	return vit.Config{
		Name: "reference", ImageH: c.Size.H, ImageW: c.Size.W, Patch: c.Patch, Channels: channels,
		Dim: c.Dim, Depth: c.Depth, Heads: c.Heads, MLPRatio: c.MLPRatio, LNEps: c.LNEps,
		QKVBias: c.QKVBias == nil || *c.QKVBias, PosEmbed: positions, ClassToken: true,
	}
}

func newEngine(t testing.TB) *device.CPU {
	t.Helper()
	e, err := device.NewCPU(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// vitPass returns the nodes of a pass of a ViT.
func vitPass(m *program.Model, name string) (*vit.Outputs, error) {
	out, err := m.Pass(name)
	if err != nil {
		return nil, err
	}
	return out.(*vit.Outputs), nil
}

// attention is the softmax weights of a block that the network has.
func attention(o *vit.Outputs, block int) *core.Node {
	n, err := o.Attention(block)
	if err != nil {
		panic(err)
	}
	return n
}

// student is the student of a model with a ViT.
func student(m *program.Model) *vit.Backbone { return m.Student.(*vit.Backbone) }

// loadBackbone fills a backbone from "param.<name>"; each of its weights must be there.
func loadBackbone(t testing.TB, c *golden.Case, b *vit.Backbone) {
	t.Helper()
	for _, p := range b.Weights() {
		name := "param." + p.Name
		if s := c.Tensor(t, name).Shape; !s.Equal(p.Shape) {
			t.Fatalf("%s: %s is %v, the network has %v", c, name, s, p.Shape)
		}
		copy(p.Data, c.F32(t, name))
	}
}

func run(t testing.TB, e *core.Executable) {
	t.Helper()
	if err := e.Run(); err != nil {
		t.Fatal(err)
	}
}

// readsAll fails if a case holds a tensor that no part of the test reads.
func readsAll(t testing.TB, c *golden.Case, known ...string) {
	t.Helper()
	for _, name := range c.Names("") {
		if !slices.ContainsFunc(known, func(k string) bool { return name == k || strings.HasSuffix(k, ".") && strings.HasPrefix(name, k) }) {
			t.Errorf("%s: there is no test for %s", c, name)
		}
	}
}

// requireOutputs fails where the file lacks a result that its kind has. Attention and the blocks of a second view are
// the exceptions: the official files hold those of some passes only.
func requireOutputs(t testing.TB, c *golden.Case, computed map[string]*core.Node, more ...string) {
	t.Helper()
	for _, name := range append(sortedKeys(computed), more...) {
		if !strings.Contains(name, "attn") && !(strings.Contains(name, ".block.") && strings.HasSuffix(name, ".view1")) {
			c.Require(t, name)
		}
	}
}

// fillView copies images into the input of a view; both must have the same size.
func fillView(t testing.TB, dst, images []float32) {
	t.Helper()
	if len(dst) != len(images) {
		t.Fatalf("the case has images of %d values and the network that its config describes reads %d", len(images), len(dst))
	}
	copy(dst, images)
}

// stripped cuts a prefix off all names.
func stripped(names []string, prefix string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.TrimPrefix(n, prefix)
	}
	return out
}
