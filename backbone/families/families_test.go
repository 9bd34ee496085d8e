package families_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/backbone/families"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/plugintest"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tasks"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/train"
)

// painter is an objective for networks of any family: it predicts the pixels of all patches.
type painter struct{}

const painterPlugin = "vittool-painter-plugin"

func (painter) Info() sdk.Info { return sdk.Info{Name: "painter", Version: "0.1.0"} }

func (painter) Plan(b *sdk.Builder) error {
	view := b.View("image")
	all := b.BitMask("all", view, func(_ *sdk.MaskCall, _ int, shown []byte) {
		for i := range shown {
			shown[i] = 1
		}
	})
	pixels := b.Linear("decoder", b.Student("encoder", view).PatchTokens(), b.PatchDim())
	return b.Minimize(b.PatchMSE(pixels, b.PatchPixels(view, sdk.ChannelFirst), all))
}

// TestMain lets the test binary be the painter when it is started under its name.
func TestMain(m *testing.M) {
	plugintest.Main(m, host.ServeArgs, objectives.New, map[string]func(){painterPlugin: plugintest.Serve(painter{})})
}

func all() backbone.Families { return append(families.All(), third{}) }

// settings are those of a run of six steps with the third family.
func settings(t *testing.T, overrides ...string) configs.Request {
	t.Helper()
	return configs.Request{Families: all(), Overrides: append([]string{
		"model.name=third_small_patch8_32", "objective.name=painter", "objective.plugin=" + plugintest.Program(t, painterPlugin), "data.path=demo:?count=24&size=32",
		"train.batch_size=8", "train.epochs=0", "train.steps=6", "train.lr=1e-2", "train.warmup_epochs=0", "run.checkpoint_every=3 steps",
		"run.out=" + filepath.Join(t.TempDir(), "run"),
	}, overrides...)}
}

func load(t *testing.T, r configs.Request) *configs.Config {
	t.Helper()
	resolved, err := configs.Load(r)
	if err != nil {
		t.Fatal(err)
	}
	return resolved.Config
}

// stopper ends a run after a step.
type stopper struct {
	at     int
	cancel context.CancelFunc
}

func (s stopper) Start(train.Overview)    {}
func (s stopper) Evaluated(runs.EvalLine) {}
func (s stopper) Event(string)            {}
func (s stopper) Warning(string)          {}
func (s stopper) Done(*train.Result)      {}
func (s stopper) Step(step train.Step) {
	if step.Step == s.at {
		s.cancel()
	}
}

