package f32

// winogradWeightJob is the gradient of a weight by Winograd's method, the transpose of the forward
// pass in the weight,
//
//	dw = Gᵀ·[Σ (A·dy·Aᵀ) ⊙ (Bᵀ·x·B)]·G,
//
// whose sum over tiles is 16 matrix products [O, tiles]·[tiles, C], a chunk of tiles after the
// other. Transforms write the panels of both operands.
type winogradWeightJob struct {
	winogradSource
	dy                   images
	grid                 tileGrid
	first, n             int // the chunk
	distanceC, distanceO int
	input, grad          []float32
	sums, dw             []float32
	parts                int // of the columns of a product
	phase                winogradPhase
}

type winogradPhase uint8

const (
	winogradTransforms winogradPhase = iota
	winogradProducts
	winogradResult
)

// winogradTileGroup is the number of tiles that one thread transforms at a time.
const winogradTileGroup = 16

// winogradGradTiles is winogradTiles for the gradient of the weight, whose sums, 16·O·C, go through
// memory once per chunk: with many channels that costs more than tiles that leave the second-level
// cache.
func winogradGradTiles(c, o int) int {
	if c+o >= 512 {
		return 256
	}
	return 128
}

// winogradBackwardWeight is ConvBackwardWeight by Winograd's method.
func (p *Pool) winogradBackwardWeight(v *Conv, x, dy, dw []float32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, s := kernels(), &p.conv
	j := &s.products
	*j = winogradWeightJob{
		winogradSource: winogradSource{t: t, src: v.input(x), pad: v.Pad, zeros: s.zeroed(max((v.W+2)*v.C, (v.OutW()+2)*v.O))},
		dy:             v.output(dy), grid: newTileGrid(v, v.OutH(), v.OutW()), dw: dw, parts: ceilDiv(v.C, gradColumns),
	}
	all := j.grid.count()
	per := min(all, winogradGradTiles(v.C, v.O))
	j.distanceC, j.distanceO = per*roundUp(v.C, t.nr)+linePad, per*roundUp(v.O, t.mr)+linePad
	s.sums, s.input, s.grad = grow(s.sums, winogradValues*v.O*v.C), grow(s.input, winogradValues*j.distanceC), grow(s.grad, winogradValues*j.distanceO)
	j.sums, j.input, j.grad = s.sums, s.input, s.grad
	if v.C%t.nr != 0 {
		clear(j.input) // the last panel is not whole
	}
	for j.first = 0; j.first < all; j.first += per {
		j.n = min(per, all-j.first)
		j.phase = winogradTransforms
		p.run(2*ceilDiv(j.n, winogradTileGroup), j)
		j.phase = winogradProducts
		p.run(winogradValues*j.parts, j)
	}
	j.phase = winogradResult
	p.run(v.O, j)
	*j = winogradWeightJob{}
}

func (j *winogradWeightJob) run(w *worker, i int) {
	switch j.phase {
	case winogradTransforms:
		// Pixels and gradients of a group in turn.
		from, to := i/2*winogradTileGroup, min(j.n, (i/2+1)*winogradTileGroup)
		stage := w.scratch(max(j.stageSize(), 4*j.dy.c))
		nr, mr := j.t.nr, j.t.mr
		for at := from; at < to; {
			r := j.grid.run(j.first+at, to-at)
			if i%2 == 0 {
				j.transform(r, stage, &j.input[at*nr], nr, nr, j.n*nr, j.distanceC)
			} else {
				j.transformGrad(r, stage, &j.grad[at*mr])
			}
			at += r.count
		}
	case winogradProducts:
		j.product(w, i/j.parts, i%j.parts)
	case winogradResult:
		const taps = 9
		c := j.src.c
		scratch := w.scratch(taps * c)
		j.t.winogradWeightGrad(c, &j.sums[i*c], j.dy.c*c, &scratch[0], c)
		j.t.packTranspose(c, taps, taps, &scratch[0], c, &j.dw[i*taps*c])
	}
}

// transformGrad writes A·d·Aᵀ of the gradients of the tiles of a run; stage is memory for a tile.
func (j *winogradWeightJob) transformGrad(r tileRun, stage []float32, dst *float32) {
	o := j.dy.c
	lower := 2*r.i+1 < j.dy.h
	whole := max(0, min(r.count, j.dy.w/2-r.j))
	if whole > 0 {
		row1 := j.zeros
		if lower {
			row1 = j.dy.pixel(r.n, 2*r.i+1, 2*r.j)
		}
		j.gradStrips(whole, j.dy.pixel(r.n, 2*r.i, 2*r.j), row1, dst)
	}
	if whole == r.count {
		return
	}
	// The last column of an odd width.
	clear(stage[:4*o])
	copy(stage, sliceAt(j.dy.pixel(r.n, 2*r.i, j.dy.w-1), o))
	if lower {
		copy(stage[2*o:], sliceAt(j.dy.pixel(r.n, 2*r.i+1, j.dy.w-1), o))
	}
	j.gradStrips(1, &stage[0], &stage[2*o], offset(dst, whole*j.t.mr))
}

// gradStrips transforms tiles side by side, one panel after the other.
func (j *winogradWeightJob) gradStrips(tiles int, row0, row1, dst *float32) {
	o, mr := j.dy.c, j.t.mr
	for col := 0; col < o; col += mr {
		j.t.winogradGrad(tiles, min(mr, o-col), o, offset(row0, col), offset(row1, col), dst, j.distanceO)
		dst = offset(dst, j.n*mr)
	}
}

// product adds the chunk's tiles to part of the sums of value p.
func (j *winogradWeightJob) product(w *worker, p, part int) {
	t, o, c := j.t, j.dy.c, j.src.c
	panels := ceilDiv(c, t.nr)
	g := product{
		t: t, m: o, n: c, k: j.n, a: mat{p: &j.grad[p*j.distanceO]}, layout: inPanels, b: &j.input[p*j.distanceC],
		c: mat{&j.sums[p*o*c], c}, accumulate: j.first > 0,
	}
	g.compute(w, 0, ceilDiv(o, t.mr), panels*part/j.parts, panels*(part+1)/j.parts)
}
