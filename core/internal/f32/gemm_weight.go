package f32

// A product with a transposed left operand is the gradient of a weight. In small
// models C is small and k, the number of tokens, long: packing whole operands
// first would send them through memory twice more, so each chunk packs the
// blocks it is about to use into its worker's cache, and chunks divide k as well
// as C.

const (
	weightBlock  = 128     // tokens packed at a time
	weightSide   = 384     // most rows or columns of C in one chunk
	weightGroup  = 512     // fewest tokens worth a partial result of their own
	weightGroups = 8       // most partial results
	weightLimit  = 1 << 18 // a C of more values repays other treatment (see packing)
)

// weightJob computes C (+)= Aᵀ·op(B) for a stored as [k, m]. Tokens are divided
// into groups whose partial results are added in a fixed tree; the groups
// depend on the shape alone.
type weightJob struct {
	product
	ldb                      int
	transB                   bool
	groups, chunksM, chunksN int
	partial                  []float32 // [groups, m, n]
	second                   bool
}

func (p *Pool) weightGemm(t *table, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool) {
	j := &p.jobs.weight
	*j = weightJob{product: product{t: t, m: m, n: n, k: k, a: &a[0], lda: lda, b: &b[0], c: &c[0], ldc: ldc, accumulate: accumulate},
		ldb: ldb, transB: transB, groups: min(max(1, k/weightGroup), weightGroups)}
	j.chunksM, j.chunksN = ceilDiv(m, weightSide), ceilDiv(n, weightSide)
	for want := 4 * len(p.workers); len(p.workers) > 1 && j.groups*j.chunksM*j.chunksN < want; {
		switch {
		case m/j.chunksM >= n/j.chunksN && m/j.chunksM >= 8*t.mr:
			j.chunksM++
		case n/j.chunksN >= 4*t.nr:
			j.chunksN++
		default:
			want = 0
		}
	}
	if j.groups > 1 {
		p.partial = grow(p.partial, j.groups*m*n)
		j.partial = p.partial
	}
	p.run(j.groups*j.chunksM*j.chunksN, j)
	if j.groups > 1 {
		j.second = true
		p.run(ceilDiv(m*n, reduceChunk), j)
	}
	*j = weightJob{}
}

func (j *weightJob) run(w *worker, i int) {
	if j.second {
		j.addGroups(i*reduceChunk, min(j.m*j.n, (i+1)*reduceChunk))
		return
	}
	t := j.t
	mr, nr := t.mr, t.nr
	group, i := i/(j.chunksM*j.chunksN), i%(j.chunksM*j.chunksN)
	cm, cn := i/j.chunksN, i%j.chunksN
	stripsM, stripsN := ceilDiv(j.m, mr), ceilDiv(j.n, nr)
	i0, i1 := stripsM*cm/j.chunksM, stripsM*(cm+1)/j.chunksM
	j0, j1 := stripsN*cn/j.chunksN, stripsN*(cn+1)/j.chunksN
	row, col := i0*mr, j0*nr
	sub := product{t: t, m: min(j.m, i1*mr) - row, n: min(j.n, j1*nr) - col, layout: inPanels}
	if j.groups > 1 {
		sub.c, sub.ldc = &j.partial[(group*j.m+row)*j.n+col], j.n
	} else {
		sub.c, sub.ldc, sub.accumulate = offset(j.c, row*j.ldc+col), j.ldc, j.accumulate
	}
	// Blocks of equal length, as many as weightBlock asks for.
	k0, k1 := j.k*group/j.groups, j.k*(group+1)/j.groups
	blocks := ceilDiv(k1-k0, weightBlock)
	length := (ceilDiv(k1-k0, blocks) + 3) &^ 3
	panels := w.scratch(length * ((j1-j0)*nr + (i1-i0)*mr))
	sub.b, sub.a = &panels[0], &panels[length*(j1-j0)*nr]
	for ; k0 < k1; k0 += length {
		sub.k = min(length, k1-k0)
		pb := packJob{t: t, transposed: j.transB, width: nr, n: sub.n, k: sub.k, ld: j.ldb, dst: sub.b}
		if j.transB {
			pb.src = offset(j.b, col*j.ldb+k0)
		} else {
			pb.src = offset(j.b, k0*j.ldb+col)
		}
		pb.pack(0, j1-j0)
		pa := packJob{t: t, width: mr, n: sub.m, k: sub.k, src: offset(j.a, k0*j.lda+row), ld: j.lda, dst: sub.a}
		pa.pack(0, i1-i0)
		sub.compute(w, 0, i1-i0, 0, j1-j0)
		sub.accumulate = true
	}
}

// addGroups adds the partial results at [lo,hi) of the dense C into C.
func (j *weightJob) addGroups(lo, hi int) {
	sumTree(j.t, j.partial, j.groups, j.m*j.n, lo, hi)
	for lo < hi {
		r, from := lo/j.n, lo%j.n
		n := min(hi-lo, j.n-from)
		dst := sliceAt(offset(j.c, r*j.ldc+from), n)
		if j.accumulate {
			j.t.add(dst, dst, j.partial[lo:lo+n])
		} else {
			copy(dst, j.partial[lo:lo+n])
		}
		lo += n
	}
}
