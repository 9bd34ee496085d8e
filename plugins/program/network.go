package program

import (
	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
)

// BackboneInfo tells an objective which network it is opened for. mean and std are those that views
// are normalized with, one number per channel.
func BackboneInfo(c backbone.Config, mean, std []float64) plan.Backbone {
	i := c.Info()
	rows, cols := i.Grid()
	return plan.Backbone{
		Name: i.Name, Family: i.Family, Dim: i.Dim, Depth: i.Depth, Heads: i.Heads,
		Patch: i.Patch, ImageH: i.ImageH, ImageW: i.ImageW, GridH: rows, GridW: cols,
		Channels: i.Channels, Mean: mean, Std: std,
		PrefixTokens: i.PrefixTokens, LayerNormEps: i.NormEps, StageDims: i.StageDims,
	}
}

// Backbone applies a plan's requirements of the network to a config, and returns the initialization
// with it. The recommended stochastic depth is taken only where the config has none.
func Backbone(c backbone.Config, r *plan.Requirements) (backbone.Config, backbone.Scheme, error) {
	c, err := c.Require(backbone.Requirements{
		Positions: positions[r.PosEmbed], ClassToken: classTokens[r.ClassToken], Relative: relatives[r.RelPos],
		LayerScale: r.LayerScale, SplitQVBias: r.SplitQkvBias, DropPath: r.DropPath,
	})
	return c, scheme(r.InitRules), err
}

var positions = map[plan.PosEmbed]string{
	plan.PosEmbedLearned:      backbone.Learned,
	plan.PosEmbedSincosColumn: backbone.SinCosColumn,
	plan.PosEmbedSincosRow:    backbone.SinCosRow,
	plan.PosEmbedNone:         backbone.None,
}

var classTokens = map[plan.ClassToken]string{
	plan.ClassTokenRequired: backbone.Required,
	plan.ClassTokenNone:     backbone.None,
}

var relatives = map[plan.RelPos]string{
	plan.RelPosNone:     backbone.None,
	plan.RelPosShared:   backbone.RelativeShared,
	plan.RelPosPerBlock: backbone.RelativePerBlock,
	plan.RelPosBoth:     backbone.RelativeBoth,
}

// scheme turns the rules of a plan into those of a network; nil for none.
func scheme(rules []plan.InitRule) backbone.Scheme {
	var s backbone.Scheme
	for _, rule := range rules {
		in := rule.Init
		s = append(s, backbone.Rule{
			Weights: rule.Weights, Stacked: rule.Stacked, ByDepth: rule.ByDepth,
			Init: param.Init{Kind: drawn[in.Kind], A: in.A, B: in.B, FanIn: in.FanIn, FanOut: in.FanOut},
		})
	}
	return s
}

// drawn are the initializations that follow from the shape and some numbers.
var drawn = map[plan.InitKind]string{
	plan.InitZeros:         "zeros",
	plan.InitOnes:          "ones",
	plan.InitConstant:      "constant",
	plan.InitNormal:        "normal",
	plan.InitTruncNormal:   "trunc_normal",
	plan.InitUniform:       "uniform",
	plan.InitXavierUniform: "xavier_uniform",
	plan.InitFanInUniform:  "fan_in_uniform",
}
