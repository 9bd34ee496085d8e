package f32

// tap is one position under the kernel: position (i, j) of a grid reads the pixel (i·step + dr,
// j·step + ds) of the source; index is its place in the weight.
type tap struct{ dr, ds, index int }

// forwardTaps lists the taps of the forward pass, in the order of the weight.
func (v *Conv) forwardTaps(to []tap) []tap {
	d := v.dilation()
	for r := range v.R {
		for s := range v.S {
			to = append(to, tap{r*d - v.Pad, s*d - v.Pad, r*v.S + s})
		}
	}
	return to
}

// backwardTaps lists the taps through which the results reach the pixels (i·Stride + pr, j·Stride +
// ps) of an image, neighbors in a row next to each other.
func (v *Conv) backwardTaps(pr, ps int, to []tap) []tap {
	d := v.dilation()
	for r := v.R - 1; r >= 0; r-- {
		for s := v.S - 1; s >= 0; s-- {
			a, b := pr+v.Pad-r*d, ps+v.Pad-s*d
			if a%v.Stride == 0 && b%v.Stride == 0 {
				to = append(to, tap{a / v.Stride, b / v.Stride, r*v.S + s})
			}
		}
	}
	return to
}

// neighbors counts the taps from the first on that lie side by side.
func neighbors(taps []tap) int {
	n := 1
	for n < len(taps) && taps[n].dr == taps[0].dr && taps[n].ds == taps[0].ds+n {
		n++
	}
	return n
}

// tapBlock is the number of taps of c channels in a block of about kc products. Whole rows of taps
// are gathered faster.
func tapBlock(t *table, taps []tap, c int) int {
	most := max(1, t.kc/c)
	per := ceilDiv(len(taps), ceilDiv(len(taps), most))
	if whole := roundUp(per, neighbors(taps)); whole <= most {
		return whole
	}
	return per
}

// grid is a raster of positions on each of several images; positions are numbered in its order.
type grid struct{ h, w int }

func (g grid) place(at int) (n, i, j int) { return at / (g.h * g.w), at / g.w % g.h, at % g.w }

// inside returns the columns [lo, hi) of a grid of w columns whose width pixels from j·step + ds on
// lie in an image of wide columns.
func inside(w, step, ds, width, wide int) (lo, hi int) {
	lo = ceilDiv(max(0, -ds), step)
	if last := wide - width - ds; last >= 0 {
		hi = last/step + 1
	}
	lo = min(lo, w)
	return lo, max(lo, min(hi, w))
}

// patches gathers the pixels under taps.
type patches struct {
	t    *table
	src  images
	step int
	grid grid
}

// rows copies the width pixels from tap p on, for rows positions from first on, to rows of dst.
func (g *patches) rows(p tap, width, first, rows int, dst mat) {
	c := g.src.c
	lo, hi := inside(g.grid.w, g.step, p.ds, width, g.src.w)
	for at := 0; at < rows; {
		n, i, j := g.grid.place(first + at)
		m := min(rows-at, g.grid.w-j)
		r := i*g.step + p.dr
		if r < 0 || r >= g.src.h {
			for k := range m {
				clear(dst.row(at+k, width*c))
			}
			at += m
			continue
		}
		line := g.src.pixel(n, r, 0)
		for end := j + m; j < end; {
			if j < lo || j >= hi {
				g.edge(line, j*g.step+p.ds, width, dst.row(at, width*c))
				j, at = j+1, at+1
				continue
			}
			m := min(end, hi) - j
			g.t.copyRows(m, width*c, offset(line, (j*g.step+p.ds)*c), g.step*c, dst.at(at, 0), dst.ld)
			j, at = j+m, at+m
		}
	}
}

// edge copies width pixels from column s on, some of which lie outside of the line.
func (g *patches) edge(line *float32, s, width int, dst []float32) {
	c := g.src.c
	from, end := min(max(s, 0), g.src.w), min(s+width, g.src.w)
	if from >= end {
		clear(dst)
		return
	}
	clear(dst[:(from-s)*c])
	copy(dst[(from-s)*c:], sliceAt(offset(line, from*c), (end-from)*c))
	clear(dst[(end-s)*c:])
}

