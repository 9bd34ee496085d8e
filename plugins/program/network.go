package program

import (
	"fmt"
	"slices"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/pb"
)

// BackboneInfo tells an objective which network it is opened for. mean and std are those that views
// are normalized with, one number per channel.
func BackboneInfo(c backbone.Config, mean, std []float64) *pb.BackboneInfo {
	i := c.Info()
	rows, cols := i.Grid()
	info := &pb.BackboneInfo{
		Name: i.Name, Family: i.Family, Dim: uint32(i.Dim), Depth: uint32(i.Depth), Heads: uint32(i.Heads),
		Patch: uint32(i.Patch), ImageH: uint32(i.ImageH), ImageW: uint32(i.ImageW), GridH: uint32(rows), GridW: uint32(cols),
		Channels: uint32(i.Channels), Mean: mean, Std: std,
		PrefixTokens: uint32(i.PrefixTokens), LayerNormEps: i.NormEps,
	}
	for _, d := range i.StageDims {
		info.StageDims = append(info.StageDims, uint32(d))
	}
	return info
}

// Backbone applies a plan's requirements of the network to a config, and returns the initialization
// with it. The recommended stochastic depth is taken only where the config has none.
func Backbone(c backbone.Config, r *pb.BackboneRequirements) (backbone.Config, backbone.Scheme, error) {
	info := c.Info()
	if f := r.GetFamilies(); len(f) > 0 && !slices.Contains(f, info.Family) {
		return c, nil, fmt.Errorf("the objective works with backbones of the families %v; %s is a %s", f, info.Name, info.Family)
	}
	scheme, err := schemeOf(c, r)
	if err != nil {
		return c, nil, fmt.Errorf("the plan asks for an initialization that the network does not have: %w", err)
	}
	c, err = c.Require(backbone.Requirements{
		Positions: positions[r.GetPosEmbed()], ClassToken: classTokens[r.GetClassToken()], Relative: relatives[r.GetRelPos()],
		LayerScale: r.GetLayerScale(), SplitQVBias: r.GetSplitQkvBias(), DropPath: r.GetDropPath(),
	})
	return c, scheme, err
}

var positions = map[pb.BackboneRequirements_PosEmbed]string{
	pb.BackboneRequirements_POS_EMBED_LEARNED:       backbone.Learned,
	pb.BackboneRequirements_POS_EMBED_SINCOS_COLUMN: backbone.SinCosColumn,
	pb.BackboneRequirements_POS_EMBED_SINCOS_ROW:    backbone.SinCosRow,
	pb.BackboneRequirements_POS_EMBED_NONE:          backbone.None,
}

var classTokens = map[pb.BackboneRequirements_ClassToken]string{
	pb.BackboneRequirements_CLASS_TOKEN_REQUIRED: backbone.Required,
	pb.BackboneRequirements_CLASS_TOKEN_NONE:     backbone.None,
}

var relatives = map[pb.BackboneRequirements_RelPos]string{
	pb.BackboneRequirements_REL_POS_NONE:      backbone.None,
	pb.BackboneRequirements_REL_POS_SHARED:    backbone.RelativeShared,
	pb.BackboneRequirements_REL_POS_PER_BLOCK: backbone.RelativePerBlock,
	pb.BackboneRequirements_REL_POS_BOTH:      backbone.RelativeBoth,
}

// schemeOf returns the plan's own scheme of initial values, or that of the family which it names.
func schemeOf(c backbone.Config, r *pb.BackboneRequirements) (backbone.Scheme, error) {
	if len(r.GetInitRules()) == 0 {
		return c.Scheme(r.GetInit())
	}
	if r.GetInit() != "" {
		return nil, fmt.Errorf("it has rules and names %q: want one of them", r.GetInit())
	}
	var scheme backbone.Scheme
	for _, rule := range r.GetInitRules() {
		in := rule.GetInit()
		kind, ok := drawn[in.GetKind()]
		if !ok {
			return nil, fmt.Errorf("rule of %q: %v is no initialization of a backbone's weights", rule.GetWeights(), in.GetKind())
		}
		scheme = append(scheme, backbone.Rule{
			Weights: rule.GetWeights(), Stacked: int(rule.GetStacked()), ByDepth: rule.GetByDepth(),
			Init: param.Init{Kind: kind, A: in.GetA(), B: in.GetB(), FanIn: int(in.GetFanIn()), FanOut: int(in.GetFanOut())},
		})
	}
	return scheme, nil
}

// drawn are the initializations that follow from the shape and some numbers.
var drawn = map[pb.Init_Kind]string{
	pb.Init_KIND_ZEROS:          "zeros",
	pb.Init_KIND_ONES:           "ones",
	pb.Init_KIND_CONSTANT:       "constant",
	pb.Init_KIND_NORMAL:         "normal",
	pb.Init_KIND_TRUNC_NORMAL:   "trunc_normal",
	pb.Init_KIND_UNIFORM:        "uniform",
	pb.Init_KIND_XAVIER_UNIFORM: "xavier_uniform",
	pb.Init_KIND_FAN_IN_UNIFORM: "fan_in_uniform",
}
