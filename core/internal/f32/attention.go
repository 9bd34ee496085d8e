package f32

// attentionParts is the most partial gradients of a relative-position bias that
// are kept per head; each sums a run of consecutive batch entries.
const attentionParts = 8

// attentionJob does one (batch, head) per chunk, all of it in one worker's
// cache: an [n, n] matrix lives only in scratch, never per batch.
type attentionJob struct {
	t               *table
	b, n, heads, dh int
	scale           float32
	qkv, bias       []float32
	out, lse        []float32
	dout, dqkv      []float32
	dbias           []float32 // [parts, heads, n, n] when wanted
	parts           int
	probs           []float32
	causal          bool
	backward        bool
}

func (j *attentionJob) run(w *worker, i int) {
	switch {
	case j.probs != nil:
		j.probabilities(w, i/j.heads, i%j.heads, j.probs[i*j.n*j.n:], j.n)
	case !j.backward:
		j.forward(w, i/j.heads, i%j.heads)
	case j.dbias == nil:
		j.gradient(w, i/j.heads, i%j.heads, nil)
	default:
		part, h := i/j.heads, i%j.heads
		db := j.dbias[i*j.n*j.n:][:j.n*j.n]
		clear(db)
		for b := j.b * part / j.parts; b < j.b*(part+1)/j.parts; b++ {
			j.gradient(w, b, h, db)
		}
	}
}

// width is the leading dimension of an [n, n] scratch matrix.
func (j *attentionJob) width() int { return ceilDiv(j.n, j.t.nr) * j.t.nr }

// panels is the scratch for the packed operands of any product of this job.
func (j *attentionJob) panels() int {
	n, d := j.width()+j.t.mr+j.t.nr, ceilDiv(j.dh, j.t.nr)*j.t.nr
	return n*max(n, j.dh) + n*d + n*j.dh
}

func (j *attentionJob) operands(b, h int, qkv []float32) (q, k, v *float32) {
	d := j.heads * j.dh
	at := b*j.n*3*d + h*j.dh
	return &qkv[at], &qkv[at+d], &qkv[at+2*d]
}

// scores leaves q·kᵀ, or scale·q·kᵀ + bias if there is a bias, in s with leading
// dimension ld. scoreScale is what the softmax still has to multiply by.
func (j *attentionJob) scores(w *worker, panels []float32, b, h int, s []float32, ld int) {
	q, k, _ := j.operands(b, h, j.qkv)
	d3 := 3 * j.heads * j.dh
	serialProduct(w, j.t, panels, false, true, j.n, j.n, j.dh, q, d3, k, d3, &s[0], ld, false, ld == j.width())
	if j.bias != nil {
		for i := range j.n {
			row := s[i*ld : i*ld+j.n]
			j.t.scale(row, j.scale, row)
			j.t.add(row, row, j.bias[(h*j.n+i)*j.n:][:j.n])
		}
	}
}

func (j *attentionJob) scoreScale() float32 {
	if j.bias != nil {
		return 1
	}
	return j.scale
}

// seen is the number of keys that query i attends to.
func (j *attentionJob) seen(i int) int {
	if j.causal {
		return i + 1
	}
	return j.n
}

func (j *attentionJob) probabilities(w *worker, b, h int, p []float32, ld int) {
	buf := w.scratch(j.panels())
	j.scores(w, buf, b, h, p, ld)
	for i := range j.n {
		row := p[i*ld:][:j.n]
		seen := j.seen(i)
		softmaxRow(j.t, row[:seen], row[:seen], j.scoreScale())
		clear(row[seen:])
	}
}

func (j *attentionJob) forward(w *worker, b, h int) {
	n, dh, ld := j.n, j.dh, j.width()
	d := j.heads * dh
	buf := w.scratch(j.panels() + n*ld)
	panels, p := buf[:j.panels()], buf[j.panels():]
	j.scores(w, panels, b, h, p, ld)
	lse := j.lse[(b*j.heads+h)*n:][:n]
	for i := range n {
		row := p[i*ld:][:n]
		seen := j.seen(i)
		lse[i] = softmaxRow(j.t, row[:seen], row[:seen], j.scoreScale())
		clear(row[seen:])
	}
	_, _, v := j.operands(b, h, j.qkv)
	serialProduct(w, j.t, panels, false, false, n, dh, n, &p[0], ld, v, 3*d, &j.out[b*n*d+h*dh], d, false, false)
}

