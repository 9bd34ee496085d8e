// Package cnn is the family of convolutional networks: residual networks, with their configuration,
// the table of named variants, their tensors under the names of torchvision and timm, and the
// forward pass as a graph of core's operators.
//
// The network is that of He et al., "Deep Residual Learning for Image Recognition" (2016), with the
// stride of a bottleneck on its 3×3 convolution, as in torchvision, the wide bottlenecks of
// Zagoruyko and Komodakis, "Wide Residual Networks" (2016), and the stem that small images need.
// Maps lie in memory with the channels last, [B, H, W, C]; outputs have them first.
package cnn

import (
	"cmp"
	"fmt"
	"math"

	"github.com/vittool/vittool/backbone"
)

// Stem is the part of the network before the stages.
type Stem string

// The stems.
const (
	ImageNet Stem = "imagenet" // 7×7 convolution of stride 2, 3×3 max pooling of stride 2
	CIFAR    Stem = "cifar"    // 3×3 convolution
)

// BlockKind is a kind of residual block.
type BlockKind string

// The residual blocks.
const (
	Basic      BlockKind = "basic"      // two 3×3 convolutions
	Bottleneck BlockKind = "bottleneck" // 1×1, 3×3 and 1×1 convolutions, the last to four times the channels
)

// stages is the number of stages of every network: each but the first halves the sides of the map.
const stages = 4

// Config describes one residual network. The zero values of Channels and Inner stand for their usual
// settings; Normalized fills them in. Two configs can be compared.
type Config struct {
	Name string `json:"name"`

	// ImageH and ImageW are the height and width of images in pixels that the network is made for;
	// it runs on others.
	ImageH   int `json:"image_h"`
	ImageW   int `json:"image_w"`
	Channels int `json:"channels"` // of images; 3 if zero

	Stem   Stem        `json:"stem"`
	Block  BlockKind   `json:"block"`
	Layers [stages]int `json:"layers"` // residual blocks of each stage
	Width  int         `json:"width"`  // channels of the stem; stages have 1, 2, 4 and 8 times as many, bottlenecks four times those
	// Inner is the channels of a bottleneck's 3×3 convolution over those of a basic block: 2 in wide
	// networks; 1 if zero.
	Inner int `json:"inner,omitempty"`

	DropPath     float64 `json:"drop_path,omitempty"`      // rate of the last block; it rises linearly from zero
	ZeroInitLast bool    `json:"zero_init_last,omitempty"` // the last batch norm of each branch starts at zero
}

// Normalized returns the config with unset fields at their usual values.
func (c Config) Normalized() Config {
	c.Channels, c.Inner = cmp.Or(c.Channels, 3), cmp.Or(c.Inner, 1)
	return c
}

// Validate reports the first setting that no network can be built from.
func (c Config) Validate() error {
	if err := c.check(); err != nil {
		return fmt.Errorf("%s: %w", cmp.Or(c.Name, "model"), err)
	}
	return nil
}

// maxWidth bounds the channels of the stem, and with it the sizes of tensors.
const maxWidth = 1 << 14

func (c Config) check() error {
	n := c.Normalized()
	switch {
	case n.Stem != ImageNet && n.Stem != CIFAR:
		return fmt.Errorf("stem %q: want one of imagenet, cifar", c.Stem)
	case n.Block != Basic && n.Block != Bottleneck:
		return fmt.Errorf("block %q: want one of basic, bottleneck", c.Block)
	case n.ImageH <= 0 || n.ImageW <= 0:
		return fmt.Errorf("image size %d×%d: height and width must be positive", c.ImageH, c.ImageW)
	case n.Channels < 0:
		return fmt.Errorf("%d image channels: it must be positive", c.Channels)
	case n.Width < 1 || n.Width > maxWidth:
		return fmt.Errorf("width of %d channels: the range is 1 to %d", c.Width, maxWidth)
	case n.Inner < 1 || n.Inner > 64 || n.Inner > 1 && n.Block == Basic:
		return fmt.Errorf("inner %d: the range is 1 to 64, and basic blocks have 1", c.Inner)
	case !(n.DropPath >= 0 && n.DropPath < 1):
		return fmt.Errorf("drop_path %g: the range is [0, 1)", c.DropPath)
	}
	for i, blocks := range n.Layers {
		if blocks < 1 || blocks > 1000 {
			return fmt.Errorf("%d blocks in stage %d: the range is 1 to 1000", blocks, i)
		}
	}
	return nil
}

// CheckImage refuses images without pixels; the network runs on all others.
func (c Config) CheckImage(h, w int) error {
	c.ImageH, c.ImageW = h, w
	return c.Validate()
}

// blocks is the number of residual blocks of all stages.
func (c Config) blocks() int {
	n := 0
	for _, l := range c.Layers {
		n += l
	}
	return n
}

// dims are the channels of the map after each stage.
func (c Config) dims() []int {
	out := make([]int, stages)
	for i := range out {
		out[i] = c.Width << i * c.expansion()
	}
	return out
}

