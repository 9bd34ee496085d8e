package f32

// split returns q, k and v of one head of one batch entry, [tokens, head dim] each, or their
// gradients.
func (j *attentionJob) split(b, h int, qkv []float32) (q, k, v mat) {
	d := j.Heads * j.HeadDim
	at := b*j.Tokens*3*d + h*j.HeadDim
	return mat{&qkv[at], 3 * d}, mat{&qkv[at+d], 3 * d}, mat{&qkv[at+2*d], 3 * d}
}

// output returns the part of out, or of its gradient, of one head of one batch entry: [tokens, head
// dim].
func (j *attentionJob) output(b, h int, out []float32) mat {
	d := j.Heads * j.HeadDim
	return mat{&out[b*j.Tokens*d+h*j.HeadDim], d}
}

// statistics returns those of the rows of one head: the largest score, which the softmax subtracts,
// and the reciprocal of the sum of its exponentials.
func (j *attentionJob) statistics(b, h int) (peak, inverse []float32) {
	n := j.Tokens
	at := (b*j.Heads + h) * 2 * n
	return j.Stats[at:][:n], j.Stats[at+n:][:n]
}

// arena hands out pieces of a worker's scratch.
type arena []float32

func (a *arena) take(n int) []float32 {
	n = roundUp(n, 16)
	x := (*a)[:n]
	*a = (*a)[n:]
	return x
}

// columns is the right operand [k, n] of a small product: element (l, j) is
// p[j/nr*panel+l*row+j%nr], in place or in panels.
type columns struct {
	p          *float32
	row, panel int
}

// transposed packs the transpose of n rows of x, [n, head dim], into buf.
func (j *attentionJob) transposed(n int, x mat, buf []float32) columns {
	j.t.attend.transposeRows(n, j.HeadDim, x.p, x.ld, &buf[0])
	return columns{&buf[0], j.t.nr, j.t.nr * j.HeadDim}
}

// columnsOf makes n rows of x, [n, head dim], an operand, in place or packed into buf.
func (j *attentionJob) columnsOf(n int, x mat, buf []float32) columns {
	nr := j.t.nr
	if j.Tokens <= attentionInPlace && j.HeadDim%(nr/2) == 0 {
		return columns{x.p, x.ld, nr}
	}
	pack := packJob{t: j.t, width: nr, n: j.HeadDim, k: n, src: x, dst: &buf[0], panelStride: n * nr}
	pack.pack(0, pack.panels())
	return columns{&buf[0], nr, nr * n}
}

// product computes C (+)= A·B for A [m, k], B [k, n] and C [m, n].
func (t *table) product(m, n, k int, a mat, b columns, c mat, accumulate bool) {
	if b.row == t.nr && m >= t.mr {
		whole := n / t.nr
		for panel := range whole {
			t.tiles(m, k, a, offset(b.p, panel*b.panel), c.sub(0, panel*t.nr), btoi(accumulate))
		}
		if n -= whole * t.nr; n == 0 {
			return
		}
		b.p, c = offset(b.p, whole*b.panel), c.sub(0, whole*t.nr)
	}
	t.attend.strided(m, n, k, a.p, a.ld, 1, b.p, b.row, b.panel, c.p, c.ld, btoi(accumulate))
}

// tiles is product for one whole panel b. b is in cache already: the micro-kernels read ahead its
// beginning. No pointer leaves an operand, whose end may be that of the memory it lies in.
func (t *table) tiles(m, k int, a mat, b *float32, c mat, accumulate int) {
	for row := 0; row < m; {
		strips := min(runStrips, (m-row)/t.mr)
		at, out := a.at(row, 0), c.at(row, 0)
		if strips == 0 {
			t.rowsA[m-row](k, at, a.ld, b, out, c.ld, accumulate, b)
			return
		}
		t.runRows(strips, k, at, a.ld, b, out, c.ld, accumulate, b)
		row += strips * t.mr
	}
}

// productT computes C (+)= Aᵀ·B for A [k, m], B [k, n] and C [m, n].
func (t *table) productT(m, n, k int, a mat, b columns, c mat, accumulate bool) {
	t.attend.strided(m, n, k, a.p, 1, a.ld, b.p, b.row, b.panel, c.p, c.ld, btoi(accumulate))
}

// scoreBlock is a block of scores, rows queries by n keys, as the softmax and its gradient take it.
type scoreBlock struct {
	rows, n, ld    int // ld: leading dimension of the scores
	scale          float32
	bias           mat // p nil: none
	seen, seenStep int // row i sees the first seen+i*seenStep keys
}

// block returns the block at (i0, j0) of the scores of head h. Its last row sees no key if the
// block lies beyond the causal mask.
func (j *attentionJob) block(h, i0, j0 int) (s scoreBlock, hidden bool) {
	n := j.Tokens
	s = scoreBlock{rows: min(j.queries, n-i0), n: min(j.keys, n-j0), scale: j.Scale}
	s.ld, s.seen = j.width(s.n), s.n
	if j.Causal {
		s.seen, s.seenStep = i0+1-j0, 1
	}
	if j.Bias != nil {
		s.bias = mat{&j.Bias[(h*n+i0)*n+j0], n}
	}
	return s, s.seen+(s.rows-1)*s.seenStep <= 0
}

