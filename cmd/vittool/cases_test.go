//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tensor"
)

// TestCasesOfClassFolders evaluates sets of images whose classes are not quite alike.
func TestCasesOfClassFolders(t *testing.T) {
	dir := t.TempDir()
	vittool(t, dir, pretrainTiny("--steps", "1")...).mustEnd(t, exitDone)
	sets := ownClassFolders(t, dir)
	if golden.SharedExists(t) {
		shared := filepath.Join(golden.Shared(t), "cases", "folders", "class-folders")
		sets = append(sets,
			classFolders{shared, "train", "val_same", 12, nil},
			classFolders{shared, "train", "val_without_b", 9, []string{"classes without test images: b"}},
			classFolders{shared, "train", "val_with_e", 12, []string{"classes without training images", "e (1 images)"}},
			classFolders{shared, "train", "val_stray", 12, []string{"without a class are left out: 1, such as overview.png"}},
			classFolders{shared, "accent_train", "accent_val", 4, []string{"two Unicode forms", "caf"}})
	}
	for _, s := range sets {
		t.Run(s.train+" "+s.test, func(t *testing.T) {
			o := vittool(t, dir, "eval", "knn", "--from", "run", "--k", "1", "--json",
				"--train", filepath.Join(s.folder, s.train), "--test", filepath.Join(s.folder, s.test))
			if s.right == 0 {
				o.mustEnd(t, exitData, s.words...)
				return
			}
			o.mustEnd(t, exitDone, s.words...)
			if n := strings.Count(o.stderr, "\n"); n > 2 || len(s.words) == 0 && n != 0 {
				t.Errorf("%d lines are printed", n)
			}
			var r evalResult
			must.Do(t, json.Unmarshal([]byte(o.stdout), &r))
			if r.TestRows != s.right || r.Scores[0].Top1 != 1 {
				t.Errorf("%g of %d right, want all of %d", r.Scores[0].Top1, r.TestRows, s.right)
			}
		})
	}
}

// classFolders are two sets of images and how many test images count, all of them right; 0 where
// the command ends before any feature is computed.
type classFolders struct {
	folder, train, test string
	right               int
	words               []string
}

