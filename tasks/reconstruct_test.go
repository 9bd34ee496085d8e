package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/launch"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tasks/pictures"
	"github.com/vittool/vittool/tensor"
)

// maeRun writes a run folder whose only checkpoint is an untrained MAE.
func maeRun(t *testing.T) string {
	t.Helper()
	cfg := configs.Default()
	cfg.Model.Name = "vit_micro_patch4_32"
	network, err := cfg.Backbone()
	if err != nil {
		t.Fatal(err)
	}
	mean, std := cfg.Data.Normalization()
	objective, err := launch.Open(context.Background(), launch.Request{
		Config: &cfg, Network: network, Mode: host.Inproc, Batch: 2, TotalSteps: 1, StepsPerEpoch: 1, Images: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer objective.Close()
	store := param.NewStore()
	model, err := program.Build(devicetest.New(t, 2), store, objective.Plan(), network, 2, 1, program.Options{TotalSteps: 1})
	if err != nil {
		t.Fatal(err)
	}
	meta := map[string]string{"format": "vittool-checkpoint-1", "step": "7", "config": string(cfg.YAML())}
	for key, v := range map[string]any{"model": model.Config, "mean": mean, "std": std} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		meta[key] = string(text)
	}
	run := t.TempDir()
	if err := os.Mkdir(filepath.Join(run, runs.CheckpointsDir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := tensor.WriteSafetensors(filepath.Join(run, runs.CheckpointsDir, "step-00000007.safetensors"), store.Tensors(), meta); err != nil {
		t.Fatal(err)
	}
	return run
}

func TestReconstruct(t *testing.T) {
	path := maeRun(t)
	run, err := OpenRun(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if run.Step != 7 || run.Config.Objective.Name != "mae" {
		t.Errorf("step %d of %s", run.Step, run.Config.Objective.Name)
	}
	src := openData(t, "demo:?count=40&size=48")
	draw := func(threads int, o ReconstructOptions) Reconstruction {
		t.Helper()
		o.Images, o.Mode = src, host.Inproc
		r, err := run.Reconstruct(context.Background(), devicetest.New(t, threads), o)
		if err != nil {
			t.Fatal(err)
		}
		if len(r) != 1 {
			t.Fatalf("%d pictures, want 1", len(r))
		}
		return r[0]
	}
	first := draw(1, ReconstructOptions{Count: 3})
	if dir := os.Getenv("VITTOOL_KEEP_PICTURES"); dir != "" {
		if err := pictures.WritePNG(filepath.Join(dir, "reconstruction.png"), first.Grid); err != nil {
			t.Fatal(err)
		}
	}
	if b := first.Grid.Bounds(); b.Dx() < 4*160 || b.Dy() < 3*160 {
		t.Errorf("the grid is %v", b)
	}
	if !(first.Error > 1 && first.Error < 255) {
		t.Errorf("an untrained network errs by %g levels", first.Error)
	}
	if again := draw(2, ReconstructOptions{IDs: []int{0, 13, 26}}); string(again.Grid.Pix) != string(first.Grid.Pix) || again.Error != first.Error {
		t.Error("the same images by number, on two threads, give another picture")
	}
	if other := draw(2, ReconstructOptions{Count: 3, Seed: 5}); string(other.Grid.Pix) == string(first.Grid.Pix) {
		t.Error("another seed hides the same parts")
	}
}

func TestReconstructRefuses(t *testing.T) {
	path := maeRun(t)
	run, err := OpenRun(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	src := openData(t, "demo:?count=4&size=32")
	for want, o := range map[string]ReconstructOptions{
		"no image 4 among 4": {IDs: []int{4}},
		"-1 images":          {Count: -1},
		"unknown mode \"x\"": {Mode: "x"},
	} {
		o.Images = src
		if _, err := run.Reconstruct(context.Background(), devicetest.New(t, 1), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	export := filepath.Join(t.TempDir(), "backbone.safetensors")
	m, err := LoadModel(path, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Export(export); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRun(export, nil); err == nil || !strings.Contains(err.Error(), "no checkpoint of a run") {
		t.Errorf("an exported backbone: %v", err)
	}
}

func TestOpenImages(t *testing.T) {
	dir := t.TempDir()
	one := filepath.Join(dir, "one.png")
	writeTestImage(t, one, 20, 10, 1)
	src, err := OpenImages(data.Options{Path: one})
	if err != nil {
		t.Fatal(err)
	}
	img, err := src.Image(0)
	if err != nil || src.Len() != 1 || src.Name(0) != "one.png" || img.W != 20 || img.H != 10 || src.Channels() != 3 || src.Class(0) != -1 || src.Fingerprint() == "" {
		t.Errorf("%d images, %s of %v, %v", src.Len(), src.Name(0), img, err)
	}
	if src, err = OpenImages(data.Options{Path: dir}); err != nil || src.Len() != 1 {
		t.Errorf("a folder: %v", err)
	}
	content, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	for name, bytes := range map[string][]byte{"cut.png": content[:60], "text.png": []byte("hello"), "empty.png": {}} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, bytes, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenImages(data.Options{Path: path}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenImages(data.Options{Path: filepath.Join(dir, "nothing")}); err == nil {
		t.Error("a missing file was opened")
	}
}

func TestSpreadIDs(t *testing.T) {
	for _, c := range []struct {
		total, n int
		want     string
	}{{10, 3, "[0 3 6]"}, {2, 8, "[0 1]"}, {0, 4, "[]"}} {
		if got := fmt.Sprint(spreadIDs(c.total, c.n)); got != c.want {
			t.Errorf("%d of %d: %s, want %s", c.n, c.total, got, c.want)
		}
	}
}
