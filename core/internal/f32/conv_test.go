package f32

import (
	"fmt"
	"testing"
)

// plainConv computes a convolution and both gradients in float64.
func plainConv(v Conv, x, w, dy []float32) (y, dx, dw []float64) {
	oh, ow := v.OutH(), v.OutW()
	y, dx, dw = make([]float64, v.N*oh*ow*v.O), make([]float64, v.N*v.H*v.W*v.C), make([]float64, v.O*v.C*v.R*v.S)
	for at := range v.N * oh * ow {
		n, i, j := at/(oh*ow), at/ow%oh, at%ow
		for r := range v.R {
			for s := range v.S {
				a, b := i*v.Stride+r*v.dilation()-v.Pad, j*v.Stride+s*v.dilation()-v.Pad
				if a < 0 || b < 0 || a >= v.H || b >= v.W {
					continue
				}
				px := ((n*v.H+a)*v.W + b) * v.C
				for o := range v.O {
					g := float64(dy[at*v.O+o])
					for c := range v.C {
						pw := ((o*v.C+c)*v.R+r)*v.S + s
						y[at*v.O+o] += float64(x[px+c]) * float64(w[pw])
						dx[px+c] += g * float64(w[pw])
						dw[pw] += g * float64(x[px+c])
					}
				}
			}
		}
	}
	return y, dx, dw
}

// convShapes are convolutions of all kinds of sizes.
func convShapes() []Conv {
	return []Conv{
		{N: 2, H: 8, W: 8, C: 16, O: 24, R: 3, S: 3, Stride: 1, Pad: 1},
		{N: 3, H: 5, W: 7, C: 48, O: 20, R: 3, S: 3, Stride: 1, Pad: 1},
		{N: 1, H: 4, W: 4, C: 17, O: 33, R: 3, S: 3, Stride: 1, Pad: 1},
		{N: 2, H: 2, W: 3, C: 96, O: 40, R: 3, S: 3, Stride: 1, Pad: 1},
		{N: 1, H: 1, W: 1, C: 19, O: 16, R: 3, S: 3, Stride: 1, Pad: 1},
		{N: 2, H: 6, W: 5, C: 16, O: 18, R: 3, S: 3, Stride: 1, Pad: 0},
		{N: 1, H: 3, W: 6, C: 20, O: 16, R: 3, S: 3, Stride: 1, Pad: 2},
		{N: 5, H: 16, W: 18, C: 32, O: 32, R: 3, S: 3, Stride: 1, Pad: 1},
		{N: 2, H: 8, W: 8, C: 64, O: 72, R: 3, S: 3, Stride: 2, Pad: 1},
		{N: 2, H: 7, W: 5, C: 32, O: 48, R: 3, S: 3, Stride: 2, Pad: 1},
		{N: 2, H: 8, W: 8, C: 33, O: 50, R: 1, S: 1, Stride: 2, Pad: 0},
		{N: 2, H: 7, W: 7, C: 40, O: 30, R: 1, S: 1, Stride: 1, Pad: 0},
		{N: 3, H: 9, W: 9, C: 3, O: 20, R: 3, S: 3, Stride: 1, Pad: 1},
		{N: 8, H: 12, W: 12, C: 3, O: 16, R: 3, S: 3, Stride: 1, Pad: 1},
		{N: 1, H: 11, W: 12, C: 3, O: 16, R: 7, S: 7, Stride: 2, Pad: 3},
		{N: 9, H: 13, W: 12, C: 5, O: 9, R: 2, S: 4, Stride: 1, Pad: 1},
		{N: 1, H: 2, W: 3, C: 2, O: 1, R: 7, S: 5, Stride: 1, Pad: 3}, // a kernel larger than the image
		{N: 2, H: 9, W: 10, C: 150, O: 7, R: 2, S: 2, Stride: 3, Pad: 2},
		{N: 1, H: 2, W: 2, C: 2, O: 3, R: 1, S: 1, Stride: 1, Pad: 2}, // patches wholly outside
		{N: 2, H: 9, W: 8, C: 16, O: 16, R: 3, S: 3, Stride: 1, Pad: 2, Dilation: 2},
		{N: 1, H: 10, W: 9, C: 4, O: 5, R: 3, S: 2, Stride: 2, Pad: 3, Dilation: 3},
		{N: 40, H: 6, W: 6, C: 24, O: 18, R: 3, S: 3, Stride: 2, Pad: 1}, // groups of positions
		{N: 1, H: 4, W: 4, C: 130, O: 300, R: 3, S: 3, Stride: 2, Pad: 1},
	}
}

// TestConv compares both ways of computing a convolution, with one thread and with three, with
// plain loops in float64, and the bits of the threads with each other.
func TestConv(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, v := range some(convShapes()) {
			t.Run(fmt.Sprintf("%+v", v), func(t *testing.T) { checkConv(t, v) })
		}
	})
}

