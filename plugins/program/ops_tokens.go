package program

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/plugins/plan"
)

var tokenBuilders = map[string]builder{
	"restore_tokens": func(c *call) []*core.Node {
		x, keep := c.rank("x", 3), c.rank("keep", 2)
		if x.Shape()[1] != 1+keep.Shape()[1] {
			c.fail("x has %d tokens: want the class token and %d visible patches", x.Shape()[1], keep.Shape()[1])
		}
		if c.int("length") < keep.Shape()[1] {
			c.fail("attribute length is %d: want %d to %d", c.int("length"), keep.Shape()[1], plan.MaxTokens)
		}
		return []*core.Node{ops.RestoreTokens(c.g, x, c.input("mask_token"), keep, c.int("length"))}
	},
	"add_positions": func(c *call) []*core.Node {
		return []*core.Node{ops.AddPositions(c.g, c.input("x"), c.input("positions"), c.int("offset"))}
	},
	"slice_tokens": func(c *call) []*core.Node {
		x, to := c.rank("x", 3), c.int("to")
		if to == 0 {
			to = x.Shape()[1]
		}
		return []*core.Node{ops.SliceTokens(c.g, x, c.int("from"), to)}
	},
	"mean_tokens": func(c *call) []*core.Node {
		return []*core.Node{ops.MeanTokens(c.g, c.input("x"), c.int("from"))}
	},
	"patchify": func(c *call) []*core.Node {
		return []*core.Node{ops.Patchify(c.g, c.input("images"), c.int("patch"), patchOrder(c))}
	},
	"unpatchify": func(c *call) []*core.Node {
		x, p, rows, cols := c.rank("x", 3), c.int("patch"), c.int("rows"), c.int("cols")
		if x.Shape()[1] != rows*cols || x.Shape()[2]%(p*p) != 0 {
			c.fail("%d×%d patches of side %d do not fit x", rows, cols, p)
		}
		return []*core.Node{ops.Unpatchify(c.g, x, x.Shape()[2]/(p*p), rows*p, cols*p, p, patchOrder(c))}
	},
	"normalize_patches": func(c *call) []*core.Node {
		return []*core.Node{ops.NormalizePatches(c.g, c.input("x"))}
	},
}

func patchOrder(c *call) ops.PatchOrder {
	if c.string("order") == "hwc" {
		return ops.HWC
	}
	return ops.CHW
}
