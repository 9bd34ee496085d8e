package f32

import "fmt"

// Epilogue is what happens to acc = op(A)·op(B) (plus C, when accumulating)
// before it is stored in C, while the tile is still in cache. At most one of
// Slope, Times and Residual may be set; matrices are dense, [M, N].
type Epilogue struct {
	Bias  []float32 // [N]: acc += Bias
	Slope []float32 // [M,N], written: C = gelu(acc + Bias), Slope = gelu'(acc + Bias)
	Times []float32 // [M,N]: C = acc * Times

	Gamma    []float32 // [N] layer scale: C = RowScale*Gamma*(acc+Bias) + Residual
	RowScale []float32 // [M/RowsPer], one factor per RowsPer rows (drop path)
	RowsPer  int
	Residual []float32 // [M,N], may be C itself
}

type epilogueKind uint8

const (
	epilogueNone epilogueKind = iota
	epilogueBias
	epilogueGelu
	epilogueTimes
	epilogueResidual
)

func (ep *Epilogue) kind(m, n int) epilogueKind {
	if ep == nil {
		return epilogueNone
	}
	if ep.Bias != nil {
		need("Gemm: Epilogue.Bias", len(ep.Bias), n)
	}
	affine := ep.Gamma != nil || ep.RowScale != nil || ep.Residual != nil
	set := 0
	for _, b := range []bool{ep.Slope != nil, ep.Times != nil, affine} {
		if b {
			set++
		}
	}
	if set > 1 {
		panic("f32.Gemm: Epilogue combines more than one of Slope, Times and Gamma/RowScale/Residual")
	}
	switch {
	case ep.Slope != nil:
		need("Gemm: Epilogue.Slope", len(ep.Slope), m*n)
		return epilogueGelu
	case ep.Times != nil:
		if ep.Bias != nil {
			panic("f32.Gemm: Epilogue combines Times with Bias")
		}
		need("Gemm: Epilogue.Times", len(ep.Times), m*n)
		return epilogueTimes
	case affine:
		if ep.Gamma != nil {
			need("Gemm: Epilogue.Gamma", len(ep.Gamma), n)
		}
		if ep.Residual != nil {
			need("Gemm: Epilogue.Residual", len(ep.Residual), m*n)
		}
		if ep.RowScale != nil {
			if ep.RowsPer <= 0 {
				panic(fmt.Sprintf("f32.Gemm: Epilogue.RowsPer is %d with RowScale set", ep.RowsPer))
			}
			need("Gemm: Epilogue.RowScale", len(ep.RowScale), ceilDiv(m, ep.RowsPer))
		}
		return epilogueResidual
	case ep.Bias != nil:
		return epilogueBias
	}
	return epilogueNone
}

// Gemm computes C = op(A)·op(B), or C += with accumulate, and applies ep (nil:
// nothing). op(A) is [m, k], op(B) is [k, n], C is [m, n]; with transA the
// storage of A is [k, m], with transB that of B is [n, k]. lda, ldb and ldc are
// the distances between stored rows. C must not overlap A or B.
//
// An element of C is the sum, in a fixed order, of runs of at most a few hundred
// products each: its bits depend on k, the level and, with transA, on the size
// of C.
func Gemm(p *Pool, transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool, ep *Epilogue) {
	if transB {
		needMatrix("Gemm: b", b, n, k, ldb)
	} else {
		needMatrix("Gemm: b", b, k, n, ldb)
	}
	p.multiply(transA && ep == nil && m*n <= weightLimit, transA, transB, m, n, k, a, lda, b, ldb, c, ldc, accumulate, ep)
}

