package ops

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

// The two ways of placing the resampling grid, named after the code they come from.
const (
	InterpolateMAE  = "mae"  // source (i+0.5)·in/out - 0.5
	InterpolateDINO = "dino" // source (i+0.5)·in/(out+0.1) - 0.5
)

// InterpolatePositions resamples a learned position table [1, E+inH·inW, D] to a
// grid of outH×outW: [1, E+outH·outW, D]. The E rows before the grid (class
// token) are copied. Bicubic with A = -0.75, four taps, half-pixel centres, taps
// clamped to the border, no antialiasing. method is InterpolateMAE, as in fine-tuning
// of MAE and BEiT, or InterpolateDINO, the quirk of DINO and SiT. The gradient
// flows.
func InterpolatePositions(g *core.Graph, pos *core.Node, inH, inW, outH, outW int, method string) *core.Node {
	if !g.Check("interpolate_positions", fmt.Sprintf(`pos [1, E+%d·%d, D], positive grid sizes (to %d×%d), method "mae" or "dino" (%q given)`, inH, inW, outH, outW, method), []*core.Node{pos}, nil, func() bool {
		return inH > 0 && inW > 0 && outH > 0 && outW > 0 && (method == InterpolateMAE || method == InterpolateDINO) &&
			len(pos.Shape()) >= 2 && pos.Shape().Rows() >= inH*inW
	}) {
		return g.Invalid()
	}
	d := pos.Shape().Last()
	extra := pos.Shape().Rows() - inH*inW
	var shift float64
	if method == InterpolateDINO {
		shift = 0.1
	}
	rows, cols := bicubicTaps(inH, outH, shift), bicubicTaps(inW, outW, shift)
	return g.Apply(&core.Op{
		Name: "interpolate_positions", In: []*core.Node{pos}, AddsGrad: core.OperandSet(0),
		Forward: func(c *core.Call) {
			in, out := c.In[0], c.Out[0]
			copy(out[:extra*d], in)
			c.Pool.Do(outH*outW, func(_, o int) {
				dst := out[(extra+o)*d:][:d]
				var from [16][]float32
				var weight [16]float64
				for i, y := range rows[o/outW].index {
					for j, x := range cols[o%outW].index {
						from[4*i+j] = in[(extra+y*inW+x)*d:][:d]
						weight[4*i+j] = rows[o/outW].weight[i] * cols[o%outW].weight[j]
					}
				}
				for k := range dst {
					sum := 0.0
					for t, w := range weight {
						sum += w * float64(from[t][k])
					}
					dst[k] = float32(sum)
				}
			})
		},
		Backward: func(c *core.Call) {
			din, dout := c.GradIn[0], c.GradOut[0]
			if !c.Add[0] {
				clear(din)
			}
			const width = 32 // columns per chunk: each entry is summed by one worker, in order
			c.Pool.Do((d+width-1)/width, func(_, chunk int) {
				lo, hi := chunk*width, min((chunk+1)*width, d)
				for e := range extra {
					for k := lo; k < hi; k++ {
						din[e*d+k] += dout[e*d+k]
					}
				}
				for o := range outH * outW {
					from := dout[(extra+o)*d:][:d]
					for i, y := range rows[o/outW].index {
						for j, x := range cols[o%outW].index {
							w := float32(rows[o/outW].weight[i] * cols[o%outW].weight[j])
							to := din[(extra+y*inW+x)*d:][:d]
							for k := lo; k < hi; k++ {
								to[k] += w * from[k]
							}
						}
					}
				}
			})
		},
	}, tensor.Shape{1, extra + outH*outW, d})[0]
}

type taps struct {
	index  [4]int
	weight [4]float64
}

// bicubicTaps gives, per output position, what it reads along one axis.
func bicubicTaps(in, out int, shift float64) []taps {
	const a = -0.75
	near := func(x float64) float64 { return ((a+2)*x-(a+3))*x*x + 1 }  // |x| <= 1
	far := func(x float64) float64 { return ((a*x-5*a)*x+8*a)*x - 4*a } // 1 < |x| < 2
	result := make([]taps, out)
	for i := range result {
		source := (float64(i)+0.5)*float64(in)/(float64(out)+shift) - 0.5
		floor := math.Floor(source)
		t := source - floor
		result[i].weight = [4]float64{far(t + 1), near(t), near(1 - t), far(2 - t)}
		for k := range 4 {
			result[i].index[k] = min(max(int(floor)-1+k, 0), in-1)
		}
	}
	return result
}
