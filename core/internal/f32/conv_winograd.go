package f32

// Winograd's F(2×2, 3×3) (Winograd 1980; Lavin and Gray, arXiv:1509.09308) makes 2×2 results of a
// 3×3 convolution from 4×4 pixels with 16 products instead of 36,
//
//	y = Aᵀ·[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]·A,
//
// summed over channels before the last transform: 16 matrix products [tiles, C]·[C, O]. Tiles are
// taken a few at a time, so that the values between the transforms stay in cache.

const winogradValues = 16

func (v *Conv) winogradApplies() bool {
	return v.R == 3 && v.S == 3 && v.Stride == 1 && v.dilation() == 1 && v.Pad <= 2
}

// tileGrid numbers the 2×2 tiles of the results of a batch, row by row.
type tileGrid struct{ n, h, w int }

func newTileGrid(v *Conv, h, w int) tileGrid { return tileGrid{v.N, ceilDiv(h, 2), ceilDiv(w, 2)} }

func (g tileGrid) count() int { return g.n * g.h * g.w }

// tileRun is a run of tiles side by side: count tiles of image n from tile (i, j) on.
type tileRun struct{ n, i, j, count int }

// run returns the tiles from number at on that lie in one row, at most left of them.
func (g tileGrid) run(at, left int) tileRun {
	j := at % g.w
	return tileRun{at / (g.h * g.w), at / g.w % g.h, j, min(left, g.w-j)}
}

// winogradSource reads the 4×4 pixels under tiles.
type winogradSource struct {
	t     *table
	src   images
	pad   int
	zeros *float32 // a line of pixels
}

// stageSize is the memory for the pixels of one tile at the edge.
func (s *winogradSource) stageSize() int { return winogradValues * s.src.c }

// transform writes Bᵀ·d·B of the tiles of a run, value p of tile t at dst[t*ld+p*distance], every
// next width channels step floats further. stage is memory for a tile. Streams that are written
// side by side are few: each lies in a page of its own.
func (s *winogradSource) transform(r tileRun, stage []float32, dst *float32, ld, width, step, distance int) {
	c := s.src.c
	top := 2*r.i - s.pad
	// Tiles from lo to hi lie between the left and the right edge.
	lo, hi := (s.pad+1)/2, 0
	if last := s.src.w - 4 + s.pad; last >= 0 {
		hi = last/2 + 1
	}
	for j, end := r.j, r.j+r.count; j < end; {
		m := 1
		var rows [4]*float32
		if j < lo || j >= hi {
			s.edge(r.n, top, 2*j-s.pad, stage)
			rows = [4]*float32{&stage[0], &stage[4*c], &stage[8*c], &stage[12*c]}
		} else {
			m = min(end, hi) - j
			for q := range rows {
				rows[q] = s.zeros
				if y := top + q; y >= 0 && y < s.src.h {
					rows[q] = s.src.pixel(r.n, y, 2*j-s.pad)
				}
			}
		}
		to := dst
		for col := 0; col < c; col += width {
			s.t.winogradInput(m, min(width, c-col), c, offset(rows[0], col), offset(rows[1], col), offset(rows[2], col), offset(rows[3], col), to, ld, distance)
			to = offset(to, step)
		}
		j, dst = j+m, offset(dst, m*ld)
	}
}

// edge copies the 4×4 pixels from (top, left) on, zero outside of the image.
func (s *winogradSource) edge(n, top, left int, stage []float32) {
	c := s.src.c
	from, end := min(max(0, -left), 4), max(0, min(4, s.src.w-left))
	for q := range 4 {
		line, y := stage[4*q*c:4*(q+1)*c], top+q
		if y < 0 || y >= s.src.h || from >= end {
			clear(line)
			continue
		}
		clear(line[:from*c])
		copy(line[from*c:end*c], sliceAt(s.src.pixel(n, y, left+from), (end-from)*c))
		clear(line[end*c:])
	}
}

// winogradTiles is the number of tiles in a chunk: they and their products stay in the second-level
// cache, as far as the weight, which is read once per chunk, allows.
func winogradTiles(t *table, c, o int) int {
	switch {
	case c+o <= 192:
		return runStrips * t.mr
	case c+o <= 768:
		return 2 * runStrips * t.mr
	}
	return 4 * runStrips * t.mr
}

