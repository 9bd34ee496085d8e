package f32

import "fmt"

// Conv is the geometry of a convolution, as usual without a flip of the kernel, of images
// [N, H, W, C] with a weight [O, C, R, S], the layout of checkpoints:
//
//	y[n, i, j, o] = Σ w[o, c, r, s] · x[n, i·Stride + r·Dilation - Pad, j·Stride + s·Dilation - Pad, c]
//
// x is zero outside of the image. Results are [N, OutH, OutW, O].
type Conv struct {
	N, H, W, C            int
	O, R, S               int
	Stride, Pad, Dilation int // a Dilation of 0 is 1
}

// OutH is the height of the result.
func (v *Conv) OutH() int { return (v.H+2*v.Pad-v.dilation()*(v.R-1)-1)/v.Stride + 1 }

// OutW is the width of the result.
func (v *Conv) OutW() int { return (v.W+2*v.Pad-v.dilation()*(v.S-1)-1)/v.Stride + 1 }

func (v *Conv) dilation() int { return max(1, v.Dilation) }

// taps is the number of positions under the kernel, columns the number of values of the weight
// that make one result.
func (v *Conv) taps() int    { return v.R * v.S }
func (v *Conv) columns() int { return v.R * v.S * v.C }

// rows is the number of pixels of the result.
func (v *Conv) rows() int { return v.N * v.OutH() * v.OutW() }

// check panics if the geometry makes no sense or an operand is too short.
func (v *Conv) check(kernel string, x, w, y []float32) {
	if min(v.N, v.H, v.W, v.C, v.O, v.R, v.S, v.Stride) < 1 || v.Pad < 0 || v.Dilation < 0 ||
		v.H+2*v.Pad <= v.dilation()*(v.R-1) || v.W+2*v.Pad <= v.dilation()*(v.S-1) {
		panic(fmt.Sprintf("f32.%s: %+v is no convolution", kernel, *v))
	}
	need(kernel, "x", len(x), v.N*v.H*v.W*v.C)
	need(kernel, "w", len(w), v.O*v.columns())
	need(kernel, "y", len(y), v.rows()*v.O)
}

// convMethod is the way in which a convolution is computed. It depends on the geometry alone.
type convMethod uint8

const (
	// byPatches multiplies the matrix of patches, gathered block by block in cache, by the weight.
	byPatches convMethod = iota
	// byPixels multiplies the pixels themselves: a kernel of 1×1 at stride 1.
	byPixels
	// byWinograd is F(2×2, 3×3).
	byWinograd
)

// winogradChannels is the fewest channels on both sides for which the products that Winograd's
// method saves cost more than its transforms.
const winogradChannels = 16

func (v *Conv) method() convMethod {
	switch {
	case v.R == 1 && v.S == 1 && v.Stride == 1 && v.Pad == 0:
		return byPixels
	case v.winogradApplies() && min(v.C, v.O) >= winogradChannels:
		return byWinograd
	}
	return byPatches
}

// ConvForward computes y = conv(x, w) + bias; bias [O] may be nil. The bits of a result do not
// depend on the batch around it.
func ConvForward(p *Pool, v Conv, x, w, bias, y []float32) {
	v.check("ConvForward", x, w, y)
	if bias != nil {
		need("ConvForward", "bias", len(bias), v.O)
	}
	switch v.method() {
	case byPixels:
		var ep *Epilogue
		if bias != nil {
			ep = &Epilogue{Bias: bias}
		}
		Gemm(p, Dense(v.rows(), v.C, x), Dense(v.O, v.C, w).T(), Dense(v.rows(), v.O, y), false, ep)
	case byWinograd:
		p.winogradForward(&v, x, w, bias, y)
	default:
		p.patchesForward(&v, x, w, bias, y)
	}
}

// ConvBackwardInput computes the gradient dx of the images from that of the result, or with add
// adds to it.
func ConvBackwardInput(p *Pool, v Conv, dy, w, dx []float32, add bool) {
	v.check("ConvBackwardInput", dx, w, dy)
	switch v.method() {
	case byPixels:
		Gemm(p, Dense(v.rows(), v.O, dy), Dense(v.O, v.C, w), Dense(v.rows(), v.C, dx), add, nil)
	case byWinograd:
		p.winogradBackwardInput(&v, dy, w, dx, add)
	default:
		p.patchesBackwardInput(&v, dy, w, dx, add)
	}
}

// ConvBackwardWeight computes the gradient dw of the weight from that of the result. Sums run over
// the pixels of the batch in an order that depends on the geometry alone.
func ConvBackwardWeight(p *Pool, v Conv, x, dy, dw []float32) {
	v.check("ConvBackwardWeight", x, dw, dy)
	switch v.method() {
	case byPixels:
		Gemm(p, Dense(v.rows(), v.O, dy).T(), Dense(v.rows(), v.C, x), Dense(v.O, v.C, dw), false, nil)
	case byWinograd:
		p.winogradBackwardWeight(&v, x, dy, dw)
	default:
		p.patchesBackwardWeight(&v, x, dy, dw)
	}
}

// images is a batch of images [n, h, w, c] in memory.
type images struct {
	p          *float32
	n, h, w, c int
}

func (v *Conv) input(x []float32) images  { return images{&x[0], v.N, v.H, v.W, v.C} }
func (v *Conv) output(y []float32) images { return images{&y[0], v.N, v.OutH(), v.OutW(), v.O} }

func (x *images) pixel(n, i, j int) *float32 { return offset(x.p, ((n*x.h+i)*x.w+j)*x.c) }

// convState is the memory that the convolutions of a pool, their normalization and their pooling
// share, one at a time.
type convState struct {
	taps      []tap
	packed    []float32 // the weight, in panels
	weight    []float32 // the weight or its gradient, in another order
	input     []float32 // transformed pixels
	grad      []float32 // transformed gradients, or their panels
	sums      []float32 // transformed gradient of the weight, or partial ones
	zeros     []float32 // pixels outside of an image; stays zero
	weights   weightOrder
	transform winogradWeightPack
	patches   patchJob
	columns   patchWeightJob
	winograd  winogradJob
	products  winogradWeightJob
	norm      batchNormJob
	pool      maxPoolJob
}

// zeroed returns n zeros that nobody may write to.
func (s *convState) zeroed(n int) *float32 {
	if len(s.zeros) < n {
		s.zeros = Alloc(n + n/8)
	}
	return &s.zeros[0]
}

// weightOrder brings the weight [O, C, R, S] into the order [O, R, S, C] of the taps, or back.
type weightOrder struct {
	t        *table
	taps, c  int
	src, dst []float32
	back     bool
}

func (j *weightOrder) run(_ *worker, o int) {
	at, rows, cols := o*j.taps*j.c, j.c, j.taps
	if j.back {
		rows, cols = cols, rows
	}
	j.t.packTranspose(cols, rows, rows, &j.src[at], cols, &j.dst[at])
}

// orderWeight runs a weightOrder; the caller holds p.mu.
func (p *Pool) orderWeight(t *table, v *Conv, src, dst []float32, back bool) {
	j := &p.conv.weights
	*j = weightOrder{t: t, taps: v.taps(), c: v.C, src: src, dst: dst, back: back}
	p.run(v.O, j)
	*j = weightOrder{}
}

// tapsFirst returns the weight as [O, R, S, C].
func (p *Pool) tapsFirst(t *table, v *Conv, w []float32) []float32 {
	if v.taps() == 1 {
		return w
	}
	p.conv.weight = grow(p.conv.weight, v.O*v.columns())
	p.orderWeight(t, v, w, p.conv.weight, false)
	return p.conv.weight
}