// gradient does one (batch, head) of the backward pass; the gradient of the
// scores is added to db unless nil.
func (j *attentionJob) gradient(w *worker, b, h int, db []float32) {
	n, dh, ld := j.n, j.dh, j.width()
	d := j.heads * dh
	buf := w.scratch(j.panels() + 2*n*ld)
	panels, p, dp := buf[:j.panels()], buf[j.panels():][:n*ld], buf[j.panels()+n*ld:]
	q, k, v := j.operands(b, h, j.qkv)
	dq, dk, dv := j.operands(b, h, j.dqkv)
	dout := &j.dout[b*n*d+h*dh]

	// The probabilities again, from the stored log-sum-exp.
	j.scores(w, panels, b, h, p, ld)
	lse := j.lse[(b*j.heads+h)*n:][:n]
	for i := range n {
		row := p[i*ld:][:n]
		seen := j.seen(i)
		j.t.expSum(row[:seen], row[:seen], j.scoreScale(), lse[i])
		clear(row[seen:])
	}
	serialProduct(w, j.t, panels, true, false, n, dh, n, &p[0], ld, dout, d, dv, 3*d, false, false)
	serialProduct(w, j.t, panels, false, true, n, n, dh, dout, d, v, 3*d, &dp[0], ld, false, true)
	for i := range n {
		at := (b*n+i)*d + h*dh
		delta := j.t.dot32(j.out[at:at+dh], j.dout[at:at+dh])
		row := dp[i*ld:][:n]
		if db != nil {
			j.t.softmaxGrad(row, p[i*ld:][:n], row, delta, 1)
			j.t.add(db[i*n:(i+1)*n], db[i*n:(i+1)*n], row)
			j.t.scale(row, j.scale, row)
		} else {
			j.t.softmaxGrad(row, p[i*ld:][:n], row, delta, j.scale)
		}
	}
	serialProduct(w, j.t, panels, false, false, n, dh, n, &dp[0], ld, k, 3*d, dq, 3*d, false, false)
	serialProduct(w, j.t, panels, true, false, n, dh, n, &dp[0], ld, q, 3*d, dk, 3*d, false, false)
}

// AttentionForward is multi-head self-attention on packed projections
// (Vaswani et al., arXiv:1706.03762): qkv is [B, N, 3, heads, dh], out
// [B, N, heads·dh]. The softmax sees scale·q·k + bias, bias being [heads, N, N]
// or nil; with causal, a query sees no later key. lse [B, heads, N] receives the
// log-sum-exp of each row for AttentionBackward.
func AttentionForward(p *Pool, b, n, heads, dh int, scale float32, qkv, bias, out, lse []float32, causal bool) {
	d := heads * dh
	need("AttentionForward: qkv", len(qkv), b*n*3*d)
	need("AttentionForward: out", len(out), b*n*d)
	need("AttentionForward: lse", len(lse), b*heads*n)
	p.attend(attentionJob{b: b, n: n, heads: heads, dh: dh, scale: scale, qkv: qkv, bias: bias, out: out, lse: lse, causal: causal}, b*heads)
}

// AttentionBackward is the gradient of AttentionForward: dqkv (shaped as qkv) and
// dbias (shaped as bias, summed over the batch; nil: not wanted) are
// overwritten. out and lse are those of the forward pass.
func AttentionBackward(p *Pool, b, n, heads, dh int, scale float32, qkv, bias, out, lse, dout, dqkv, dbias []float32, causal bool) {
	d := heads * dh
	need("AttentionBackward: qkv", len(qkv), b*n*3*d)
	need("AttentionBackward: dqkv", len(dqkv), b*n*3*d)
	need("AttentionBackward: out", len(out), b*n*d)
	need("AttentionBackward: dout", len(dout), b*n*d)
	need("AttentionBackward: lse", len(lse), b*heads*n)
	if dbias != nil {
		need("AttentionBackward: dbias", len(dbias), heads*n*n)
	}
	p.attend(attentionJob{b: b, n: n, heads: heads, dh: dh, scale: scale, qkv: qkv, bias: bias, out: out, lse: lse,
		dout: dout, dqkv: dqkv, dbias: dbias, causal: causal, backward: true}, b*heads)
}

// AttentionProbabilities writes the attention weights, [B, heads, N, N], for
// pictures and tests. The arguments are those of AttentionForward.
func AttentionProbabilities(p *Pool, b, n, heads, dh int, scale float32, qkv, bias, probs []float32, causal bool) {
	need("AttentionProbabilities: qkv", len(qkv), b*n*3*heads*dh)
	need("AttentionProbabilities: probs", len(probs), b*heads*n*n)
	p.attend(attentionJob{b: b, n: n, heads: heads, dh: dh, scale: scale, qkv: qkv, bias: bias, probs: probs, causal: causal}, b*heads)
}

func (p *Pool) attend(j attentionJob, chunks int) {
	if j.bias != nil {
		need("Attention: bias", len(j.bias), j.heads*j.n*j.n)
	}
	if chunks == 0 || j.n == 0 || j.dh == 0 {
		clear(j.dbias)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j.t = kernels()
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
