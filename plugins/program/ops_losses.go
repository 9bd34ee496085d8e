package program

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
)

var lossBuilders = map[string]builder{
	"patch_mse": func(c *call) []*core.Node {
		loss, perPatch := ops.PatchMSE(c.g, c.input("prediction"), c.input("target"), c.input("mask"))
		return []*core.Node{loss, perPatch}
	},
	"patch_l1": func(c *call) []*core.Node {
		loss, perPatch := ops.PatchL1(c.g, c.input("prediction"), c.input("target"), c.input("mask"))
		return []*core.Node{loss, perPatch}
	},
	"patch_smooth_l1": func(c *call) []*core.Node {
		loss, perPatch := ops.PatchSmoothL1(c.g, c.input("prediction"), c.input("target"), c.input("mask"), c.float("beta"))
		return []*core.Node{loss, perPatch}
	},
	"cross_entropy": func(c *call) []*core.Node {
		loss, perRow := ops.SoftmaxCrossEntropy(c.g, c.rank("logits", 2), c.input("labels"))
		if w := c.optional("weights"); w != nil {
			w = c.g.StopGradient(w)
			loss = ops.ScaleBy(c.g, ops.Dot(c.g, perRow, w), ops.Reciprocal(c.g, ops.Sum(c.g, w)))
		}
		return []*core.Node{loss, perRow}
	},
	"view_cross_entropy": func(c *call) []*core.Node {
		loss, pairs := ops.ViewCrossEntropy(c.g, c.input("logits"), c.input("targets"), c.int("views"), c.float("temperature"))
		return []*core.Node{loss, pairs}
	},
	"sinkhorn": func(c *call) []*core.Node {
		return []*core.Node{ops.Sinkhorn(c.g, c.input("scores"), c.optional("earlier"), ops.SinkhornOptions{Epsilon: c.float("epsilon"), Iterations: c.int("iterations")})}
	},
	"nce": func(c *call) []*core.Node {
		loss, probability, z := ops.NCE(c.g, c.input("logits"), c.input("constant"), c.int("samples"))
		return []*core.Node{loss, probability, z}
	},
	"evaluate": buildEvaluate,
}
