package vit

import (
	"fmt"
	"strings"

	"github.com/vittool/vittool/tensor"
)

// Role says what a weight is for; initialisations go by it.
type Role int

// The roles of a ViT's weights.
const (
	RoleToken       Role = iota // class or mask token
	RolePositions               // absolute position table
	RolePatchWeight             // patch embedding [D, C, p, p]
	RolePatchBias
	RoleNormWeight
	RoleNormBias
	RoleQKVWeight // packed [3*inner, D]: queries, keys, values
	RoleProjWeight
	RoleFC1Weight
	RoleFC2Weight
	RoleBias // bias of a linear layer
	RoleLayerScale
	RoleRelativeTable // [tableRows, heads]
)

// Weight names one tensor of a ViT as timm does.
type Weight struct {
	Name  string
	Shape tensor.Shape
	Role  Role
	Block int // index of its block, -1 outside of the blocks
}

// Weights lists all tensors of the network in timm's order of definition.
func (c Config) Weights() []Weight {
	c = c.Normalized()
	d := c.Dim
	var ws []Weight
	add := func(name string, role Role, block int, shape ...int) {
		ws = append(ws, Weight{Name: name, Shape: tensor.Shape(shape), Role: role, Block: block})
	}
	if c.ClassToken {
		add("cls_token", RoleToken, -1, 1, 1, d)
	}
	if c.MaskToken {
		add("mask_token", RoleToken, -1, 1, 1, d)
	}
	if c.PosEmbed != PosNone {
		add("pos_embed", RolePositions, -1, 1, c.Prefix()+c.Patches(), d)
	}
	add("patch_embed.proj.weight", RolePatchWeight, -1, d, c.Channels, c.Patch, c.Patch)
	add("patch_embed.proj.bias", RolePatchBias, -1, d)
	gh, gw := c.Grid()
	tableRows := (2*gh-1)*(2*gw-1) + 3
	if c.RelPos.shared() {
		add("rel_pos_bias.relative_position_bias_table", RoleRelativeTable, -1, tableRows, c.Heads)
	}
	for i := range c.Depth {
		ws = append(ws, blockWeights(c, i)...)
	}
	add("norm.weight", RoleNormWeight, -1, d)
	add("norm.bias", RoleNormBias, -1, d)
	return ws
}

func blockWeights(c Config, i int) []Weight {
	d, inner, hidden := c.Dim, c.Inner(), c.Hidden()
	var ws []Weight
	add := func(name string, role Role, shape ...int) {
		ws = append(ws, Weight{Name: fmt.Sprintf("blocks.%d.%s", i, name), Shape: tensor.Shape(shape), Role: role, Block: i})
	}
	gamma1, gamma2 := c.layerScaleNames()
	if c.LayerScale != 0 {
		add(gamma1, RoleLayerScale, d)
		add(gamma2, RoleLayerScale, d)
	}
	add("norm1.weight", RoleNormWeight, d)
	add("norm1.bias", RoleNormBias, d)
	switch {
	case c.QKVBias && c.SplitQVBias:
		add("attn.q_bias", RoleBias, inner)
		add("attn.v_bias", RoleBias, inner)
	case c.QKVBias:
		add("attn.qkv.bias", RoleBias, 3*inner)
	}
	if c.RelPos.perBlock() {
		gh, gw := c.Grid()
		add("attn.relative_position_bias_table", RoleRelativeTable, (2*gh-1)*(2*gw-1)+3, c.Heads)
	}
	add("attn.qkv.weight", RoleQKVWeight, 3*inner, d)
	add("attn.proj.weight", RoleProjWeight, d, inner)
	add("attn.proj.bias", RoleBias, d)
	add("norm2.weight", RoleNormWeight, d)
	add("norm2.bias", RoleNormBias, d)
	add("mlp.fc1.weight", RoleFC1Weight, hidden, d)
	add("mlp.fc1.bias", RoleBias, hidden)
	add("mlp.fc2.weight", RoleFC2Weight, d, hidden)
	add("mlp.fc2.bias", RoleBias, d)
	return ws
}

// layerScaleNames are timm's: gamma_1 and gamma_2 in BEiT, ls1.gamma and ls2.gamma in ViT.
func (c Config) layerScaleNames() (attention, mlp string) {
	if c.Beit() {
		return "gamma_1", "gamma_2"
	}
	return "ls1.gamma", "ls2.gamma"
}

// MatrixDecay reports whether a weight is decayed by timm's rule: everything but one-dimensional tensors and
// biases. Class and mask token are decayed by it.
func MatrixDecay(name string, shape tensor.Shape) bool {
	return len(shape) > 1 && !strings.HasSuffix(name, ".bias")
}
