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
	group       int // panels in a chunk of runPack
}

// packPanels is the most panels that one chunk packs: they share the lines of a row.
const packPanels = 4

func (p *Pool) runPack(j packJob) {
	j.group = 1
	if !j.transposed {
		j.group = max(1, min(packPanels, j.panels()/(4*len(p.workers))))
	}
	p.jobs.pack = j
	p.run(ceilDiv(j.panels(), j.group), &p.jobs.pack)
	p.jobs.pack = packJob{}
}

func (j *packJob) run(_ *worker, i int) {
	j.pack(i*j.group, min((i+1)*j.group, j.panels()))
}

func (j *packJob) panels() int { return ceilDiv(j.n, j.width) }

// pack packs the panels [from, to) on the calling thread.
func (j *packJob) pack(from, to int) {
	apart := j.k * j.width
	if j.transposed {
		for i := from; i < to; i++ {
			j.t.packTranspose(j.k, j.width, min(j.width, j.n-i*j.width), offset(j.src, i*j.width*j.ld), j.ld, offset(j.dst, i*apart))
		}
		return
	}
	whole := min(to, j.n/j.width)
	if from < whole {
		j.t.packRows(j.k, whole-from, j.width, offset(j.src, from*j.width), j.ld, offset(j.dst, from*apart), apart)
	}
	if whole < to {
		j.t.packCopy(j.k, j.width, j.n-whole*j.width, offset(j.src, whole*j.width), j.ld, offset(j.dst, whole*apart))
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
