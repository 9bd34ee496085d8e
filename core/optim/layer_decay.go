package optim

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vittool/vittool/core/param"
)

// LayerDecayScales returns the learning-rate factors of layer-wise decay (Clark
// et al., ELECTRA; BEiT and MAE fine-tuning): decay^(depth+1-j) for layer j =
// 0..depth+1.
func LayerDecayScales(depth int, decay float64) []float64 {
	scales := make([]float64, depth+2)
	for j := range scales {
		scales[j] = math.Pow(decay, float64(depth+1-j))
	}
	return scales
}

// LayerOf returns the layer of a ViT parameter with timm's names: 0 for
// cls_token, pos_embed and patch_embed, b+1 for blocks.b, depth+1 for the rest
// (norms, heads).
func LayerOf(name string, depth int) int {
	if name == "cls_token" || name == "pos_embed" || strings.HasPrefix(name, "patch_embed") {
		return 0
	}
	if rest, ok := strings.CutPrefix(name, "blocks."); ok {
		number, _, _ := strings.Cut(rest, ".")
		if b, err := strconv.Atoi(number); err == nil && b >= 0 && b < depth {
			return b + 1
		}
	}
	return depth + 1
}

// ApplyLayerDecay sets LRScale of every parameter. prefix is cut from the names
// first.
func ApplyLayerDecay(params []*param.Parameter, prefix string, depth int, decay float64) {
	scales := LayerDecayScales(depth, decay)
	for _, p := range params {
		p.LRScale = scales[LayerOf(strings.TrimPrefix(p.Name, prefix), depth)]
	}
}

// ApplyDecayRule sets Decay: parameters of fewer than two dimensions, biases and
// the names listed are not decayed. (Names are compared whole, without prefix.)
func ApplyDecayRule(params []*param.Parameter, prefix string, undecayed ...string) {
	for _, p := range params {
		name := strings.TrimPrefix(p.Name, prefix)
		p.Decay = len(p.Shape) > 1 && !strings.HasSuffix(name, ".bias") && !slices.Contains(undecayed, name)
	}
}
