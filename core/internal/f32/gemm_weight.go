package f32

// A product with a transposed left operand is the gradient of a weight. In small models C is small
// and k, the number of tokens, large: packing whole operands first would move them through memory
// twice more. Each chunk therefore packs the blocks that it is about to use into its worker's
// cache, and chunks divide k as well as C.

const (
	weightBlock  = 128     // tokens packed at a time
	weightSide   = 384     // most rows or columns of C in one chunk
	weightGroup  = 512     // fewest tokens worth a partial result of their own
	weightGroups = 8       // most partial results
	weightLimit  = 1 << 18 // most values of C; larger ones are treated as packing says
)

// weightJob computes C (+)= A·B for a transposed A, stored as [k, m]. Tokens are divided into
// groups whose partial results are added in a fixed tree; the groups depend on the shape alone.
type weightJob struct {
	t                        *table
	a, b, c                  Matrix
	accumulate               bool
	groups, chunksM, chunksN int
	partial                  []float32 // [groups, m, n]
	second                   bool
}

func (p *Pool) weightGemm(t *table, a, b, c Matrix, accumulate bool) {
	m, n := c.Rows, c.Cols
	j := &p.jobs.weight
	*j = weightJob{t: t, a: a, b: b, c: c, accumulate: accumulate, groups: min(max(1, a.Cols/weightGroup), weightGroups)}
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
		j.addGroups(i*reduceChunk, min(j.c.Rows*j.c.Cols, (i+1)*reduceChunk))
		return
	}
	t := j.t
	mr, nr := t.mr, t.nr
	group, i := i/(j.chunksM*j.chunksN), i%(j.chunksM*j.chunksN)
	cm, cn := i/j.chunksN, i%j.chunksN
	stripsM, stripsN := ceilDiv(j.c.Rows, mr), ceilDiv(j.c.Cols, nr)
	i0, i1 := stripsM*cm/j.chunksM, stripsM*(cm+1)/j.chunksM
	j0, j1 := stripsN*cn/j.chunksN, stripsN*(cn+1)/j.chunksN
	row, rowEnd, col, colEnd := i0*mr, min(j.c.Rows, i1*mr), j0*nr, min(j.c.Cols, j1*nr)
	sub := product{t: t, m: rowEnd - row, n: colEnd - col, layout: inPanels}
	if j.groups > 1 {
		sub.c = mat{&j.partial[(group*j.c.Rows+row)*j.c.Cols+col], j.c.Cols}
	} else {
		sub.c, sub.accumulate = j.c.mat().sub(row, col), j.accumulate
	}
	// Blocks of equal length, as many as weightBlock asks for.
	k0, k1 := j.a.Cols*group/j.groups, j.a.Cols*(group+1)/j.groups
	blocks := ceilDiv(k1-k0, weightBlock)
	length := (ceilDiv(k1-k0, blocks) + 3) &^ 3
	panels := w.scratch(length * ((j1-j0)*nr + (i1-i0)*mr))
	sub.b, sub.a.p = &panels[0], &panels[length*(j1-j0)*nr]
	for ; k0 < k1; k0 += length {
		sub.k = min(length, k1-k0)
		b := newPack(t, j.b.block(k0, k0+sub.k, col, colEnd), nr, sub.b)
		b.pack(0, j1-j0)
		a := newPack(t, j.a.T().block(k0, k0+sub.k, row, rowEnd), mr, sub.a.p)
		a.pack(0, i1-i0)
		sub.compute(w, 0, i1-i0, 0, j1-j0)
		sub.accumulate = true
	}
}

// addGroups adds the partial results of the elements [lo,hi) of the dense C into C.
func (j *weightJob) addGroups(lo, hi int) {
	n := j.c.Cols
	sumTree(j.t, j.partial, j.groups, j.c.Rows*n, lo, hi)
	c := j.c.mat()
	for lo < hi {
		r, from := lo/n, lo%n
		width := min(hi-lo, n-from)
		dst := c.sub(r, from).row(0, width)
		if j.accumulate {
			j.t.add(dst, dst, j.partial[lo:lo+width])
		} else {
			copy(dst, j.partial[lo:lo+width])
		}
		lo += width
	}
}