// panels packs n columns from column col on of the pixels under p, for rows positions from first
// on.
func (g *patches) panels(p tap, col, n, first, rows int, dst *float32) {
	nr, c := g.t.nr, g.src.c
	whole, stride := n/nr, rows*nr
	lo, hi := inside(g.grid.w, g.step, p.ds, 1, g.src.w)
	for at := 0; at < rows; {
		n0, i, j := g.grid.place(first + at)
		end := j + min(rows-at, g.grid.w-j)
		r := i*g.step + p.dr
		from, to := min(max(lo, j), end), min(hi, end)
		if r < 0 || r >= g.src.h || from >= to {
			from, to = end, end
		}
		for q := range ceilDiv(n, nr) {
			clear(sliceAt(offset(dst, q*stride+at*nr), (from-j)*nr))
			clear(sliceAt(offset(dst, q*stride+(at+to-j)*nr), (end-to)*nr))
		}
		if to > from {
			src, to0 := offset(g.src.pixel(n0, r, from*g.step+p.ds), col), offset(dst, (at+from-j)*nr)
			if whole > 0 {
				g.t.packRows(to-from, whole, nr, src, g.step*c, to0, stride)
			}
			if whole*nr < n {
				g.t.packCopy(to-from, nr, n-whole*nr, offset(src, whole*nr), g.step*c, offset(to0, whole*stride))
			}
		}
		at += end - j
	}
}

// patchJob is a product of gathered patches and the weight: rows are the positions of a grid, some
// for each chunk, gathered a few taps at a time into the cache of the worker.
type patchJob struct {
	patches
	taps    []tap
	per     int // taps in a block
	count   int // positions
	b       *float32
	bias    []float32
	dst     images
	dstStep int // position (i, j) is pixel (i·dstStep + pr, j·dstStep + ps) of dst
	pr, ps  int
	add     bool
}

// linePad keeps rows from being at a distance of a power of two: they would share few sets of a
// cache.
const linePad = 16

func (j *patchJob) run(w *worker, i int) {
	t, c, n := j.t, j.src.c, j.dst.c
	first := i * t.mc
	rows := min(t.mc, j.count-first)
	if len(j.taps) == 0 {
		j.clear(first, rows)
		return
	}
	ld, direct := j.per*c+linePad, j.dstStep == 1
	arena := w.scratch(rows * (ld + n))
	a, out := mat{&arena[0], ld}, mat{offset(j.dst.p, first*n), n}
	if !direct {
		out = mat{&arena[rows*ld], n}
	}
	b := j.b
	for at := 0; at < len(j.taps); at += j.per {
		block := j.taps[at:min(len(j.taps), at+j.per)]
		for k := 0; k < len(block); {
			width := neighbors(block[k:])
			j.rows(block[k], width, first, rows, mat{a.at(0, k*c), ld})
			k += width
		}
		g := product{t: t, m: rows, n: n, k: len(block) * c, a: a, b: b, c: out, accumulate: at > 0 || direct && j.add}
		if j.bias != nil && at+len(block) == len(j.taps) {
			g.kind, g.ep.Bias = epilogueBias, j.bias
		}
		g.compute(w, 0, ceilDiv(rows, t.mr), 0, ceilDiv(n, t.nr))
		b = offset(b, ceilDiv(n, t.nr)*t.nr*g.k)
	}
	if !direct {
		j.scatter(first, rows, out)
	}
}

// scatter moves rows of results to their pixels.
func (j *patchJob) scatter(first, rows int, from mat) {
	c := j.dst.c
	for at := 0; at < rows; {
		n, i, col := j.grid.place(first + at)
		m := min(rows-at, j.grid.w-col)
		to := mat{j.dst.pixel(n, i*j.dstStep+j.pr, col*j.dstStep+j.ps), j.dstStep * c}
		if j.add {
			j.t.tileAdd(m, c, from.at(at, 0), from.ld, to.p, to.ld)
		} else {
			j.t.copyRows(m, c, from.at(at, 0), from.ld, to.p, to.ld)
		}
		at += m
	}
}

