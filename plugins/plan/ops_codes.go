package plan

import "github.com/vittool/vittool/plugins/pb"

var codeOperators = []Operator{
	{
		Name: pb.OpArgMax, Summary: "Place of the largest value of each row, as integers; of equal ones the first.",
		Inputs: []Input{{Name: "x", Shape: "[…, C]"}}, Outputs: []Output{{Name: "y", Shape: "[…]", Doc: "integers"}},
	},
	{
		Name: pb.OpNearestRow, Summary: "Row of a table that lies nearest to each row of x, as integers: the code of a vector quantizer (van den Oord et al. 2017).",
		Inputs:  []Input{{Name: "x", Shape: "[…, D]"}, {Name: "table", Shape: "[K, D]"}},
		Outputs: []Output{{Name: "y", Shape: "[…]", Doc: "integers"}},
	},
	{
		Name: pb.OpGatherRows, Summary: "Rows of a table, by number.",
		Inputs: []Input{
			{Name: "table", Shape: "[K, D…]"}, {Name: "rows", Shape: "[R…]", Int: true, Doc: "numbers of 0 to K-1"},
		},
		Outputs: []Output{{Name: "y", Shape: "[R…, D…]"}},
	},
	{
		Name: pb.OpGatherTokens, Summary: "Tokens of each sample, by number.",
		Inputs: []Input{
			{Name: "x", Shape: "[B, N, D]"}, {Name: "index", Shape: "[B, K]", Int: true, Doc: "numbers of 0 to N-1"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B, K, D]"}},
	},
	{
		Name: pb.OpGatherIntegers, Summary: "Integers of each sample, by number.",
		Inputs: []Input{
			{Name: "x", Shape: "[B, N]", Int: true}, {Name: "index", Shape: "[B, K]", Int: true, Doc: "numbers of 0 to N-1"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B, K]", Doc: "integers"}},
	},
	{
		Name: pb.OpScaleRows, Summary: "Each row of the first axis times its own factor.",
		Inputs: []Input{
			{Name: "x", Shape: "[R, …]"}, {Name: "factor", Shape: "[R]", Doc: "no gradient flows into it"},
		},
		Outputs: []Output{{Name: "y", Shape: "[R, …]"}},
	},
	{
		Name: pb.OpAccuracy, Summary: "Share of the rows whose largest value stands at their label; for a metric: no gradient flows.",
		Inputs: []Input{
			{Name: "logits", Shape: "[R, C]"}, {Name: "labels", Shape: "[R]", Int: true},
			{Name: "weights", Shape: "[R]", Optional: true, Doc: "of the rows"},
		},
		Outputs: []Output{{Name: "y", Shape: "[]"}},
	},
	{
		Name: pb.OpCodebookUpdate, Summary: "Codes of a vector quantizer as running means of the vectors that chose them (van den Oord et al. 2017, appendix A.1); codes that are chosen too rarely start anew. No gradient flows; the results are for buffers.",
		Inputs: []Input{
			{Name: "x", Shape: "[R, D]"}, {Name: "codes", Shape: "[R]", Int: true},
			{Name: "fresh", Shape: "[F, D]", Doc: "vectors that codes start anew from, in order"},
			{Name: "codebook", Shape: "[K, D]"}, {Name: "count", Shape: "[K]", Doc: "running mean of the number of vectors"},
			{Name: "sum", Shape: "[K, D]", Doc: "running mean of their sum"},
		},
		Attributes: []Attribute{
			{Name: "decay", Type: Float, Default: .99, Doc: "of the running means"},
			{Name: "alive", Type: Float, Default: 1.0, Doc: "smallest count of a code that stays"},
		},
		Outputs: []Output{{Name: "codebook", Shape: "[K, D]"}, {Name: "count", Shape: "[K]"}, {Name: "sum", Shape: "[K, D]"}},
	},
	{
		Name: pb.OpSampledDot, Summary: "Products of each row with sampled rows of a table, by number: y[b, k] = x[b]·table[rows[b, k]]. A memory bank is such a table.",
		Inputs: []Input{
			{Name: "x", Shape: "[B, D]"}, {Name: "table", Shape: "[N, D]", Doc: "no gradient flows into it"},
			{Name: "rows", Shape: "[B, K]", Int: true, Doc: "numbers of 0 to N-1"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B, K]"}},
	},
	{
		Name: pb.OpRandom, Summary: "Random numbers, a function of the run's seed, the step, the sample and the node's name.",
		Attributes: []Attribute{
			{Name: "shape", Type: Ints, Required: true, valid: oneToMany, Doc: "of one sample"},
			{Name: "distribution", Type: String, Required: true, choices: []string{"uniform", "normal", "gumbel"}, Doc: "uniform in [0, 1), normal of variance 1, or gumbel: -log(-log u)"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B]+shape"}},
	},
}
