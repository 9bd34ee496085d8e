package f32

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
)

// convLayers are the layers of ResNet-18 with the stem for CIFAR at batch 32, and of ResNet-50 at
// batch 8.
var convLayers = []struct {
	name string
	conv Conv
}{
	{"64-64@32", Conv{N: 32, H: 32, W: 32, C: 64, O: 64, R: 3, S: 3, Stride: 1, Pad: 1}},
	{"128-128@16", Conv{N: 32, H: 16, W: 16, C: 128, O: 128, R: 3, S: 3, Stride: 1, Pad: 1}},
	{"256-256@8", Conv{N: 32, H: 8, W: 8, C: 256, O: 256, R: 3, S: 3, Stride: 1, Pad: 1}},
	{"512-512@4", Conv{N: 32, H: 4, W: 4, C: 512, O: 512, R: 3, S: 3, Stride: 1, Pad: 1}},
	{"64-128@32s2", Conv{N: 32, H: 32, W: 32, C: 64, O: 128, R: 3, S: 3, Stride: 2, Pad: 1}},
	{"128-256@16s2", Conv{N: 32, H: 16, W: 16, C: 128, O: 256, R: 3, S: 3, Stride: 2, Pad: 1}},
	{"256-512@8s2", Conv{N: 32, H: 8, W: 8, C: 256, O: 512, R: 3, S: 3, Stride: 2, Pad: 1}},
	{"1x1-64-128@32s2", Conv{N: 32, H: 32, W: 32, C: 64, O: 128, R: 1, S: 1, Stride: 2}},
	{"1x1-128-256@16s2", Conv{N: 32, H: 16, W: 16, C: 128, O: 256, R: 1, S: 1, Stride: 2}},
	{"1x1-256-512@8s2", Conv{N: 32, H: 8, W: 8, C: 256, O: 512, R: 1, S: 1, Stride: 2}},
	{"3-64@32", Conv{N: 32, H: 32, W: 32, C: 3, O: 64, R: 3, S: 3, Stride: 1, Pad: 1}},
	{"16-16@32", Conv{N: 32, H: 32, W: 32, C: 16, O: 16, R: 3, S: 3, Stride: 1, Pad: 1}},
	{"32-32@16", Conv{N: 32, H: 16, W: 16, C: 32, O: 32, R: 3, S: 3, Stride: 1, Pad: 1}},
	{"r50-7x7-3-64@224s2", Conv{N: 8, H: 224, W: 224, C: 3, O: 64, R: 7, S: 7, Stride: 2, Pad: 3}},
	{"r50-64-64@56", Conv{N: 8, H: 56, W: 56, C: 64, O: 64, R: 3, S: 3, Stride: 1, Pad: 1}},
	{"r50-128-128@28", Conv{N: 8, H: 28, W: 28, C: 128, O: 128, R: 3, S: 3, Stride: 1, Pad: 1}},
	{"r50-256-256@14", Conv{N: 8, H: 14, W: 14, C: 256, O: 256, R: 3, S: 3, Stride: 1, Pad: 1}},
	{"r50-512-512@7", Conv{N: 8, H: 7, W: 7, C: 512, O: 512, R: 3, S: 3, Stride: 1, Pad: 1}},
	{"r50-1x1-64-256@56", Conv{N: 8, H: 56, W: 56, C: 64, O: 256, R: 1, S: 1, Stride: 1}},
	{"r50-1x1-1024-256@14", Conv{N: 8, H: 14, W: 14, C: 1024, O: 256, R: 1, S: 1, Stride: 1}},
}

