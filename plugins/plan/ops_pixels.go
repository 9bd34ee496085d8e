package plan

import "github.com/vittool/vittool/plugins/pb"

var pixelOperators = []Operator{
	{
		Name: pb.OpPatchConvTranspose, Summary: "Transposed convolution whose stride is its kernel, from tokens to pixels: pixel (c, y·p+r, x·p+s) = Σ_d token(y, x)_d·weight[d, c, r, s] + bias[c].",
		Inputs: []Input{
			{Name: "x", Shape: "[B, L, D]", Doc: "tokens in raster order"}, {Name: "weight", Shape: "[D, C, p, p]"}, {Name: "bias", Shape: "[C]", Optional: true},
		},
		Attributes: []Attribute{
			{Name: "rows", Type: Int, Required: true, valid: positive}, {Name: "cols", Type: Int, Required: true, valid: positive, Doc: "rows·cols = L"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B, C, rows·p, cols·p]"}},
	},
	{
		Name: pb.OpCorrupt, Summary: "Images with the rectangles of a corruption painted over them, in order: zeros, standard normal noise, or a copy from elsewhere (Atito et al. 2021). " +
			"Noise is a function of the run's seed, the node's name, the step and the sample. For the images of a pass; no gradient flows.",
		Inputs: []Input{
			{Name: "images", Shape: "[B, C, H, W]"},
			{Name: "mask", Shape: "[B, R, 9]", Int: true, Doc: "values of a corruption of the same view"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B, C, H, W]"}},
	},
}
