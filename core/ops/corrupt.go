package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/internal/prng"
)

// Fields of a rectangle of Corrupt; CorruptFields is their number.
const (
	corruptTop = iota
	corruptLeft
	corruptHeight
	corruptWidth
	corruptFill       // corruptZeros, corruptNoise or corruptCopy
	corruptSource     // of a copy: sample, or -1 for the same one
	corruptSourceTop  // of a copy
	corruptSourceLeft // of a copy
	corruptClean      // of a copy: 1 reads the input image, 0 the image with the rectangles so far
	CorruptFields
)

const (
	corruptZeros = iota
	corruptNoise
	corruptCopy
)

// Corrupt paints rectangles over images [B, C, H, W]; the result is [B, C, H, W]. The integers
// rects [B, R, CorruptFields] hold top, left, height, width and fill (0 zeros, 1 standard normal
// noise, 2 a copy), and of a copy its source sample (-1 the same one), the top and left in it, and
// 1 to read the input image. Rectangles are painted in order; one of height or width 0 changes
// nothing. Of another sample always the input image is read, so that no sample waits for another.
// Of the built-in objectives only SiT needs it.
//
// noise(b) gives the generator of sample b. Its number i is that of element i of the image
// [C, H, W], so the noise at a place is the same in every rectangle. The caller keeps the
// rectangles inside the image. There is no gradient.
func Corrupt(g *core.Graph, images, rects *core.Node, noise func(sample int) *prng.Generator) *core.Node {
	if !g.Check("corrupt", "images [B, C, H, W], integers [B, R, 9]", []*core.Node{images, rects}, nil, func() bool {
		s, r := images.Shape(), rects.Shape()
		return len(s) == 4 && !images.Integer() && rects.Integer() && len(r) == 3 && r[0] == s[0] && r[2] == CorruptFields && noise != nil
	}) {
		return g.Invalid()
	}
	s, count := images.Shape(), rects.Shape()[1]
	size, plane := s[1]*s[2]*s[3], s[2]*s[3]
	boxes := make([]float32, s[0]*plane)
	return g.Apply(&core.Op{
		Name: "corrupt", In: []*core.Node{images, rects}, NoGrad: core.OperandSet(0, 1),
		Forward: func(c *core.Call) {
			c.Pool.Do(s[0], func(_, b int) {
				p := painter{
					images: c.In[0], clean: c.In[0][b*size:][:size], out: c.Out[0][b*size:][:size],
					channels: s[1], height: s[2], width: s[3], box: boxes[b*plane:][:plane],
					noise: func() *prng.Generator { return noise(b) },
				}
				copy(p.out, p.clean)
				for r := range count {
					p.paint(c.Ints[1][(b*count+r)*CorruptFields:][:CorruptFields])
				}
			})
		},
	}, s)[0]
}

// painter paints the rectangles of one sample.
type painter struct {
	images                  []float32 // input images of all samples
	clean, out              []float32 // input and result of this sample, [C, H, W]
	channels, height, width int
	box                     []float32 // a rectangle on its way: source and destination may overlap
	noise                   func() *prng.Generator
	drawn                   *prng.Generator // of noise, nil before its first use
}

// at returns the index of a pixel.
func (p *painter) at(channel, y, x int) int { return (channel*p.height+y)*p.width + x }

// paint paints the rectangle with fields v.
func (p *painter) paint(v []int32) {
	top, left, h, w := int(v[corruptTop]), int(v[corruptLeft]), int(v[corruptHeight]), int(v[corruptWidth])
	if h == 0 || w == 0 {
		return
	}
	for ch := range p.channels {
		p.fill(v, ch, h, w)
		for y := range h {
			copy(p.out[p.at(ch, top+y, left):], p.box[y*w:(y+1)*w])
		}
	}
}

// fill puts the content of one channel of a rectangle into the box.
func (p *painter) fill(v []int32, ch, h, w int) {
	switch v[corruptFill] {
	case corruptZeros:
		clear(p.box[:h*w])
	case corruptNoise:
		if p.drawn == nil {
			p.drawn = p.noise()
		}
		for y := range h {
			for x := range w {
				i := p.at(ch, int(v[corruptTop])+y, int(v[corruptLeft])+x)
				p.box[y*w+x] = float32(prng.NormalFromBits(p.drawn.At(uint64(i))))
			}
		}
	case corruptCopy:
		from := p.source(v)
		for y := range h {
			copy(p.box[y*w:(y+1)*w], from[p.at(ch, int(v[corruptSourceTop])+y, int(v[corruptSourceLeft])):])
		}
	}
}

// source returns the image that a copy reads.
func (p *painter) source(v []int32) []float32 {
	switch {
	case v[corruptSource] >= 0:
		return p.images[int(v[corruptSource])*len(p.out):][:len(p.out)]
	case v[corruptClean] != 0:
		return p.clean
	}
	return p.out
}
