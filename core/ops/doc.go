// Package ops holds the operators of a graph, forward beside backward, one kind a file. Each takes
// the graph first and nodes after it, states the shapes of its operands and of its result in its
// comment, and records a wrong shape as the error of the graph.
//
// Most operators serve several objectives. Some serve one of the built-in objectives only, and
// their comments say so:
//
//   - MAE: NormalizePatches, PatchMSE, RestoreTokens
//   - DINO: AddRow, WeightNorm
//   - SimCLR: NTXent
//   - MoCo: QueueContrast
//   - InstDisc: NCE, SampledDot
//   - SwAV: Sinkhorn
//   - SiT: Corrupt, Exp, PatchL1
//   - BEiT: Accuracy, GatherIntegers, RelativeBias, ReplaceTokens, ScaleRows
//   - the tokenizers of BEiT and their training: CodebookUpdate, NearestRow, Conv2D, MaxPool2D
//
// Alignment, EffectiveRank, FeatureDeviation and Uniformity are metrics of objectives that may
// collapse.
//
// Operators whose names end in NHWC are those of networks of convolutions.
//
// PatchSmoothL1 and UpsampleNearest serve objectives of third parties only.
package ops
