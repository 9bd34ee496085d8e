package ops

import (
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

// ints makes an integer input that holds the values.
func ints(g *core.Graph, name string, shape tensor.Shape, values ...int32) *core.Node {
	n := g.InputInt(name, shape)
	copy(n.Ints(), values)
	return n
}

// tokenCases are the operators that move tokens and patches.
func tokenCases() []gradientCase {
	keep := []int32{3, 0, 1, 4} // [2, 2] of 5
	return []gradientCase{
		{name: "patchify chw", shapes: []tensor.Shape{{2, 3, 4, 6}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return Patchify(g, p[0], 2, CHW) },
			reference: func(p [][]float64) []float64 { return plainPatchify(p[0], 2, 3, 4, 6, 2, CHW) }},
		{name: "patchify hwc", shapes: []tensor.Shape{{2, 3, 4, 6}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return Patchify(g, p[0], 2, HWC) },
			reference: func(p [][]float64) []float64 { return plainPatchify(p[0], 2, 3, 4, 6, 2, HWC) }},
		{name: "unpatchify", shapes: []tensor.Shape{{2, 3, 4, 6}, {2, 6, 12}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				back := Unpatchify(g, Patchify(g, p[0], 2, HWC), 3, 4, 6, 2, HWC)
				return Patchify(g, Add(g, back, Unpatchify(g, p[1], 3, 4, 6, 2, CHW)), 2, CHW)
			},
			reference: func(p [][]float64) []float64 { return plus(plainPatchify(p[0], 2, 3, 4, 6, 2, CHW), p[1]) }},
		{name: "gather", shapes: []tensor.Shape{{2, 5, 3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return GatherTokens(g, p[0], ints(g, "idx", tensor.Shape{2, 3}, 4, 0, 4, 1, 2, 3))
			},
			reference: func(p [][]float64) []float64 {
				var out []float64
				for i, v := range []int{4, 0, 4, 1, 2, 3} {
					out = append(out, p[0][(i/3*5+v)*3:][:3]...)
				}
				return out
			}},
		{name: "restore", shapes: []tensor.Shape{{2, 3, 3}, {1, 1, 3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return RestoreTokens(g, p[0], p[1], ints(g, "keep", tensor.Shape{2, 2}, keep...), 5)
			},
			reference: func(p [][]float64) []float64 {
				out := make([]float64, 0, 36)
				for b := range 2 {
					out = append(out, p[0][b*9:][:3]...)
					for l := range 5 {
						src := p[1]
						for k := range 2 {
							if int(keep[b*2+k]) == l {
								src = p[0][b*9+3+k*3:]
							}
						}
						out = append(out, src[:3]...)
					}
				}
				return out
			}},
		{name: "replace", shapes: []tensor.Shape{{2, 3, 4}, {1, 1, 4}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				m := g.Input("mask", tensor.Shape{2, 3})
				copy(m.Value(), []float32{0, 1, 1, 0, 0, 1})
				return ReplaceTokens(g, p[0], p[1], m)
			},
			reference: func(p [][]float64) []float64 {
				out := append([]float64{}, p[0]...)
				for _, r := range []int{1, 2, 5} {
					copy(out[r*4:], p[1])
				}
				return out
			}},
		{name: "prepend and positions", shapes: []tensor.Shape{{1, 1, 4}, {2, 3, 4}, {1, 6, 4}},
			make: func(g *core.Graph, p []*core.Node) *core.Node { // the table gets three gradients
				x := AddPositionsAt(g, p[1], p[2], ints(g, "idx", tensor.Shape{2, 3}, 4, 0, 1, 2, 2, 2), 1)
				x = AddPositions(g, x, p[2], 3)
				return PrependToken(g, p[0], x, p[2])
			},
			reference: func(p [][]float64) []float64 {
				var out []float64
				idx := []int{4, 0, 1, 2, 2, 2}
				for b := range 2 {
					for d := range 4 {
						out = append(out, p[0][d]+p[2][d])
					}
					for n := range 3 {
						for d := range 4 {
							out = append(out, p[1][(b*3+n)*4+d]+p[2][(idx[b*3+n]+1)*4+d]+p[2][(n+3)*4+d])
						}
					}
				}
				return out
			}},
		{name: "prepend without positions", shapes: []tensor.Shape{{1, 1, 4}, {2, 3, 4}},
			make: func(g *core.Graph, p []*core.Node) *core.Node { return PrependToken(g, p[0], p[1], nil) },
			reference: func(p [][]float64) []float64 {
				return append(append(append(append([]float64{}, p[0]...), p[1][:12]...), p[0]...), p[1][12:]...)
			}},
		{name: "interpolate", shapes: []tensor.Shape{{1, 7, 3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return InterpolatePositions(g, p[0], 2, 3, 4, 2, "dino")
			},
			reference: func(p [][]float64) []float64 {
				out := append([]float64{}, p[0][:3]...)
				for y := range 4 {
					for x := range 2 {
						for d := range 3 {
							s := 0.0
							for i := range 2 {
								for j := range 3 {
									s += p[0][(1+i*3+j)*3+d] * bicubicWeight(y, 2, 4, i) * bicubicWeight(x, 3, 2, j)
								}
							}
							out = append(out, s)
						}
					}
				}
				return out
			}},
		{name: "slices and joins", shapes: []tensor.Shape{{2, 4, 3}, {2, 2, 3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				x := ConcatTokens(g, SliceTokens(g, p[0], 1, 3), p[1], SliceTokens(g, p[0], 0, 2))
				return Concat(g, SliceRows(g, x, 1, 2), x)
			},
			reference: func(p [][]float64) []float64 {
				var samples [2][]float64
				for b := range 2 {
					s := append([]float64{}, p[0][b*12+3:b*12+9]...)
					s = append(s, p[1][b*6:b*6+6]...)
					samples[b] = append(s, p[0][b*12:b*12+6]...)
				}
				return append(append(append([]float64{}, samples[1]...), samples[0]...), samples[1]...)
			}},
		{name: "mean tokens, reshape", shapes: []tensor.Shape{{2, 4, 3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return Add(g, g.Reshape(MeanTokens(g, p[0], 1), tensor.Shape{1, 6}), g.Reshape(MeanTokens(g, p[0], 0), tensor.Shape{1, 6}))
			},
			reference: func(p [][]float64) []float64 {
				out := make([]float64, 6)
				for i, v := range p[0] {
					out[i/12*3+i%3] += v / 4
					if i%12 >= 3 {
						out[i/12*3+i%3] += v / 3
					}
				}
				return out
			}},
	}
}

func plainPatchify(x []float64, b, c, h, w, p int, order PatchOrder) []float64 {
	var out []float64
	at := func(i, ch, y, x_ int) float64 { return x[((i*c+ch)*h+y)*w+x_] }
	for i := range b {
		for gy := range h / p {
			for gx := range w / p {
				if order == CHW {
					for ch := range c {
						for y := range p {
							for k := range p {
								out = append(out, at(i, ch, gy*p+y, gx*p+k))
							}
						}
					}
					continue
				}
				for y := range p {
					for k := range p {
						for ch := range c {
							out = append(out, at(i, ch, gy*p+y, gx*p+k))
						}
					}
				}
			}
		}
	}
	return out
}

// bicubicWeight is what output o of out reads from input i of in, by DINO's rule.
func bicubicWeight(o, in, out, i int) float64 {
	source := (float64(o)+0.5)*float64(in)/(float64(out)+0.1) - 0.5
	total := 0.0
	for k := math.Floor(source) - 1; k <= math.Floor(source)+2; k++ {
		if int(min(max(k, 0), float64(in-1))) != i {
			continue
		}
		switch d := math.Abs(source - k); {
		case d <= 1:
			total += 1.25*d*d*d - 2.25*d*d + 1
		case d < 2:
			total += -0.75*d*d*d + 3.75*d*d - 6*d + 3
		}
	}
	return total
}
