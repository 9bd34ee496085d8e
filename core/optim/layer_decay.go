package optim

import "math"

// LayerDecayScales returns the learning-rate factors of layer-wise decay (Clark et al., ELECTRA;
// the finetuning of BEiT and MAE): decay^(depth+1-j) for layer j = 0..depth+1.
func LayerDecayScales(depth int, decay float64) []float64 {
	scales := make([]float64, depth+2)
	for j := range scales {
		scales[j] = math.Pow(decay, float64(depth+1-j))
	}
	return scales
}
