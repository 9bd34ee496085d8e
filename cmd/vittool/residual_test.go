//go:build unix

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/tensor"
)

// residualArgs is a training of a narrow residual network in a moment.
func residualArgs(objective string, more ...string) []string {
	return slices.Concat([]string{"pretrain", "--objective", objective, "--model", "resnet18_cifar", "--data", "demo:?count=24&size=32", "--out", "run",
		"--steps", "3", "model.width=0.0625", "train.batch_size=8", "train.warmup_epochs=0"}, more)
}

// TestResidualWorkflow trains a residual network and uses it as a user does.
func TestResidualWorkflow(t *testing.T) {
	dir := t.TempDir()
	small := []string{"objective.options.mlp_dim=16", "objective.options.dim=8"}
	vittool(t, dir, residualArgs("mocov3", small...)...).mustEnd(t, exitDone, "step 3/3")
	config, err := os.ReadFile(filepath.Join(dir, "run", "config.yaml"))
	if err != nil || !strings.Contains(string(config), "width: 0.0625") {
		t.Errorf("the run's settings lack the width (%v):\n%s", err, config)
	}
	probes := []string{"--train", "demo:?count=40", "--test", "demo:?count=20&seed=1"}
	for _, s := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"report", []string{"report", "run"}, exitDone, []string{"resnet18_cifar"}},
		{"knn", slices.Concat([]string{"eval", "knn", "--from", "run", "--k", "5"}, probes), exitDone, []string{"mean of the map of stage 3, trained network", "knn 5"}},
		{"linear, of two stages", slices.Concat([]string{"eval", "linear", "--from", "run", "--iterations", "3", "--blocks", "2,3"}, probes), exitDone, []string{"of stage 2, 3", "linear"}},
		{"embed at another size", []string{"embed", "--from", "run", "--data", "demo:?count=6", "--image-size", "45x30", "--to", "f.npy"}, exitDone, []string{"6 images × 32 numbers"}},
		{"export", []string{"export", "--from", "run", "--to", "b.safetensors"}, exitDone, []string{"b.safetensors: resnet18_cifar, 100 tensors"}},
		{"knn of the export", slices.Concat([]string{"eval", "knn", "--from", "b.safetensors", "--k", "5"}, probes), exitDone, []string{"stage 3"}},
		{"no class token", []string{"embed", "--from", "run", "--data", "demo:?count=6", "--pool", "class", "--to", "g.npy"}, exitUsage, []string{"resnet18_cifar has no class token"}},
		{"no such stage", []string{"embed", "--from", "run", "--data", "demo:?count=6", "--blocks", "4", "--to", "g.npy"}, exitUsage, []string{"stage 4", "has 4 stages"}},
		{"no attention", []string{"attention", "--from", "run", "--data", "demo:?count=2", "--to", "a.png"}, exitUsage, []string{"resnet18_cifar has no attention"}},
		{"an objective of tokens", residualArgs("mae", "run.out=other"), exitUsage, []string{"plugin mae", "resnet18_cifar", "cnn"}},
		{"width of a transformer", []string{"pretrain", "--objective", "mae", "--model", "vit_micro_patch4_32", "--data", "demo:", "--out", "other", "model.width=0.5"}, exitUsage, []string{"model.width", "part of its name"}},
		{"mistyped", []string{"pretrain", "--model", "resnet18_cifer", "--out", "other"}, exitUsage, []string{"did you mean resnet18_cifar?"}},
	} {
		t.Run(s.name, func(t *testing.T) {
			o := vittool(t, dir, s.args...)
			o.mustEnd(t, s.code)
			for _, w := range s.want {
				if !strings.Contains(o.stdout+o.stderr, w) {
					t.Errorf("it prints no %q:\n%s%s", w, o.stdout, o.stderr)
				}
			}
		})
	}
	file, err := tensor.ReadSafetensors(filepath.Join(dir, "b.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	mean, ok := file.Get("layer4.1.bn2.running_mean")
	if v, err := mean.Float32s(); !ok || err != nil || !slices.ContainsFunc(v, func(x float32) bool { return x != 0 }) {
		t.Errorf("the export's running mean is %v, error %v", v, err)
	}
}
