package f32

// attentionParts is the most partial gradients of a relative-position bias that
// are kept per head; each sums a run of consecutive batch entries.
const attentionParts = 8

const (
	// attentionKeys is the most keys in one block. Three copies of its keys and
	// values and the sums of their gradients fit into the second-level cache.
	attentionKeys = 208
	// attentionScores is the most scores of a block of queries by keys: they are
	// written and read again at once, in the first-level cache or little beyond.
	attentionScores = 10240
	// attentionInPlace is the most tokens whose rows are read where they lie.
	// More are copied first: rows far apart would evict each other.
	attentionInPlace = 24
	// attentionGroup is how many values of q, k and v one chunk should have at
	// least: heads of short sequences are done several in a row.
	attentionGroup = 1 << 14
)

// attentionJob does one head of one batch entry, or several, per chunk. Queries
// meet keys in blocks whose scores live only in the worker's scratch; what is
// kept per query is the softmax's peak and sum (Dao et al., arXiv:2205.14135).
type attentionJob struct {
	t               *table
	b, n, heads, dh int
	scale           float32
	qkv, bias       []float32
	out, stats      []float32
	dout, dqkv      []float32
	dbias           []float32 // [parts, heads, n, n] when wanted
	parts           int
	group           int // heads per chunk
	keys, queries   int // in a block
	probs           []float32
	causal          bool
	backward        bool
}

func (j *attentionJob) run(w *worker, i int) {
	if j.dbias != nil {
		part, h := i/j.heads, i%j.heads
		db := j.dbias[i*j.n*j.n:][:j.n*j.n]
		clear(db)
		for b := j.b * part / j.parts; b < j.b*(part+1)/j.parts; b++ {
			j.gradient(w, b, h, &db[0])
		}
		return
	}
	for at := i * j.group; at < min(j.b*j.heads, (i+1)*j.group); at++ {
		switch b, h := at/j.heads, at%j.heads; {
		case j.probs != nil:
			j.probabilities(w, b, h, j.probs[at*j.n*j.n:][:j.n*j.n])
		case j.backward:
			j.gradient(w, b, h, nil)
		default:
			j.forward(w, b, h)
		}
	}
}

// plan divides the tokens into blocks.
func (j *attentionJob) plan() {
	n, nr := j.n, j.t.nr
	j.keys = roundUp(ceilDiv(n, ceilDiv(n, attentionKeys)), nr)
	rows := max(24, attentionScores/j.width(min(n, j.keys)))
	j.queries = ceilDiv(n, ceilDiv(n, rows))
	if j.queries < n {
		j.queries = roundUp(j.queries, 6)
	}
	j.group = min(j.heads, max(1, attentionGroup/(3*n*j.dh)))
}

// width is the leading dimension of scores against n keys: whole vectors.
func (j *attentionJob) width(n int) int { return roundUp(n, j.t.nr/2) }

func roundUp(n, to int) int { return ceilDiv(n, to) * to }

func (j *attentionJob) operands(b, h int, qkv []float32) (q, k, v *float32) {
	d := j.heads * j.dh
	at := b*j.n*3*d + h*j.dh
	return &qkv[at], &qkv[at+d], &qkv[at+2*d]
}

// statistics are those of the rows of one head: the largest score, which the
// softmax subtracts, and the reciprocal of the sum of its exponentials.
func (j *attentionJob) statistics(b, h int) (peak, inverse []float32) {
	at := (b*j.heads + h) * 2 * j.n
	return j.stats[at:][:j.n], j.stats[at+j.n:][:j.n]
}

// arena hands out pieces of a worker's scratch.
type arena []float32

func (a *arena) take(n int) []float32 {
	n = roundUp(n, 16)
	x := (*a)[:n]
	*a = (*a)[n:]
	return x
}

// columns is the right operand of a product, read along its rows: in place, or
// from panels.
type columns struct {
	at         *float32
	row, panel int
}

// transposed packs n rows of keys, or of values, as columns.
func (j *attentionJob) transposed(n int, src *float32, ld int, buf []float32) columns {
	j.t.attend.transposeRows(n, j.dh, src, ld, &buf[0])
	return columns{&buf[0], j.t.nr, j.t.nr * j.dh}
}

