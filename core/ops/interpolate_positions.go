package ops

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

// The two ways of placing the resampling grid, named after the code of their origin.
const (
	InterpolateMAE  = "mae"  // source (i+0.5)·in/out - 0.5
	InterpolateDINO = "dino" // source (i+0.5)·in/(out+0.1) - 0.5
)

// InterpolatePositions resamples a learned position table [1, E+inH·inW, D] to a grid of outH×outW:
// [1, E+outH·outW, D]. The E rows before the grid (class token) are copied. The interpolation is
// bicubic with A = -0.75 and half-pixel centers; its four taps are clamped to the border and not
// antialiased. method is InterpolateMAE, as in the finetuning of MAE and BEiT, or InterpolateDINO,
// the rule of DINO and SiT. The table takes a gradient.
func InterpolatePositions(g *core.Graph, pos *core.Node, inH, inW, outH, outW int, method string) *core.Node {
	want := fmt.Sprintf(`pos [1, E+%d·%d, D], positive grid sizes (to %d×%d), method "mae" or "dino" (%q given)`, inH, inW, outH, outW, method)
	if !g.Check("interpolate_positions", want, []*core.Node{pos}, nil, func() bool {
		return min(inH, inW, outH, outW) > 0 && (method == InterpolateMAE || method == InterpolateDINO) &&
			len(pos.Shape()) >= 2 && pos.Shape().Rows() >= inH*inW
	}) {
		return g.Invalid()
	}
	var shift float64
	if method == InterpolateDINO {
		shift = 0.1
	}
	r := &resampling{
		extra: pos.Shape().Rows() - inH*inW, d: pos.Shape().Last(), inW: inW, outW: outW,
		rows: bicubicTaps(inH, outH, shift), cols: bicubicTaps(inW, outW, shift),
	}
	return g.Apply(&core.Op{
		Name: "interpolate_positions", In: []*core.Node{pos}, AddsGrad: core.OperandSet(0),
		Forward: r.forward, Backward: r.backward,
	}, tensor.Shape{1, r.extra + outH*outW, r.d})[0]
}

// resampling is the arithmetic of InterpolatePositions.
type resampling struct {
	extra, d, inW, outW int
	rows, cols          []taps
}

// source returns the index of the table row and the weight of tap (i, j) of grid position o.
func (r *resampling) source(o, i, j int) (row int, weight float64) {
	y, x := &r.rows[o/r.outW], &r.cols[o%r.outW]
	return r.extra + y.index[i]*r.inW + x.index[j], y.weight[i] * x.weight[j]
}

// forward computes each row of the new grid as the weighted sum of 16 rows of the table.
func (r *resampling) forward(c *core.Call) {
	in, out, d := c.In[0], c.Out[0], r.d
	copy(out[:r.extra*d], in)
	c.Pool.Do(len(r.rows)*len(r.cols), func(_, o int) {
		dst := out[(r.extra+o)*d:][:d]
		var from [16][]float32
		var weight [16]float64
		for t := range weight {
			row, w := r.source(o, t/4, t%4)
			from[t], weight[t] = in[row*d:][:d], w
		}
		for k := range dst {
			sum := 0.0
			for t, w := range weight {
				sum += w * float64(from[t][k])
			}
			dst[k] = float32(sum)
		}
	})
}

// backward adds each gradient of the new grid to 16 rows of the table. One worker adds up all terms
// of an element, in order.
func (r *resampling) backward(c *core.Call) {
	din, dout, d := c.GradIn[0], c.GradOut[0], r.d
	if !c.Add[0] {
		clear(din)
	}
	const width = 32 // columns per worker
	c.Pool.Do((d+width-1)/width, func(_, chunk int) {
		lo, hi := chunk*width, min((chunk+1)*width, d)
		for e := range r.extra {
			for k := lo; k < hi; k++ {
				din[e*d+k] += dout[e*d+k]
			}
		}
		for o := range len(r.rows) * len(r.cols) {
			from := dout[(r.extra+o)*d:][:d]
			for t := range 16 {
				row, weight := r.source(o, t/4, t%4)
				w, to := float32(weight), din[row*d:][:d]
				for k := lo; k < hi; k++ {
					to[k] += w * from[k]
				}
			}
		}
	})
}

// taps are the four positions that an interpolated one reads along one axis.
type taps struct {
	index  [4]int
	weight [4]float64
}

// bicubicTaps returns the taps of each of out positions along an axis of in positions.
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
