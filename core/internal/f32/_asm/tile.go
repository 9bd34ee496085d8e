package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// genTiles writes the inner loops of the matrix product for tiles of 1..mr rows
// and nv vectors.
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

// How a tile finds a[i][l].
const (
	inRows   = iota // a row of a matrix each
	inPanels        // a panel [k][mr]
)

// genTile computes an m×nr tile of C. Every element is one chain of fused
// multiply-adds over k, started at 0 and added to C at the end, so its bits do
// not depend on m. A run is several such tiles below each other.
func genTile(mr, nv, m, layout int, run bool) {
	nr := nv * w
	name, how := "tileRows", "rows of a matrix with leading dimension lda"
	if layout == inPanels {
		name, how = "tilePacked", fmt.Sprintf("a panel [k][%d]", mr)
	}
	const arguments = "k int, a *float32, lda int, b *float32, c *float32, ldc int, accumulate int, next *float32)"
	if run {
		if layout == inPanels {
			how += ", lda floats behind each other"
		}
		function("run"+name[len("tile"):], "func(strips int, "+arguments,
			fmt.Sprintf("is c[i][j] (+)= Σ_l a[i][l]·b[l][j] for strips of %d rows and %d columns; a is %s, b a panel [k][%d].", m, nr, how, nr))
	} else {
		function(fmt.Sprintf("%s%dx", name, m), "func("+arguments,
			fmt.Sprintf("is c[i][j] (+)= Σ_l a[i][l]·b[l][j] for %d rows and %d columns; a is %s, b a panel [k][%d].", m, nr, how, nr))
	}
	var strips Register
	strip := label("strip")
	if run {
		strips = arg("strips")
	}
	k, a, b, c, ldc, next := arg("k"), arg("a"), arg("b"), arg("c"), stride("ldc"), arg("next")

	// Rows of A three by three: base, base+lda, base+2*lda.
	bases := []Register{a}
	var lda Register
	if layout == inRows && m > 1 || run {
		lda = stride("lda")
	}
	if layout == inRows {
		for r := 3; r < m; r += 3 {
			next := GP64()
			LEAQ(Mem{Base: bases[len(bases)-1], Index: lda, Scale: 2}, next)
			ADDQ(lda, next)
			bases = append(bases, next)
		}
	}
	// Where the next strip begins: in rows, the bases find back by themselves.
	start := a
	if run && layout != inRows {
		a = GP64()
		Label(strip)
		MOVQ(start, a)
	} else if run {
		Label(strip)
	}
	element := func(i, u int) Mem {
		if layout == inPanels {
			return Mem{Base: a, Disp: (u*mr + i) * 4}
		}
		mem := Mem{Base: bases[i/3], Disp: u * 4}
		if i%3 > 0 {
			mem.Index, mem.Scale = lda, uint8(i%3)
		}
		return mem
	}
	{
		row := GP64()
		MOVQ(c, row)
		for i := 0; i < m; i++ {
			for d := 0; d < nr*4; d += 64 {
				PREFETCHT0(Mem{Base: row, Disp: d})
			}
			PREFETCHT0(Mem{Base: row, Disp: nr*4 - 4})
			if i < m-1 {
				ADDQ(ldc, row)
			}
		}
	}
	acc := make([][]vec, m)
	for i := range acc {
		acc[i] = zeros(nv)
	}
	step := func(u int) {
		bv := make([]vec, nv)
		for j := range bv {
			bv[j] = load(Mem{Base: b, Disp: (u*nr + j*w) * 4})
		}
		for i := 0; i < m; i++ {
			av := broadcast(element(i, u))
			for j := range bv {
				fma(av, bv[j], acc[i][j])
			}
		}
	}
	advance := func(u int) {
		ADDQ(I32(int32(u*nr*4)), b)
		switch layout {
		case inPanels:
			ADDQ(I32(int32(u*mr*4)), a)
		case inRows:
			for _, base := range bases {
				ADDQ(Imm(uint64(u*4)), base)
			}
		}
	}
	const unroll = 4
	loop, rest, restLoop, store, fresh := label("loop"), label("rest"), label("restLoop"), label("store"), label("fresh")
	rounds := GP64()
	MOVQ(k, rounds)
	SHRQ(Imm(2), rounds)
	JZ(LabelRef(rest))
	Label(loop)
	PREFETCHT1(Mem{Base: next})
	ADDQ(Imm(64), next)
	for u := 0; u < unroll; u++ {
		step(u)
	}
	advance(unroll)
	DECQ(rounds)
	JNZ(LabelRef(loop))
	Label(rest)
	ANDQ(Imm(unroll-1), k)
	JZ(LabelRef(store))
	Label(restLoop)
	step(0)
	advance(1)
	DECQ(k)
	JNZ(LabelRef(restLoop))
	Label(store)
	accumulate := arg("accumulate")
	TESTQ(accumulate, accumulate)
	JZ(LabelRef(fresh))
	row := GP64()
	MOVQ(c, row)
	for i := 0; i < m; i++ {
		for j := range acc[i] {
			VADDPS(Mem{Base: row, Disp: j * w * 4}, acc[i][j], acc[i][j])
		}
		if i < m-1 {
			ADDQ(ldc, row)
		}
	}
	Label(fresh)
	for i := 0; i < m; i++ {
		for j := range acc[i] {
			VMOVUPS(acc[i][j], Mem{Base: c, Disp: j * w * 4})
		}
		if i < m-1 || run {
			ADDQ(ldc, c)
		}
	}
	if run {
		Load(Param("k"), k)
		Load(Param("b"), b)
		switch layout {
		case inRows:
			back := GP64()
			IMUL3Q(U32(uint32(mr)), lda, back)
			MOVQ(k, row)
			SHLQ(Imm(2), row)
			SUBQ(row, back)
			for _, base := range bases {
				ADDQ(back, base)
			}
		case inPanels:
			ADDQ(lda, start)
		}
		DECQ(strips)
		JNZ(LabelRef(strip))
	}
	end()
}

// genTilePrefetch writes the reading ahead of what an epilogue will want.
func genTilePrefetch(nv int) {
	function("tilePrefetch", "func(rows int, p *float32, ld int)",
		fmt.Sprintf("reads ahead rows of %d floats with leading dimension ld.", nv*w))
	rows, p, ld := arg("rows"), arg("p"), stride("ld")
	loop := label("loop")
	Label(loop)
	for d := 0; d < nv*w*4; d += 64 {
		PREFETCHT0(Mem{Base: p, Disp: d})
	}
	PREFETCHT0(Mem{Base: p, Disp: nv*w*4 - 4})
	ADDQ(ld, p)
	DECQ(rows)
	JNZ(LabelRef(loop))
	RET()
}

// genPeak writes a loop of independent multiply-adds.
func genPeak() {
	count := 12
	if w == 16 {
		count = 24
	}
	function("peak", "func(n int)", fmt.Sprintf("does n rounds of %d vector multiply-adds.", 2*count))
	n := arg("n")
	acc, x := zeros(count), zeros(2)
	loop := label("loop")
	Label(loop)
	for r := 0; r < 2; r++ {
		for i := range acc {
			fma(x[0], x[1], acc[i])
		}
	}
	DECQ(n)
	JNZ(LabelRef(loop))
	end()
}

func genPause() {
	TEXT("pauseSpin", NOSPLIT, "func()")
	Doc("pauseSpin tells the processor that this is a spin loop.")
	PAUSE()
	RET()
}
