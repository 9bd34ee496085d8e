package core

// AddChannelBias is x [B, C, ...] plus bias [C], one number for each channel.
func (g *Graph) AddChannelBias(x, bias *Node) *Node {
	if !g.fits("add_channel_bias", "x [B, C, ...], bias [C]", []*Node{x, bias}, nil, func() bool {
		return len(x.shape) > 1 && !x.integer && bias.shape.Equal(Shape{x.shape[1]})
	}) {
		return g.invalid()
	}
	samples, channels := x.shape[0], x.shape[1]
	plane := x.shape[2:].Size()
	return g.apply(&op{
		name: "add_channel_bias", in: []*Node{x, bias}, pass: set(0),
		forward: func(c *call) {
			c.pool.Do(samples, func(_, b int) {
				for ch := range channels {
					at, v := (b*channels+ch)*plane, c.in[1][ch]
					out := c.out[0][at : at+plane]
					for i, a := range c.in[0][at : at+plane] {
						out[i] = a + v
					}
				}
			})
		},
		backward: func(c *call) { // of x it is that of the result
			if c.gin[1] == nil {
				return
			}
			c.pool.Do(channels, func(_, ch int) {
				sum := 0.0
				for b := range samples {
					part := 0.0
					for _, d := range c.gout[0][(b*channels+ch)*plane:][:plane] {
						part += float64(d)
					}
					sum += part
				}
				c.gin[1][ch] = float32(sum)
			})
		},
	}, x.shape)[0]
}
