package train

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// A run whose frozen parameters come from a file does not store them, and goes on with that file
// alone.
func TestResumeRefusesAnotherFile(t *testing.T) {
	cfg := smallOf(t, "beit")
	original, err := os.ReadFile(cfg.Objective.Options["tokenizer"].(string))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tokenizer.safetensors")
	if err := os.WriteFile(path, original, 0o644); err != nil {
		t.Fatal(err)
	}
	cfg.Objective.Options["tokenizer"] = path
	whole := *cfg
	whole.Run.Out = filepath.Join(t.TempDir(), "whole")
	want := pretrain(t, &whole, Options{})
	interrupt(t, cfg, 4)

	file, err := tensor.ReadSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	var tensors []tensor.Tensor
	for _, x := range file.Tensors {
		data, err := x.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		data[0]++
		tensors = append(tensors, tensor.NewF32(x.Name, x.Shape, data))
	}
	meta := map[string]string{}
	for k, v := range file.Meta {
		if !strings.Contains(k, "digest") {
			meta[k] = v
		}
	}
	if err := tensor.WriteSafetensors(path, tensors, meta); err != nil {
		t.Fatal(err)
	}
	_, err = Pretrain(context.Background(), cfg, Options{Resume: true})
	var e *configs.Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "was started with") || !strings.Contains(err.Error(), file.Meta["digest"]) {
		t.Errorf("another tokenizer: %v, want an error with the digest of the first", err)
	}

	// The same file in another place is the same run; another word for an option is not.
	elsewhere := filepath.Join(t.TempDir(), "moved.safetensors")
	if err := os.WriteFile(elsewhere, original, 0o644); err != nil {
		t.Fatal(err)
	}
	cfg.Objective.Options["tokenizer"] = elsewhere
	other := *cfg
	other.Objective.Options = maps.Clone(cfg.Objective.Options)
	other.Objective.Options["rel_pos"] = "none"
	if _, err = Pretrain(context.Background(), &other, Options{Resume: true}); !errors.As(err, &e) || !strings.Contains(err.Error(), "objective.options.rel_pos") {
		t.Errorf("without positions: %v, want an error that names the option", err)
	}
	got := pretrain(t, cfg, Options{Resume: true})
	if got.Digest != want.Digest {
		t.Errorf("digest %s after the resume, %s without", got.Digest, want.Digest)
	}
	stored := must.Get(tensor.ReadSafetensors(got.Checkpoint))(t)
	for _, name := range stored.Names() {
		if strings.Contains(name, "tokenizer") {
			t.Errorf("the checkpoint holds %s, which lies in the tokenizer's file", name)
		}
	}
	if !strings.Contains(stored.Meta[runs.MetaFiles], file.Meta["digest"]) {
		t.Errorf("the checkpoint names the files %q", stored.Meta[runs.MetaFiles])
	}
}
