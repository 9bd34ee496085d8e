//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/objectives/tokenizer"
	"github.com/vittool/vittool/tensor"
)

// smallSettings is the file that makes an objective small.
func smallSettings(t *testing.T, objective string) string {
	t.Helper()
	return must.Get(filepath.Abs(filepath.Join("..", "..", "objectives", objective, "testdata", "small.yaml")))(t)
}

// TestTokenizers makes tokenizers, looks at them, and trains a network to predict one's tokens.
func TestTokenizers(t *testing.T) {
	dir := t.TempDir()
	few := []string{"--model", "vit_nano_patch4_32", "--data", "demo:?count=16", "--steps", "2", "--batch-size", "8", "run.checkpoint_every=never"}
	for _, kind := range []string{"vq", "dvae"} {
		args := append([]string{"tokenizer", "train", "--config", smallSettings(t, kind), "--out", kind}, few...)
		vittool(t, dir, args...).mustEnd(t, exitDone)
		file := filepath.Join(kind, "tokenizer.safetensors")
		o := vittool(t, dir, "tokenizer", "info", file)
		o.mustEnd(t, exitDone)
		if !strings.Contains(o.stdout, kind+" tokenizer, 16 tokens, 4×4 pixels each") {
			t.Errorf("info prints\n%s", o.stdout)
		}
		vittool(t, dir, "tokenizer", "export", "--from", kind, "--to", "again.safetensors").mustEnd(t, exitDone)
		if a, b := read(t, dir, file), read(t, dir, "again.safetensors"); !bytes.Equal(a, b) {
			t.Error("a second export differs")
		}
		o = vittool(t, dir, "reconstruct", "--from", kind, "--count", "2", "--to", "d.png")
		o.mustEnd(t, exitDone)
		if !strings.Contains(o.stdout, "d.png: decoded after step 2") {
			t.Errorf("reconstruct prints\n%s", o.stdout)
		}
		run := "beit-" + kind
		vittool(t, dir, append([]string{"pretrain", "--config", smallSettings(t, "beit"), "--out", run, "objective.options.tokenizer=" + file}, few...)...).mustEnd(t, exitDone)
		if _, err := os.Stat(filepath.Join(dir, run, "pictures", "reconstruction-00000002.png")); err != nil {
			t.Error(err)
		}
		o = vittool(t, dir, "eval", "knn", "--from", run, "--train", "demo:?count=20", "--test", "demo:?count=10&seed=1")
		o.mustEnd(t, exitDone)
		if !strings.Contains(o.stdout, "class token and mean of the patch tokens of block 3, trained network") {
			t.Errorf("eval does not name the evaluated features:\n%s", o.stdout)
		}
		vittool(t, dir, "attention", "--from", run, "--data", "demo:?count=1", "--image-size", "64", "--to", "a.png").mustEnd(t, exitUsage, "relative position bias", "--image-size")

		// Another tokenizer than the one it was trained with would show something else.
		other := append(slices.Clone(args), "--seed", "1")
		other[slices.Index(other, kind)] = "other-" + kind
		vittool(t, dir, other...).mustEnd(t, exitDone)
		whole := read(t, dir, file)
		must.Do(t, os.WriteFile(filepath.Join(dir, file), read(t, dir, filepath.Join("other-"+kind, "tokenizer.safetensors")), 0o644))
		vittool(t, dir, "reconstruct", "--from", run, "--count", "2", "--to", "e.png").mustEnd(t, exitUsage, "was started with")
		whole[len(whole)-1] ^= 1
		must.Do(t, os.WriteFile(filepath.Join(dir, file), whole, 0o644))
		vittool(t, dir, "tokenizer", "info", file).mustEnd(t, exitData, "no whole tokenizer", "SHA-256")
	}
	vittool(t, dir, "eval", "knn", "--from", "vq", "--train", "demo:?count=20", "--test", "demo:?count=10").mustEnd(t, exitData, "holds no backbone")
	vittool(t, dir, "tokenizer", "export", "--from", "beit-vq", "--to", "x.safetensors").mustEnd(t, exitFailure, "exports no network of its own")
	vittool(t, dir, "pretrain", "--objective", "beit", "--out", "none").mustEnd(t, exitUsage, "vittool tokenizer train")
}

// The published encoder, by the shapes of a small one.
func TestTokenizerImport(t *testing.T) {
	dir := t.TempDir()
	c := tokenizer.Config{Kind: tokenizer.DALLE, Patch: 8, Channels: 3, Width: 4, Blocks: 2, Vocabulary: 32}
	var tensors []tensor.Tensor
	for name, shape := range c.DALLEShapes() {
		r := prng.New(1, name)
		x := make([]float32, tensor.Shape(shape).Size())
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		tensors = append(tensors, tensor.NewF32(name, shape, x))
	}
	write := func(tensors []tensor.Tensor) {
		must.Do(t, tensor.WriteSafetensors(filepath.Join(dir, "encoder.safetensors"), tensors, nil))
	}
	write(tensors)
	o := vittool(t, dir, "tokenizer", "import", "--from", "encoder.safetensors", "--to", "dalle.safetensors")
	o.mustEnd(t, exitDone)
	if !strings.Contains(o.stdout, "dalle tokenizer, 32 tokens, 8×8 pixels each") {
		t.Errorf("import prints\n%s", o.stdout)
	}
	vittool(t, dir, "pretrain", "--config", smallSettings(t, "beit"), "--model", "vit_nano_patch4_32", "--data", "demo:?count=16", "--steps", "1",
		"--batch-size", "4", "--out", "run", "objective.options.tokenizer=dalle.safetensors").mustEnd(t, exitDone)
	vittool(t, dir, "reconstruct", "--from", "run", "--to", "r.png").mustEnd(t, exitFailure, "predicts no pixels")
	for _, missing := range []string{"blocks.group_3.block_1.id_path.b", "blocks.group_1.block_2.res_path.conv_1.w"} {
		write(slices.DeleteFunc(slices.Clone(tensors), func(x tensor.Tensor) bool { return x.Name == missing }))
		vittool(t, dir, "tokenizer", "import", "--from", "encoder.safetensors", "--to", "d.safetensors").mustEnd(t, exitFailure, "wanted")
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	return must.Get(os.ReadFile(filepath.Join(dir, name)))(t)
}