// inRows makes n rows of dh floats an operand.
func (j *attentionJob) inRows(n int, src *float32, ld int, buf []float32) columns {
	nr := j.t.nr
	if j.n <= attentionInPlace && j.dh%(nr/2) == 0 {
		return columns{src, ld, nr}
	}
	pack := packJob{t: j.t, width: nr, n: j.dh, k: n, src: src, ld: ld, dst: &buf[0]}
	pack.pack(0, pack.panels())
	return columns{&buf[0], nr, nr * n}
}

// product is c (+)= a·b for a stored in rows.
func (t *table) product(m, n, k int, a *float32, lda int, b columns, c *float32, ldc int, accumulate bool) {
	if b.row == t.nr && m >= t.mr {
		whole := n / t.nr
		for panel := range whole {
			t.tiles(m, k, a, lda, offset(b.at, panel*b.panel), offset(c, panel*t.nr), ldc, btoi(accumulate))
		}
		if n -= whole * t.nr; n == 0 {
			return
		}
		b.at, c = offset(b.at, whole*b.panel), offset(c, whole*t.nr)
	}
	t.attend.strided(m, n, k, a, lda, 1, b.at, b.row, b.panel, c, ldc, btoi(accumulate))
}

// tiles is c (+)= a·b for one whole panel b, which is in cache already: what the kernels
// read ahead is its beginning. No pointer leaves an operand, whose end may be that of the
// memory it lies in.
func (t *table) tiles(m, k int, a *float32, lda int, b, c *float32, ldc, accumulate int) {
	for row := 0; row < m; {
		strips := min(runStrips, (m-row)/t.mr)
		at, out := offset(a, row*lda), offset(c, row*ldc)
		if strips == 0 {
			t.rowsA[m-row](k, at, lda, b, out, ldc, accumulate, b)
			return
		}
		t.runRows(strips, k, at, lda, b, out, ldc, accumulate, b)
		row += strips * t.mr
	}
}

// productT is c (+)= aᵀ·b for a [k, m] stored in rows.
func (t *table) productT(m, n, k int, a *float32, lda int, b columns, c *float32, ldc int, accumulate bool) {
	t.attend.strided(m, n, k, a, 1, lda, b.at, b.row, b.panel, c, ldc, btoi(accumulate))
}

// seen is how many of the keys from j0 on query i0 sees, and how many more each
// later query does.
func (j *attentionJob) seen(i0, j0, n int) (first, step int) {
	if j.causal {
		return i0 + 1 - j0, 1
	}
	return n, 0
}

func (j *attentionJob) biasAt(h, i0, j0 int) *float32 {
	if j.bias == nil {
		return nil
	}
	return &j.bias[(h*j.n+i0)*j.n+j0]
}

func (j *attentionJob) forward(w *worker, b, h int) {
	t, n, dh := j.t, j.n, j.dh
	d := j.heads * dh
	keys, panels := min(n, j.keys), roundUp(j.keys, t.nr)*roundUp(dh, t.nr)
	mem := arena(w.scratch(2*panels + j.queries*(j.width(keys)+16) + 64))
	keyPanels, valuePanels, keep, s := mem.take(panels), mem.take(panels), mem.take(j.queries), mem.take(j.queries*j.width(keys))
	q, k, v := j.operands(b, h, j.qkv)
	out := &j.out[b*n*d+h*dh]
	peak, sum := j.statistics(b, h)
	for j0 := 0; j0 < n; j0 += j.keys {
		nk := min(j.keys, n-j0)
		ld := j.width(nk)
		kt := j.transposed(nk, offset(k, j0*3*d), 3*d, keyPanels)
		vs := j.inRows(nk, offset(v, j0*3*d), 3*d, valuePanels)
		for i0 := 0; i0 < n; i0 += j.queries {
			nq := min(j.queries, n-i0)
			seen, step := j.seen(i0, j0, nk)
			if seen+(nq-1)*step <= 0 {
				continue
			}
			o := offset(out, i0*d)
			t.product(nq, ld, dh, offset(q, i0*3*d), 3*d, kt, &s[0], ld, false)
			t.attend.softmax(nq, nk, &s[0], ld, j.scale, j.biasAt(h, i0, j0), n, seen, step, &peak[i0], &sum[i0], &keep[0], btoi(j0 == 0))
			if j0 > 0 {
				t.attend.scaleRows(nq, dh, o, d, &keep[0])
			}
			t.product(nq, dh, nk, &s[0], ld, vs, o, d, j0 > 0)
		}
	}
	for i, v := range sum {
		sum[i] = 1 / v
	}
	t.attend.scaleRows(n, dh, out, d, &sum[0])
}

