package sdk

import (
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/plan"
)

// RestoreTokens puts the tokens of a pass with DropMasked(mask) back in raster order, token (a parameter
// [1,1,D]) at every masked place: [B,1+K,D] -> [B,1+L,D]. The class token stays first.
func (b *Builder) RestoreTokens(x Tensor, token Param, mask Mask) Tensor {
	if mask.spec == nil || mask.spec.Kind != plan.MaskKeep {
		b.Failf("restore_tokens needs a keep list, and mask %q is none", mask.name())
	}
	return b.Node(pb.OpRestoreTokens, x.dim, []Input{
		{Name: "x", Value: x}, {Name: "mask_token", Value: token.Tensor()}, {Name: "keep", Value: mask.Values()},
	}, Attr("length", mask.cells))
}

// AddPositions adds rows offset.. of a table [1,M,D] to the tokens x [B,N,D].
func (b *Builder) AddPositions(x Tensor, table Param, offset int) Tensor {
	return b.Node(pb.OpAddPositions, x.dim, []Input{{Name: "x", Value: x}, {Name: "positions", Value: table.Tensor()}},
		Attr("offset", offset))
}

// SinCosColumn declares a fixed 2-D sine-cosine table [1,prefix+L,dim] over the view's grid, column
// part first, prefix rows zero (MAE). dim must be divisible by 4.
func (b *Builder) SinCosColumn(name string, view View, dim, prefix int) Param {
	return b.sincos(name, plan.InitSinCosColumn, view, dim, prefix)
}

// SinCosRow is the same with the row part first.
func (b *Builder) SinCosRow(name string, view View, dim, prefix int) Param {
	return b.sincos(name, plan.InitSinCosRow, view, dim, prefix)
}

func (b *Builder) sincos(name string, kind plan.InitKind, view View, dim, prefix int) Param {
	if dim%4 != 0 {
		b.Failf("%s: a sine-cosine table needs a width divisible by 4, not %d", name, dim)
	}
	return b.Param(name, []int{1, prefix + view.Patches(), dim},
		&Init{Kind: kind, Rows: view.Rows(), Cols: view.Cols(), Prefix: prefix}, Frozen(), Decayed(false))
}

// SliceTokens is x[:, from:to]; to 0 means the end.
func (b *Builder) SliceTokens(x Tensor, from, to int) Tensor {
	return b.Node(pb.OpSliceTokens, x.dim, []Input{{Name: "x", Value: x}}, Attr("from", from), Attr("to", to))
}

// MeanTokens averages the tokens from the given one on: [B,N,D] -> [B,D].
func (b *Builder) MeanTokens(x Tensor, from int) Tensor {
	return b.Node(pb.OpMeanTokens, x.dim, []Input{{Name: "x", Value: x}}, Attr("from", from))
}

// Order is how the values of a patch are laid out.
type Order string

// ChannelLast is row, column, channel (MAE); ChannelFirst is channel, row, column (the order of a
// patch embedding's convolution).
const (
	ChannelLast  Order = "hwc"
	ChannelFirst Order = "chw"
)

// PatchDim is the number of values of one patch.
func (b *Builder) PatchDim() int { return b.Backbone().PatchDim() }

// PatchPixels are the pixels of a view, cut into patches: [B,L,PatchDim].
func (b *Builder) PatchPixels(view View, order Order) Tensor {
	return b.Node(pb.OpPatchify, b.PatchDim(), []Input{{Name: "images", Value: view.Pixels()}},
		Attr("patch", b.Backbone().Patch), Attr("order", string(order)))
}

// NormalizePatches makes each patch zero mean and unit variance: (x-mean)/sqrt(var+1e-6), var with
// n-1. It has no gradient.
func (b *Builder) NormalizePatches(x Tensor) Tensor {
	return b.Node(pb.OpNormalizePatches, x.dim, []Input{{Name: "x", Value: x}}, Attr("eps", 1e-6))
}