// TestThirdFamily trains, resumes, evaluates and exports a network of a family that no package but
// this test knows.
func TestThirdFamily(t *testing.T) {
	whole, err := train.Pretrain(t.Context(), load(t, settings(t)), train.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := load(t, settings(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := train.Pretrain(ctx, cfg, train.Options{Progress: stopper{4, cancel}}); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	resumed, err := train.Pretrain(t.Context(), cfg, train.Options{Resume: true})
	if err != nil {
		t.Fatal(err)
	}
	if resumed.Step != 6 || resumed.Digest != whole.Digest {
		t.Errorf("resumed to step %d with digest %s, want %s", resumed.Step, resumed.Digest, whole.Digest)
	}

	m, err := tasks.LoadModel(resumed.RunDir, tasks.LoadOptions{Families: all()})
	if err != nil {
		t.Fatal(err)
	}
	if mean := m.Backbone.Weight("norm.running_mean"); m.Info.Family != "third" || !slices.ContainsFunc(mean.Data, func(v float32) bool { return v != 0 }) {
		t.Errorf("read a %s whose running mean is %v", m.Info.Family, mean.Data)
	}
	if _, err := tasks.LoadModel(resumed.RunDir, tasks.LoadOptions{}); err == nil || !strings.Contains(err.Error(), "no tensor is called patch_embed.proj.weight") {
		t.Errorf("without the family: %v", err)
	}
	want := evaluate(t, m, tasks.ExtractOptions{Blocks: []int{0, -1}})
	evaluate(t, m, tasks.ExtractOptions{Height: 48, Width: 16})

	path := filepath.Join(t.TempDir(), "backbone.safetensors")
	if err := m.Export(path); err != nil {
		t.Fatal(err)
	}
	exported, err := tasks.LoadModel(path, tasks.LoadOptions{Families: all()})
	if err != nil {
		t.Fatal(err)
	}
	if got := evaluate(t, exported, tasks.ExtractOptions{Blocks: []int{0, -1}}); !slices.Equal(got.Data, want.Data) {
		t.Error("the exported network has other features")
	}
	foreign(t, path, m)
}

// evaluate extracts features of drawn scenes and classifies them by their neighbors.
func evaluate(t *testing.T, m *tasks.Model, o tasks.ExtractOptions) *tasks.Features {
	t.Helper()
	dev, err := device.NewCPU(0)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	src, err := data.Open(data.Options{Path: "demo:?count=12&size=32", Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	features, err := m.Extract(t.Context(), dev, src, o)
	if err != nil {
		t.Fatal(err)
	}
	if width := m.Info.Dim * max(1, len(o.Blocks)); features.Rows != 12 || features.Dim != width {
		t.Errorf("%d features of width %d, want 12 of %d", features.Rows, features.Dim, width)
	}
	if _, err := (tasks.KNN{K: []int{3}}).Run(dev, features, features); err != nil {
		t.Error(err)
	}
	return features
}

// foreign reads a file without metadata, as another tool writes it.
func foreign(t *testing.T, path string, m *tasks.Model) {
	t.Helper()
	file, err := tensor.ReadSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	bare := filepath.Join(t.TempDir(), "bare.safetensors")
	if err := tensor.WriteSafetensors(bare, file.Tensors, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := tasks.LoadModel(bare, tasks.LoadOptions{Families: all()}); err == nil || !strings.Contains(err.Error(), "those of "+m.Info.Name) {
		t.Errorf("without a name: %v", err)
	}
	if _, err := tasks.LoadModel(bare, tasks.LoadOptions{Families: all(), Model: m.Info.Name}); err != nil {
		t.Error(err)
	}
}

// Parts that the family lacks are refused by name, before anything is trained.
func TestThirdFamilyRefuses(t *testing.T) {
	for override, want := range map[string]string{
		"model.name=third_smal_patch8_32": "did you mean third_small_patch8_32",
		"model.image_size=30":             "no whole number of patches",
		"model.layer_scale=0.1":           "third_small_patch8_32 has neither stochastic depth nor layer scale",
	} {
		if _, err := configs.Load(settings(t, override)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", override, err, want)
		}
	}
	cfg := load(t, settings(t))
	cfg.Objective.Name, cfg.Objective.Plugin, cfg.Objective.Mode = "mae", "", "inproc"
	if _, err := train.Pretrain(t.Context(), cfg, train.Options{}); err == nil || !strings.Contains(err.Error(), `is of the family "third"`) {
		t.Errorf("an objective for transformers: %v", err)
	}
	c, err := all().Variant("third_small_patch8_32")
	if err != nil {
		t.Fatal(err)
	}
	n, err := c.New(param.NewStore(), "", nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := device.NewCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	g := core.NewGraph(dev)
	images := g.Input("images", tensor.Shape{2, 3, 32, 32})
	if _, err := n.Forward(g, images, backbone.Options{Keep: g.InputInt("keep", tensor.Shape{2, 4})}); err == nil || !strings.Contains(err.Error(), "third_small_patch8_32 sees whole images") {
		t.Errorf("a keep list: %v", err)
	}
	out, err := n.Forward(g, images, backbone.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Output(backbone.Class); err == nil || !strings.Contains(err.Error(), "third_small_patch8_32 has no class token") {
		t.Errorf("the class token: %v", err)
	}
}

// Configurations of the default family carry no name of it, so that files of all versions are read
// alike.
func TestEncode(t *testing.T) {
	for name, start := range map[string]string{"vit_micro_patch4_32": `{"name":"vit_micro_patch4_32"`, "third_small_patch8_32": `{"family":"third","Name":`,
		"resnet18_cifar": `{"family":"cnn","name":"resnet18_cifar"`} {
		c, err := all().Variant(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := backbone.Encode(c)
		if err != nil || !strings.HasPrefix(string(text), start) {
			t.Errorf("%s is written %s, error %v", name, text, err)
		}
		if back, err := all().Decode(text); err != nil || back != c {
			t.Errorf("%s is read as %+v, error %v", name, back, err)
		}
	}
	named := fmt.Sprintf(`{"family":%q,"name":"x","image_h":8,"image_w":8,"patch":4,"dim":8,"depth":1,"heads":1}`, backbone.DefaultFamily)
	if c, err := all().Decode([]byte(named)); err != nil || c.Info().Name != "x" {
		t.Errorf("a vit that is called so: %+v, %v", c, err)
	}
	if _, err := all().Decode([]byte(`{"family":"fourth"}`)); err == nil || !strings.Contains(err.Error(), "valid are: vit, cnn, third") {
		t.Errorf("an unknown family: %v", err)
	}
	seen := map[string]bool{}
	for _, f := range all() {
		if seen[f.Name()] || seen[f.Landmark()] {
			t.Errorf("family %s or its landmark %s is there twice", f.Name(), f.Landmark())
		}
		seen[f.Name()], seen[f.Landmark()] = true, true
	}
}
