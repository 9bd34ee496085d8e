package f32

// product is a matrix product ready to run, C cut into strips of mr rows and nr columns: one tile
// each.
type product struct {
	t          *table
	m, n, k    int
	a          mat // rows of A, or its panels [m/mr][k][mr]
	layout     operandLayout
	b          *float32 // panels of B, [n/nr][k][nr]
	c          mat
	accumulate bool
	kind       epilogueKind
	ep         Epilogue

	// local is the operand that chunks pack for themselves, block by block, into the cache of the
	// worker that is about to use it. source is that operand: Aᵀ [k, m], or B [k, n].
	local  localOperand
	source Matrix
}

// operandLayout is the layout of the left operand.
type operandLayout uint8

const (
	inRows   operandLayout = iota // in place, stored as [m, k]
	inPanels                      // packed, [m/mr][k][mr]
)

// localOperand names an operand of a product.
type localOperand uint8

const (
	localNone localOperand = iota
	localA
	localB
)

func (g *product) empty() bool { return g.m == 0 || g.n == 0 }

// runStrips is the most tiles below each other that one call computes: few enough to be still in
// the first-level cache for the epilogue, and to read no more than a panel ahead (a tile prefetches
// a cache line every four products).
const runStrips = 4

// Bounds on the rows of runStrips tiles of any level, and on the columns of a tile.
const (
	tileRows    = runStrips * 16
	tileColumns = 64
)

// gemmChunk is the part of a product that one worker computes: the strips [i0,i1)×[j0,j1) of C. The
// sum over k runs in blocks of at most kc products; the last fields describe one of them. The
// product is a copy: a pointer to it would move the caller's to the heap.
type gemmChunk struct {
	product
	w              *worker
	i0, i1, j0, j1 int
	// sum receives the sum of every block but the last, at strip (sumI, sumJ) and up: C itself, or
	// scratch if C is still to be read as the residual. With inPlace C is the residual.
	sum        mat
	sumI, sumJ int
	inPlace    bool
	blocks     int
	tile       []tileFunc // by number of rows
	run        runFunc

	length      int // products of the block
	first, last bool
	operands    blockOperands
}

// blockOperands are the operands of a block: strip s of A at a + (s-firstA)·strideA, panel s of B
// at b + (s-firstB)·strideB. between is the lda argument of runFunc: the leading dimension of A, or
// its panel stride.
type blockOperands struct {
	a, b             *float32
	firstA, firstB   int
	strideA, strideB int
	between          int
}

func (x *blockOperands) stripA(s int) *float32 { return offset(x.a, (s-x.firstA)*x.strideA) }
func (x *blockOperands) panelB(s int) *float32 { return offset(x.b, (s-x.firstB)*x.strideB) }

// compute does the strips [i0,i1)×[j0,j1) of C.
func (g *product) compute(w *worker, i0, i1, j0, j1 int) {
	blocks := max(1, ceilDiv(g.k, g.t.kc))
	kc := (ceilDiv(g.k, blocks) + 3) &^ 3
	h := gemmChunk{product: *g, w: w, i0: i0, i1: i1, j0: j0, j1: j1, sum: g.c, blocks: blocks, tile: g.t.rowsA, run: g.t.runRows}
	if g.layout == inPanels {
		h.tile, h.run = g.t.packedA, g.t.runPacked
	}
	panels := h.reserve(kc)
	for block := range blocks {
		at := block * kc
		h.length, h.first, h.last = min(kc, g.k-at), block == 0, block == blocks-1
		h.findOperands(panels, at)
		h.block()
	}
}

// reserve decides on sum and returns scratch for the chunk's own panels of one block of kc
// products.
func (h *gemmChunk) reserve(kc int) (panels []float32) {
	mr, nr := h.t.mr, h.t.nr
	local, separate := 0, 0
	switch h.local {
	case localA:
		local = (h.i1 - h.i0) * mr * kc
	case localB:
		local = (h.j1 - h.j0) * nr * kc
	}
	h.inPlace = h.kind == epilogueResidual && len(h.ep.Residual) > 0 && &h.ep.Residual[0] == h.c.p
	if h.inPlace && h.blocks > 1 {
		separate = (h.i1 - h.i0) * mr * (h.j1 - h.j0) * nr
	}
	if local+separate == 0 {
		return nil
	}
	panels = h.w.scratch(local + separate)
	if separate == 0 {
		return panels
	}
	h.sum, h.sumI, h.sumJ = mat{&panels[local], (h.j1 - h.j0) * nr}, h.i0, h.j0
	if h.accumulate {
		n := min(h.n-h.j0*nr, h.sum.ld)
		for i := h.i0 * mr; i < min(h.i1*mr, h.m); i++ {
			copy(h.sum.row(i-h.i0*mr, n), h.c.sub(i, h.j0*nr).row(0, n))
		}
	}
	return panels
}

