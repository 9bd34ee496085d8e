package f32

// serialProduct computes C = op(A)·op(B) (+ C) on one worker, with panels in
// its scratch. The caller has reserved serialPanels values there.
func serialProduct(w *worker, t *table, panels []float32, transA, transB bool, m, n, k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int, accumulate bool) {
	g := product{t: t, m: m, n: n, k: k, a: a, lda: lda, c: c, ldc: ldc, accumulate: accumulate}
	stripsN := ceilDiv(n, t.nr)
	pb := packJob{t: t, transposed: transB, width: t.nr, n: n, k: k, src: b, ld: ldb, dst: &panels[0]}
	pb.pack(0, stripsN)
	g.b = &panels[0]
	strips := ceilDiv(m, t.mr)
	if transA {
		pa := packJob{t: t, width: t.mr, n: m, k: k, src: a, ld: lda, dst: &panels[stripsN*t.nr*k]}
		pa.pack(0, strips)
		g.a, g.layout = pa.dst, inPanels
	}
	g.compute(w, 0, strips, 0, stripsN)
}

// serialPanels is the scratch that serialProduct needs.
func serialPanels(t *table, transA bool, m, n, k int) int {
	size := ceilDiv(n, t.nr) * t.nr * k
	if transA {
		size += ceilDiv(m, t.mr) * t.mr * k
	}
	return size
}

type batchJob struct {
	t                         *table
	transA, transB            bool
	m, n, k                   int
	a, b, c                   []float32
	strideA, strideB, strideC int
	lda, ldb, ldc             int
	accumulate                bool
}

func (j *batchJob) run(w *worker, i int) {
	serialProduct(w, j.t, w.scratch(serialPanels(j.t, j.transA, j.m, j.n, j.k)), j.transA, j.transB, j.m, j.n, j.k,
		&j.a[i*j.strideA], j.lda, &j.b[i*j.strideB], j.ldb, &j.c[i*j.strideC], j.ldc, j.accumulate)
}

// GemmBatch computes batch products C_i = op(A_i)·op(B_i) (+ C_i with
// accumulate), matrix i of each operand starting at i times its stride. Shapes
// are those of Gemm. The C_i must not overlap.
func GemmBatch(p *Pool, batch int, transA, transB bool, m, n, k int, a []float32, strideA, lda int, b []float32, strideB, ldb int, c []float32, strideC, ldc int, accumulate bool) {
	if batch == 0 || m == 0 || n == 0 {
		return
	}
	last := batch - 1
	needMatrix("GemmBatch: a", a[min(len(a), last*strideA):], pick(transA, k, m), pick(transA, m, k), lda)
	needMatrix("GemmBatch: b", b[min(len(b), last*strideB):], pick(transB, n, k), pick(transB, k, n), ldb)
	needMatrix("GemmBatch: c", c[min(len(c), last*strideC):], m, n, ldc)
	if batch < p.Threads() || k == 0 {
		// Without partial results, whose order of sums is not serialProduct's.
		for i := range batch {
			p.multiply(false, transA, transB, m, n, k, a[min(len(a), i*strideA):], lda, b[min(len(b), i*strideB):], ldb, c[i*strideC:], ldc, accumulate, nil)
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j := &p.jobs.batch
	*j = batchJob{t: kernels(), transA: transA, transB: transB, m: m, n: n, k: k, a: a, b: b, c: c,
		strideA: strideA, strideB: strideB, strideC: strideC, lda: lda, ldb: ldb, ldc: ldc, accumulate: accumulate}
	p.run(batch, j)
	*j = batchJob{}
}

func pick(cond bool, yes, no int) int {
	if cond {
		return yes
	}
	return no
}