// winogradJob is the forward pass or the gradient of the input, a chunk of tiles at a time.
type winogradJob struct {
	winogradSource
	dst            images
	grid           tileGrid
	per            int      // tiles in a chunk
	weight         *float32 // 16 right operands in panels
	weightDistance int
	bias           *float32
	add            bool
}

func (j *winogradJob) run(w *worker, chunk int) {
	t, c, o := j.t, j.src.c, j.dst.c
	first := chunk * j.per
	n := min(j.per, j.grid.count()-first)
	// Neither rows nor values at a distance of a power of two; results have whole panels of
	// columns.
	ldc, ldo := c+linePad, roundUp(o, t.nr)+linePad
	distanceC, distanceO := n*ldc+linePad, n*ldo+linePad
	arena := w.scratch(winogradValues*(distanceC+distanceO) + max(j.stageSize(), (j.dst.w+1)*o))
	in, out, stage := arena, arena[winogradValues*distanceC:], arena[winogradValues*(distanceC+distanceO):]
	for at := 0; at < n; {
		r := j.grid.run(first+at, n-at)
		j.transform(r, stage, &in[at*ldc], ldc, c, 0, distanceC)
		at += r.count
	}
	for p := range winogradValues {
		j.product(n, mat{&in[p*distanceC], ldc}, offset(j.weight, p*j.weightDistance), mat{&out[p*distanceO], ldo})
	}
	for at := 0; at < n; {
		r := j.grid.run(first+at, n-at)
		j.finish(r, stage, &out[at*ldo], ldo, distanceO)
		at += r.count
	}
}

// product multiplies n tiles in by the panels of a right operand, as product.compute does but for
// all strips at once: they are few, and no tile is cut off at the edge.
func (j *winogradJob) product(n int, in mat, panels *float32, out mat) {
	t, k := j.t, j.src.c
	blocks := ceilDiv(k, t.kc)
	length := roundUp(ceilDiv(k, blocks), 4)
	strips, rest := n/t.mr, n%t.mr
	for at := 0; at < k; at += length {
		m := min(length, k-at)
		for col := 0; col < j.dst.c; col += t.nr {
			panel := offset(panels, col*k+at*t.nr)
			next := panel // read ahead: the panel after this
			if col+t.nr < j.dst.c {
				next = offset(panel, k*t.nr)
			}
			if strips > 0 {
				t.runRows(strips, m, in.at(0, at), in.ld, panel, out.at(0, col), out.ld, at, next)
			}
			if rest > 0 {
				t.rowsA[rest](m, in.at(strips*t.mr, at), in.ld, panel, out.at(strips*t.mr, col), out.ld, at, next)
			}
		}
	}
}

// finish writes the results of the tiles of a run; stage is memory for a tile or a line of pixels.
func (j *winogradJob) finish(r tileRun, stage []float32, src *float32, ld, distance int) {
	o := j.dst.c
	whole := max(0, min(r.count, j.dst.w/2-r.j))
	lower := 2*r.i+1 < j.dst.h
	if whole > 0 {
		row0, row1 := j.dst.pixel(r.n, 2*r.i, 2*r.j), &stage[0]
		if lower {
			row1 = j.dst.pixel(r.n, 2*r.i+1, 2*r.j)
		} else if j.add {
			clear(stage[:2*whole*o])
		}
		j.output(whole, src, ld, distance, row0, row1)
	}
	if whole == r.count {
		return
	}
	// The last column of an odd width.
	if j.add {
		clear(stage[:4*o])
	}
	j.output(1, offset(src, whole*ld), ld, distance, &stage[0], &stage[2*o])
	for q := range 2 {
		if q == 1 && !lower {
			break
		}
		dst, y := sliceAt(j.dst.pixel(r.n, 2*r.i+q, j.dst.w-1), o), stage[2*q*o:(2*q+1)*o]
		if j.add {
			j.t.add(dst, dst, y)
		} else {
			copy(dst, y)
		}
	}
}

