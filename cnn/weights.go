package cnn

import (
	"math"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// Initial values of batch norms.
var (
	zeros = param.Init{Kind: "zeros"}
	ones  = param.Init{Kind: "ones"}
)

// Weights lists all tensors of the network in torchvision's order of definition, with torchvision's
// initial values: convolutions N(0, 2/(out·k·k)), batch norms one and zero, the last of each branch
// zero where ZeroInitLast asks for it. Running statistics are buffers.
func (c Config) Weights() []backbone.TensorSpec {
	c = c.Normalized()
	ws := c.tensors(c.stem())
	for stage := range stages {
		for b := range c.Layers[stage] {
			for _, v := range c.block(stage, b) {
				ws = append(ws, c.tensors(v)...)
			}
		}
	}
	return ws
}

// tensors lists those of a convolution and its batch norm.
func (c Config) tensors(v convolution) []backbone.TensorSpec {
	he := param.Init{Kind: "normal", A: math.Sqrt(2 / float64(v.out*v.kernel*v.kernel))} // He et al. 2015, by the fan-out
	gain := ones
	if v.last && c.ZeroInitLast {
		gain = zeros
	}
	perChannel := tensor.Shape{v.out}
	return []backbone.TensorSpec{
		{Name: v.weight + ".weight", Shape: tensor.Shape{v.out, v.in, v.kernel, v.kernel}, Init: he, Block: v.stage},
		{Name: v.norm + ".weight", Shape: perChannel, Init: gain, Block: v.stage},
		{Name: v.norm + ".bias", Shape: perChannel, Init: zeros, Block: v.stage},
		{Name: v.norm + ".running_mean", Shape: perChannel, Init: zeros, Block: v.stage, Buffer: true},
		{Name: v.norm + ".running_var", Shape: perChannel, Init: ones, Block: v.stage, Buffer: true},
	}
}
