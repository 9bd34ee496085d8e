package program

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/tensor"
)

var pixelOperators = []Operator{
	{
		Name: pb.OpPatchConvTranspose, Summary: "Transposed convolution whose stride is its kernel, from tokens to pixels: pixel (c, y·p+r, x·p+s) = Σ_d token(y, x)_d·weight[d, c, r, s] + bias[c].",
		Inputs: []Input{
			{Name: "x", Shape: "[B, L, D]", Doc: "tokens in raster order"}, {Name: "weight", Shape: "[D, C, p, p]"}, {Name: "bias", Shape: "[C]", Optional: true},
		},
		Attributes: []Attribute{
			{Name: "rows", Type: Int, Required: true}, {Name: "cols", Type: Int, Required: true, Doc: "rows·cols = L"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B, C, rows·p, cols·p]"}},
		build:   buildPatchConvTranspose,
	},
	{
		Name: pb.OpCorrupt, Summary: "Images with the rectangles of a corruption painted over them, in order: zeros, standard normal noise, or a copy from elsewhere (Atito et al. 2021). " +
			"Noise is a function of the run's seed, the node's name, the step and the sample. For the images of a pass; no gradient flows.",
		Inputs: []Input{
			{Name: "images", Shape: "[B, C, H, W]"},
			{Name: "mask", Shape: "[B, R, 9]", Int: true, Doc: "values of a corruption of the same view"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B, C, H, W]"}},
		build:   buildCorrupt,
	},
}

func buildPatchConvTranspose(c *call) []*core.Node {
	x, w, rows, cols := c.rank("x", 3).Shape(), c.rank("weight", 4).Shape(), c.int("rows"), c.int("cols")
	if w[0] != x[2] || w[2] != w[3] || rows < 1 || cols < 1 || rows*cols != x[1] {
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
	images, ref := c.rank("images", 4), c.node.GetInputs()
	for _, a := range ref { // its rectangles must have been checked against this size
		if a.GetName() != "mask" {
			continue
		}
		k := c.m.masks[a.GetRef().GetMask().GetMask()]
		if k == nil || k.spec.GetKind() != pb.MaskSpec_KIND_CORRUPTION {
			c.fail("input mask is not the values of a corruption of the plan")
		}
		if s := images.Shape(); s[0] != k.batch || s[2] != k.height || s[3] != k.width {
			c.fail("the corruption is of %d images of %d×%d pixels", k.batch, k.height, k.width)
		}
	}
	m, name := c.m, c.node.GetName()
	return []*core.Node{ops.Corrupt(c.g, images, c.rank("mask", 3), func(sample int) *prng.Generator {
		id := uint64(sample)
		if sample < len(m.evaluation.ids) {
			id = m.evaluation.ids[sample]
		}
		return prng.New(m.seed, "corrupt", name, m.evaluation.step, id)
	})}
}
