package program

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/plugins/plan"
)

var mapBuilders = map[string]builder{
	"conv2d": func(c *call) []*core.Node {
		return []*core.Node{ops.Conv2D(c.g, c.input("x"), c.input("weight"), c.optional("bias"), c.int("stride"), c.int("padding"))}
	},
	"max_pool2d": func(c *call) []*core.Node {
		return []*core.Node{ops.MaxPool2D(c.g, c.input("x"), c.int("size"), c.int("stride"))}
	},
	"upsample_nearest": func(c *call) []*core.Node {
		x, factor := c.rank("x", 4), c.int("factor")
		if x.Shape().Size() > plan.MaxElements/factor/factor {
			c.fail("attribute factor is %d: want a result of at most 2^31 elements", factor)
		}
		return []*core.Node{ops.UpsampleNearest(c.g, x, factor)}
	},
	"transpose": func(c *call) []*core.Node { return []*core.Node{ops.TransposeTokens(c.g, c.input("x"))} },
}
