package program

import (
	"slices"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/tensor"
)

var codeOperators = []Operator{
	{
		Name: pb.OpArgMax, Summary: "Place of the largest value of each row, as integers; of equal ones the first.",
		Inputs: []Input{{Name: "x", Shape: "[…, C]"}}, Outputs: []Output{{Name: "y", Shape: "[…]", Doc: "integers"}},
		build: func(c *call) []*core.Node { return []*core.Node{ops.ArgMax(c.g, c.input("x"))} },
	},
	{
		Name: pb.OpNearestRow, Summary: "Row of a table that lies nearest to each row of x, as integers: the code of a vector quantiser (van den Oord et al. 2017).",
		Inputs:  []Input{{Name: "x", Shape: "[…, D]"}, {Name: "table", Shape: "[K, D]"}},
		Outputs: []Output{{Name: "y", Shape: "[…]", Doc: "integers"}},
		build:   func(c *call) []*core.Node { return []*core.Node{ops.NearestRow(c.g, c.input("x"), c.input("table"))} },
	},
	{
		Name: pb.OpGatherRows, Summary: "Rows of a table, by number.",
		Inputs: []Input{
			{Name: "table", Shape: "[K, D…]"}, {Name: "rows", Shape: "[R…]", Int: true, Doc: "numbers of 0 to K-1"},
		},
		Outputs: []Output{{Name: "y", Shape: "[R…, D…]"}},
		build: func(c *call) []*core.Node {
			table, rows := c.input("table"), c.input("rows")
			if len(table.Shape()) > 1 && rows.Shape().Size() > maxElements/table.Shape()[1:].Size() {
				c.fail("the result would have more than 2^31 elements")
			}
			return []*core.Node{ops.GatherRows(c.g, table, rows)}
		},
	},
	{
		Name: pb.OpGatherTokens, Summary: "Tokens of each sample, by number.",
		Inputs: []Input{
			{Name: "x", Shape: "[B, N, D]"}, {Name: "index", Shape: "[B, K]", Int: true, Doc: "numbers of 0 to N-1"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B, K, D]"}},
		build: func(c *call) []*core.Node {
			return []*core.Node{ops.GatherTokens(c.g, c.input("x"), c.input("index"))}
		},
	},
	{
		Name: pb.OpGatherIntegers, Summary: "Integers of each sample, by number.",
		Inputs: []Input{
			{Name: "x", Shape: "[B, N]", Int: true}, {Name: "index", Shape: "[B, K]", Int: true, Doc: "numbers of 0 to N-1"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B, K]", Doc: "integers"}},
		build: func(c *call) []*core.Node {
			return []*core.Node{ops.GatherIntegers(c.g, c.input("x"), c.input("index"))}
		},
	},
	{
		Name: pb.OpScaleRows, Summary: "Each row of the first axis times its own factor.",
		Inputs: []Input{
			{Name: "x", Shape: "[R, …]"}, {Name: "factor", Shape: "[R]", Doc: "no gradient flows into it"},
		},
		Outputs: []Output{{Name: "y", Shape: "[R, …]"}},
		build:   func(c *call) []*core.Node { return []*core.Node{ops.ScaleRows(c.g, c.input("x"), c.input("factor"))} },
	},
	{
		Name: pb.OpAccuracy, Summary: "Share of the rows whose largest value stands at their label; for a metric: no gradient flows.",
		Inputs: []Input{
			{Name: "logits", Shape: "[R, C]"}, {Name: "labels", Shape: "[R]", Int: true},
			{Name: "weights", Shape: "[R]", Optional: true, Doc: "of the rows"},
		},
		Outputs: []Output{{Name: "y", Shape: "[]"}},
		build: func(c *call) []*core.Node {
			return []*core.Node{ops.Accuracy(c.g, c.input("logits"), c.input("labels"), c.optional("weights"))}
		},
	},
	{
		Name: pb.OpCodebookUpdate, Summary: "Codes of a vector quantiser as running means of the vectors that chose them (van den Oord et al. 2017, appendix A.1); codes that are chosen too rarely start anew. No gradient flows; the results are for buffers.",
		Inputs: []Input{
			{Name: "x", Shape: "[R, D]"}, {Name: "codes", Shape: "[R]", Int: true},
			{Name: "fresh", Shape: "[F, D]", Doc: "vectors that codes start anew from, in order"},
			{Name: "codebook", Shape: "[K, D]"}, {Name: "count", Shape: "[K]", Doc: "running mean of the number of vectors"},
			{Name: "sum", Shape: "[K, D]", Doc: "running mean of their sum"},
		},
		Attributes: []Attribute{
			{Name: "decay", Type: Float, Default: .99, Doc: "of the running means"},
			{Name: "alive", Type: Float, Default: 1.0, Doc: "smallest count of a code that stays"},
		},
		Outputs: []Output{{Name: "codebook", Shape: "[K, D]"}, {Name: "count", Shape: "[K]"}, {Name: "sum", Shape: "[K, D]"}},
		build: func(c *call) []*core.Node {
			book, count, sum := ops.CodebookUpdate(c.g, c.input("x"), c.input("codes"), c.input("fresh"), c.input("codebook"), c.input("count"), c.input("sum"),
				ops.CodebookOptions{Decay: c.float("decay"), Alive: c.float("alive")})
			return []*core.Node{book, count, sum}
		},
	},
	{
		Name: pb.OpRandom, Summary: "Random numbers, a function of the run's seed, the step, the sample and the node's name.",
		Attributes: []Attribute{
			{Name: "shape", Type: Ints, Required: true, Doc: "of one sample"},
			{Name: "distribution", Type: String, Required: true, Doc: "uniform in [0, 1), normal of variance 1, or gumbel: -log(-log u)"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B]+shape"}},
		build:   buildRandom,
	},
}

// random is an input that is filled with random numbers at each step.
type random struct {
	name, distribution string
	node               *core.Node
}

func buildRandom(c *call) []*core.Node {
	distribution := c.choice("distribution", device.Distributions()...)
	shape := tensor.Shape{c.m.Batch}
	for _, d := range c.ints("shape") {
		if d < 1 || d > maxElements/shape.Size() {
			c.fail("shape %v: every size must be positive, and a batch have at most 2^31 elements", c.ints("shape"))
		}
		shape = append(shape, d)
	}
	n := c.g.Input("random."+c.node.GetName(), shape)
	c.m.randoms = append(c.m.randoms, random{c.node.GetName(), distribution, n})
	return []*core.Node{n}
}

// drawRandoms fills the random inputs of a step.
func (m *Model) drawRandoms(step uint64, ids []uint64) {
	for _, r := range m.randoms {
		// The samples of a batch that is not full leave rows over, and a call may give no ids at all.
		all := append(slices.Clone(ids), make([]uint64, max(0, m.Batch-len(ids)))...)
		if err := device.RandomRows(m.engine, r.node.Value(), r.distribution, m.seed, r.name, step, all[:m.Batch]); err != nil {
			panic("program: " + err.Error()) // the distribution and the shape were checked when the node was built
		}
	}
}
