package bench

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives"
)

// smallResNet is a step of the ResNets' preset that takes no time worth mentioning.
func smallResNet(t *testing.T, more ...string) configs.Config {
	t.Helper()
	overrides := append(Overrides(), "data.path=demo:?count=24&size=32", "model.width=0.0625", "model.image_size=16", "train.batch_size=8", "objective.mode=inproc")
	r := must.Get(configs.Load(configs.Request{Presets: objectives.Presets(), Configs: []string{ResNetPreset}, Overrides: append(overrides, more...)}))(t)
	return *r.Config
}

// TestComparePyTorch: the variants of a ResNet's step take turns with ours in one session; those that
// the peer can't compute are told and don't end it.
func TestComparePyTorch(t *testing.T) {
	answeringPython(t)
	r := must.Get(Run(t.Context(), Options{Config: smallResNet(t), Warmup: 1, Rounds: 3, PyTorch: true, Compiled: true}))(t)
	if len(r.Comparison) != 2 {
		t.Fatalf("%d comparisons, want those of the two eager variants: %+v", len(r.Comparison), r.Comparison)
	}
	for i, want := range []struct {
		peer      string
		wall, cpu float64
		best      bool
	}{{"PyTorch 0", 400, 800, false}, {"PyTorch 0, channels_last", 200, 300, true}} {
		c := r.Comparison[i]
		if c.Peer != want.peer || c.Theirs.Median != want.wall || c.TheirsCPU.Median != want.cpu || c.Best != want.best {
			t.Errorf("comparison %d is %+v, want %v", i, c, want)
		}
		if c.Model != "resnet18_cifar" || c.Batch != 8 || c.Ours.Count != 3 || c.OursCPU.Count != 3 {
			t.Errorf("comparison %d is %+v", i, c)
		}
		if c.Ratio.Max != want.wall/c.Ours.Min || c.OursCPU.Min <= 0 || c.RatioCPU.Max != want.cpu/c.OursCPU.Min {
			t.Errorf("ratios of comparison %d: %+v", i, c)
		}
	}
	if len(r.Notes) != 2 {
		t.Errorf("notes %q, want one for each variant that needs a compiler", r.Notes)
	}
	var text bytes.Buffer
	must.Do(t, r.WriteText(&text))
	for _, want := range []string{"a step of resnet18_cifar, batch 8", "PyTorch 0, channels_last", "fastest variant",
		"not measured: PyTorch 0, compiled: PyTorch driver: no C++ compiler", "not measured: PyTorch 0, compiled, channels_last"} {
		if strings.Count(text.String(), want) != 1 {
			t.Errorf("%q is not in the text once:\n%s", want, &text)
		}
	}
}

// TestCompareCompilesNothing: a session of which no variant can be computed has no comparison.
func TestCompareCompilesNothing(t *testing.T) {
	answeringPython(t)
	r := must.Get(Run(t.Context(), Options{Config: small(t), Compiled: true}))(t)
	if len(r.Comparison) != 0 || len(r.Notes) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestPeerOf: the peer gets the sizes of the step that is compared, or the setting is refused that
// it can't follow.
func TestPeerOf(t *testing.T) {
	got := must.Get(peerOf(smallResNet(t), 2))(t)
	if want := (PyTorchOptions{Model: "resnet18_cifar", Batch: 8, Threads: 2, Image: 16, Bank: 24, Width: 0.0625}); got != want {
		t.Errorf("ResNet: %+v, want %+v", got, want)
	}
	got = must.Get(peerOf(small(t), 1))(t)
	if want := (PyTorchOptions{Model: "vit_micro_patch4_32", Batch: 8, Threads: 1, Decoder: [3]int{32, 1, 2}}); got != want {
		t.Errorf("ViT: %+v, want %+v", got, want)
	}
	for key, override := range map[string]string{
		"objective.options.negatives": "objective.options.negatives=16",
		"model.image_size":            "model.image_size=16x32",
	} {
		var e *configs.Error
		if _, err := peerOf(smallResNet(t, override), 1); !errors.As(err, &e) || e.Key != key || e.Hint == "" {
			t.Errorf("%s: %v, want an error of the key %s with a remedy", override, err, key)
		}
	}
	cfg := smallResNet(t)
	cfg.Objective.Name = "moco"
	var e *configs.Error
	if _, err := peerOf(cfg, 1); !errors.As(err, &e) || e.Key != "objective.name" || !strings.Contains(e.Hint, ResNetPreset) {
		t.Errorf("moco: %v", err)
	}
	cfg = smallResNet(t)
	cfg.Data.Path = filepath.Join(t.TempDir(), "nowhere")
	if _, err := peerOf(cfg, 1); err == nil {
		t.Error("a bank for images that are not there")
	}
}
