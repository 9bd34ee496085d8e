package plan

import "github.com/vittool/vittool/plugins/pb"

var orderAttribute = Attribute{Name: "order", Type: String, Required: true, choices: []string{"hwc", "chw"},
	Doc: "of the values in a patch: hwc (row, column, channel, as MAE) or chw (channel, row, column, as a convolution's weight)"}

var tokenOperators = []Operator{
	{
		Name: pb.OpRestoreTokens, Summary: "Visible tokens back in raster order, the mask token at every masked place; the class token stays first (He et al. 2022).",
		Inputs: []Input{
			{Name: "x", Shape: "[B, 1+K, D]"}, {Name: "mask_token", Shape: "[1, 1, D]"},
			{Name: "keep", Shape: "[B, K]", Int: true, Doc: "patch of each visible token"},
		},
		Attributes: []Attribute{{Name: "length", Type: Int, Required: true, valid: tokenCount, Doc: "number L of all patches"}},
		Outputs:    []Output{{Name: "y", Shape: "[B, 1+L, D]"}},
	},
	{
		Name: pb.OpAddPositions, Summary: "Tokens plus rows offset, offset+1, … of a position table.",
		Inputs:     []Input{{Name: "x", Shape: "[B, N, D]"}, {Name: "positions", Shape: "[1, M, D]"}},
		Attributes: []Attribute{{Name: "offset", Type: Int, Default: 0, Doc: "first row that is used; offset+N must not exceed M"}},
		Outputs:    []Output{{Name: "y", Shape: "[B, N, D]"}},
	},
	{
		Name: pb.OpSliceTokens, Summary: "Tokens from, from+1, …, to-1.",
		Inputs: []Input{{Name: "x", Shape: "[B, N, D]"}},
		Attributes: []Attribute{
			{Name: "from", Type: Int, Default: 0}, {Name: "to", Type: Int, Default: 0, Doc: "0: N"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B, to-from, D]"}},
	},
	{
		Name: pb.OpMeanTokens, Summary: "Mean over the tokens from the given one on.",
		Inputs:     []Input{{Name: "x", Shape: "[B, N, D]"}},
		Attributes: []Attribute{{Name: "from", Type: Int, Default: 0}},
		Outputs:    []Output{{Name: "y", Shape: "[B, D]"}},
	},
	{
		Name: pb.OpPatchify, Summary: "Images cut into patches in raster order; L = H/patch·W/patch, P = patch²·C.",
		Inputs:     []Input{{Name: "images", Shape: "[B, C, H, W]"}},
		Attributes: []Attribute{{Name: "patch", Type: Int, Required: true, valid: positive, Doc: "side in pixels; must divide H and W"}, orderAttribute},
		Outputs:    []Output{{Name: "y", Shape: "[B, L, P]"}},
	},
	{
		Name: pb.OpUnpatchify, Summary: "Patches laid out as images: the inverse of patchify.",
		Inputs: []Input{{Name: "x", Shape: "[B, L, P]"}},
		Attributes: []Attribute{
			{Name: "patch", Type: Int, Required: true, valid: positive, Doc: "side in pixels"},
			{Name: "rows", Type: Int, Required: true, valid: positive}, {Name: "cols", Type: Int, Required: true, valid: positive, Doc: "rows·cols = L"}, orderAttribute,
		},
		Outputs: []Output{{Name: "y", Shape: "[B, C, rows·patch, cols·patch]"}},
	},
	{
		Name: pb.OpNormalizePatches, Summary: "Each patch to mean 0 and variance 1: (x - mean)/√(variance + eps), with the unbiased variance (He et al. 2022). It is a target: no gradient flows.",
		Inputs:     []Input{{Name: "x", Shape: "[B, L, P]"}},
		Attributes: []Attribute{{Name: "eps", Type: Float, Default: 1e-6, only: 1e-6, Doc: "added to the variance; no other value in this version"}},
		Outputs:    []Output{{Name: "y", Shape: "[B, L, P]"}},
	},
}