// expansion is the channels of a block's result over those of the stage.
func (c Config) expansion() int {
	if c.Block == Bottleneck {
		return 4
	}
	return 1
}

// stride is the side in pixels of the square that one cell of the last map stands for.
func (c Config) stride() int {
	if c.Stem == CIFAR {
		return 8
	}
	return 32
}

// dropPathRates are the rates of all residual blocks: linear from 0 in the first to DropPath in the
// last.
func (c Config) dropPathRates() []float64 {
	rates := make([]float64, c.blocks())
	for i := range rates {
		if len(rates) > 1 {
			rates[i] = c.DropPath * float64(i) / float64(len(rates)-1)
		}
	}
	return rates
}

// convolution is one convolution of the network, with its batch norm.
type convolution struct {
	weight, norm    string // names, without .weight
	in, out         int    // channels
	kernel, stride  int
	last            bool // of a residual branch
	downsamples     bool // the shortcut's, beside the branch
	rectified       bool // a ReLU follows the batch norm
	stage, residual int  // indices of its stage and of its block among all; -1 in the stem
}

// padding keeps the size of the map at stride 1.
func (v convolution) padding() int { return v.kernel / 2 }

// size is the side of the map after the convolution.
func (v convolution) size(n int) int { return (n+2*v.padding()-v.kernel)/v.stride + 1 }

// stem is the convolution before the stages.
func (c Config) stem() convolution {
	v := convolution{weight: "conv1", norm: "bn1", in: c.Channels, out: c.Width, kernel: 7, stride: 2, rectified: true, stage: -1, residual: -1}
	if c.Stem == CIFAR {
		v.kernel, v.stride = 3, 1
	}
	return v
}

// block lists the convolutions of block b of a stage in the order of the names in files: those of
// the branch, then that of the shortcut where the block changes the shape of the map.
func (c Config) block(stage, b int) []convolution {
	in, width, stride := c.dims()[stage], c.Width<<stage, 1
	if b == 0 {
		in = c.Width
		if stage > 0 {
			in, stride = c.dims()[stage-1], 2
		}
	}
	out, inner, residual := c.dims()[stage], width*c.Inner, b
	for _, l := range c.Layers[:stage] {
		residual += l
	}
	conv := func(weight, norm string, in, out, kernel, stride int) convolution {
		prefix := fmt.Sprintf("layer%d.%d.", stage+1, b)
		return convolution{weight: prefix + weight, norm: prefix + norm, in: in, out: out, kernel: kernel, stride: stride, rectified: true, stage: stage, residual: residual}
	}
	var list []convolution
	if c.Block == Basic {
		list = []convolution{conv("conv1", "bn1", in, width, 3, stride), conv("conv2", "bn2", width, out, 3, 1)}
	} else {
		list = []convolution{conv("conv1", "bn1", in, inner, 1, 1), conv("conv2", "bn2", inner, inner, 3, stride), conv("conv3", "bn3", inner, out, 1, 1)}
	}
	end := &list[len(list)-1]
	end.last, end.rectified = true, false
	if stride != 1 || in != out {
		shortcut := conv("downsample.0", "downsample.1", in, out, 1, stride)
		shortcut.downsamples, shortcut.rectified = true, false
		list = append(list, shortcut)
	}
	return list
}

// ForwardFLOPs counts the forward pass of one image of the configured size, as 2 × multiply-adds of
// the convolutions, or the share of it that cells of the last map have; 0 is all of them.
func (c Config) ForwardFLOPs(cells int) float64 {
	c = c.Normalized()
	total := 0.0
	count := func(v convolution, h, w int) (int, int) {
		h, w = v.size(h), v.size(w)
		total += 2 * float64(h*w) * float64(v.in*v.kernel*v.kernel) * float64(v.out)
		return h, w
	}
	h, w := count(c.stem(), c.ImageH, c.ImageW)
	if c.Stem == ImageNet {
		h, w = pool.size(h), pool.size(w)
	}
	for stage := range stages {
		for b := range c.Layers[stage] {
			inH, inW := h, w
			for _, v := range c.block(stage, b) {
				if v.downsamples {
					count(v, inH, inW)
				} else {
					h, w = count(v, h, w)
				}
			}
		}
	}
	if rows, cols := c.Info().Grid(); cells > 0 {
		total *= float64(cells) / float64(rows*cols)
	}
	return total
}

// pool is the window of the stem's max pooling.
var pool = convolution{kernel: 3, stride: 2}

// widened returns the config with factor times the channels, at least one.
func (c Config) widened(factor float64) Config {
	c.Width = int(max(1, math.Round(float64(c.Width)*factor)))
	return c
}

// Parameters counts the values of all weights, running statistics left out.
func (c Config) Parameters() int {
	total := 0
	for _, w := range c.Weights() {
		if !w.Buffer {
			total += w.Shape.Size()
		}
	}
	return total
}

var _ backbone.Config = Config{}
