package program

import (
	"path"
	"slices"
	"strings"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/runs"
)

// BackboneInfo tells an objective which network it is opened for. mean and std are those that views
// are normalized with, one number per channel.
func BackboneInfo(c backbone.Config, mean, std []float64) plan.Backbone {
	i := c.Info()
	return plan.Backbone{
		Name: i.Name, Family: i.Family, Dim: i.Dim, Depth: i.Depth, Heads: i.Heads,
		Patch: i.Patch, Height: i.ImageH, Width: i.ImageW,
		Channels: i.Channels, Mean: mean, Std: std,
		PrefixTokens: i.PrefixTokens, LayerNormEps: i.NormEps, StageDims: i.StageDims,
	}
}

// Configure applies a plan's requirements of the network to a config, and returns the
// initialization with it. The recommended stochastic depth is taken only where the config has none.
func Configure(c backbone.Config, r *plan.Requirements) (backbone.Config, backbone.Scheme, error) {
	c, err := c.Require(backbone.Requirements{
		Positions: positions[r.PosEmbed], ClassToken: classTokens[r.ClassToken], Relative: relatives[r.RelPos],
		LayerScale: r.LayerScale, SplitQVBias: r.SplitQKVBias, DropPath: r.DropPath,
	})
	return c, scheme(r.Init), err
}

var positions = map[plan.PosEmbed]string{
	plan.PosEmbedLearned:      backbone.Learned,
	plan.PosEmbedSinCosColumn: backbone.SinCosColumn,
	plan.PosEmbedSinCosRow:    backbone.SinCosRow,
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

// setDecayAndFreeze applies the plan's rules of weight decay and freezing to the student's weights.
func setDecayAndFreeze(b backbone.Network, r *plan.Requirements) {
	for _, p := range b.Parameters() {
		name := strings.TrimPrefix(p.Name, runs.BackbonePrefix)
		switch r.Decay {
		case plan.DecayMatrices:
			p.Decay = backbone.MatrixDecay(name, p.Shape)
		case plan.DecayAll:
			p.Decay = true
		case plan.DecayNone:
			p.Decay = false
		}
		p.Decay = p.Decay && !matches(r.NoDecay, name)
		p.Frozen = p.Frozen || matches(r.Frozen, name)
	}
}

// matches reports whether the name agrees with one of the patterns, as of path.Match.
func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name) // the patterns were checked with the plan
		return ok
	})
}
