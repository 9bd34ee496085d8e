package tokenizer

import (
	"fmt"
	"math"
	"slices"

	"github.com/vittool/vittool/plugins/sdk"
)

// DALLEMean and DALLEStd normalize pixels of 0 to 1 to the input of the encoder of DALL-E: 0.8·x +
// 0.1 = (x + 0.125)/1.25.
var (
	DALLEMean = []float64{-.125, -.125, -.125}
	DALLEStd  = []float64{1.25, 1.25, 1.25}
)

const dalleGroups = 4

// dalle is the encoder that OpenAI published with DALL-E (Ramesh et al., "Zero-Shot Text-to-Image
// Generation", 2021, https://arxiv.org/abs/2102.12092): [B,3,H,W] to logits [B,K,H/8,W/8]. Names
// are the published ones.
func (n *Net) dalle(x sdk.Tensor) sdk.Tensor {
	b := n.b
	layers := map[string]func(x sdk.Tensor) sdk.Tensor{}
	n.dalleLayers(func(name string, in, out, k int) {
		layers[name] = func(x sdk.Tensor) sdk.Tensor {
			w := n.param(name+".w", []int{out, in, k, k}, nil)
			return b.Conv2D(x, w, n.param(name+".b", []int{out}, nil), 1, (k-1)/2)
		}
	})
	x = layers["blocks.input"](x)
	gain := 1 / math.Pow(float64(dalleGroups*n.Blocks), 2)
	for group := 1; group <= dalleGroups; group++ {
		for block := 1; block <= n.Blocks; block++ {
			at := fmt.Sprintf("blocks.group_%d.block_%d", group, block)
			same, h := x, x
			if wider := layers[at+".id_path"]; wider != nil {
				same = wider(x)
			}
			for i := 1; i <= 4; i++ {
				h = layers[fmt.Sprintf("%s.res_path.conv_%d", at, i)](b.ReLU(h))
			}
			x = b.Add(same, b.Scale(h, gain))
		}
		if group < dalleGroups {
			x = b.MaxPool2D(x, 2, 2)
		}
	}
	return layers["blocks.output.conv"](b.ReLU(x))
}

// DescribeDALLE describes the published encoder by the shapes of its tensors, which it also checks:
// the width comes from blocks.input.w, the vocabulary from blocks.output.conv.w, the blocks of a
// group from how many there are.
func DescribeDALLE(shapes map[string][]int) (Config, error) {
	c := Config{Kind: DALLE, Patch: 8, Channels: 3}
	input, output := shapes["blocks.input.w"], shapes["blocks.output.conv.w"]
	if len(input) != 4 || len(output) != 4 {
		return c, fmt.Errorf("the encoder of DALL-E has the tensors blocks.input.w and blocks.output.conv.w with four dimensions; these are %v and %v", input, output)
	}
	c.Width, c.Vocabulary = input[0], output[0]
	for shapes[fmt.Sprintf("blocks.group_1.block_%d.res_path.conv_1.w", c.Blocks+1)] != nil {
		c.Blocks++
	}
	if err := c.Check(); err != nil {
		return c, err
	}
	wanted := c.DALLEShapes()
	for name, want := range wanted {
		if got := shapes[name]; fmt.Sprint(got) != fmt.Sprint(want) {
			return c, fmt.Errorf("tensor %s is %v, %v is wanted", name, got, want)
		}
	}
	for name, shape := range shapes {
		if wanted[name] == nil {
			return c, fmt.Errorf("tensor %s, of shape %v, is not wanted in an encoder of %d blocks in a group", name, shape, c.Blocks)
		}
	}
	return c, nil
}

// Names lists the tensors of the published encoder.
func (c Config) Names() []string {
	var names []string
	for name := range c.DALLEShapes() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// DALLEShapes are the shapes of its tensors, by name.
func (c Config) DALLEShapes() map[string][]int {
	shapes := map[string][]int{}
	c.dalleLayers(func(name string, in, out, k int) {
		shapes[name+".w"], shapes[name+".b"] = []int{out, in, k, k}, []int{out}
	})
	return shapes
}

// dalleLayers calls f for each convolution of the published encoder.
func (c Config) dalleLayers(f func(name string, in, out, k int)) {
	width := c.Width
	f("blocks.input", c.Channels, width, 7)
	for group := 1; group <= dalleGroups; group++ {
		out := c.Width << (group - 1)
		for block := 1; block <= c.Blocks; block++ {
			at := fmt.Sprintf("blocks.group_%d.block_%d", group, block)
			if width != out {
				f(at+".id_path", width, out, 1)
			}
			f(at+".res_path.conv_1", width, out/4, 3)
			f(at+".res_path.conv_2", out/4, out/4, 3)
			f(at+".res_path.conv_3", out/4, out/4, 3)
			f(at+".res_path.conv_4", out/4, out, 1)
			width = out
		}
	}
	f("blocks.output.conv", width, c.Vocabulary, 1)
}