// BenchmarkConv reports, for each direction of each layer and both methods, the milliseconds and
// the share of the peak of one thread at this moment, by its processor time. The share counts the
// products of the direct sum, those with zeros around the image included: Winograd's method may
// exceed 100.
func BenchmarkConv(b *testing.B) {
	for _, l := range convLayers {
		v := l.conv
		r := newRand(1)
		x, w, y := Alloc(v.N*v.H*v.W*v.C), Alloc(v.O*v.columns()), Alloc(v.rows()*v.O)
		dx, dw, dy := Alloc(len(x)), Alloc(len(w)), Alloc(len(y))
		for _, s := range [][]float32{x, w, dy} {
			for i := range s {
				s[i] = float32(r.NormFloat64())
			}
		}
		methods := map[string]convMethod{"patches": byPatches}
		if v.method() == byPixels {
			methods = map[string]convMethod{"pixels": byPixels}
		} else if v.winogradApplies() && v.C > 3 {
			methods["winograd"] = byWinograd
		}
		p := newPool(b, 1)
		for _, name := range []string{"pixels", "winograd", "patches"} {
			method, ok := methods[name]
			if !ok {
				continue
			}
			for direction, f := range []func(){
				func() { p.convDirection(method, &v, 0, x, w, y) },
				func() { p.convDirection(method, &v, 1, dx, w, dy) },
				func() { p.convDirection(method, &v, 2, x, dw, dy) },
			} {
				b.Run(fmt.Sprintf("%s/%s/%s", l.name, []string{"forward", "input", "weight"}[direction], name), func(b *testing.B) {
					benchShare(b, 2*float64(v.rows())*float64(v.O*v.columns()), f)
				})
			}
		}
	}
}

func (p *Pool) convDirection(method convMethod, v *Conv, direction int, x, w, y []float32) {
	switch {
	case method == byPixels && direction == 0:
		ConvForward(p, *v, x, w, nil, y)
	case method == byPixels && direction == 1:
		ConvBackwardInput(p, *v, y, w, x, false)
	case method == byPixels:
		ConvBackwardWeight(p, *v, x, y, w)
	case method == byWinograd && direction == 0:
		p.winogradForward(v, x, w, nil, y)
	case method == byWinograd && direction == 1:
		p.winogradBackwardInput(v, y, w, x, false)
	case method == byWinograd:
		p.winogradBackwardWeight(v, x, y, w)
	case direction == 0:
		p.patchesForward(v, x, w, nil, y)
	case direction == 1:
		p.patchesBackwardInput(v, y, w, x, false)
	default:
		p.patchesBackwardWeight(v, x, y, w)
	}
}

// benchShare reports the median milliseconds of f and the median of its share of the peak, measured
// beside each sample.
func benchShare(b *testing.B, flops float64, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t := kernels()
	f()
	var times, shares []float64
	for b.Loop() {
		const rounds = 1 << 15
		start := threadTime()
		t.peak(rounds)
		peak := float64(rounds*t.peakFlops) / (threadTime() - start).Seconds()
		start = threadTime()
		f()
		seconds := (threadTime() - start).Seconds()
		times, shares = append(times, seconds*1e3), append(shares, flops/seconds/peak*100)
	}
	slices.Sort(times)
	slices.Sort(shares)
	b.ReportMetric(times[len(times)/2], "ms")
	b.ReportMetric(shares[len(shares)/2], "%peak")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkBatchNorm reports the milliseconds of the passes of batch normalization with positive
// part, and of those with a residual, beside a copy of the same size, by the processor time of one
// thread.
func BenchmarkBatchNorm(b *testing.B) {
	for _, s := range [][2]int{{32 * 32 * 32, 64}, {32 * 16 * 16, 128}, {32 * 8 * 8, 256}, {32 * 4 * 4, 512}, {8 * 56 * 56, 256}} {
		rows, n := s[0], s[1]
		p, r := newPool(b, 1), newRand(1)
		m := make([][]float32, 5)
		for i := range m {
			m[i] = Alloc(rows * n)
			for k := range m[i] {
				m[i][k] = float32(r.NormFloat64())
			}
		}
		x, dy, y, g, dx := m[0], m[1], m[2], m[3], m[4]
		sum, dot := make([]float64, n), make([]float64, n)
		norm := BatchNorm{Rows: rows, N: n, X: x, Relu: true, Vectors: Alloc(5 * n)}
		residual := norm
		residual.Residual = dy
		for _, c := range []struct {
			name string
			f    func()
		}{
			{"copy", func() { copy(y, x) }},
			{"moments", func() { norm.Moments(p, sum, dot) }},
			{"forward", func() { norm.Forward(p, y) }},
			{"forward+residual", func() { residual.Forward(p, y) }},
			{"sums", func() { norm.BackwardSums(p, dy, nil, nil, sum, dot) }},
			{"sums+residual", func() { residual.BackwardSums(p, dy, y, g, sum, dot) }},
			{"backward", func() { norm.Backward(p, dy, dx, sum, dot) }},
		} {
			b.Run(fmt.Sprintf("%dx%d/%s", rows, n, c.name), func(b *testing.B) { benchShare(b, 0, c.f) })
		}
	}
}
