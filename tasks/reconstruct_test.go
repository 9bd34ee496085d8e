package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/launch"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tasks/pictures"
	"github.com/vittool/vittool/tensor"
)

// maeRun writes a run folder whose only checkpoint is an untrained MAE with a number of steps.
func maeRun(t *testing.T, step int) string {
	t.Helper()
	cfg := configs.Default()
	cfg.Model.Name = "vit_micro_patch4_32"
	cfg.Objective.Options = map[string]any{"decoder_dim": 32, "decoder_depth": 1, "decoder_heads": 2}
	network := must.Get(cfg.Backbone())(t)
	mean, std := cfg.Data.Normalization()
	objective := must.Get(launch.Open(context.Background(), launch.Request{
		Config: &cfg, Network: network, Mode: host.Inproc, Batch: 2, TotalSteps: 1, StepsPerEpoch: 1, Images: 2,
	}))(t)
	defer objective.Close()
	store := param.NewStore()
	model := must.Get(program.Build(devicetest.New(t, 2), store, objective.Plan(), network, 2, 1, program.Options{TotalSteps: 1}))(t)
	meta := map[string]string{"format": "vittool-checkpoint-1", "step": strconv.Itoa(step), "config": string(cfg.YAML())}
	for key, v := range map[string]any{"model": model.Config, "mean": mean, "std": std} {
		text := must.Get(json.Marshal(v))(t)
		meta[key] = string(text)
	}
	run := t.TempDir()
	must.Do(t, os.Mkdir(filepath.Join(run, runs.CheckpointsDir), 0o755))
	must.Do(t, tensor.WriteSafetensors(filepath.Join(run, runs.CheckpointsDir, fmt.Sprintf("step-%08d.safetensors", step)), store.Tensors(), meta))
	return run
}

func TestReconstruct(t *testing.T) {
	path := maeRun(t, 7)
	run := must.Get(OpenRun(path, nil))(t)
	if run.Step != 7 || run.Config.Objective.Name != "mae" {
		t.Errorf("step %d of %s", run.Step, run.Config.Objective.Name)
	}
	src := openData(t, "demo:?count=40&size=48")
	draw := func(threads int, o ReconstructOptions) Reconstruction {
		t.Helper()
		o.Images, o.Mode = src, host.Inproc
		r := must.Get(run.Reconstruct(context.Background(), devicetest.New(t, threads), o))(t)
		if len(r) != 1 {
			t.Fatalf("%d pictures, want 1", len(r))
		}
		return r[0]
	}
	first := draw(1, ReconstructOptions{Count: 3})
	if dir := os.Getenv("VITTOOL_KEEP_PICTURES"); dir != "" {
		must.Do(t, pictures.WritePNG(filepath.Join(dir, "reconstruction.png"), first.Grid))
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
	// The statistics of the hidden patches make an untrained network look better than it is.
	original := draw(2, ReconstructOptions{Count: 3, Statistics: program.OriginalStatistics})
	if !(original.Error < 0.95*first.Error && original.FlatError < 0.95*first.FlatError && first.FlatError < first.Error) {
		t.Errorf("errors %g and %g (flat) with visible statistics, %g and %g with the original ones", first.Error, first.FlatError, original.Error, original.FlatError)
	}
	if other := draw(2, ReconstructOptions{Count: 3, Seed: 5}); string(other.Grid.Pix) == string(first.Grid.Pix) {
		t.Error("another seed hides the same parts")
	}
}

// TestPicturesOfSteps: later pictures of a run show the same images with the same masks.
func TestPicturesOfSteps(t *testing.T) {
	src := openData(t, "demo:?count=40&size=48")
	var first *predictions
	for _, step := range []int{7, 900} {
		run, err := OpenRun(maeRun(t, step), nil)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := run.predict(context.Background(), devicetest.New(t, 2), ReconstructOptions{Images: src, Count: 3, Mode: host.Inproc})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = shown
			continue
		}
		a, b := first.pictures[0], shown.pictures[0]
		if !slices.Equal(a.Masked, b.Masked) || !slices.Equal(a.Original, b.Original) || !slices.Equal(first.names, shown.names) {
			t.Errorf("step %d shows other images or masks than step 7", step)
		}
	}
}

// TestReconstructionRow: every column has the right pixels, and the errors are those of the hidden
// pixels alone.
func TestReconstructionRow(t *testing.T) {
	n := pictures.Normalization{Mean: []float64{0, 0, 0}, Std: []float64{1, 1, 1}}
	fill := func(levels ...float32) []float32 { // [3, 1, 2]
		out := make([]float32, 0, 6)
		for range 3 {
			for _, v := range levels {
				out = append(out, v/255)
			}
		}
		return out
	}
	p := program.Picture{Batch: 1, Channels: 3, Height: 1, Width: 2, PatchNormalized: true,
		Original: fill(10, 20), Prediction: fill(200, 50), Flat: fill(200, 24), Masked: []bool{false, true}}
	row, err := reconstructionRow(p, n, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	gray := hiddenColor.R
	for i, want := range [][2]uint8{{10, 20}, {10, gray}, {gray, 50}, {10, 50}} {
		pix := row.cells[i].Image.(*image.RGBA).Pix
		if pix[0] != want[0] || pix[4] != want[1] {
			t.Errorf("column %d has the levels %d and %d, want %v", i, pix[0], pix[4], want)
		}
	}
	if row.error.rms() != 30 || row.flat.rms() != 4 {
		t.Errorf("error %g and %g (flat), want 30 and 4", row.error.rms(), row.flat.rms())
	}
	if row, err = reconstructionRow(p, n, 0, false); err != nil || len(row.cells) != 2 || row.error.count != 6 {
		t.Errorf("without a mask: %d columns, error over %d values, %v", len(row.cells), row.error.count, err)
	}
}

func TestReconstructRefuses(t *testing.T) {
	path := maeRun(t, 7)
	run := must.Get(OpenRun(path, nil))(t)
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
	m := must.Get(LoadModel(path, LoadOptions{}))(t)
	must.Do(t, m.Export(export))
	if _, err := OpenRun(export, nil); err == nil || !strings.Contains(err.Error(), "no checkpoint of a run") {
		t.Errorf("an exported backbone: %v", err)
	}
}

func TestOpenImages(t *testing.T) {
	dir := t.TempDir()
	one := filepath.Join(dir, "one.png")
	writeTestImage(t, one, 20, 10, 1)
	src := must.Get(OpenImages(data.Options{Path: one}))(t)
	img, err := src.Image(0)
	if err != nil || src.Len() != 1 || src.Name(0) != "one.png" || img.W != 20 || img.H != 10 || src.Channels() != 3 || src.Class(0) != -1 || src.Fingerprint() == "" {
		t.Errorf("%d images, %s of %v, %v", src.Len(), src.Name(0), img, err)
	}
	if src, err = OpenImages(data.Options{Path: dir}); err != nil || src.Len() != 1 {
		t.Errorf("a folder: %v", err)
	}
	content := must.Get(os.ReadFile(one))(t)
	for name, bytes := range map[string][]byte{"cut.png": content[:60], "text.png": []byte("hello"), "empty.png": {}} {
		path := filepath.Join(dir, name)
		must.Do(t, os.WriteFile(path, bytes, 0o644))
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
