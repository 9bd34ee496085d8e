package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// genTiles writes the micro-kernels of the matrix product for tiles of 1..mr rows and nv vectors.
func genTiles(mr, nv int) {
	for m := 1; m <= mr; m++ {
		for _, layout := range []int{inRows, inPanels} {
			genTile(mr, nv, m, layout, false)
		}
	}
	for _, layout := range []int{inRows, inPanels} {
		genTile(mr, nv, mr, layout, true)
	}
}

// The layouts of the left operand of a tile.
const (
	inRows   = iota // rows of a matrix with leading dimension lda
	inPanels        // a panel [k][mr]
)

// tile is the micro-kernel of an m×nr tile of C. Every element is one chain of fused multiply-adds
// over k, started at 0 and added to C at the end, so its bits do not depend on m. A run is several
// such tiles below each other.
type tile struct {
	mr, nv, nr, m int
	layout        int
	run           bool

	k, a, b, c, lda, ldc, next Register
	strips, start              Register   // of a run; start is the panel of the current strip
	bases                      []Register // rows of A three by three: base, base+lda, base+2*lda
	row                        Register   // a row of C
	acc                        [][]vec
}

const tileUnroll = 4

func genTile(mr, nv, m, layout int, run bool) {
	t := &tile{mr: mr, nv: nv, nr: nv * w, m: m, layout: layout, run: run}
	t.signature()
	strip := label("strip")
	t.arguments()
	if run {
		if layout != inRows {
			t.a = GP64()
		}
		Label(strip)
		if layout != inRows {
			MOVQ(t.start, t.a)
		}
	}
	t.prefetchC()
	t.acc = make([][]vec, m)
	for i := range t.acc {
		t.acc[i] = zeros(nv)
	}
	t.sum()
	if run {
		t.nextStrip(strip)
	}
	end()
}

// signature starts the function.
func (t *tile) signature() {
	kind, a := "Rows", "a[i*lda+l]"
	if t.layout == inPanels {
		kind, a = "Packed", fmt.Sprintf("a[l*%d+i]", t.mr)
	}
	const arguments = "k int, a *float32, lda int, b *float32, c *float32, ldc int, accumulate int, next *float32)"
	if !t.run {
		function(fmt.Sprintf("tile%s%dx", kind, t.m), "func("+arguments,
			fmt.Sprintf("is c[i*ldc+j] (+)= Σ_l %s*b[l*%d+j] for i < %d, j < %d and l < k.", a, t.nr, t.m, t.nr))
		return
	}
	if t.layout == inPanels {
		a = fmt.Sprintf("a[i/%[1]d*lda+l*%[1]d+i%%%[1]d]", t.mr)
	}
	function("run"+kind, "func(strips int, "+arguments,
		fmt.Sprintf("is c[i*ldc+j] (+)= Σ_l %s*b[l*%d+j] for i < strips*%d, j < %d and l < k.", a, t.nr, t.m, t.nr))
}

// arguments loads the arguments and the addresses of the rows of A.
func (t *tile) arguments() {
	if t.run {
		t.strips = arg("strips")
	}
	t.k, t.a, t.b, t.c, t.ldc, t.next = arg("k"), arg("a"), arg("b"), arg("c"), stride("ldc"), arg("next")
	t.start, t.bases = t.a, []Register{t.a}
	if t.layout == inRows && t.m > 1 || t.run {
		t.lda = stride("lda")
	}
	if t.layout != inRows {
		return
	}
	for r := 3; r < t.m; r += 3 {
		next := GP64()
		LEAQ(Mem{Base: t.bases[len(t.bases)-1], Index: t.lda, Scale: 2}, next)
		ADDQ(t.lda, next)
		t.bases = append(t.bases, next)
	}
}

// prefetchC reads ahead the tile of C.
func (t *tile) prefetchC() {
	row := GP64()
	MOVQ(t.c, row)
	for i := 0; i < t.m; i++ {
		prefetchLine(row, t.nr*4)
		if i < t.m-1 {
			ADDQ(t.ldc, row)
		}
	}
}

// prefetchLine reads ahead the bytes from p on, which may begin and end inside a line of the cache.
func prefetchLine(p Register, bytes int) {
	for d := 0; d < bytes; d += 64 {
		PREFETCHT0(Mem{Base: p, Disp: d})
	}
	PREFETCHT0(Mem{Base: p, Disp: bytes - 4})
}

// element is the address of a[i][u], u products ahead.
func (t *tile) element(i, u int) Mem {
	if t.layout == inPanels {
		return Mem{Base: t.a, Disp: (u*t.mr + i) * 4}
	}
	mem := Mem{Base: t.bases[i/3], Disp: u * 4}
	if i%3 > 0 {
		mem.Index, mem.Scale = t.lda, uint8(i%3)
	}
	return mem
}

