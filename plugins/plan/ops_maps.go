package plan

import "github.com/vittool/vittool/plugins/pb"

var mapOperators = []Operator{
	{
		Name: pb.OpConv2D, Summary: "Convolution (cross-correlation) with zeros around the image; H' = (H + 2·padding - R)/stride + 1, rounded down, and W' likewise.",
		Inputs: []Input{
			{Name: "x", Shape: "[B, C, H, W]"}, {Name: "weight", Shape: "[O, C, R, S]"}, {Name: "bias", Shape: "[O]", Optional: true},
		},
		Attributes: []Attribute{{Name: "stride", Type: Int, Default: 1}, {Name: "padding", Type: Int, Default: 0}},
		Outputs:    []Output{{Name: "y", Shape: "[B, O, H', W']"}},
	},
	{
		Name: pb.OpMaxPool2D, Summary: "Largest value of each window of size × size pixels; H' = (H - size)/stride + 1, rounded down, and W' likewise.",
		Inputs:     []Input{{Name: "x", Shape: "[B, C, H, W]"}},
		Attributes: []Attribute{{Name: "size", Type: Int, Default: 2}, {Name: "stride", Type: Int, Default: 2}},
		Outputs:    []Output{{Name: "y", Shape: "[B, C, H', W']"}},
	},
	{
		Name: pb.OpUpsampleNearest, Summary: "Every pixel repeated factor times in both directions.",
		Inputs:     []Input{{Name: "x", Shape: "[B, C, H, W]"}},
		Attributes: []Attribute{{Name: "factor", Type: Int, Default: 2, valid: positive}},
		Outputs:    []Output{{Name: "y", Shape: "[B, C, factor·H, factor·W]"}},
	},
	{
		Name: pb.OpTranspose, Summary: "The last two of three axes swapped: tokens become the channels of a map, or the reverse.",
		Inputs: []Input{{Name: "x", Shape: "[B, M, N]"}}, Outputs: []Output{{Name: "y", Shape: "[B, N, M]"}},
	},
}