func checkConv(t *testing.T, v Conv) {
	r := newRand(1)
	x, w := newGuarded("x", v.N*v.H*v.W*v.C).random(r, 1), newGuarded("w", v.O*v.columns()).random(r, 1)
	dy, bias := newGuarded("dy", v.rows()*v.O).random(r, 1), newGuarded("bias", v.O).random(r, 1)
	y, dx, dw := plainConv(v, x.x, w.x, dy.x)
	withBias, twice := make([]float64, len(y)), make([]float64, len(dx))
	for i := range y {
		withBias[i] = y[i] + float64(bias.x[i%v.O])
	}
	for i := range dx {
		twice[i] = 2 * dx[i]
	}
	methods := []convMethod{v.method(), byPatches}
	if v.winogradApplies() {
		methods[0] = byWinograd
	}
	for _, method := range methods {
		var first [][]float32
		for _, threads := range []int{1, 3} {
			p := newPool(t, threads)
			gy, gx, gw := newGuarded("y", len(y)), newGuarded("dx", len(dx)), newGuarded("dw", len(dw))
			for range 2 { // scratch is used again
				p.convAll(method, &v, x.x, w.x, nil, dy.x, gy.x, gx.x, gw.x, false)
				near(t, "y", gy.x, y, 1e-5, 1)
				near(t, "dx", gx.x, dx, 1e-5, 1)
				near(t, "dw", gw.x, dw, 2e-5, 1)
			}
			once := [][]float32{append([]float32{}, gx.x...), append([]float32{}, gw.x...)}
			p.convAll(method, &v, x.x, w.x, bias.x, dy.x, gy.x, gx.x, gw.x, true)
			near(t, "y with bias", gy.x, withBias, 1e-5, 1)
			near(t, "dx twice", gx.x, twice, 1e-5, 1)
			for _, g := range []*guarded{x, w, dy, bias, gy, gx, gw} {
				g.check(t)
			}
			got := append(once, gy.x, gx.x)
			if first == nil {
				first = got
			}
			for i := range got {
				sameBits(t, fmt.Sprintf("result %d with %d threads", i, threads), got[i], first[i])
			}
		}
	}
}

// convAll runs all three directions by the given method.
func (p *Pool) convAll(method convMethod, v *Conv, x, w, bias, dy, y, dx, dw []float32, add bool) {
	switch method {
	case byWinograd:
		p.winogradForward(v, x, w, bias, y)
		p.winogradBackwardInput(v, dy, w, dx, add)
		p.winogradBackwardWeight(v, x, dy, dw)
	case byPatches:
		p.patchesForward(v, x, w, bias, y)
		p.patchesBackwardInput(v, dy, w, dx, add)
		p.patchesBackwardWeight(v, x, dy, dw)
	default:
		ConvForward(p, *v, x, w, bias, y)
		ConvBackwardInput(p, *v, dy, w, dx, add)
		ConvBackwardWeight(p, *v, x, dy, dw)
	}
}

// TestConvAllocatesNothing runs every method in its steady state.
func TestConvAllocatesNothing(t *testing.T) {
	p := newPool(t, 2)
	for _, v := range []Conv{convShapes()[7], convShapes()[8], convShapes()[11], convShapes()[13], convShapes()[22]} {
		x, w, y := Alloc(v.N*v.H*v.W*v.C), Alloc(v.O*v.columns()), Alloc(v.rows()*v.O)
		f := func() {
			ConvForward(p, v, x, w, nil, y)
			ConvBackwardInput(p, v, y, w, x, false)
			ConvBackwardWeight(p, v, x, y, w)
		}
		f()
		if a := testing.AllocsPerRun(5, f); a != 0 && !raceEnabled {
			t.Errorf("%+v allocates %v times a call", v, a)
		}
	}
}

// TestConvBatch: the bits of an image do not depend on the batch around it.
func TestConvBatch(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		p, r := newPool(t, 2), newRand(2)
		for _, v := range some(convShapes()) {
			x, w := newGuarded("x", v.N*v.H*v.W*v.C).random(r, 1), newGuarded("w", v.O*v.columns()).random(r, 1)
			all, alone := Alloc(v.rows()*v.O), Alloc(v.rows()*v.O/v.N)
			ConvForward(p, v, x.x, w.x, nil, all)
			n, size, out := v.N-1, v.H*v.W*v.C, len(alone)
			v.N = 1
			ConvForward(p, v, x.x[n*size:], w.x, nil, alone)
			sameBits(t, fmt.Sprintf("%+v", v), alone, all[n*out:])
		}
	})
}

func TestConvRefusesShortOperands(t *testing.T) {
	p := newPool(t, 1)
	v := Conv{N: 1, H: 4, W: 4, C: 2, O: 3, R: 3, S: 3, Stride: 1, Pad: 1}
	x, w, y := Alloc(32), Alloc(54), Alloc(48)
	bad := v
	bad.Stride = 0
	for name, f := range map[string]func(){
		"x":              func() { ConvForward(p, v, x[:31], w, nil, y) },
		"w":              func() { ConvBackwardInput(p, v, y, w[:53], x, false) },
		"y":              func() { ConvBackwardWeight(p, v, x, y[:47], w) },
		"bias":           func() { ConvForward(p, v, x, w, w[:2], y) },
		"no convolution": func() { ConvForward(p, bad, x, w, nil, y) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no panic with a wrong operand: %s", name)
				}
			}()
			f()
		}()
	}
}
