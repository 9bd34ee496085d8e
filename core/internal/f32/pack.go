package f32

// Packed is the right operand of a product in panels [n/nr][k][nr], packed once
// and used by several products. The zero value is ready for PackB, which
// reuses its memory.
type Packed struct {
	n, k  int
	level Level
	data  []float32
}

// Size returns the shape [k, n] of the packed matrix.
func (b *Packed) Size() (k, n int) { return b.k, b.n }

// PackB packs op(B), a [k, n] matrix, into dst. With transB the storage of B is
// [n, k].
func PackB(p *Pool, transB bool, n, k int, b []float32, ldb int, dst *Packed) {
	if transB {
		needMatrix("PackB: b", b, n, k, ldb)
	} else {
		needMatrix("PackB: b", b, k, n, ldb)
	}
	t := kernels()
	dst.n, dst.k, dst.level = n, k, t.level
	strips := ceilDiv(n, t.nr)
	dst.data = grow(dst.data, strips*k*t.nr)
	if n == 0 || k == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runPack(packJob{t: t, transposed: transB, width: t.nr, n: n, k: k, src: &b[0], ld: ldb, dst: &dst.data[0]})
}

// packJob copies a [k, n] operand into panels of width columns. If transposed,
// the storage is [n, k].
type packJob struct {
	t           *table
	transposed  bool
	width, n, k int
	src         *float32
	ld          int
	dst         *float32
}

func (p *Pool) runPack(j packJob) {
	p.jobs.pack = j
	p.run(ceilDiv(j.n, j.width), &p.jobs.pack)
	p.jobs.pack = packJob{}
}

func (j *packJob) run(_ *worker, i int) { j.strip(i) }

func (j *packJob) strip(i int) {
	if !j.transposed {
		j.copyRows(i, 0, j.k)
		return
	}
	j.t.packTranspose(j.k, j.width, min(j.width, j.n-i*j.width), offset(j.src, i*j.width*j.ld), j.ld, offset(j.dst, i*j.k*j.width))
}

// copyRows packs rows of strip i from row on, of a storage [k, n].
func (j *packJob) copyRows(i, row, rows int) {
	j.t.packCopy(rows, j.width, min(j.width, j.n-i*j.width), offset(j.src, row*j.ld+i*j.width), j.ld, offset(j.dst, (i*j.k+row)*j.width))
}

// packRows is how many rows of an operand go into all panels of a chunk before the next:
// neighbouring panels then read the same pages and cache lines while they are there.
const packRows = 32

// strips packs the first n strips on the calling thread.
func (j *packJob) strips(n int) {
	if j.transposed {
		for s := range n {
			j.strip(s)
		}
		return
	}
	for row := 0; row < j.k; row += packRows {
		for s := range n {
			j.copyRows(s, row, min(packRows, j.k-row))
		}
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
