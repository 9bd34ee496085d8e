package f32

// Attention is multi-head self-attention on packed projections (Vaswani et al., arXiv:1706.03762).
// For every batch entry and head, with q, k and v [Tokens, HeadDim] from QKV,
//
//	for i := range Tokens {
//		for j := range Tokens { // with Causal: j ≤ i
//			score[i][j] = Scale*Σ_l q[i][l]*k[j][l] + Bias[i][j]
//		}
//		weight[i] = softmax(score[i])
//		Out[i] = Σ_j weight[i][j]*v[j]
//	}
type Attention struct {
	Batch, Tokens, Heads, HeadDim int
	Scale                         float32
	Causal                        bool      // a query sees no later key
	QKV                           []float32 // [Batch, Tokens, 3, Heads, HeadDim]
	Bias                          []float32 // [Heads, Tokens, Tokens], or nil
	Out                           []float32 // [Batch, Tokens, Heads, HeadDim], written by AttentionForward
	Stats                         []float32 // AttentionStats values, written by AttentionForward
}

// AttentionStats is the length of Attention.Stats: of each row the largest score and the reciprocal
// of the sum of its exponentials, [batch, heads, 2, tokens].
func AttentionStats(batch, tokens, heads int) int { return 2 * batch * heads * tokens }

// AttentionForward computes a.Out, and a.Stats for AttentionBackward.
func AttentionForward(p *Pool, a Attention) {
	a.check("AttentionForward")
	p.attend(attentionJob{Attention: a})
}

// AttentionBackward is the gradient of AttentionForward, given dout, shaped as a.Out. It overwrites
// dqkv, shaped as a.QKV, and dbias, shaped as a.Bias and summed over the batch (nil: not wanted).
func AttentionBackward(p *Pool, a Attention, dout, dqkv, dbias []float32) {
	a.check("AttentionBackward")
	need("AttentionBackward", "dout", len(dout), a.outSize())
	need("AttentionBackward", "dqkv", len(dqkv), 3*a.outSize())
	if dbias != nil {
		need("AttentionBackward", "dbias", len(dbias), a.Heads*a.Tokens*a.Tokens)
		need("AttentionBackward", "bias", len(a.Bias), a.Heads*a.Tokens*a.Tokens)
	}
	p.attend(attentionJob{Attention: a, dout: dout, dqkv: dqkv, dbias: dbias, backward: true})
}

// AttentionProbabilities writes the attention weights, [Batch, Heads, Tokens, Tokens], for pictures
// and tests. a.Out and a.Stats are not used.
func AttentionProbabilities(p *Pool, a Attention, probs []float32) {
	need("AttentionProbabilities", "qkv", len(a.QKV), 3*a.outSize())
	need("AttentionProbabilities", "probs", len(probs), a.Batch*a.Heads*a.Tokens*a.Tokens)
	p.attend(attentionJob{Attention: a, probs: probs})
}

func (a *Attention) outSize() int { return a.Batch * a.Tokens * a.Heads * a.HeadDim }

// check panics if QKV, Out or Stats is too short.
func (a *Attention) check(kernel string) {
	need(kernel, "qkv", len(a.QKV), 3*a.outSize())
	need(kernel, "out", len(a.Out), a.outSize())
	need(kernel, "stats", len(a.Stats), AttentionStats(a.Batch, a.Tokens, a.Heads))
}

// attentionParts is the most partial gradients of a relative-position bias that are kept per head;
// each sums a run of consecutive batch entries.
const attentionParts = 8

const (
	// attentionKeys is the most keys in one block. Three copies of its keys and values and the sums
	// of their gradients stay in the second-level cache.
	attentionKeys = 208
	// attentionScores is the most scores of a block of queries by keys: they are written and read
	// again at once, in the first-level cache or little beyond.
	attentionScores = 10240
	// attentionInPlace is the most tokens whose rows are read in place. More are copied first: rows
	// far from each other would evict each other.
	attentionInPlace = 24
	// attentionGroup is the least number of values of q, k and v for one chunk: several heads of
	// short sequences share a chunk.
	attentionGroup = 1 << 14
)

// attentionJob does one head of one batch entry, or several, per chunk. Queries and keys are
// combined in blocks whose scores live only in the worker's scratch; the softmax keeps two
// statistics per query, peak and sum (Dao et al., arXiv:2205.14135).
type attentionJob struct {
	Attention
	t             *table
	dout, dqkv    []float32
	dbias         []float32 // [parts, heads, tokens, tokens], or nil
	parts         int
	group         int // heads per chunk
	keys, queries int // in a block
	probs         []float32
	backward      bool
}

func (p *Pool) attend(j attentionJob) {
	if j.Bias != nil {
		need("Attention", "bias", len(j.Bias), j.Heads*j.Tokens*j.Tokens)
	}
	if j.outSize() == 0 {
		clear(j.dbias)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j.t = kernels()
	j.plan()
	chunks := ceilDiv(j.Batch*j.Heads, j.group)
	dbias := j.dbias
	if dbias != nil {
		j.parts = min(j.Batch, attentionParts)
		chunks = j.parts * j.Heads
		p.partial = grow(p.partial, chunks*j.Tokens*j.Tokens)
		j.dbias = p.partial[:chunks*j.Tokens*j.Tokens]
	}
	p.jobs.attention = j
	p.run(chunks, &p.jobs.attention)
	p.jobs.attention = attentionJob{}
	if dbias != nil {
		size := j.Heads * j.Tokens * j.Tokens
		p.jobs.columns = columnJob{t: j.t, rows: j.parts * columnRows, n: size, partial: p.partial, out: dbias, second: true}
		p.run(ceilDiv(size, columnWidth), &p.jobs.columns)
		p.jobs.columns = columnJob{}
	}
}

// plan divides the tokens into blocks.
func (j *attentionJob) plan() {
	n, nr := j.Tokens, j.t.nr
	j.keys = roundUp(ceilDiv(n, ceilDiv(n, attentionKeys)), nr)
	rows := max(24, attentionScores/j.width(min(n, j.keys)))
	j.queries = ceilDiv(n, ceilDiv(n, rows))
	if j.queries < n {
		j.queries = roundUp(j.queries, 6)
	}
	j.group = min(j.Heads, max(1, attentionGroup/(3*n*j.HeadDim)))
}

// width is the leading dimension of scores against n keys: whole vectors.
func (j *attentionJob) width(n int) int { return roundUp(n, j.t.nr/2) }

func (j *attentionJob) run(w *worker, i int) {
	n := j.Tokens
	if j.dbias != nil {
		part, h := i/j.Heads, i%j.Heads
		db := j.dbias[i*n*n:][:n*n]
		clear(db)
		for b := j.Batch * part / j.parts; b < j.Batch*(part+1)/j.parts; b++ {
			j.gradient(w, b, h, mat{&db[0], n})
		}
		return
	}
	for at := i * j.group; at < min(j.Batch*j.Heads, (i+1)*j.group); at++ {
		switch b, h := at/j.Heads, at%j.Heads; {
		case j.probs != nil:
			j.probabilities(w, b, h, j.probs[at*n*n:][:n*n])
		case j.backward:
			j.gradient(w, b, h, mat{})
		default:
			j.forward(w, b, h)
		}
	}
}
