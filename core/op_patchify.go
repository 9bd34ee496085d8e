package core

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
func (g *Graph) Patchify(images *Node, p int, order PatchOrder) *Node {
	if !g.fits("patchify", "images [B, C, H, W] with H and W divisible by the patch size", []*Node{images}, nil, func() bool {
		s := images.shape
		return len(s) == 4 && p > 0 && s[2]%p == 0 && s[3]%p == 0 && (order == CHW || order == HWC)
	}) {
		return g.invalid()
	}
	s := images.shape
	l := patchLayout{b: s[0], c: s[1], h: s[2], w: s[3], p: p, order: order}
	return g.apply(&op{
		name: "patchify", in: []*Node{images},
		forward:  func(c *call) { l.copy(c, c.in[0], c.out[0], true) },
		backward: func(c *call) { l.copy(c, c.gin[0], c.gout[0], false) },
	}, Shape{l.b, l.patches(), p * p * l.c})[0]
}

// Unpatchify is the inverse of Patchify: patches [B, L, p·p·channels] become
// images [B, channels, height, width].
func (g *Graph) Unpatchify(patches *Node, channels, height, width, p int, order PatchOrder) *Node {
	l := patchLayout{c: channels, h: height, w: width, p: p, order: order}
	if !g.fits("unpatchify", "patches [B, H/p·W/p, p·p·C] with H and W divisible by p", []*Node{patches}, nil, func() bool {
		s := patches.shape
		return len(s) == 3 && p > 0 && channels > 0 && height%p == 0 && width%p == 0 && s[1] == l.patches() && s[2] == p*p*channels && (order == CHW || order == HWC)
	}) {
		return g.invalid()
	}
	l.b = patches.shape[0]
	return g.apply(&op{
		name: "unpatchify", in: []*Node{patches},
		forward:  func(c *call) { l.copy(c, c.out[0], c.in[0], false) },
		backward: func(c *call) { l.copy(c, c.gout[0], c.gin[0], true) },
	}, Shape{l.b, channels, height, width})[0]
}

type patchLayout struct {
	b, c, h, w, p int
	order         PatchOrder
}

func (l patchLayout) patches() int { return (l.h / l.p) * (l.w / l.p) }

// copy moves images to patches or back.
func (l patchLayout) copy(c *call, images, patches []float32, toPatches bool) {
	gridW := l.w / l.p
	size := l.p * l.p * l.c
	c.pool.Do(l.b*l.h/l.p, func(_, i int) { // one row of patches
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
