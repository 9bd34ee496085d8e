package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

// AddChannelBias is x [B, C, ...] plus bias [C], one number for each channel.
func AddChannelBias(g *core.Graph, x, bias *core.Node) *core.Node {
	if !g.Check("add_channel_bias", "x [B, C, ...], bias [C]", []*core.Node{x, bias}, nil, func() bool {
		return len(x.Shape()) > 1 && !x.Integer() && bias.Shape().Equal(tensor.Shape{x.Shape()[1]})
	}) {
		return g.Invalid()
	}
	samples, channels := x.Shape()[0], x.Shape()[1]
	plane := x.Shape()[2:].Size()
	return g.Apply(&core.Op{
		Name: "add_channel_bias", In: []*core.Node{x, bias}, PassGrad: core.OperandSet(0),
		Forward: func(c *core.Call) {
			c.Pool.Do(samples, func(_, b int) {
				for ch := range channels {
					at, v := (b*channels+ch)*plane, c.In[1][ch]
					out := c.Out[0][at : at+plane]
					for i, a := range c.In[0][at : at+plane] {
						out[i] = a + v
					}
				}
			})
		},
		Backward: func(c *core.Call) { // of x it is that of the result
			if c.GradIn[1] == nil {
				return
			}
			c.Pool.Do(channels, func(_, ch int) {
				sum := 0.0
				for b := range samples {
					part := 0.0
					for _, d := range c.GradOut[0][(b*channels+ch)*plane:][:plane] {
						part += float64(d)
					}
					sum += part
				}
				c.GradIn[1][ch] = float32(sum)
			})
		},
	}, x.Shape())[0]
}
