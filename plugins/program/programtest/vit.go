package programtest

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/vit"
)

// NetworkConfig describes the Vision Transformer of a case of the reference.
type NetworkConfig struct {
	Size      ImageSize `json:"img_size"`
	Patch     int       `json:"patch"`
	Dim       int       `json:"dim"`
	Depth     int       `json:"depth"`
	Heads     int       `json:"heads"`
	MLPRatio  float64   `json:"mlp_ratio"`
	QKVBias   *bool     `json:"qkv_bias"`
	LNEps     float64   `json:"ln_eps"`
	Batch     int       `json:"batch"`
	Trainable []string  `json:"trainable"`
	Frozen    []string  `json:"frozen"`
}

// ImageSize is one number or height and width.
type ImageSize struct{ H, W int }

// UnmarshalJSON implements json.Unmarshaler.
func (s *ImageSize) UnmarshalJSON(b []byte) error {
	var one int
	if json.Unmarshal(b, &one) == nil {
		s.H, s.W = one, one
		return nil
	}
	return json.Unmarshal(b, &[]any{&s.H, &s.W})
}

// ViT is the encoder that the case describes.
func (c NetworkConfig) ViT(channels int, positions vit.PosEmbed) vit.Config {
	return vit.Config{
		Name: "reference", ImageH: c.Size.H, ImageW: c.Size.W, Patch: c.Patch, Channels: channels,
		Dim: c.Dim, Depth: c.Depth, Heads: c.Heads, MLPRatio: c.MLPRatio, LNEps: c.LNEps,
		QKVBias: c.QKVBias == nil || *c.QKVBias, PosEmbed: positions, ClassToken: true,
	}
}

// ViTPass returns the nodes of a pass of a Vision Transformer. It serves [Compilation.Extra].
func (m *Compiled) ViTPass(name string) *vit.Outputs {
	m.t.Helper()
	out, err := m.compiler.Pass(name)
	if err != nil {
		m.t.Fatal(err)
	}
	return out.(*vit.Outputs)
}

// ViTBlocks names the activations and the attention of the blocks of a pass, by formats with the
// number of the block.
func (m *Compiled) ViTBlocks(pass *vit.Outputs, block, attention string) {
	for i, b := range pass.Blocks {
		m.Out[fmt.Sprintf(block, i)], m.Out[fmt.Sprintf(attention, i)] = b, Attention(pass, i)
	}
}

// Class returns the class tokens of a pass.
func (m *Compiled) Class(pass *vit.Outputs) *core.Node {
	m.t.Helper()
	class, err := pass.Class()
	if err != nil {
		m.t.Fatal(err)
	}
	return class
}

// Attention is the softmax weights [B, H, T, T] of a block that the network has.
func Attention(o *vit.Outputs, block int) *core.Node {
	n, err := o.Attention(block)
	if err != nil {
		panic(err)
	}
	return n
}

// PatchEmbedding is the embedded patches of a view, before positions are added.
func (m *Compiled) PatchEmbedding(view string) *core.Node {
	b, g := m.compiler.Student.(*vit.Backbone), m.compiler.Graph()
	return b.EmbedPatches(g, b.PatchPixels(g, m.compiler.ViewNode(view)))
}

// LoadBackbone fills a backbone from "param.<name>"; each of its weights must be there.
func LoadBackbone(t testing.TB, c *golden.Case, b *vit.Backbone) {
	t.Helper()
	for _, p := range b.Parameters() {
		name := "param." + p.Name
		if s := c.Tensor(t, name).Shape; !s.Equal(p.Shape) {
			t.Fatalf("%s: %s is %v, the network has %v", c, name, s, p.Shape)
		}
		copy(p.Data, c.F32(t, name))
	}
}