func (j *winogradJob) output(tiles int, src *float32, ld, distance int, row0, row1 *float32) {
	if j.add {
		j.t.winogradOutputAdd(tiles, j.dst.c, src, ld, distance, row0, row1)
	} else {
		j.t.winogradOutput(tiles, j.dst.c, src, ld, distance, row0, row1, j.bias)
	}
}

// winogradForward is ConvForward by Winograd's method.
func (p *Pool) winogradForward(v *Conv, x, w, bias, y []float32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conv.winograd = winogradJob{winogradSource: winogradSource{t: kernels(), src: v.input(x), pad: v.Pad}, dst: v.output(y)}
	p.runWinograd(v, w, bias, false)
}

// winogradBackwardInput is ConvBackwardInput by Winograd's method: the convolution of the gradient
// with the weight turned by 180°.
func (p *Pool) winogradBackwardInput(v *Conv, dy, w, dx []float32, add bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conv.winograd = winogradJob{winogradSource: winogradSource{t: kernels(), src: v.output(dy), pad: 2 - v.Pad}, dst: v.input(dx), add: add}
	p.runWinograd(v, w, nil, true)
}

// runWinograd completes p.conv.winograd and runs it.
func (p *Pool) runWinograd(v *Conv, w, bias []float32, turned bool) {
	j := &p.conv.winograd
	j.weight, j.weightDistance = p.winogradWeight(j.t, v, w, turned)
	j.grid = newTileGrid(v, j.dst.h, j.dst.w)
	j.per = winogradTiles(j.t, j.src.c, j.dst.c)
	j.zeros = p.conv.zeroed(max((j.src.w+2)*j.src.c, j.dst.c))
	j.bias = j.zeros
	if bias != nil {
		j.bias = &bias[0]
	}
	p.run(ceilDiv(j.grid.count(), j.per), j)
	*j = winogradJob{}
}

// winogradWeightPack transforms a weight [O, C, 3, 3] into the panels of the right operands, some
// input channels (turned: output channels) in a chunk.
type winogradWeightPack struct {
	t        *table
	o, c     int
	w        []float32
	turned   bool
	packed   []float32
	columns  int // of the right operands
	rows     int
	distance int
}

// winogradGroup is the number of rows in a chunk of winogradWeightPack.
const winogradGroup = 8

func (p *Pool) winogradWeight(t *table, v *Conv, w []float32, turned bool) (*float32, int) {
	j := &p.conv.transform
	*j = winogradWeightPack{t: t, o: v.O, c: v.C, w: w, turned: turned, columns: v.O, rows: v.C}
	if turned {
		j.columns, j.rows = v.C, v.O
	}
	j.distance = roundUp(j.columns, t.nr)*j.rows + linePad
	p.conv.packed = grow(p.conv.packed, winogradValues*j.distance)
	j.packed = p.conv.packed
	if j.columns%t.nr != 0 {
		clear(j.packed) // the last panel is not whole
	}
	distance := j.distance
	p.run(ceilDiv(j.rows, winogradGroup), j)
	*j = winogradWeightPack{}
	return &p.conv.packed[0], distance
}

func (j *winogradWeightPack) run(w *worker, i int) {
	const taps = 9
	t := j.t
	from, to := i*winogradGroup, min(j.rows, (i+1)*winogradGroup)
	scratch := w.scratch(winogradGroup * taps * j.columns)
	if !j.turned { // [O, C·9] to [9·group, O]
		t.packTranspose(taps*(to-from), j.o, j.o, &j.w[from*taps], taps*j.c, &scratch[0])
	} else {
		for row := from; row < to; row++ { // [C, 9] to [9, C]
			t.packTranspose(taps, j.c, j.c, &j.w[row*taps*j.c], taps, &scratch[(row-from)*taps*j.c])
		}
	}
	// The values of a panel lie in pages of their own, so one panel after the other.
	n := j.columns
	for col := 0; col < n; col += t.nr {
		for row := from; row < to; row++ {
			at, ld := (row-from)*taps*n+col, n
			if j.turned { // read from behind
				at, ld = at+(taps-1)*n, -n
			}
			t.winogradWeight(min(t.nr, n-col), &scratch[at], ld, &j.packed[col*j.rows+row*t.nr], j.distance)
		}
	}
}