// gradient does one head of one batch entry of the backward pass; the gradient of
// the scores is added to db, [n, n], unless nil.
func (j *attentionJob) gradient(w *worker, b, h int, db *float32) {
	t, n, dh := j.t, j.n, j.dh
	d := j.heads * dh
	keys, panels := min(n, j.keys), roundUp(j.keys, t.nr)*roundUp(dh, t.nr)
	width, rows := j.width(keys), roundUp(dh, t.nr)*j.queries
	mem := arena(w.scratch(3*panels + 2*rows + 2*keys*dh + 2*j.queries*width + n + 10*16))
	keyT, valueT, keyRows := mem.take(panels), mem.take(panels), mem.take(panels)
	queryRows, gradRows := mem.take(rows), mem.take(rows)
	sumK, sumV := mem.take(keys*dh), mem.take(keys*dh)
	p, dp, delta := mem.take(j.queries*width), mem.take(j.queries*width), mem.take(n)
	q, k, v := j.operands(b, h, j.qkv)
	dq, dk, dv := j.operands(b, h, j.dqkv)
	dout := &j.dout[b*n*d+h*dh]
	peak, inverse := j.statistics(b, h)
	t.attend.rowDots(n, dh, &j.out[b*n*d+h*dh], d, dout, d, &delta[0])
	for j0 := 0; j0 < n; j0 += j.keys {
		nk := min(j.keys, n-j0)
		ld := j.width(nk)
		kt := j.transposed(nk, offset(k, j0*3*d), 3*d, keyT)
		vt := j.transposed(nk, offset(v, j0*3*d), 3*d, valueT)
		ks := j.inRows(nk, offset(k, j0*3*d), 3*d, keyRows)
		// The gradients of keys and values are summed over blocks of queries near
		// at hand, unless there is one block.
		dks, dvs, ldk := offset(dk, j0*3*d), offset(dv, j0*3*d), 3*d
		if j.queries < n {
			dks, dvs, ldk = &sumK[0], &sumV[0], dh
		}
		started := false
		for i0 := 0; i0 < n; i0 += j.queries {
			nq := min(j.queries, n-i0)
			seen, step := j.seen(i0, j0, nk)
			if seen+(nq-1)*step <= 0 {
				continue
			}
			qi, doi := offset(q, i0*3*d), offset(dout, i0*d)
			qs, dos := j.inRows(nq, qi, 3*d, queryRows), j.inRows(nq, doi, d, gradRows)
			t.product(nq, ld, dh, qi, 3*d, kt, &p[0], ld, false)
			t.product(nq, ld, dh, doi, d, vt, &dp[0], ld, false)
			dbias := db
			if db != nil {
				dbias = offset(db, i0*n+j0)
			}
			t.attend.gradient(nq, nk, &p[0], &dp[0], ld, j.scale, j.biasAt(h, i0, j0), n, dbias, n, seen, step, &peak[i0], &inverse[i0], &delta[i0])
			t.productT(nk, dh, nq, &p[0], ld, dos, dvs, ldk, started)
			t.productT(nk, dh, nq, &dp[0], ld, qs, dks, ldk, started)
			t.product(nq, dh, nk, &dp[0], ld, ks, offset(dq, i0*3*d), 3*d, j0 > 0)
			started = true
		}
		if j.queries < n {
			for r := range nk {
				copy(sliceAt(offset(dk, (j0+r)*3*d), dh), sumK[r*dh:])
				copy(sliceAt(offset(dv, (j0+r)*3*d), dh), sumV[r*dh:])
			}
		}
	}
}

// probabilities writes the weights of one head, [n, n], for pictures.
func (j *attentionJob) probabilities(w *worker, b, h int, probs []float32) {
	t, n := j.t, j.n
	mem := w.scratch(roundUp(n, t.nr) * j.dh)
	q, k, _ := j.operands(b, h, j.qkv)
	d3 := 3 * j.heads * j.dh
	t.product(n, n, j.dh, q, d3, j.transposed(n, k, d3, mem), &probs[0], n, false)
	for i := range n {
		row := probs[i*n:][:n]
		if j.bias != nil {
			t.scale(row, j.scale, row)
			t.add(row, row, j.bias[(h*n+i)*n:][:n])
		}
		seen := n
		if j.causal {
			seen = i + 1
		}
		softmaxRow(t, row[:seen], row[:seen], j.scoreScale())
		clear(row[seen:])
	}
}

