package optim

import (
	"math"
	"slices"
	"strings"

	"github.com/vittool/vittool/core/param"
)

// LayerDecayScales returns the learning-rate factors of layer-wise decay (Clark et al., ELECTRA;
// the finetuning of BEiT and MAE): decay^(depth+1-j) for layer j = 0..depth+1.
func LayerDecayScales(depth int, decay float64) []float64 {
	scales := make([]float64, depth+2)
	for j := range scales {
		scales[j] = math.Pow(decay, float64(depth+1-j))
	}
	return scales
}

// ApplyLayerDecay sets LRScale of every parameter by its layer, 0 to depth+1: 0 before the first of
// depth blocks, l in block l counted from 1, depth+1 after the last one.
func ApplyLayerDecay(params []*param.Parameter, layer func(name string) int, depth int, decay float64) {
	scales := LayerDecayScales(depth, decay)
	for _, p := range params {
		p.LRScale = scales[layer(p.Name)]
	}
}

// ApplyDecayRule sets Decay of every parameter. Parameters of fewer than two dimensions, biases and
// the undecayed names, compared whole and without prefix, take no weight decay.
func ApplyDecayRule(params []*param.Parameter, prefix string, undecayed ...string) {
	for _, p := range params {
		name := strings.TrimPrefix(p.Name, prefix)
		p.Decay = len(p.Shape) > 1 && !strings.HasSuffix(name, ".bias") && !slices.Contains(undecayed, name)
	}
}
