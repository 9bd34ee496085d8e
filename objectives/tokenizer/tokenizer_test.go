package tokenizer_test

import (
	"testing"

	"github.com/vittool/vittool/objectives/tokenizer"
)

// A value that no tokenizer can be built from is refused.
func TestConfig(t *testing.T) {
	good := tokenizer.Config{Kind: tokenizer.VQ, Vocabulary: 16, Patch: 4, Channels: 3, Width: 8, Blocks: 1, CodeDim: 4}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*tokenizer.Config){
		"kind":       func(c *tokenizer.Config) { c.Kind = "vqgan" },
		"vocabulary": func(c *tokenizer.Config) { c.Vocabulary = 1 },
		"patch":      func(c *tokenizer.Config) { c.Patch = 0 },
		"width":      func(c *tokenizer.Config) { c.Width = 3 },
		"code_dim":   func(c *tokenizer.Config) { c.CodeDim = 0 },
		"dalle":      func(c *tokenizer.Config) { c.Kind = tokenizer.DALLE },
	} {
		c := good
		change(&c)
		if c.Check() == nil {
			t.Errorf("%s: %+v was accepted", name, c)
		}
	}
}
