package program

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/plugins/pb"
)

var orderAttribute = Attribute{Name: "order", Type: String, Required: true,
	Doc: "of the values in a patch: hwc (row, column, channel, as MAE) or chw (channel, row, column, as a convolution's weight)"}

// maxTokens is the most tokens that a sample may have.
const maxTokens = 1 << 20

var tokenOperators = []Operator{
	{
		Name: pb.OpRestoreTokens, Summary: "Visible tokens back in raster order, the mask token in every hidden place; the class token stays first (He et al. 2022).",
		Inputs: []Input{
			{Name: "x", Shape: "[B, 1+K, D]"}, {Name: "mask_token", Shape: "[1, 1, D]"},
			{Name: "keep", Shape: "[B, K]", Int: true, Doc: "patch of each visible token"},
		},
		Attributes: []Attribute{{Name: "length", Type: Int, Required: true, Doc: "number L of all patches"}},
		Outputs:    []Output{{Name: "y", Shape: "[B, 1+L, D]"}},
		build: func(c *call) []*core.Node {
			x, keep := c.rank("x", 3), c.rank("keep", 2)
			if x.Shape()[1] != 1+keep.Shape()[1] {
				c.fail("x has %d tokens: want the class token and %d visible patches", x.Shape()[1], keep.Shape()[1])
			}
			if c.int("length") < keep.Shape()[1] || c.int("length") > maxTokens {
				c.fail("attribute length is %d: want %d to %d", c.int("length"), keep.Shape()[1], maxTokens)
			}
			return []*core.Node{ops.RestoreTokens(c.g, x, c.input("mask_token"), keep, c.int("length"))}
		},
	},
	{
		Name: pb.OpAddPositions, Summary: "Tokens plus rows offset, offset+1, … of a position table.",
		Inputs:     []Input{{Name: "x", Shape: "[B, N, D]"}, {Name: "positions", Shape: "[1, M, D]"}},
		Attributes: []Attribute{{Name: "offset", Type: Int, Default: 0, Doc: "first row that is used; offset+N must not exceed M"}},
		Outputs:    []Output{{Name: "y", Shape: "[B, N, D]"}},
		build: func(c *call) []*core.Node {
			return []*core.Node{ops.AddPositions(c.g, c.input("x"), c.input("positions"), c.int("offset"))}
		},
	},
	{
		Name: pb.OpSliceTokens, Summary: "Tokens from, from+1, …, to-1.",
		Inputs: []Input{{Name: "x", Shape: "[B, N, D]"}},
		Attributes: []Attribute{
			{Name: "from", Type: Int, Default: 0}, {Name: "to", Type: Int, Default: 0, Doc: "0: N"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B, to-from, D]"}},
		build: func(c *call) []*core.Node {
			x, to := c.rank("x", 3), c.int("to")
			if to == 0 {
				to = x.Shape()[1]
			}
			return []*core.Node{ops.SliceTokens(c.g, x, c.int("from"), to)}
		},
	},
	{
		Name: pb.OpMeanTokens, Summary: "Mean over the tokens from the given one on.",
		Inputs:     []Input{{Name: "x", Shape: "[B, N, D]"}},
		Attributes: []Attribute{{Name: "from", Type: Int, Default: 0}},
		Outputs:    []Output{{Name: "y", Shape: "[B, D]"}},
		build: func(c *call) []*core.Node {
			return []*core.Node{ops.MeanTokens(c.g, c.input("x"), c.int("from"))}
		},
	},
	{
		Name: pb.OpPatchify, Summary: "Images cut into patches in raster order; L = H/patch·W/patch, P = patch²·C.",
		Inputs:     []Input{{Name: "images", Shape: "[B, C, H, W]"}},
		Attributes: []Attribute{{Name: "patch", Type: Int, Required: true, Doc: "side in pixels; must divide H and W"}, orderAttribute},
		Outputs:    []Output{{Name: "y", Shape: "[B, L, P]"}},
		build: func(c *call) []*core.Node {
			return []*core.Node{ops.Patchify(c.g, c.input("images"), c.int("patch"), patchOrder(c))}
		},
	},
	{
		Name: pb.OpUnpatchify, Summary: "Patches laid out as images: the inverse of patchify.",
		Inputs: []Input{{Name: "x", Shape: "[B, L, P]"}},
		Attributes: []Attribute{
			{Name: "patch", Type: Int, Required: true, Doc: "side in pixels"},
			{Name: "rows", Type: Int, Required: true}, {Name: "cols", Type: Int, Required: true, Doc: "rows·cols = L"}, orderAttribute,
		},
		Outputs: []Output{{Name: "y", Shape: "[B, C, rows·patch, cols·patch]"}},
		build: func(c *call) []*core.Node {
			x, p, rows, cols := c.rank("x", 3), c.int("patch"), c.int("rows"), c.int("cols")
			if p < 1 || rows < 1 || cols < 1 || x.Shape()[1] != rows*cols || x.Shape()[2]%(p*p) != 0 {
				c.fail("%d×%d patches of side %d do not fit x", rows, cols, p)
			}
			return []*core.Node{ops.Unpatchify(c.g, x, x.Shape()[2]/(p*p), rows*p, cols*p, p, patchOrder(c))}
		},
	},
	{
		Name: pb.OpNormalizePatches, Summary: "Each patch to mean 0 and variance 1: (x - mean)/√(variance + eps), with the unbiased variance (He et al. 2022). It is a target: no gradient flows.",
		Inputs:     []Input{{Name: "x", Shape: "[B, L, P]"}},
		Attributes: []Attribute{{Name: "eps", Type: Float, Default: 1e-6, Doc: "added to the variance; no other value in this version"}},
		Outputs:    []Output{{Name: "y", Shape: "[B, L, P]"}},
		build: func(c *call) []*core.Node {
			if c.float("eps") != 1e-6 {
				c.fail("attribute eps is %g: version %d of the operator has 1e-6 only", c.float("eps"), OperatorVersion)
			}
			return []*core.Node{ops.NormalizePatches(c.g, c.input("x"))}
		},
	},
}

func patchOrder(c *call) ops.PatchOrder {
	if c.choice("order", "hwc", "chw") == "hwc" {
		return ops.HWC
	}
	return ops.CHW
}
