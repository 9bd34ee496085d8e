package f32

// GemmBatch computes C_i = A_i·B_i, or C_i += A_i·B_i with accumulate, for i in [0, batch); the
// matrices are those of Gemm. The C_i must not overlap.
func GemmBatch(p *Pool, batch int, a, b, c Batch, accumulate bool) {
	if batch == 0 || c.Rows == 0 || c.Cols == 0 {
		return
	}
	lastA, lastB, lastC := a.item(batch-1), b.item(batch-1), c.item(batch-1)
	checkProduct("GemmBatch", &lastA, &lastB, &lastC)
	if batch < p.Threads() || a.Cols == 0 {
		// No partial results: their order of sums is not that of batchJob.
		for i := range batch {
			p.multiply(a.item(i), b.item(i), c.item(i), accumulate, nil, false)
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j := &p.jobs.batch
	*j = batchJob{t: kernels(), a: a, b: b, c: c, accumulate: accumulate}
	p.run(batch, j)
	*j = batchJob{}
}

// batchJob computes one product per chunk, its panels in the scratch of the worker.
type batchJob struct {
	t          *table
	a, b, c    Batch
	accumulate bool
}

func (j *batchJob) run(w *worker, i int) {
	t, a, c := j.t, j.a.item(i), j.c.item(i)
	m, n, k := c.Rows, c.Cols, a.Cols
	stripsM, stripsN := ceilDiv(m, t.mr), ceilDiv(n, t.nr)
	sizeA, sizeB := 0, stripsN*t.nr*k
	if a.Trans {
		sizeA = stripsM * t.mr * k
	}
	panels := w.scratch(sizeB + sizeA)
	g := product{t: t, m: m, n: n, k: k, a: a.mat(), b: &panels[0], c: c.mat(), accumulate: j.accumulate}
	packB := newPack(t, j.b.item(i), t.nr, g.b)
	packB.pack(0, stripsN)
	if a.Trans {
		g.layout, g.a.p = inPanels, &panels[sizeB]
		packA := newPack(t, a.T(), t.mr, g.a.p)
		packA.pack(0, stripsM)
	}
	g.compute(w, 0, stripsM, 0, stripsN)
}