// ownClassFolders makes the smallest sets of each kind.
func ownClassFolders(t *testing.T, dir string) []classFolders {
	const composed, decomposed = "caf\u00e9", "cafe\u0301"
	colors := map[string]color.RGBA{"a": {200, 0, 0, 255}, "b": {0, 200, 0, 255}, composed: {0, 0, 200, 255}, decomposed: {0, 0, 200, 255}, "e": {99, 99, 0, 255}}
	for set, classes := range map[string][]string{
		"train": {"a", "b", composed}, "same": {"a", "b", composed}, "fewer": {"a"}, "more": {"a", "e"}, "other": {"e"},
		"accents": {"a", decomposed}, "both": {composed, decomposed, "b"},
	} {
		for _, class := range classes {
			m := image.NewRGBA(image.Rect(0, 0, 32, 32))
			draw.Draw(m, m.Rect, gradient(32, 32), image.Point{}, draw.Src)
			for i := range 400 {
				m.SetRGBA(i%20, i/20, colors[class])
			}
			writeTo(t, dir, filepath.Join(set, class, "0.png"), encodePNG(m))
		}
	}
	writeTo(t, dir, "stray/a/0.png", mustRead(t, filepath.Join(dir, "train", "a", "0.png")))
	writeTo(t, dir, "stray/overview.png", encodePNG(gradient(32, 32)))
	writeTo(t, dir, "loose/0.png", encodePNG(gradient(32, 32)))
	mkdir(t, dir, "empty/b")
	writeTo(t, dir, "empty/a/0.png", mustRead(t, filepath.Join(dir, "train", "a", "0.png")))
	writeTo(t, dir, "same.csv", []byte("image,category\nsame/a/0.png,a\nsame/b/0.png,b\n"))
	return []classFolders{
		{dir, "train", "same", 3, nil},
		{dir, "train", "fewer", 1, []string{"classes without test images: b, " + composed}},
		{dir, "train", "empty", 1, []string{"classes without test images: b, " + composed}},
		{dir, "train", "more", 1, []string{"without test images: b", "their test images left out: e (1 images)"}},
		{dir, "train", "stray", 1, []string{"left out: 1, such as overview.png", "without test images: b"}},
		{dir, "train", "accents", 2, []string{"two Unicode forms, and taken as one: " + decomposed}},
		{dir, "both", "same", 2, []string{"two Unicode forms"}},
		{dir, "train", "same.csv", 2, []string{"without test images: " + composed}},
		{dir, "train", "other", 0, []string{"has no class (e) in common"}},
		{dir, "train", "loose", 0, []string{"loose: its images have no labels"}},
		{dir, "fewer", "same", 0, []string{"one class, a"}},
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	return must.Get(os.ReadFile(path))(t)
}

// TestCasesOfInput gives foreign weights a normalization and a fitting, and reads both in the
// result.
func TestCasesOfInput(t *testing.T) {
	dir := t.TempDir()
	vittool(t, dir, pretrainTiny("--steps", "1")...).mustEnd(t, exitDone)
	vittool(t, dir, "export", "--from", "run", "--to", "own.safetensors").mustEnd(t, exitDone)
	describedWeights(t, dir)
	embed := func(args ...string) outcome {
		return vittool(t, dir, append([]string{"embed", "--data", "demo:?count=2", "--to", "f.npy", "--overwrite", "--json"}, args...)...)
	}
	foreign := func(sub string, args ...string) []string {
		return append([]string{"--from", sub + "/model.safetensors", "--model", "vit_nano_patch4_32"}, args...)
	}
	for _, c := range []struct {
		args []string
		want string // crop, crop_pct, resize, as it is, interpolation, size, mean, deviation, source
	}{
		{[]string{"--from", "own.safetensors"}, "center 0.875 0 true bicubic 32x32 0.485 0.229 as the file says"},
		{foreign("bare"), "center 0.875 0 false bicubic 32x32 0.485 0.229 ImageNet's: the file says nothing of its own"},
		{foreign("bare", "--norm", "inception"), "center 0.875 0 false bicubic 32x32 0.5 0.5 as asked for"},
		{foreign("bare", "--mean", "0.1,0.2,0.3", "--std", "1,1,1", "--image-size", "16x48"), "center 0.875 0 false bicubic 16x48 0.1 1 as asked for"},
		{foreign("card"), "squash 0.9 0 false bilinear 32x32 0.5 0.4 as config.json beside the weights says"},
		{foreign("card", "--norm", "none", "--resize", "40"), "center 0 40 false bilinear 32x32 0 1 as asked for"},
		{foreign("old", "--crop-pct", "1"), "center 1 0 false bicubic 32x32 0.5 0.5 as config.json beside the weights says"},
		{foreign("other", "--norm", "clip"), "center 0.875 0 false bicubic 32x32 0.48145466 0.26862954 as asked for"},
		{foreign("crop"), "center 0.95 0 false bilinear 32x32 0.485 0.229 ImageNet's: the file says nothing of its own"},
		{foreign("half"), "center 0.95 0 false bicubic 32x32 0.485 0.229 ImageNet's: the file says nothing of its own"},
		{foreign("hf"), "center 0.875 0 false bicubic 32x32 0.3 0.2 as preprocessor_config.json beside the weights says"},
		{foreign("bytes", "--norm", "inception"), "center 0.875 0 false bicubic 32x32 0.5 0.5 as asked for"},
		{foreign("border", "--crop-pct", "0.8"), "center 0.8 0 false bilinear 32x32 0.5 0.4 as config.json beside the weights says"},
	} {
		o := embed(c.args...)
		o.mustEnd(t, exitDone)
		var r struct{ Input inputResult }
		must.Do(t, json.Unmarshal([]byte(o.stdout), &r))
		i := r.Input
		got := fmt.Sprint(i.Crop, " ", i.CropPct, i.Resize, i.AsIs, " ", i.Interpolation, fmt.Sprintf(" %dx%d ", i.Height, i.Width), i.Mean[0], i.Std[0], " ", i.Normalization)
		if got != c.want {
			t.Errorf("%v:\ngot  %s\nwant %s", c.args, got, c.want)
		}
	}
	for sub, want := range map[string]string{
		"half": "config.json beside the weights states a mean and no standard deviation",
		"size": "config.json beside the weights: input_size [3 31 32] is not taken",
	} {
		if o := embed(foreign(sub)...); !strings.Contains(o.stderr, want) {
			t.Errorf("%s: %q does not say %q", sub, o.stderr, want)
		}
	}
	for _, c := range []struct {
		args  []string
		code  int
		words []string
	}{
		{foreign("bytes"), exitData, []string{"bytes/config.json", "mean 123.7", "by 255"}},
		{foreign("bare", "--mean", "120,120,120", "--std", "60,60,60"), exitUsage, []string{"--mean 120", "divide those of bytes by 255"}},
		{foreign("bare", "--mean", "0,0,0", "--std", "60,60,60"), exitUsage, []string{"--std 60", "divide those of bytes by 255"}},
		{foreign("other"), exitUsage, []string{"other/config.json", "resnet50.a1_in1k", "--norm"}},
		{foreign("border"), exitData, []string{"config.json", `crop_mode "border"`, "--crop-pct"}},
		{foreign("torn"), exitData, []string{"torn/config.json", "may describe the weights"}},
		{foreign("bare", "--norm", "imagnet"), exitUsage, []string{"--norm imagnet", "inception"}},
		{foreign("bare", "--norm", "clip", "--mean", "1,1,1"), exitUsage, []string{"--norm stands for"}},
		{foreign("bare", "--mean", "1,1,1"), exitUsage, []string{"--std has 0"}},
		{foreign("bare", "--resize", "20"), exitUsage, []string{"--resize 20 does not cover", "32 or more"}},
		{foreign("bare", "--resize", "40", "--crop-pct", "0.9"), exitUsage, []string{"two ways"}},
		{foreign("bare", "--crop-pct", "2"), exitUsage, []string{"--crop-pct 2", "0.0625 to 1"}},
		{foreign("bare", "--image-size", "30x32"), exitUsage, []string{"30"}},
		{foreign("bare", "--image-size", "32x"), exitUsage, []string{"160x224"}},
	} {
		embed(c.args...).mustEnd(t, c.code, c.words...)
	}
	vittool(t, dir, pretrainTiny("--steps", "1", "--image-size", "16x32", "--out", "wide")...).mustEnd(t, exitDone)
}

// describedWeights puts weights without metadata, own.safetensors without its own, into folders with
// descriptions of several kinds.
func describedWeights(t *testing.T, dir string) {
	for _, sub := range []string{"bare", "card", "old", "other", "border", "torn", "crop", "half", "hf", "bytes", "size"} {
		strip(t, filepath.Join(dir, "own.safetensors"), filepath.Join(dir, sub, "model.safetensors"))
	}
	card := `{"architecture": %q, "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.4, 0.4, 0.4], "crop_pct": 0.9, "crop_mode": %q, "interpolation": "bilinear"}}`
	writeTo(t, dir, "card/config.json", fmt.Appendf(nil, card, "vit_nano_patch4_32.own", "squash"))
	writeTo(t, dir, "old/config.json", []byte(`{"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}`))
	writeTo(t, dir, "other/config.json", fmt.Appendf(nil, card, "resnet50.a1_in1k", "center"))
	writeTo(t, dir, "border/config.json", fmt.Appendf(nil, card, "", "border"))
	writeTo(t, dir, "torn/config.json", []byte(`{"mean": [0.5`))
	writeTo(t, dir, "crop/config.json", []byte(`{"pretrained_cfg": {"crop_pct": 0.95, "interpolation": "bilinear"}}`))
	writeTo(t, dir, "half/config.json", []byte(`{"mean": [0.5, 0.5, 0.5], "crop_pct": 0.95}`))
	writeTo(t, dir, "hf/config.json", []byte(`{"architectures": ["ViTModel"], "image_size": 32}`))
	writeTo(t, dir, "hf/preprocessor_config.json", []byte(`{"image_mean": [0.3, 0.3, 0.3], "image_std": [0.2, 0.2, 0.2], "size": {"height": 32, "width": 32}}`))
	writeTo(t, dir, "bytes/config.json", []byte(`{"image_mean": [123.7, 116.3, 103.5], "image_std": [58.4, 57.1, 57.4]}`))
	writeTo(t, dir, "size/config.json", []byte(`{"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "input_size": [3, 31, 32]}`))
}

// strip writes the tensors of a file without its metadata, as other tools leave them.
func strip(t *testing.T, from, to string) {
	t.Helper()
	file := must.Get(tensor.ReadSafetensors(from))(t)
	must.Do(t, os.MkdirAll(filepath.Dir(to), 0o755))
	must.Do(t, tensor.WriteSafetensors(to, file.Tensors, nil))
}
