package program

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
)

var contrastBuilders = map[string]builder{
	"nt_xent": func(c *call) []*core.Node {
		loss, rows, accuracy := ops.NTXent(c.g, c.input("z"), c.float("temperature"))
		return []*core.Node{loss, rows, accuracy}
	},
	"queue_contrast": func(c *call) []*core.Node {
		loss, rows, accuracy := ops.QueueContrast(c.g, c.input("queries"), c.input("keys"), c.input("queue"), c.float("temperature"))
		return []*core.Node{loss, rows, accuracy}
	},
	"feature_deviation": func(c *call) []*core.Node { return []*core.Node{ops.FeatureDeviation(c.g, c.input("x"))} },
	"alignment":         func(c *call) []*core.Node { return []*core.Node{ops.Alignment(c.g, c.input("x"), c.input("y"))} },
	"uniformity":        func(c *call) []*core.Node { return []*core.Node{ops.Uniformity(c.g, c.input("x"))} },
	"effective_rank":    func(c *call) []*core.Node { return []*core.Node{ops.EffectiveRank(c.g, c.input("x"))} },
}