// step adds the products u ahead to the accumulators.
func (t *tile) step(u int) {
	bv := make([]vec, t.nv)
	for j := range bv {
		bv[j] = load(Mem{Base: t.b, Disp: (u*t.nr + j*w) * 4})
	}
	for i := 0; i < t.m; i++ {
		av := broadcast(t.element(i, u))
		for j := range bv {
			fma(av, bv[j], t.acc[i][j])
		}
	}
}

// advance moves a and b by u products.
func (t *tile) advance(u int) {
	ADDQ(I32(int32(u*t.nr*4)), t.b)
	switch t.layout {
	case inPanels:
		ADDQ(I32(int32(u*t.mr*4)), t.a)
	case inRows:
		for _, base := range t.bases {
			ADDQ(Imm(uint64(u*4)), base)
		}
	}
}

// sum computes the k products and stores them.
func (t *tile) sum() {
	loop, rest, restLoop, store, fresh := label("loop"), label("rest"), label("restLoop"), label("store"), label("fresh")
	rounds := GP64()
	MOVQ(t.k, rounds)
	SHRQ(Imm(2), rounds)
	JZ(LabelRef(rest))
	Label(loop)
	PREFETCHT1(Mem{Base: t.next})
	ADDQ(Imm(64), t.next)
	for u := 0; u < tileUnroll; u++ {
		t.step(u)
	}
	t.advance(tileUnroll)
	DECQ(rounds)
	JNZ(LabelRef(loop))
	Label(rest)
	ANDQ(Imm(tileUnroll-1), t.k)
	JZ(LabelRef(store))
	Label(restLoop)
	t.step(0)
	t.advance(1)
	DECQ(t.k)
	JNZ(LabelRef(restLoop))
	Label(store)
	accumulate := arg("accumulate")
	TESTQ(accumulate, accumulate)
	JZ(LabelRef(fresh))
	t.row = GP64()
	MOVQ(t.c, t.row)
	for i := 0; i < t.m; i++ {
		for j := range t.acc[i] {
			VADDPS(Mem{Base: t.row, Disp: j * w * 4}, t.acc[i][j], t.acc[i][j])
		}
		if i < t.m-1 {
			ADDQ(t.ldc, t.row)
		}
	}
	Label(fresh)
	for i := 0; i < t.m; i++ {
		for j := range t.acc[i] {
			VMOVUPS(t.acc[i][j], Mem{Base: t.c, Disp: j * w * 4})
		}
		if i < t.m-1 || t.run {
			ADDQ(t.ldc, t.c)
		}
	}
}

// nextStrip returns to strip while tiles of the run are left.
func (t *tile) nextStrip(strip string) {
	Load(Param("k"), t.k)
	Load(Param("b"), t.b)
	switch t.layout {
	case inRows:
		back := GP64()
		IMUL3Q(U32(uint32(t.mr)), t.lda, back)
		MOVQ(t.k, t.row)
		SHLQ(Imm(2), t.row)
		SUBQ(t.row, back)
		for _, base := range t.bases {
			ADDQ(back, base)
		}
	case inPanels:
		ADDQ(t.lda, t.start)
	}
	DECQ(t.strips)
	JNZ(LabelRef(strip))
}

// genTilePrefetch writes the prefetch of the operand of an epilogue.
func genTilePrefetch(nv int) {
	function("tilePrefetch", "func(rows int, p *float32, ld int)",
		fmt.Sprintf("reads ahead p[i*ld+j] for i < rows and j < %d.", nv*w))
	rows, p, ld := arg("rows"), arg("p"), stride("ld")
	countdown("loop", rows, func() {
		prefetchLine(p, nv*w*4)
		ADDQ(ld, p)
	})
	RET()
}

// genPeak writes a loop of independent multiply-adds.
func genPeak() {
	count := 12
	if w == 16 {
		count = 24
	}
	function("peak", "func(n int)", fmt.Sprintf("does n rounds of %d independent vector multiply-adds.", 2*count))
	n := arg("n")
	acc, x := zeros(count), zeros(2)
	countdown("loop", n, func() {
		for i := range 2 * count {
			fma(x[0], x[1], acc[i%count])
		}
	})
	end()
}

// genPause writes the hint of a spin loop.
func genPause() {
	TEXT("pauseSpin", NOSPLIT, "func()")
	Doc("pauseSpin tells the processor that this is a spin loop.")
	PAUSE()
	RET()
}
