package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/internal/prng"
)

// Rectangle fields of Corrupt, CorruptFields numbers for each rectangle.
const (
	corruptTop = iota
	corruptLeft
	corruptHeight
	corruptWidth
	corruptFill       // corruptZeros, corruptNoise or corruptCopy
	corruptSource     // of a copy: sample, or -1 for the same one
	corruptSourceTop  // of a copy
	corruptSourceLeft // of a copy
	corruptClean      // of a copy: 1 reads the image as it came, 0 as it is after the rectangles so far
	CorruptFields
)

const (
	corruptZeros = iota
	corruptNoise
	corruptCopy
)

// Corrupt paints rectangles over images [B, C, H, W]. rects [B, R, CorruptFields]
// holds top, left, height, width, fill (0 zeros, 1 standard normal noise, 2 a
// copy) and of a copy the sample it is taken from (-1 the same one), its top and
// left, and 1 to read that image as it came. They are painted in order; one of
// height or width 0 changes nothing. Another sample is always read as it came, so
// that no sample waits for another.
//
// noise(b) gives the generator of sample b; its number i is that of element i of
// the image [C, H, W], so noise does not depend on which rectangle shows it. The
// caller sees to it that rectangles lie inside the image. There is no gradient.
func Corrupt(g *core.Graph, images, rects *core.Node, noise func(sample int) *prng.Generator) *core.Node {
	if !g.Check("corrupt", "images [B, C, H, W], integers [B, R, 9]", []*core.Node{images, rects}, nil, func() bool {
		s, r := images.Shape(), rects.Shape()
		return len(s) == 4 && !images.Integer() && rects.Integer() && len(r) == 3 && r[0] == s[0] && r[2] == CorruptFields && noise != nil
	}) {
		return g.Invalid()
	}
	s, count := images.Shape(), rects.Shape()[1]
	channels, height, width := s[1], s[2], s[3]
	size := channels * height * width
	scratch := make([]float32, s[0]*height*width) // a rectangle of each sample on its way
	return g.Apply(&core.Op{
		Name: "corrupt", In: []*core.Node{images, rects}, NoGrad: core.OperandSet(0, 1),
		Forward: func(c *core.Call) {
			c.Pool.Do(s[0], func(_, b int) {
				out := c.Out[0][b*size : (b+1)*size]
				copy(out, c.In[0][b*size:])
				var drawn *prng.Generator
				for r := range count {
					v := c.Ints[1][(b*count+r)*CorruptFields:][:CorruptFields]
					top, left, h, w := int(v[corruptTop]), int(v[corruptLeft]), int(v[corruptHeight]), int(v[corruptWidth])
					if h == 0 || w == 0 {
						continue
					}
					from := out
					switch {
					case v[corruptSource] >= 0:
						from = c.In[0][int(v[corruptSource])*size:][:size]
					case v[corruptClean] != 0:
						from = c.In[0][b*size:][:size]
					}
					if v[corruptFill] == corruptNoise && drawn == nil {
						drawn = noise(b)
					}
					box := scratch[b*height*width:][:h*w]
					for ch := range channels {
						at := func(y, x int) int { return (ch*height+y)*width + x }
						switch v[corruptFill] {
						case corruptZeros:
							clear(box)
						case corruptNoise:
							for y := range h {
								for x := range w {
									box[y*w+x] = float32(prng.NormalFromBits(drawn.At(uint64(at(top+y, left+x)))))
								}
							}
						case corruptCopy: // by way of box: source and place may overlap
							for y := range h {
								copy(box[y*w:(y+1)*w], from[at(int(v[corruptSourceTop])+y, int(v[corruptSourceLeft])):])
							}
						}
						for y := range h {
							copy(out[at(top+y, left):], box[y*w:(y+1)*w])
						}
					}
				}
			})
		},
	}, s)[0]
}