// findOperands locates the operands of the block of products from at on, and packs the chunk's own
// into panels.
func (h *gemmChunk) findOperands(panels []float32, at int) {
	k, t := h.length, h.t
	h.operands = blockOperands{}
	if k == 0 {
		return
	}
	x := &h.operands
	switch {
	case h.layout == inRows:
		x.a, x.strideA, x.between = h.a.at(0, at), t.mr*h.a.ld, h.a.ld
	case h.local == localA:
		x.a, x.firstA, x.strideA, x.between = &panels[0], h.i0, k*t.mr, k*t.mr
		pack := newPack(t, h.source.block(at, at+k, h.i0*t.mr, h.m), t.mr, x.a)
		pack.pack(0, h.i1-h.i0)
	default:
		x.a, x.strideA, x.between = offset(h.a.p, at*t.mr), h.k*t.mr, h.k*t.mr
	}
	if h.local == localB {
		x.b, x.firstB, x.strideB = &panels[0], h.j0, k*t.nr
		pack := newPack(t, h.source.block(at, at+k, h.j0*t.nr, h.n), t.nr, x.b)
		pack.pack(0, h.j1-h.j0)
	} else {
		x.b, x.strideB = offset(h.b, at*t.nr), h.k*t.nr
	}
}

// block adds the products of one block to the chunk: groups of strips of A that stay in cache while
// the panels of B go by.
func (h *gemmChunk) block() {
	group := h.t.mc / h.t.mr
	for from := h.i0; from < h.i1; from += group {
		to := min(h.i1, from+group)
		for js := h.j0; js < h.j1; js++ {
			h.column(from, to, js)
		}
	}
}

// column computes the strips [from,to) of the columns of panel js.
func (h *gemmChunk) column(from, to, js int) {
	mr, nr := h.t.mr, h.t.nr
	n := min(nr, h.n-js*nr)
	var panel, following *float32
	if h.length > 0 {
		after := js + 1
		if after == h.j1 {
			after = h.j0
		}
		panel, following = h.operands.panelB(js), h.operands.panelB(after)
	}
	for is, strips := from, 0; is < to; is += strips {
		strips = 1
		m := min(mr, h.m-is*mr)
		if m == mr && h.length > 0 {
			strips = min(runStrips, min(to, h.m/mr)-is)
			m = strips * mr
		}
		// One tile after the other prefetches its part of the panel after this.
		next, part := panel, h.length/4*16
		if h.length > 0 && (is-from+strips)*part <= h.length*nr {
			next = offset(following, (is-from)*part)
		}
		h.tiles(is, js, strips, m, n, panel, next)
	}
}

// tiles computes m×n elements of C, strips tiles below each other, from strip (is, js) on.
func (h *gemmChunk) tiles(is, js, strips, m, n int, panel, next *float32) {
	mr, nr := h.t.mr, h.t.nr
	accumulate := h.accumulate || !h.first
	out := h.sum.sub((is-h.sumI)*mr, (js-h.sumJ)*nr)
	dst, acc := out, accumulate
	viaTile := n < nr || h.inPlace && h.blocks == 1
	if viaTile {
		dst, acc = mat{&h.w.tile[0], nr}, false
	}
	if h.last {
		h.prefetch(is*mr, js*nr, m)
	}
	switch {
	case h.length == 0 && !acc:
		for r := range m {
			clear(dst.row(r, n))
		}
	case h.length == 0:
	case strips > 1:
		h.run(strips, h.length, h.operands.stripA(is), h.operands.between, panel, dst.p, dst.ld, btoi(acc), next)
	default:
		h.tile[m](h.length, h.operands.stripA(is), h.a.ld, panel, dst.p, dst.ld, btoi(acc), next)
	}
	if viaTile {
		if accumulate {
			h.t.tileAdd(m, n, out.p, out.ld, dst.p, dst.ld)
		}
		if !h.last || h.kind == epilogueNone {
			for r := range m {
				copy(out.row(r, n), dst.row(r, n))
			}
		}
	}
	if h.last && h.kind != epilogueNone {
		h.finish(h.w, is*mr, js*nr, m, n, dst)
	}
}
