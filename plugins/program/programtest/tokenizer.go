package programtest

import (
	"path/filepath"
	"testing"

	"github.com/vittool/vittool/objectives/tokenizer"
	"github.com/vittool/vittool/tensor"
)

// Tokenizer writes the file of a visual tokenizer for images normalized with mean and std, one number per channel.
func Tokenizer(t *testing.T, tensors []tensor.Tensor, c tokenizer.Config, mean, std []float64) string {
	t.Helper()
	meta, err := c.FileMetadata(mean, std)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tokenizer.safetensors")
	if err := tensor.WriteSafetensors(path, tensors, meta); err != nil {
		t.Fatal(err)
	}
	return path
}
