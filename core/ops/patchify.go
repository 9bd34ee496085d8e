package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

// PatchOrder says how the pixels of a patch follow each other in its vector.
type PatchOrder int

const (
	// CHW: channel by channel, rows inside; the order of a patch embedding's
	// convolution weight.
	CHW PatchOrder = iota
	// HWC: pixel by pixel, channels inside; the order of MAE's targets.
	HWC
)

// Patchify cuts images [B, C, H, W] into patches of p×p in raster order:
// [B, (H/p)·(W/p), p·p·C].
func Patchify(g *core.Graph, images *core.Node, p int, order PatchOrder) *core.Node {
	if !g.Check("patchify", "images [B, C, H, W] with H and W divisible by the patch size", []*core.Node{images}, nil, func() bool {
		s := images.Shape()
		return len(s) == 4 && p > 0 && s[2]%p == 0 && s[3]%p == 0 && (order == CHW || order == HWC)
	}) {
		return g.Invalid()
	}
	s := images.Shape()
	l := patchLayout{b: s[0], c: s[1], h: s[2], w: s[3], p: p, order: order}
	return g.Apply(&core.Op{
		Name: "patchify", In: []*core.Node{images},
		Forward:  func(c *core.Call) { l.copy(c, c.In[0], c.Out[0], true) },
		Backward: func(c *core.Call) { l.copy(c, c.GradIn[0], c.GradOut[0], false) },
	}, tensor.Shape{l.b, l.patches(), p * p * l.c})[0]
}

// Unpatchify is the inverse of Patchify: patches [B, L, p·p·channels] become
// images [B, channels, height, width].
func Unpatchify(g *core.Graph, patches *core.Node, channels, height, width, p int, order PatchOrder) *core.Node {
	l := patchLayout{c: channels, h: height, w: width, p: p, order: order}
	if !g.Check("unpatchify", "patches [B, H/p·W/p, p·p·C] with H and W divisible by p", []*core.Node{patches}, nil, func() bool {
		s := patches.Shape()
		return len(s) == 3 && p > 0 && channels > 0 && height%p == 0 && width%p == 0 && s[1] == l.patches() && s[2] == p*p*channels && (order == CHW || order == HWC)
	}) {
		return g.Invalid()
	}
	l.b = patches.Shape()[0]
	return g.Apply(&core.Op{
		Name: "unpatchify", In: []*core.Node{patches},
		Forward:  func(c *core.Call) { l.copy(c, c.Out[0], c.In[0], false) },
		Backward: func(c *core.Call) { l.copy(c, c.GradOut[0], c.GradIn[0], true) },
	}, tensor.Shape{l.b, channels, height, width})[0]
}

type patchLayout struct {
	b, c, h, w, p int
	order         PatchOrder
}

func (l patchLayout) patches() int { return (l.h / l.p) * (l.w / l.p) }

// copy moves images to patches or back.
func (l patchLayout) copy(c *core.Call, images, patches []float32, toPatches bool) {
	gridW := l.w / l.p
	size := l.p * l.p * l.c
	c.Pool.Do(l.b*l.h/l.p, func(_, i int) { // one row of patches
		b, gy := i/(l.h/l.p), i%(l.h/l.p)
		for gx := range gridW {
			patch := patches[((b*(l.h/l.p)+gy)*gridW+gx)*size:][:size]
			for ch := range l.c {
				for y := range l.p {
					line := images[((b*l.c+ch)*l.h+gy*l.p+y)*l.w+gx*l.p:][:l.p]
					if l.order == CHW {
						at := patch[(ch*l.p+y)*l.p:][:l.p]
						if toPatches {
							copy(at, line)
						} else {
							copy(line, at)
						}
						continue
					}
					at := patch[y*l.p*l.c+ch:]
					for x := range line {
						if toPatches {
							at[x*l.c] = line[x]
						} else {
							line[x] = at[x*l.c]
						}
					}
				}
			}
		}
	})
}