// multiply is Gemm for a right operand that fits; partial allows partial results over k.
func (p *Pool) multiply(partial, transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool, ep *Epilogue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := kernels()
	if partial && m > 0 && n > 0 && k > 0 {
		needMatrix("Gemm: a", a, k, m, lda)
		needMatrix("Gemm: c", c, m, n, ldc)
		p.weightGemm(t, transB, m, n, k, a, lda, b, ldb, c, ldc, accumulate)
		return
	}
	j := p.newGemm(t, transA, m, n, k, a, lda, c, ldc, accumulate, ep)
	if j.empty() {
		return
	}
	if k > 0 {
		j.right = packJob{t: t, transposed: transB, width: t.nr, n: n, k: k, src: &b[0], ld: ldb}
		j.local = j.packing(len(p.workers), transA)
		if j.local != localB {
			p.packB = grow(p.packB, ceilDiv(n, t.nr)*k*t.nr)
			j.b, j.right.dst = &p.packB[0], &p.packB[0]
			p.runPack(j.right)
		}
	}
	p.gemm(j, transA)
}

// GemmPacked is Gemm with a right operand packed by PackB at the current level.
func GemmPacked(p *Pool, transA bool, m, n, k int, a []float32, lda int, b *Packed, c []float32, ldc int, accumulate bool, ep *Epilogue) {
	t := kernels()
	if b.n != n || b.k != k {
		panic(fmt.Sprintf("f32.GemmPacked: b is packed as [%d, %d], the product wants [%d, %d]", b.k, b.n, k, n))
	}
	if b.level != t.level {
		panic(fmt.Sprintf("f32.GemmPacked: b is packed for %s, the current level is %s", b.level, t.level))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.newGemm(t, transA, m, n, k, a, lda, c, ldc, accumulate, ep)
	if j.empty() {
		return
	}
	if k > 0 {
		j.b = &b.data[0]
	}
	p.gemm(j, transA)
}

// newGemm checks the arguments of a product and notes all but its right operand. The caller
// holds p.mu.
func (p *Pool) newGemm(t *table, transA bool, m, n, k int, a []float32, lda int, c []float32, ldc int, accumulate bool, ep *Epilogue) *gemmJob {
	needMatrix("Gemm: c", c, m, n, ldc)
	if transA {
		needMatrix("Gemm: a", a, k, m, lda)
	} else {
		needMatrix("Gemm: a", a, m, k, lda)
	}
	kind := ep.kind(m, n)
	j := &p.jobs.gemm
	*j = gemmJob{product: product{t: t, m: m, n: n, k: k, lda: lda, ldc: ldc, accumulate: accumulate, kind: kind}, chunksN: 1}
	if j.empty() {
		return j
	}
	j.c = &c[0]
	if ep != nil {
		j.ep = *ep
	}
	if k > 0 {
		j.a = &a[0]
	}
	return j
}

// gemm runs a product whose right operand is packed, or left to the chunks to pack. The
// caller holds p.mu.
func (p *Pool) gemm(j *gemmJob, transA bool) {
	t := j.t
	if transA || j.n >= t.panelsFrom {
		j.layout = inPanels
		if j.k > 0 && j.local != localA {
			p.packA = grow(p.packA, ceilDiv(j.m, t.mr)*j.k*t.mr)
			p.runPack(packJob{t: t, transposed: !transA, width: t.mr, n: j.m, k: j.k, src: j.a, ld: j.lda, dst: &p.packA[0]})
			j.a = &p.packA[0]
		}
	}
	j.plan(len(p.workers))
	p.run(j.chunksM*j.chunksN, j)
	*j = gemmJob{}
}

// operandLayout tells where the left operand of a tile lies.
type operandLayout uint8

const (
	inRows   operandLayout = iota // in place, a stored as [m, k]
	inPanels                      // packed, [m/mr][k][mr]
)

// product is a matrix product ready to run, C cut into strips of mr rows and nr
// columns. b are panels, and so is a, if layout says so; but see local.
type product struct {
	t          *table
	m, n, k    int
	a          *float32
	lda        int
	layout     operandLayout
	b          *float32
	c          *float32
	ldc        int
	accumulate bool
	kind       epilogueKind
	ep         Epilogue

	// local is the operand that chunks pack for themselves, block by block, into the
	// cache of the worker that is about to use it: a is then still stored as [k, m],
	// and right says where B is and not b.
	local localOperand
	right packJob
}

type localOperand uint8

const (
	localNone localOperand = iota
	localA
	localB
)

func (g *product) empty() bool { return g.m == 0 || g.n == 0 }

// gemmJob cuts a product into chunksM×chunksN chunks.
type gemmJob struct {
	product
	chunksM, chunksN int
}

// Rows up to which packing all of B first, through memory and back, takes a share of the
// product that is worth avoiding, and the most columns that a chunk packs instead: with a
// block of A they fit in a second-level cache.
const (
	localRows    = 1024
	localColumns = 128
)

// packing chooses the operand that chunks pack for themselves: a transposed A of at least
// as many rows as B has columns, or else B if the rows are few. A chunk then goes along the
// whole other side of C, so that nothing is packed twice. Where a side is too short for that
// many threads, both are packed whole.
func (j *gemmJob) packing(threads int, transA bool) localOperand {
	stripsM, stripsN := ceilDiv(j.m, j.t.mr), ceilDiv(j.n, j.t.nr)
	switch {
	case transA && j.m >= j.n && stripsM >= 4*threads:
		return localA
	case j.m <= localRows && stripsN >= 4*threads:
		return localB
	}
	return localNone
}

// plan aims at chunks of mc rows by all columns, which read each panel of B once
// per chunk; when that leaves too few to balance the threads, it cuts columns.
func (j *gemmJob) plan(threads int) {
	stripsM, stripsN := ceilDiv(j.m, j.t.mr), ceilDiv(j.n, j.t.nr)
	switch j.local {
	case localA:
		j.chunksM, j.chunksN = max(ceilDiv(stripsM, j.t.mc/j.t.mr), min(stripsM, 4*threads)), 1
		return
	case localB:
		j.chunksM, j.chunksN = 1, max(ceilDiv(stripsN, max(1, localColumns/j.t.nr)), min(ceilDiv(stripsN, 2), 8*threads))
		return
	}
	j.chunksM = ceilDiv(stripsM, j.t.mc/j.t.mr)
	j.chunksN = 1
	if threads == 1 {
		return
	}
	if want := 16 * threads; j.chunksM < want {
		j.chunksN = min(stripsN, ceilDiv(want, j.chunksM))
	}
}

func (j *gemmJob) run(w *worker, i int) {
	stripsM, stripsN := ceilDiv(j.m, j.t.mr), ceilDiv(j.n, j.t.nr)
	cm, cn := i/j.chunksN, i%j.chunksN
	j.compute(w, stripsM*cm/j.chunksM, stripsM*(cm+1)/j.chunksM, stripsN*cn/j.chunksN, stripsN*(cn+1)/j.chunksN)
}

// runStrips is the most tiles below each other that one call computes: few enough
// to be still in the first cache for the epilogue, and to read no more than a
// panel ahead (a tile does a cache line every four products).
const runStrips = 4

// Bounds on the rows of runStrips tiles of any level, and on the columns of a tile.
const (
	tileRows    = runStrips * 16
	tileColumns = 64
)

// compute does the strips [i0,i1)×[j0,j1) of C.
func (g *product) compute(w *worker, i0, i1, j0, j1 int) {
	t := g.t
	mr, nr := t.mr, t.nr
	tiles := [...][]tileFunc{inRows: t.rowsA, inPanels: t.packedA}[g.layout]
	run := [...]runFunc{inRows: t.runRows, inPanels: t.runPacked}[g.layout]
	blocks := max(1, ceilDiv(g.k, t.kc))
	kc := (ceilDiv(g.k, blocks) + 3) &^ 3
	tile := &w.tile[0]
	group := t.mc / mr // strips of A that the panels of B go by while they stay in cache
	// Where the sum of the first blocks waits for the last. It can't be C if C is
	// still to be read as the residual; the sum of a single block waits in tile.
	sum, ldsum, sumI, sumJ := g.c, g.ldc, 0, 0
	inPlace := g.kind == epilogueResidual && len(g.ep.Residual) > 0 && &g.ep.Residual[0] == g.c
	local, apart := g.localSize(i1-i0, j1-j0, kc), 0
	if inPlace && blocks > 1 {
		apart = (i1 - i0) * mr * (j1 - j0) * nr
	}
	var panels []float32
	if local+apart > 0 {
		panels = w.scratch(local + apart)
	}
	if apart > 0 {
		ldsum = (j1 - j0) * nr
		sum, sumI, sumJ = &panels[local], i0, j0
		if g.accumulate {
			for i := i0 * mr; i < min(i1*mr, g.m); i++ {
				row := sliceAt(offset(sum, (i-i0*mr)*ldsum), min(g.n-j0*nr, ldsum))
				copy(row, sliceAt(offset(g.c, i*g.ldc+j0*nr), len(row)))
			}
		}
	}
	for block := range blocks {
		pc := block * kc
		k := min(kc, g.k-pc)
		last := block == blocks-1
		accumulate := g.accumulate || block > 0
		x := g.operands(panels, i0, i1, j0, j1, pc, k)
		for from, to := i0, 0; from < i1; from = to {
			to = min(i1, from+group)
			for js := j0; js < j1; js++ {
				n := min(nr, g.n-js*nr)
				var panel, following *float32
				if k > 0 {
					after := js + 1
					if after == j1 {
						after = j0
					}
					panel, following = x.panelB(js), x.panelB(after)
				}
				for is, strips := from, 0; is < to; is += strips {
					m := min(mr, g.m-is*mr)
					strips = 1
					out := offset(sum, (is-sumI)*mr*ldsum+(js-sumJ)*nr)
					dst, ld := out, ldsum
					acc := accumulate
					viaTile := n < nr || inPlace && blocks == 1
					if viaTile {
						dst, ld, acc = tile, nr, false
					}
					if m == mr && k > 0 {
						strips = min(runStrips, min(to, g.m/mr)-is)
						m = strips * mr
					}
					if last {
						g.ahead(is*mr, js*nr, m)
					}
					if k > 0 {
						// One tile after the other asks for its part of the panel after this.
						next, part := panel, k/4*16
						if (is-from+strips)*part <= k*nr {
							next = offset(following, (is-from)*part)
						}
						if strips > 1 {
							run(strips, k, x.stripA(is), x.between, panel, dst, ld, btoi(acc), next)
						} else {
							tiles[m](k, x.stripA(is), g.lda, panel, dst, ld, btoi(acc), next)
						}
					} else if !acc {
						for r := range m {
							clear(sliceAt(offset(dst, r*ld), n))
						}
					}
					if viaTile {
						if accumulate {
							t.tileAdd(m, n, out, ldsum, tile, nr)
						}
						if !last || g.kind == epilogueNone {
							for r := range m {
								copy(sliceAt(offset(out, r*ldsum), n), sliceAt(offset(tile, r*nr), n))
							}
						}
					}
					if last && g.kind != epilogueNone {
						g.finish(w, is*mr, js*nr, m, n, dst, ld)
					}
				}
			}
		}
	}
}

// blockOperands tells where a block of products finds its operands: strip s of A at
// a + (s-firstA)·strideA, panel s of B at b + (s-firstB)·strideB.
type blockOperands struct {
	a, b             *float32
	firstA, firstB   int
	strideA, strideB int
	between          int // of runFunc: rows of A, or its panels
}

func (x *blockOperands) stripA(s int) *float32 { return offset(x.a, (s-x.firstA)*x.strideA) }
func (x *blockOperands) panelB(s int) *float32 { return offset(x.b, (s-x.firstB)*x.strideB) }

// localSize is the room that the chunk's own panels of one block of kc products take.
func (g *product) localSize(strips, panels, kc int) int {
	switch g.local {
	case localA:
		return strips * g.t.mr * kc
	case localB:
		return panels * g.t.nr * kc
	}
	return 0
}

// operands finds those of the k products from pc on, and packs the chunk's own into room.
func (g *product) operands(room []float32, i0, i1, j0, j1, pc, k int) blockOperands {
	if k == 0 {
		return blockOperands{}
	}
	t := g.t
	x := blockOperands{between: g.lda}
	switch {
	case g.layout == inRows:
		x.a, x.strideA = offset(g.a, pc), t.mr*g.lda
	case g.local == localA:
		x.a, x.firstA, x.strideA = &room[0], i0, k*t.mr
		x.between = x.strideA
		pack := packJob{t: t, width: t.mr, n: g.m - i0*t.mr, k: k, src: offset(g.a, pc*g.lda+i0*t.mr), ld: g.lda, dst: x.a}
		pack.pack(0, i1-i0)
	default:
		x.a, x.strideA = offset(g.a, pc*t.mr), g.k*t.mr
		x.between = x.strideA
	}
	if g.local != localB {
		x.b, x.strideB = offset(g.b, pc*t.nr), g.k*t.nr
		return x
	}
	x.b, x.firstB, x.strideB = &room[0], j0, k*t.nr
	pack := g.right
	pack.n, pack.k, pack.dst = g.n-j0*t.nr, k, x.b
	if pack.transposed {
		pack.src = offset(pack.src, j0*t.nr*pack.ld+pc)
	} else {
		pack.src = offset(pack.src, pc*pack.ld+j0*t.nr)
	}
	pack.pack(0, j1-j0)
	return x
}

// ahead asks for what the epilogue of the tile at (row, col) will read, so that
// it arrives while the products are summed.
func (g *product) ahead(row, col, m int) {
	var x []float32
	switch g.kind {
	case epilogueTimes:
		x = g.ep.Times
	case epilogueResidual:
		x = g.ep.Residual
	}
	if x != nil {
		g.t.tilePrefetch(m, &x[row*g.n+col], g.n)
	}
}

// finish applies the epilogue to the tile of C at (row, col).
func (g *product) finish(w *worker, row, col, m, n int, acc *float32, ldacc int) {
	t, ep := g.t, &g.ep
	c := offset(g.c, row*g.ldc+col)
	bias := &zeros[0]
	if ep.Bias != nil {
		bias = &ep.Bias[col]
	}
	switch g.kind {
	case epilogueBias:
		t.tileBias(m, n, acc, ldacc, c, g.ldc, bias)
	case epilogueGelu:
		t.tileGelu(m, n, acc, ldacc, c, g.ldc, bias, &ep.Slope[row*g.n+col], g.n)
	case epilogueTimes:
		t.tileTimes(m, n, acc, ldacc, c, g.ldc, &ep.Times[row*g.n+col], g.n)
	case epilogueResidual:
		gamma := &ones[0]
		if ep.Gamma != nil {
			gamma = &ep.Gamma[col]
		}
		residual, ldres := &zeros[0], 0
		if ep.Residual != nil {
			residual, ldres = &ep.Residual[row*g.n+col], g.n
		}
		rowScale := &ones[0]
		if ep.RowScale != nil {
			for r := range m {
				w.rowScale[r] = ep.RowScale[(row+r)/ep.RowsPer]
			}
			rowScale = &w.rowScale[0]
		}
		t.tileResidual(m, n, acc, ldacc, c, g.ldc, bias, gamma, rowScale, residual, ldres)
	}
}

// zeros and ones stand in for an absent bias, gain or residual of tiles.
var zeros, ones = [tileRows]float32{}, func() (o [tileRows]float32) {
	for i := range o {
		o[i] = 1
	}
	return
}()

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
