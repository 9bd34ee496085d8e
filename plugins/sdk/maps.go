package sdk

import "github.com/vittool/vittool/plugins/pb"

// Conv2D convolves maps x [B,C,H,W] with weight [O,C,R,S], zeros around the image, and adds bias
// [O]; a zero Tensor leaves the bias out.
func (b *Builder) Conv2D(x, weight, bias Tensor, stride, padding int) Tensor {
	return b.Node(pb.OpConv2D, 0, []Input{
		{Name: "x", Value: x}, {Name: "weight", Value: weight}, {Name: "bias", Value: bias, Optional: true},
	}, Attr("stride", stride), Attr("padding", padding))
}

// MaxPool2D is the largest value of each window of size x size pixels of maps [B,C,H,W].
func (b *Builder) MaxPool2D(x Tensor, size, stride int) Tensor {
	return b.Node(pb.OpMaxPool2D, 0, []Input{{Name: "x", Value: x}}, Attr("size", size), Attr("stride", stride))
}

// UpsampleNearest repeats every pixel of maps [B,C,H,W] factor times in both directions.
func (b *Builder) UpsampleNearest(x Tensor, factor int) Tensor {
	return b.Node(pb.OpUpsampleNearest, 0, []Input{{Name: "x", Value: x}}, Attr("factor", factor))
}

// MapTokens turns a map [B,C,H,W] into its pixels as tokens, [B,H*W,C].
func (b *Builder) MapTokens(x Tensor, channels int) Tensor {
	return b.Node(pb.OpTranspose, channels, []Input{{Name: "x", Value: b.Reshape(x, 0, channels, -1)}})
}

// TokenMap turns tokens [B,rows*cols,C] into a map [B,C,rows,cols].
func (b *Builder) TokenMap(x Tensor, rows, cols int) Tensor {
	channels := x.dim
	if channels == 0 {
		b.Failf("token_map: the width of the tokens is not known")
		channels = 1
	}
	t := b.Node(pb.OpTranspose, rows*cols, []Input{{Name: "x", Value: x}})
	return b.Reshape(t, 0, channels, rows, cols)
}

// Unpatchify lays patches [B,rows*cols,P] out as images [B,C,rows*patch,cols*patch].
func (b *Builder) Unpatchify(x Tensor, patch, rows, cols int, order Order) Tensor {
	return b.Node(pb.OpUnpatchify, cols*patch, []Input{{Name: "x", Value: x}},
		Attr("patch", patch), Attr("rows", rows), Attr("cols", cols), Attr("order", string(order)))
}