// forward computes one head of one batch entry.
func (j *attentionJob) forward(w *worker, b, h int) {
	t, n, dh := j.t, j.Tokens, j.HeadDim
	keys, panels := min(n, j.keys), roundUp(j.keys, t.nr)*roundUp(dh, t.nr)
	mem := arena(w.scratch(2*panels + j.queries*(j.width(keys)+16) + 64))
	keyPanels, valuePanels, keep, scores := mem.take(panels), mem.take(panels), mem.take(j.queries), mem.take(j.queries*j.width(keys))
	q, k, v := j.split(b, h, j.QKV)
	out := j.output(b, h, j.Out)
	peak, sum := j.statistics(b, h)
	for j0 := 0; j0 < n; j0 += j.keys {
		nk := min(j.keys, n-j0)
		kt, vs := j.transposed(nk, k.sub(j0, 0), keyPanels), j.columnsOf(nk, v.sub(j0, 0), valuePanels)
		for i0 := 0; i0 < n; i0 += j.queries {
			block, hidden := j.block(h, i0, j0)
			if hidden {
				continue
			}
			o, s := out.sub(i0, 0), mat{&scores[0], block.ld}
			t.product(block.rows, block.ld, dh, q.sub(i0, 0), kt, s, false)
			t.attend.blockSoftmax(&block, s.p, &peak[i0], &sum[i0], &keep[0], j0 == 0)
			if j0 > 0 {
				t.attend.scaleRows(block.rows, dh, o.p, o.ld, &keep[0])
			}
			t.product(block.rows, dh, nk, s, vs, o, j0 > 0)
		}
	}
	for i, v := range sum {
		sum[i] = 1 / v
	}
	t.attend.scaleRows(n, dh, out.p, out.ld, &sum[0])
}

// gradient computes the gradients of one head of one batch entry. That of the scores is added to
// db, [tokens, tokens], unless db.p is nil.
func (j *attentionJob) gradient(w *worker, b, h int, db mat) {
	t, n, dh := j.t, j.Tokens, j.HeadDim
	keys, panels := min(n, j.keys), roundUp(j.keys, t.nr)*roundUp(dh, t.nr)
	width, rows := j.width(keys), roundUp(dh, t.nr)*j.queries
	mem := arena(w.scratch(3*panels + 2*rows + 2*keys*dh + 2*j.queries*width + n + 10*16))
	keyT, valueT, keyRows := mem.take(panels), mem.take(panels), mem.take(panels)
	queryRows, gradRows := mem.take(rows), mem.take(rows)
	sumK, sumV := mem.take(keys*dh), mem.take(keys*dh)
	scores, gradScores, delta := mem.take(j.queries*width), mem.take(j.queries*width), mem.take(n)
	q, k, v := j.split(b, h, j.QKV)
	dq, dk, dv := j.split(b, h, j.dqkv)
	out, dout := j.output(b, h, j.Out), j.output(b, h, j.dout)
	peak, inverse := j.statistics(b, h)
	t.attend.rowDots(n, dh, out.p, out.ld, dout.p, dout.ld, &delta[0])
	for j0 := 0; j0 < n; j0 += j.keys {
		nk := min(j.keys, n-j0)
		kt, vt := j.transposed(nk, k.sub(j0, 0), keyT), j.transposed(nk, v.sub(j0, 0), valueT)
		ks := j.columnsOf(nk, k.sub(j0, 0), keyRows)
		// The gradients of keys and values are summed over blocks of queries in scratch, unless
		// there is one block.
		dks, dvs := dk.sub(j0, 0), dv.sub(j0, 0)
		if j.queries < n {
			dks, dvs = mat{&sumK[0], dh}, mat{&sumV[0], dh}
		}
		started := false
		for i0 := 0; i0 < n; i0 += j.queries {
			block, hidden := j.block(h, i0, j0)
			if hidden {
				continue
			}
			nq, p, dp := block.rows, mat{&scores[0], block.ld}, mat{&gradScores[0], block.ld}
			qi, doi := q.sub(i0, 0), dout.sub(i0, 0)
			qs, dos := j.columnsOf(nq, qi, queryRows), j.columnsOf(nq, doi, gradRows)
			t.product(nq, block.ld, dh, qi, kt, p, false)
			t.product(nq, block.ld, dh, doi, vt, dp, false)
			dbias := db
			if db.p != nil {
				dbias = db.sub(i0, j0)
			}
			t.attend.blockGradient(&block, p.p, dp.p, dbias, &peak[i0], &inverse[i0], &delta[i0])
			t.productT(nk, dh, nq, p, dos, dvs, started)
			t.productT(nk, dh, nq, dp, qs, dks, started)
			t.product(nq, dh, nk, dp, ks, dq.sub(i0, 0), j0 > 0)
			started = true
		}
		if j.queries < n {
			for r := range nk {
				copy(dk.row(j0+r, dh), sumK[r*dh:])
				copy(dv.row(j0+r, dh), sumV[r*dh:])
			}
		}
	}
}

// probabilities writes the weights of one head, [tokens, tokens].
func (j *attentionJob) probabilities(w *worker, b, h int, probs []float32) {
	t, n := j.t, j.Tokens
	mem := w.scratch(roundUp(n, t.nr) * j.HeadDim)
	q, k, _ := j.split(b, h, j.QKV)
	t.product(n, n, j.HeadDim, q, j.transposed(n, k, mem), mat{&probs[0], n}, false)
	for i := range n {
		row, scale := probs[i*n:][:n], j.Scale
		if j.Bias != nil {
			t.scale(row, scale, row)
			t.add(row, row, j.Bias[(h*n+i)*n:][:n])
			scale = 1
		}
		seen := n
		if j.Causal {
			seen = i + 1
		}
		softmaxRow(t, row[:seen], row[:seen], scale)
		clear(row[seen:])
	}
}
