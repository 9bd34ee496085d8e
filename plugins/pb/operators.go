package pb

// Names of the operators of a program, version 1 of the table. Each is one node with
// named inputs and attributes; [..] are shapes, B the batch, L patch tokens, N prefix
// and patch tokens, D width, P values of a patch (patch*patch*channels). An input
// marked ? may be left out. plugins/program compiles them into the host's graph.
const (
	// Dense layers.
	OpLinear    = "linear"     // x [..,I], weight [O,I], bias? [O] -> [..,O]
	OpLayerNorm = "layer_norm" // x [..,D], weight? [D], bias? [D]; eps float -> like x
	// OpBatchNorm: x [..,C] normalized over all rows; weight? [C], bias? [C]; buffers running_mean
	// [C], running_var [C], count? []; eps, momentum float, eval bool -> like x. The buffers move
	// once the step is good.
	OpBatchNorm = "batch_norm"
	// OpWeightNorm makes a weight of directions and lengths: v [O,..], gain? [O] or [O,1] -> like
	// v, row o is gain[o]*v[o]/|v[o]|.
	OpWeightNorm = "weight_norm"
	OpGELU       = "gelu" // x -> like x (exact, by erf)
	OpReLU       = "relu" // x -> like x

	// OpViTBlock is a pre-norm transformer block. x [B,N,D]; inputs norm1.weight, norm1.bias,
	// attn.qkv.weight [3D,D], attn.qkv.bias?, attn.proj.weight, attn.proj.bias, norm2.weight,
	// norm2.bias, mlp.fc1.weight, mlp.fc1.bias, mlp.fc2.weight, mlp.fc2.bias, ls1.gamma?,
	// ls2.gamma?; heads int, eps float -> [B,N,D]
	OpViTBlock = "vit_block"

	// Tokens.
	// OpRestoreTokens: x [B,1+K,D], mask_token [1,1,D], keep int [B,K]; length int (L) ->
	// [B,1+L,D]
	OpRestoreTokens = "restore_tokens"
	// OpAddPositions: x [B,M,D], positions [1,M',D]; offset int -> x + positions[offset:offset+M]
	OpAddPositions = "add_positions"
	OpSliceTokens  = "slice_tokens" // x [B,N,D]; from int, to int (0: the end) -> [B,to-from,D]
	OpMeanTokens   = "mean_tokens"  // x [B,N,D]; from int -> [B,D]

	// Pixels and reconstruction losses. order is "hwc" (channel fastest, MAE) or "chw".
	OpPatchify   = "patchify"   // images [B,C,H,W]; patch int, order string -> [B,L,P]
	OpUnpatchify = "unpatchify" // x [B,L,P]; patch, rows, cols int, order string -> [B,C,H,W]
	// OpPatchConvTranspose: x [B,L,D], weight [D,C,p,p], bias? [C]; rows, cols int ->
	// [B,C,rows*p,cols*p], a transposed convolution whose stride is its kernel.
	OpPatchConvTranspose = "patch_conv_transpose"
	// OpCorrupt: images [B,C,H,W], mask int [B,R,9] of a corruption -> images; not differentiated
	OpCorrupt = "corrupt"
	// OpNormalizePatches: x [B,L,P]; eps float -> (x-mean)/sqrt(unbiased variance+eps); not
	// differentiated
	OpNormalizePatches = "normalize_patches"
	// OpPatchMSE: prediction, target [B,L,P], mask float [B,L] -> 0: mean over masked patches of
	// the mean squared error, scalar; 1: [B,L]
	OpPatchMSE      = "patch_mse"
	OpPatchL1       = "patch_l1"        // the same with absolute differences
	OpPatchSmoothL1 = "patch_smooth_l1" // the same with beta float

	// Arithmetic.
	OpAdd    = "add"     // a, b -> like a
	OpAddRow = "add_row" // x [..,D], row [D] or [1,D] -> x + row
	OpMul    = "mul"     // a, b -> like a
	OpScale  = "scale"   // x; factor float, or input factor? scalar -> like x
	OpSum    = "sum"     // x -> scalar
	OpMean   = "mean"    // x -> scalar
	OpExp    = "exp"     // x -> like x
	// OpViewRows: x [S*B,..]; view, views int (S) -> [B,..], the rows of one of the S views of a
	// pass
	OpViewRows     = "view_rows"
	OpRowNumbers   = "row_numbers"   // x [R,..] -> int [R]: 0, 1, ..
	OpReshape      = "reshape"       // x; shape ints, 0 keeps a dimension of x, -1 is inferred
	OpConcat       = "concat"        // x (repeated); axis int
	OpMatMul       = "matmul"        // a [M,K], b [K,N]; transpose_a, transpose_b bool
	OpStopGradient = "stop_gradient" // x
	OpSoftmax      = "softmax"       // x [..,C]
	OpLogSoftmax   = "log_softmax"   // x [..,C]
	OpL2Normalize  = "l2_normalize"  // x [..,D]; eps float (1e-12)
	// OpCrossEntropy: logits [R,C], labels int [R] or probabilities [R,C], weights? float [R] ->
	// scalar, weighted mean over rows.
	OpCrossEntropy = "cross_entropy"
	// OpViewCrossEntropy: logits [S*B,C] of S views of B samples, targets [T*B,C] of the first T
	// of them; views int (T), temperature float -> 0: mean over the pairs of different views of
	// the cross-entropy, scalar; 1: [T,S], of each pair.
	OpViewCrossEntropy = "view_cross_entropy"
	// OpSinkhorn: scores [B,K], earlier? [L,K]; epsilon float, iterations int -> [B,K]; not
	// differentiated.
	OpSinkhorn = "sinkhorn"
	// OpNCE: logits [B,1+K], constant []; samples int -> 0: loss, scalar; 1: [B,1+K],
	// probabilities; 2: [], the constant.
	OpNCE = "nce"

	// Contrastive losses of rows of length one, and measures of a collapse, which are scalars and
	// not differentiated. Results of the losses: 0: mean over rows, scalar; 1: of each row, [R];
	// 2: share of rows that find their partner, scalar.
	// OpNTXent: z [2B,D], the second views after the first; temperature float
	OpNTXent = "nt_xent"
	// OpQueueContrast: queries, keys [R,D], queue [K,D]; temperature float; gradient into queries
	// alone
	OpQueueContrast = "queue_contrast"
	// OpFeatureDeviation: x [R,D] -> mean over D of the unbiased deviation over rows
	OpFeatureDeviation = "feature_deviation"
	OpAlignment        = "alignment" // x, y [R,D] -> mean squared distance of the rows
	// OpUniformity: x [R,D] -> log mean exp(-2 squared distance) over the pairs of rows
	OpUniformity    = "uniformity"
	OpEffectiveRank = "effective_rank" // x [R,D] -> e to the entropy of the singular values

	// Images as feature maps.
	// OpConv2D: x [B,C,H,W], weight [O,C,R,S], bias? [O]; stride, padding int -> [B,O,H',W']
	OpConv2D          = "conv2d"
	OpMaxPool2D       = "max_pool2d"       // x [B,C,H,W]; size, stride int -> [B,C,H',W']
	OpUpsampleNearest = "upsample_nearest" // x [B,C,H,W]; factor int -> [B,C,factor*H,factor*W]
	OpTranspose       = "transpose"        // x [B,M,N] -> [B,N,M]

	// Choices and codes.
	OpArgMax         = "arg_max"         // x [..,C] -> int [..]
	OpNearestRow     = "nearest_row"     // x [..,D], table [K,D] -> int [..]
	OpGatherRows     = "gather_rows"     // table [K,..], rows int [..] -> rows' shape and a row's
	OpGatherTokens   = "gather_tokens"   // x [B,N,D], index int [B,K] -> [B,K,D]
	OpGatherIntegers = "gather_integers" // x int [B,N], index int [B,K] -> int [B,K]
	OpScaleRows      = "scale_rows"      // x [R,..], factor [R] -> like x
	// OpAccuracy: logits [R,C], labels int [R], weights? [R] -> scalar; not differentiated
	OpAccuracy = "accuracy"
	// OpCodebookUpdate: x [R,D], codes int [R], fresh [F,D], codebook [K,D], count [K], sum [K,D];
	// decay, alive float -> 0: codebook, 1: count, 2: sum; not differentiated.
	OpCodebookUpdate = "codebook_update"
	// OpSampledDot: x [B,D], table [N,D], rows int [B,K] -> [B,K]; the table is not differentiated.
	OpSampledDot = "sampled_dot"
	// OpRandom: shape ints, distribution string -> [B]+shape, a function of seed, step and sample
	// id
	OpRandom = "random"

	// OpEvaluate is computed by the plugin; inputs as EvaluateSpec.inputs -> scalar loss.
	OpEvaluate = "evaluate"
)

// OperatorVersion is the version of the operator table above.
const OperatorVersion = 1
