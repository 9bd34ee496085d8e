package programtest

import (
	"path/filepath"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives/tokenizer"
	"github.com/vittool/vittool/tensor"
)

// Tokenizer writes the file of a visual tokenizer for images normalized with mean and std, one
// number per channel.
func Tokenizer(t *testing.T, tensors []tensor.Tensor, c tokenizer.Config, mean, std []float64) string {
	t.Helper()
	meta := must.Get(c.FileMetadata(mean, std))(t)
	path := filepath.Join(t.TempDir(), "tokenizer.safetensors")
	must.Do(t, tensor.WriteSafetensors(path, tensors, meta))
	return path
}