// scoreScale is what the scores of probabilities still have to be multiplied by.
func (j *attentionJob) scoreScale() float32 {
	if j.bias != nil {
		return 1
	}
	return j.scale
}

// AttentionStats is the length of the statistics that AttentionForward leaves
// for AttentionBackward: the largest score of each row and the reciprocal of the
// sum of its exponentials, [B, heads, 2, N].
func AttentionStats(b, n, heads int) int { return 2 * b * heads * n }

// AttentionForward is multi-head self-attention on packed projections
// (Vaswani et al., arXiv:1706.03762): qkv is [B, N, 3, heads, dh], out
// [B, N, heads·dh]. The softmax sees scale·q·k + bias, bias being [heads, N, N]
// or nil; with causal, a query sees no later key. stats receives AttentionStats
// values for AttentionBackward.
func AttentionForward(p *Pool, b, n, heads, dh int, scale float32, qkv, bias, out, stats []float32, causal bool) {
	d := heads * dh
	need("AttentionForward: qkv", len(qkv), b*n*3*d)
	need("AttentionForward: out", len(out), b*n*d)
	need("AttentionForward: stats", len(stats), AttentionStats(b, n, heads))
	p.attend(attentionJob{b: b, n: n, heads: heads, dh: dh, scale: scale, qkv: qkv, bias: bias, out: out, stats: stats, causal: causal})
}

// AttentionBackward is the gradient of AttentionForward: dqkv (shaped as qkv) and
// dbias (shaped as bias, summed over the batch; nil: not wanted) are
// overwritten. out and stats are those of the forward pass.
func AttentionBackward(p *Pool, b, n, heads, dh int, scale float32, qkv, bias, out, stats, dout, dqkv, dbias []float32, causal bool) {
	d := heads * dh
	need("AttentionBackward: qkv", len(qkv), b*n*3*d)
	need("AttentionBackward: dqkv", len(dqkv), b*n*3*d)
	need("AttentionBackward: out", len(out), b*n*d)
	need("AttentionBackward: dout", len(dout), b*n*d)
	need("AttentionBackward: stats", len(stats), AttentionStats(b, n, heads))
	if dbias != nil {
		need("AttentionBackward: dbias", len(dbias), heads*n*n)
		need("AttentionBackward: bias", len(bias), heads*n*n)
	}
	p.attend(attentionJob{b: b, n: n, heads: heads, dh: dh, scale: scale, qkv: qkv, bias: bias, out: out, stats: stats,
		dout: dout, dqkv: dqkv, dbias: dbias, causal: causal, backward: true})
}

// AttentionProbabilities writes the attention weights, [B, heads, N, N], for
// pictures and tests. The arguments are those of AttentionForward.
func AttentionProbabilities(p *Pool, b, n, heads, dh int, scale float32, qkv, bias, probs []float32, causal bool) {
	need("AttentionProbabilities: qkv", len(qkv), b*n*3*heads*dh)
	need("AttentionProbabilities: probs", len(probs), b*heads*n*n)
	p.attend(attentionJob{b: b, n: n, heads: heads, dh: dh, scale: scale, qkv: qkv, bias: bias, probs: probs, causal: causal})
}

func (p *Pool) attend(j attentionJob) {
	if j.bias != nil {
		need("Attention: bias", len(j.bias), j.heads*j.n*j.n)
	}
	if j.b == 0 || j.heads == 0 || j.n == 0 || j.dh == 0 {
		clear(j.dbias)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j.t = kernels()
	j.plan()
	chunks := ceilDiv(j.b*j.heads, j.group)
	dbias := j.dbias
	if dbias != nil {
		j.parts = min(j.b, attentionParts)
		chunks = j.parts * j.heads
		p.partial = grow(p.partial, chunks*j.n*j.n)
		j.dbias = p.partial[:chunks*j.n*j.n]
	}
	p.jobs.attention = j
	p.run(chunks, &p.jobs.attention)
	p.jobs.attention = attentionJob{}
	if dbias != nil {
		size := j.heads * j.n * j.n
		p.jobs.columns = columnJob{t: j.t, rows: j.parts * columnRows, n: size, partial: p.partial, out: dbias, second: true}
		p.run(ceilDiv(size, columnWidth), &p.jobs.columns)
		p.jobs.columns = columnJob{}
	}
}
