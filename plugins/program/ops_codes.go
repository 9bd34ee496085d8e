package program

import (
	"slices"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/tensor"
)

var codeBuilders = map[string]builder{
	"arg_max":     func(c *call) []*core.Node { return []*core.Node{ops.ArgMax(c.g, c.input("x"))} },
	"nearest_row": func(c *call) []*core.Node { return []*core.Node{ops.NearestRow(c.g, c.input("x"), c.input("table"))} },
	"gather_rows": func(c *call) []*core.Node {
		table, rows := c.input("table"), c.input("rows")
		if len(table.Shape()) > 1 && rows.Shape().Size() > plan.MaxElements/table.Shape()[1:].Size() {
			c.fail("the result would have more than 2^31 elements")
		}
		return []*core.Node{ops.GatherRows(c.g, table, rows)}
	},
	"gather_tokens": func(c *call) []*core.Node {
		return []*core.Node{ops.GatherTokens(c.g, c.input("x"), c.input("index"))}
	},
	"gather_integers": func(c *call) []*core.Node {
		return []*core.Node{ops.GatherIntegers(c.g, c.input("x"), c.input("index"))}
	},
	"scale_rows": func(c *call) []*core.Node { return []*core.Node{ops.ScaleRows(c.g, c.input("x"), c.input("factor"))} },
	"accuracy": func(c *call) []*core.Node {
		return []*core.Node{ops.Accuracy(c.g, c.input("logits"), c.input("labels"), c.optional("weights"))}
	},
	"codebook_update": func(c *call) []*core.Node {
		book, count, sum := ops.CodebookUpdate(c.g, c.input("x"), c.input("codes"), c.input("fresh"), c.input("codebook"), c.input("count"), c.input("sum"),
			ops.CodebookOptions{Decay: c.float("decay"), Alive: c.float("alive")})
		return []*core.Node{book, count, sum}
	},
	"sampled_dot": func(c *call) []*core.Node {
		return []*core.Node{ops.SampledDot(c.g, c.input("x"), c.input("table"), c.input("rows"))}
	},
	"random": buildRandom,
}

// random is an input that is filled with random numbers at each step.
type random struct {
	name, distribution string
	node               *core.Node
}

func buildRandom(c *call) []*core.Node {
	shape := tensor.Shape{c.c.Batch}
	for _, d := range c.ints("shape") {
		if d < 1 || d > plan.MaxElements/shape.Size() {
			c.fail("shape %v: every size must be positive, and a batch have at most 2^31 elements", c.ints("shape"))
		}
		shape = append(shape, d)
	}
	n := c.g.Input("random."+c.node.Name, shape)
	c.c.inputs.randoms = append(c.c.inputs.randoms, random{c.node.Name, c.string("distribution"), n})
	return []*core.Node{n}
}

// drawRandoms fills the random inputs of a step.
func (m *Runner) drawRandoms(step uint64, ids []uint64) {
	for _, r := range m.inputs.randoms {
		// The samples of a batch that is not full leave rows over, and a call may give no ids at
		// all.
		all := append(slices.Clone(ids), make([]uint64, max(0, m.Batch-len(ids)))...)
		if err := device.RandomRows(m.device, r.node.Value(), r.distribution, m.seed, r.name, step, all[:m.Batch]); err != nil {
			panic("program: " + err.Error()) // the distribution and the shape were checked when the node was built
		}
	}
}
