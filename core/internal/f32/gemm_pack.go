package f32

// Packed is the right operand of a product in panels [n/nr][k][nr], packed once and used by several
// products. The zero value is ready for PackB, which reuses its memory.
type Packed struct {
	n, k  int
	level Level
	data  []float32
}

// PackB packs b, a [k, n] matrix, into dst:
//
//	for j := range n {
//		for l := range k {
//			dst[j/nr][l][j%nr] = b[l][j]
//		}
//	}
//
// Columns from n to the end of the last panel are zero.
func PackB(p *Pool, b Matrix, dst *Packed) {
	b.check("PackB", "b")
	t := kernels()
	dst.n, dst.k, dst.level = b.Cols, b.Rows, t.level
	dst.data = grow(dst.data, ceilDiv(dst.n, t.nr)*dst.k*t.nr)
	if dst.n == 0 || dst.k == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runPack(newPack(t, b, t.nr, &dst.data[0]))
}

// packJob copies a matrix [k, n] into panels [n/width][k][width]. If transposed, src is stored as
// [n, k].
type packJob struct {
	t           *table
	transposed  bool
	width, n, k int
	src         mat
	dst         *float32
	panelStride int
	group       int // panels in a chunk of runPack
}

// newPack prepares the copy of m, which is not empty, into panels of width columns at dst.
func newPack(t *table, m Matrix, width int, dst *float32) packJob {
	return packJob{t: t, transposed: m.Trans, width: width, n: m.Cols, k: m.Rows, src: m.mat(), dst: dst, panelStride: m.Rows * width}
}

// packPanels is the most panels that one chunk packs: they share the cache lines of a row.
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
	if j.transposed {
		for i := from; i < to; i++ {
			j.t.packTranspose(j.k, j.width, min(j.width, j.n-i*j.width), j.src.at(i*j.width, 0), j.src.ld, offset(j.dst, i*j.panelStride))
		}
		return
	}
	whole := min(to, j.n/j.width)
	if from < whole {
		j.t.packRows(j.k, whole-from, j.width, j.src.at(0, from*j.width), j.src.ld, offset(j.dst, from*j.panelStride), j.panelStride)
	}
	if whole < to {
		j.t.packCopy(j.k, j.width, j.n-whole*j.width, j.src.at(0, whole*j.width), j.src.ld, offset(j.dst, whole*j.panelStride))
	}
}
