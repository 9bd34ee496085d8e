package f32

// patchWeightJob computes the gradient of a weight as dw [O, R·S·C] = dyᵀ·patches(x), a block of
// positions after the other. A small gradient is summed in groups of positions, each on one thread
// into a partial result of its own, as in weightGemm; of a large one the threads divide columns.
type patchWeightJob struct {
	patches
	taps        []tap
	dy          images
	count       int // positions
	length      int // of a block
	dw          []float32
	groups      int
	grad        *float32 // packed block of dy, shared by the chunks of a large gradient
	first, rows int      // that block
	parts       int      // chunks of the columns of a tap
	second      bool
}

// gradColumns is the number of columns of patches gathered at a time, gradPositions the most
// positions of a block.
const (
	gradColumns   = 128
	gradPositions = 512
)

// patchesBackwardWeight is ConvBackwardWeight by patches.
func (p *Pool) patchesBackwardWeight(v *Conv, x, dy, dw []float32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, s := kernels(), &p.conv
	s.taps = v.forwardTaps(s.taps[:0])
	out := dw
	if v.taps() > 1 {
		s.weight = grow(s.weight, len(dw))
		out = s.weight
	}
	j := &s.columns
	*j = patchWeightJob{
		patches: patches{t: t, src: v.input(x), step: v.Stride, grid: grid{v.OutH(), v.OutW()}},
		taps:    s.taps, dy: v.output(dy), count: v.rows(), dw: out, groups: 1, parts: ceilDiv(v.C, gradColumns),
	}
	if v.O*v.columns() <= weightLimit {
		j.groups = min(max(1, j.count/weightGroup), weightGroups)
	}
	blocks := ceilDiv(ceilDiv(j.count, j.groups), min(t.kc, gradPositions))
	j.length = roundUp(ceilDiv(ceilDiv(j.count, j.groups), blocks), 4)
	if j.groups > 1 {
		s.sums = grow(s.sums, j.groups*v.O*v.columns())
		j.dw = s.sums
		p.run(j.groups, j)
		j.dw, j.second = out, true
		p.run(ceilDiv(v.O*v.columns(), reduceChunk), j)
	} else {
		s.grad = grow(s.grad, roundUp(v.O, t.mr)*j.length)
		j.grad = &s.grad[0]
		for j.first = 0; j.first < j.count; j.first += j.length {
			j.rows = min(j.length, j.count-j.first)
			p.runPack(newPack(t, Dense(j.rows, v.O, dy[j.first*v.O:]), t.mr, j.grad))
			p.run(len(j.taps)*j.parts, j)
		}
	}
	*j = patchWeightJob{}
	if v.taps() > 1 {
		p.orderWeight(t, v, out, dw, true)
	}
}

// width is the number of columns of the gradient.
func (j *patchWeightJob) width() int { return len(j.taps) * j.src.c }

func (j *patchWeightJob) run(w *worker, i int) {
	switch {
	case j.second:
		size := j.dy.c * j.width()
		lo, hi := i*reduceChunk, min(size, (i+1)*reduceChunk)
		sumTree(j.t, w.pool.conv.sums, j.groups, size, lo, hi)
		copy(j.dw[lo:hi], w.pool.conv.sums[lo:hi])
	case j.groups > 1:
		j.group(w, i)
	default:
		c := j.src.c
		col := i % j.parts * gradColumns
		scratch := w.scratch(j.length * roundUp(min(c, gradColumns), j.t.nr))
		j.product(scratch, w, i/j.parts, col, min(gradColumns, c-col), j.first, j.rows, j.grad, mat{&j.dw[i/j.parts*c+col], j.width()}, j.first > 0)
	}
}

// group sums the positions of group i.
func (j *patchWeightJob) group(w *worker, i int) {
	t, o, c := j.t, j.dy.c, j.src.c
	k := j.width()
	dst := mat{&j.dw[i*o*k], k}
	strips := ceilDiv(o, t.mr)
	sizeA := strips * t.mr * j.length
	small := c < t.nr
	sizeB := j.length * roundUp(min(c, gradColumns), t.nr)
	if small {
		sizeB = j.length * (roundUp(k, t.nr) + k)
	}
	scratch := w.scratch(sizeA + sizeB)
	grad, rest := &scratch[0], scratch[sizeA:]
	end := j.count * (i + 1) / j.groups
	begin := j.count * i / j.groups
	for first := begin; first < end; first += j.length {
		n := min(j.length, end-first)
		pack := newPack(t, Matrix{Data: sliceAt(j.dy.p, j.count*o)[first*o:], Rows: n, Cols: o, Stride: o}, t.mr, grad)
		pack.pack(0, strips)
		if small {
			j.whole(rest, w, first, n, grad, dst, first > begin)
			continue
		}
		for tap := range j.taps {
			for col := 0; col < c; col += gradColumns {
				j.product(rest, w, tap, col, min(gradColumns, c-col), first, n, grad, mat{offset(dst.p, tap*c+col), k}, first > begin)
			}
		}
	}
}

// product adds dyᵀ·patches for n columns from col on of one tap and a block of rows positions from
// first on; grad are the panels of dy, dst is the gradient at these columns.
func (j *patchWeightJob) product(scratch []float32, w *worker, tap, col, n, first, rows int, grad *float32, dst mat, accumulate bool) {
	j.panels(j.taps[tap], col, n, first, rows, &scratch[0])
	j.multiply(w, n, rows, grad, &scratch[0], dst, accumulate)
}

// whole is product for all columns of all taps, few channels each.
func (j *patchWeightJob) whole(scratch []float32, w *worker, first, rows int, grad *float32, dst mat, accumulate bool) {
	c, k := j.src.c, j.width()
	lines := mat{&scratch[roundUp(k, j.t.nr)*rows], k}
	for at := 0; at < len(j.taps); {
		width := neighbors(j.taps[at:])
		j.patches.rows(j.taps[at], width, first, rows, mat{lines.at(0, at*c), k})
		at += width
	}
	j.pack(lines, k, rows, &scratch[0])
	j.multiply(w, k, rows, grad, &scratch[0], dst, accumulate)
}

// pack packs rows of n columns into panels.
func (j *patchWeightJob) pack(lines mat, n, rows int, dst *float32) {
	pack := newPack(j.t, Matrix{Data: sliceAt(lines.p, rows*lines.ld), Rows: rows, Cols: n, Stride: lines.ld}, j.t.nr, dst)
	pack.pack(0, pack.panels())
}

// multiply adds the product of panels of dy and of n columns of patches to dst.
func (j *patchWeightJob) multiply(w *worker, n, rows int, grad, panels *float32, dst mat, accumulate bool) {
	g := product{t: j.t, m: j.dy.c, n: n, k: rows, a: mat{p: grad}, layout: inPanels, b: panels, c: dst, accumulate: accumulate}
	g.compute(w, 0, ceilDiv(g.m, j.t.mr), 0, ceilDiv(n, j.t.nr))
}
