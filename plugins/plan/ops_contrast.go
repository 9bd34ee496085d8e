package plan

import "github.com/vittool/vittool/plugins/pb"

// contrast is the row of a contrastive loss of rows rows.
func contrast(name, summary, rows string, inputs ...Input) Operator {
	return Operator{
		Name: name, Summary: summary + " Similarities are divided by the temperature. They are computed some rows at a time, so that memory grows with the batch and not with its square.",
		Inputs:     inputs,
		Attributes: []Attribute{{Name: "temperature", Type: Float, Required: true, Doc: "positive"}},
		Outputs: []Output{
			{Name: "loss", Shape: "[]"}, {Name: "per_row", Shape: "[" + rows + "]"},
			{Name: "accuracy", Shape: "[]", Doc: "share of the rows whose partner is the most similar; without a gradient"},
		},
	}
}

// measure is the row of a number that shows a collapse.
func measure(name, summary string, inputs ...Input) Operator {
	return Operator{Name: name, Summary: summary + " For a metric: no gradient flows.", Inputs: inputs, Outputs: []Output{{Name: "y", Shape: "[]"}}}
}

var rowsOfFeatures = Input{Name: "x", Shape: "[R, D]"}

var contrastOperators = []Operator{
	contrast(pb.OpNTXent, "Loss of SimCLR (Chen et al. 2020): the mean over 2B rows of the cross-entropy of finding the other view of the image among the 2B-1 other rows.", "2B",
		Input{Name: "z", Shape: "[2B, D]", Doc: "of length 1; the B second views come after the first ones"}),
	contrast(pb.OpQueueContrast, "Loss of MoCo (He et al. 2020): the mean over rows of the cross-entropy of finding the key of a query among it and all rows of a queue.", "R",
		Input{Name: "queries", Shape: "[R, D]", Doc: "of length 1"}, Input{Name: "keys", Shape: "[R, D]", Doc: "of length 1; no gradient flows into them"},
		Input{Name: "queue", Shape: "[K, D]", Doc: "no gradient flows into it"}),
	measure(pb.OpFeatureDeviation, "Mean over D of the unbiased standard deviation over the rows: 0 where all are equal, near 1/√D where rows of length 1 are spread evenly (Chen and He 2021).", rowsOfFeatures),
	measure(pb.OpAlignment, "Mean squared distance of the rows of x and y (Wang and Isola 2020).", rowsOfFeatures, Input{Name: "y", Shape: "[R, D]"}),
	measure(pb.OpUniformity, "log mean exp(-2‖x_r - x_s‖²) over all pairs of the first 256 rows (Wang and Isola 2020): 0 where all are equal, near -4 where rows of length 1 are spread evenly.", rowsOfFeatures),
	measure(pb.OpEffectiveRank, "RankMe (Garrido et al. 2023) of the first 256 rows: e to the entropy of their singular values, 1 to min(R, D).", rowsOfFeatures),
}
