package plan

import "github.com/vittool/vittool/plugins/pb"

var arithmeticOperators = []Operator{
	{
		Name: pb.OpAdd, Summary: "a + b.",
		Inputs: []Input{{Name: "a", Shape: "[…]"}, {Name: "b", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[…]"}},
	},
	{
		Name: pb.OpAddRow, Summary: "x plus one row, added to each of its rows.",
		Inputs:  []Input{{Name: "x", Shape: "[…, D]"}, {Name: "row", Shape: "[D] or [1, D]"}},
		Outputs: []Output{{Name: "y", Shape: "[…, D]"}},
	},
	{
		Name: pb.OpMul, Summary: "a · b, element by element.",
		Inputs: []Input{{Name: "a", Shape: "[…]"}, {Name: "b", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[…]"}},
	},
	{
		Name: pb.OpScale, Summary: "x times a constant, and times a scheduled number if one is given.",
		Inputs: []Input{
			{Name: "x", Shape: "[…]"}, {Name: "factor", Shape: "[]", Optional: true, Doc: "no gradient flows into it"},
		},
		Attributes: []Attribute{{Name: "factor", Type: Float, Default: 1.0}},
		Outputs:    []Output{{Name: "y", Shape: "[…]"}},
	},
	{
		Name: pb.OpSum, Summary: "Sum of all elements.",
		Inputs: []Input{{Name: "x", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[]"}},
	},
	{
		Name: pb.OpMean, Summary: "Mean of all elements.",
		Inputs: []Input{{Name: "x", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[]"}},
	},
	{
		Name: pb.OpExp, Summary: "e to the power of x.",
		Inputs: []Input{{Name: "x", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[…]"}},
	},
	{
		Name: pb.OpMatMul, Summary: "Matrix product, of the transposes where asked for.",
		Inputs: []Input{{Name: "a", Shape: "[M, K]"}, {Name: "b", Shape: "[K, N]"}},
		Attributes: []Attribute{
			{Name: "transpose_a", Type: Bool, Default: false, Doc: "a is [K, M]"}, {Name: "transpose_b", Type: Bool, Default: false, Doc: "b is [N, K]"},
		},
		Outputs: []Output{{Name: "y", Shape: "[M, N]"}},
	},
	{
		Name: pb.OpReshape, Summary: "The same elements in another shape.",
		Inputs:     []Input{{Name: "x", Shape: "[…]", Either: true}},
		Attributes: []Attribute{{Name: "shape", Type: Ints, Required: true, Doc: "0 keeps the dimension at that place; one -1 is inferred"}},
		Outputs:    []Output{{Name: "y", Shape: "shape"}},
	},
	{
		Name: pb.OpConcat, Summary: "Tensors side by side along an axis; the other axes must agree.",
		Inputs:     []Input{{Name: "x", Shape: "[…]", Repeated: true}},
		Attributes: []Attribute{{Name: "axis", Type: Int, Default: 0, Doc: "negative: from the end"}},
		Outputs:    []Output{{Name: "y", Shape: "[…]"}},
	},
	{
		Name: pb.OpViewRows, Summary: "The rows of one view out of a pass over several, which come view after view.",
		Inputs: []Input{{Name: "x", Shape: "[S·B, …]"}},
		Attributes: []Attribute{
			{Name: "view", Type: Int, Required: true, valid: fromZero, Doc: "from 0"}, {Name: "views", Type: Int, Required: true, valid: positive, Doc: "S; must divide the rows"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B, …]"}},
	},
	{
		Name: pb.OpRowNumbers, Summary: "The number of each row of x, from 0: the labels of a contrastive loss whose positives lie on the diagonal.",
		Inputs:  []Input{{Name: "x", Shape: "[R, …]", Doc: "only its first dimension counts"}},
		Outputs: []Output{{Name: "y", Shape: "[R]", Doc: "integers"}},
	},
	{
		Name: pb.OpStopGradient, Summary: "x, with no gradient behind it.",
		Inputs: []Input{{Name: "x", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[…]"}},
	},
}
