package f32

import "fmt"

// Gemm computes C = A·B, or C += A·B with accumulate, and applies the epilogue ep (nil: none):
//
//	for i := range M {
//		for j := range N {
//			acc := 0
//			for l := range K {
//				acc += A[i][l] * B[l][j]
//			}
//			C[i][j] = ep(acc)
//		}
//	}
//
// for A [M, K], B [K, N] and C [M, N]. A and B may be transposes, C may not; C must not overlap A
// or B.
//
// An element of C is the sum, in a fixed order, of runs of at most a few hundred products each. Its
// bits depend on K, on the level and, with a transposed A, on the size of C.
func Gemm(p *Pool, a, b, c Matrix, accumulate bool, ep *Epilogue) {
	checkProduct("Gemm", &a, &b, &c)
	p.multiply(a, b, c, accumulate, ep, a.Trans && ep == nil && c.Rows*c.Cols <= weightLimit)
}

// checkProduct panics if c = a·b is not defined or an operand is too short.
func checkProduct(kernel string, a, b, c *Matrix) {
	b.check(kernel, "b")
	checkLeft(kernel, a, b.Rows, b.Cols, c)
}

// checkLeft is checkProduct for a right operand [k, n] that has been checked.
func checkLeft(kernel string, a *Matrix, k, n int, c *Matrix) {
	if a.Cols != k || c.Rows != a.Rows || c.Cols != n || c.Trans {
		panic(fmt.Sprintf("f32.%s: a [%d, %d] times b [%d, %d] does not give c [%d, %d] (transposed: %v)",
			kernel, a.Rows, a.Cols, k, n, c.Rows, c.Cols, c.Trans))
	}
	a.check(kernel, "a")
	c.check(kernel, "c")
}

// multiply is Gemm on checked operands; partial allows partial results over k.
func (p *Pool) multiply(a, b, c Matrix, accumulate bool, ep *Epilogue, partial bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := kernels()
	if partial && a.Rows > 0 && b.Cols > 0 && a.Cols > 0 {
		p.weightGemm(t, a, b, c, accumulate)
		return
	}
	j := p.newGemm(t, a, c, accumulate, ep)
	if j.empty() {
		return
	}
	if j.k > 0 {
		switch j.local = j.packing(len(p.workers), a.Trans); j.local {
		case localA:
			j.source = a.T()
		case localB:
			j.source = b
		}
		if j.local != localB {
			p.packB = grow(p.packB, ceilDiv(j.n, t.nr)*j.k*t.nr)
			j.b = &p.packB[0]
			p.runPack(newPack(t, b, t.nr, j.b))
		}
	}
	p.gemm(j, a)
}

// GemmPacked is Gemm with a right operand that PackB has packed at the current level.
func GemmPacked(p *Pool, a Matrix, b *Packed, c Matrix, accumulate bool, ep *Epilogue) {
	t := kernels()
	checkLeft("GemmPacked", &a, b.k, b.n, &c)
	if b.level != t.level {
		panic(fmt.Sprintf("f32.GemmPacked: b is packed for %s, the current level is %s", b.level, t.level))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.newGemm(t, a, c, accumulate, ep)
	if j.empty() {
		return
	}
	if j.k > 0 {
		j.b = &b.data[0]
	}
	p.gemm(j, a)
}

// newGemm prepares a product but for its right operand. The caller holds p.mu.
func (p *Pool) newGemm(t *table, a, c Matrix, accumulate bool, ep *Epilogue) *gemmJob {
	kind := ep.kind(c.Rows, c.Cols)
	j := &p.jobs.gemm
	*j = gemmJob{product: product{t: t, m: c.Rows, n: c.Cols, k: a.Cols, accumulate: accumulate, kind: kind}, chunksN: 1}
	if j.empty() {
		return j
	}
	j.c = c.mat()
	if ep != nil {
		j.ep = *ep
	}
	if j.k > 0 {
		j.a = a.mat()
	}
	return j
}

// gemm runs a product whose right operand is packed, or is packed by the chunks. The caller holds
// p.mu.
func (p *Pool) gemm(j *gemmJob, a Matrix) {
	t := j.t
	if a.Trans || j.n >= t.panelsFrom {
		j.layout = inPanels
		if j.k > 0 && j.local != localA {
			p.packA = grow(p.packA, ceilDiv(j.m, t.mr)*j.k*t.mr)
			j.a.p = &p.packA[0]
			p.runPack(newPack(t, a.T(), t.mr, j.a.p))
		}
	}
	j.plan(len(p.workers))
	p.run(j.chunksM*j.chunksN, j)
	*j = gemmJob{}
}

// gemmJob cuts a product into chunksM×chunksN chunks.
type gemmJob struct {
	product
	chunksM, chunksN int
}

// localRows is the most rows for which chunks pack their own panels of B: up to it, packing all of
// B first, through memory and back, takes a notable share of the product. localColumns is the most
// columns that a chunk packs: with a block of A they stay in a second-level cache.
const (
	localRows    = 1024
	localColumns = 128
)

// packing chooses the operand that chunks pack for themselves: a transposed A of at least as many
// rows as B has columns, or else B if the rows are few. A chunk then spans the whole other side of
// C, so that nothing is packed twice. Where a side is too short for that many threads, both
// operands are packed whole.
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

// plan aims at chunks of mc rows by all columns, which read each panel of B once per chunk. Where
// that leaves too few chunks to balance the threads, it cuts columns.
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
