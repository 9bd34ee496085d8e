package program

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

var pixelBuilders = map[string]builder{
	"patch_conv_transpose": buildPatchConvTranspose,
	"corrupt":              buildCorrupt,
}

func buildPatchConvTranspose(c *call) []*core.Node {
	x, w, rows, cols := c.rank("x", 3).Shape(), c.rank("weight", 4).Shape(), c.int("rows"), c.int("cols")
	if w[0] != x[2] || w[2] != w[3] || rows*cols != x[1] {
		c.fail("a weight [D, C, p, p] and %d×%d tokens do not fit x", rows, cols)
	}
	values := w[1] * w[2] * w[3]
	y := ops.MatMul(c.g, c.g.Reshape(c.input("x"), tensor.Shape{x[0] * x[1], x[2]}), c.g.Reshape(c.input("weight"), tensor.Shape{w[0], values}), false, false)
	image := ops.Unpatchify(c.g, c.g.Reshape(y, tensor.Shape{x[0], x[1], values}), w[1], rows*w[2], cols*w[2], w[2], ops.CHW)
	if bias := c.optional("bias"); bias != nil {
		image = ops.AddChannelBias(c.g, image, bias)
	}
	return []*core.Node{image}
}

func buildCorrupt(c *call) []*core.Node {
	images := c.rank("images", 4)
	for _, a := range c.node.Inputs { // the rectangles are checked against the size of their own view
		if a.Name != "mask" {
			continue
		}
		k := c.c.inputs.masks[a.Ref.Name]
		if s := images.Shape(); s[0] != k.batch || s[2] != k.height || s[3] != k.width {
			c.fail("the corruption is of %d images of %d×%d pixels", k.batch, k.height, k.width)
		}
	}
	in, seed, name := c.c.inputs, c.c.seed, c.node.Name
	return []*core.Node{ops.Corrupt(c.g, images, c.rank("mask", 3), func(sample int) *prng.Generator {
		id := uint64(sample)
		if sample < len(in.ids) {
			id = in.ids[sample]
		}
		return prng.New(seed, "corrupt", name, in.step, id)
	})}
}