// runPatches runs p.conv.patches; the caller holds p.mu.
func (p *Pool) runPatches() {
	j := &p.conv.patches
	p.run(ceilDiv(j.count, j.t.mc), j)
	*j = patchJob{}
}

// packTaps packs the weight w [O, R, S, C] for taps, per of them in a block: panels [taps·C, O]
// forward, else [taps·O, C]. The caller holds p.mu.
func (p *Pool) packTaps(t *table, v *Conv, w []float32, taps []tap, per int, forward bool) *float32 {
	n, k := v.C, v.O
	if forward {
		n, k = v.O, v.C
	}
	p.conv.packed = grow(p.conv.packed, roundUp(n, t.nr)*k*len(taps))
	at := 0
	for from := 0; from < len(taps); from += per {
		block := taps[from:min(len(taps), from+per)]
		dst := &p.conv.packed[at]
		at += roundUp(n, t.nr) * k * len(block)
		if forward { // whole rows of the weight: taps lie in its order
			p.runPack(newPack(t, Matrix{Data: w[from*k:], Rows: k * len(block), Cols: n, Stride: v.columns(), Trans: true}, t.nr, dst))
			continue
		}
		for i, tap := range block {
			pack := newPack(t, Matrix{Data: w[tap.index*n:], Rows: k, Cols: n, Stride: v.columns()}, t.nr, offset(dst, i*k*t.nr))
			pack.panelStride = len(block) * k * t.nr
			p.runPack(pack)
		}
	}
	return &p.conv.packed[0]
}

// patchesForward is ConvForward by patches.
func (p *Pool) patchesForward(v *Conv, x, w, bias, y []float32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := kernels()
	taps := v.forwardTaps(p.conv.taps[:0])
	p.conv.taps = taps
	per := tapBlock(t, taps, v.C)
	p.conv.patches = patchJob{
		patches: patches{t: t, src: v.input(x), step: v.Stride, grid: grid{v.OutH(), v.OutW()}},
		taps:    taps, per: per, count: v.rows(), b: p.packTaps(t, v, p.tapsFirst(t, v, w), taps, per, true),
		bias: bias, dst: v.output(y), dstStep: 1,
	}
	p.runPatches()
}

// patchesBackwardInput is ConvBackwardInput by patches of the gradient: one product for every
// position of a pixel between the strides, so that none is with a zero between results.
func (p *Pool) patchesBackwardInput(v *Conv, dy, w, dx []float32, add bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := kernels()
	ordered := p.tapsFirst(t, v, w)
	for pr := range min(v.Stride, v.H) {
		for ps := range min(v.Stride, v.W) {
			taps := v.backwardTaps(pr, ps, p.conv.taps[:0])
			p.conv.taps = taps
			j := patchJob{
				patches: patches{t: t, src: v.output(dy), step: 1, grid: grid{ceilDiv(v.H-pr, v.Stride), ceilDiv(v.W-ps, v.Stride)}},
				taps:    taps, dst: v.input(dx), dstStep: v.Stride, pr: pr, ps: ps, add: add,
			}
			j.count = v.N * j.grid.h * j.grid.w
			if len(taps) > 0 {
				j.per = tapBlock(t, taps, v.O)
				j.b = p.packTaps(t, v, ordered, taps, j.per, false)
			} else if add {
				continue
			}
			p.conv.patches = j
			p.runPatches()
		}
	}
}

// clear sets the pixels of rows positions from first on to zero: no result reaches them.
func (j *patchJob) clear(first, rows int) {
	for at := first; at < first+rows; at++ {
		n, i, k := j.grid.place(at)
		clear(sliceAt(j.dst.pixel(n, i*j.dstStep+j.pr, k*j.dstStep+j.ps), j.dst.c))
	}
}
