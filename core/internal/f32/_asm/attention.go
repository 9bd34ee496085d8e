package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// genAttention writes the kernels of attention. Each does a whole block of queries by keys in one
// call: a head of a short sequence is a handful of calls.
func genAttention(mr int) {
	genStrided(mr)
	genTransposeRows()
	genAttentionSoftmax()
	genAttentionGrad()

	function("rowDots", "func(rows, n int, x *float32, ldx int, y *float32, ldy int, out *float32)", "is out[i] = Σ_j x[i*ldx+j]*y[i*ldy+j] for i < rows and j < n.")
	n, x, y, out := arg("n"), arg("x"), arg("y"), arg("out")
	eachRow(func() {
		acc := zeros(2)
		each(n, 2, func(i at) { fma(i.load(x), i.load(y), acc[i.lane]) })
		VMOVSS(lane0(sumLanes(sumVecs(acc))), Mem{Base: out})
	}, []Register{x, y}, []string{"ldx", "ldy"}, []Register{out})

	function("scaleRows", "func(rows, n int, c *float32, ldc int, factor *float32)", "is c[i*ldc+j] *= factor[i] for i < rows and j < n.")
	n, c, factor := arg("n"), arg("c"), arg("factor")
	eachRow(func() {
		f := broadcast(Mem{Base: factor})
		each(n, 2, func(i at) { i.store(mul(f, i.load(c)), c) })
	}, []Register{c}, []string{"ldc"}, []Register{factor})
}

// eachRow runs body for each row, of which the argument rows holds the number. After each, the
// matrices advance by the named leading dimensions and the vectors by one float.
func eachRow(body func(), matrices []Register, lds []string, vectors []Register) {
	countdown("row", arg("rows"), func() {
		body()
		for i, m := range matrices {
			ADDQ(stride(lds[i]), m)
		}
		for _, v := range vectors {
			ADDQ(Imm(4), v)
		}
	})
	end()
}

// local reserves a word of the frame.
func local() Mem { return AllocLocal(8) }

// strip is the part of a strided product that computes rows×(nv·w) elements of C at cs from the
// rows at as, and advances both.
type strip struct {
	rows, nv           int
	acc                []vec // 2 per row
	left, bAt          Mem   // columns from the current ones on, and the first of them in B
	rowA, colA, as, cs Register
}

// genStrided writes a product of small matrices. The left operand has any strides, so that it may
// be a transpose; the right operand is in panels or in place. An element of C is one chain of fused
// multiply-adds, or two where only one vector of columns is left, so its bits depend on its column
// and on k alone.
func genStrided(mr int) {
	nr := 2 * w
	function("strided", "func(m, n, k int, a *float32, rowA, colA int, b *float32, rowB, panelB int, c *float32, ldc int, accumulate int)",
		fmt.Sprintf("is c[i*ldc+j] (+)= Σ_l a[i*rowA+l*colA]*b[j/%[1]d*panelB+l*rowB+j%%%[1]d] for i < m, j < n and l < k; m, n and k are at least 1.", nr))
	left, bAt, cAt, rows := local(), local(), local(), local()
	copyWord(param("n"), left)
	copyWord(param("b"), bAt)
	copyWord(param("c"), cAt)
	rowA, colA := stride("rowA"), stride("colA")
	s := strip{acc: newVecs(2 * mr), left: left, bAt: bAt, rowA: rowA, colA: colA}

	panel, narrow, done := label("panel"), label("narrow"), label("done")
	Label(panel)
	t := GP64()
	MOVQ(left, t)
	CMPQ(t, Imm(uint64(nr)))
	JLT(LabelRef(narrow))
	s.nv = 2
	genStrips(mr, s, rows, cAt)
	advance := func(columns int, by Op) {
		t := GP64()
		MOVQ(bAt, t)
		ADDQ(by, t)
		MOVQ(t, bAt)
		ADDQ(Imm(uint64(columns*4)), cAt)
		SUBQ(Imm(uint64(columns)), left)
	}
	advance(nr, stride("panelB"))
	JMP(LabelRef(panel))
	Label(narrow)
	TESTQ(t, t)
	JLE(LabelRef(done))
	s.nv = 1
	genStrips(mr, s, rows, cAt)
	advance(w, Imm(uint64(w*4)))
	MOVQ(left, t)
	JMP(LabelRef(narrow))
	Label(done)
	end()
}

// copyWord copies 8 bytes.
func copyWord(from, to Op) { r := GP64(); MOVQ(from, r); MOVQ(r, to) }

// genStrips writes s for all rows of C, from cAt on: strips of mr, the last two of equal height.
// rows counts the rows left.
func genStrips(mr int, s strip, rows, cAt Mem) {
	s.as, s.cs = arg("a"), GP64()
	MOVQ(cAt, s.cs)
	copyWord(param("m"), rows)
	next, finished := label("strip"), label("finished")
	Label(next)
	m, size, half := GP64(), GP64(), GP64()
	MOVQ(rows, m)
	MOVQ(m, size)
	LEAQ(Mem{Base: m, Disp: 1}, half)
	SHRQ(Imm(1), half)
	CMPQ(m, Imm(uint64(mr)))
	CMOVQGT(half, size)
	most := GP64()
	MOVQ(I32(int32(mr)), most)
	CMPQ(m, Imm(uint64(2*mr)))
	CMOVQGE(most, size)
	SUBQ(size, rows)
	var bodies []string
	for height := mr; height >= 1; height-- {
		bodies = append(bodies, label(fmt.Sprintf("rows%dby%d", height, s.nv)))
		if height > 1 {
			CMPQ(size, Imm(uint64(height)))
			JEQ(LabelRef(bodies[mr-height]))
		}
	}
	for s.rows = 1; s.rows <= mr; s.rows++ {
		Label(bodies[mr-s.rows])
		s.gen()
		CMPQ(rows, Imm(0))
		JNE(LabelRef(next))
		JMP(LabelRef(finished))
	}
	Label(finished)
}

// gen writes the strip. One vector of columns is summed in two chains, or the multiply-adds would
// wait for each other.
func (s *strip) gen() {
	bases := []Register{GP64()}
	MOVQ(s.as, bases[0])
	rowA3 := GP64()
	LEAQ(Mem{Base: s.rowA, Index: s.rowA, Scale: 2}, rowA3)
	for r := 3; r < s.rows; r += 3 {
		base := GP64()
		LEAQ(Mem{Base: bases[len(bases)-1], Index: rowA3, Scale: 1}, base)
		bases = append(bases, base)
	}
	b, rowB, rounds := GP64(), stride("rowB"), arg("k")
	MOVQ(s.bAt, b)
	for _, v := range s.acc[:s.rows*2] {
		zero(v)
	}
	step := func(chain int) {
		bv := make([]vec, s.nv)
		for j := range bv {
			bv[j] = load(Mem{Base: b, Disp: j * w * 4})
		}
		ADDQ(rowB, b)
		for i := range s.rows {
			m := Mem{Base: bases[i/3]}
			if i%3 > 0 {
				m.Index, m.Scale = s.rowA, uint8(i%3)
			}
			av := broadcast(m)
			for j := range bv {
				fma(av, bv[j], s.acc[i*2+j+chain])
			}
		}
		for _, base := range bases {
			ADDQ(s.colA, base)
		}
	}
	loop, odd, store := label("loop"), label("odd"), label("store")
	const unroll = 4
	SHRQ(Imm(2), rounds)
	JZ(LabelRef(odd))
	Label(loop)
	for range unroll / 2 {
		step(0)
		step(2 - s.nv)
	}
	DECQ(rounds)
	JNZ(LabelRef(loop))
	Label(odd)
	k, single := arg("k"), label("single")
	ANDQ(I32(unroll-1), k)
	JZ(LabelRef(store))
	Label(single)
	step(0)
	DECQ(k)
	JNZ(LabelRef(single))
	Label(store)
	s.store()
	t := GP64()
	IMUL3Q(Imm(uint64(s.rows)), s.rowA, t)
	ADDQ(t, s.as)
}

// store writes the sums to C, the last vector of columns masked.
func (s *strip) store() {
	if s.nv == 1 {
		for i := range s.rows {
			VADDPS(s.acc[i*2+1], s.acc[i*2], s.acc[i*2])
		}
	}
	ldc := stride("ldc")
	accumulate := arg("accumulate")
	if s.nv > 1 {
		s.write(at{}, ldc, accumulate)
		return
	}
	whole, written := label("whole"), label("written")
	columns := GP64()
	MOVQ(s.left, columns)
	CMPQ(columns, Imm(uint64(w)))
	JGE(LabelRef(whole))
	SHLQ(Imm(2), columns)
	s.write(at{tail: true, mask: tailMask(columns)}, ldc, accumulate)
	JMP(LabelRef(written))
	Label(whole)
	s.write(at{}, ldc, accumulate)
	Label(written)
}

// write adds the rows of C to the sums if accumulate is set, stores them and advances cs.
func (s *strip) write(a at, ldc, accumulate Register) {
	fresh, done := label("fresh"), label("done")
	TESTQ(accumulate, accumulate)
	JZ(LabelRef(fresh))
	row := GP64()
	MOVQ(s.cs, row)
	for i := range s.rows {
		for j := range s.nv {
			a.disp = j * w * 4
			VADDPS(a.load(row), s.acc[i*2+j], s.acc[i*2+j])
		}
		if i < s.rows-1 {
			ADDQ(ldc, row)
		}
	}
	Label(fresh)
	for i := range s.rows {
		for j := range s.nv {
			a.disp = j * w * 4
			a.store(s.acc[i*2+j], s.cs)
		}
		ADDQ(ldc, s.cs)
	}
	Label(done)
}

// genTransposeRows writes the transpose that puts the rows of keys into panels.
func genTransposeRows() {
	nr := 2 * w
	function("transposeRows", "func(n, k int, src *float32, ld int, dst *float32)",
		fmt.Sprintf("is dst[i/%[1]d*k*%[1]d+l*%[1]d+i%%%[1]d] = src[i*ld+l] for i < n and l < k; k is at least 8, columns of the last panel beyond n are undefined.", nr))
	n, src := arg("n"), arg("src")
	done8 := local() // rows before the current ones
	{
		z := GP64()
		XORQ(z, z)
		MOVQ(z, done8)
	}
	rows := label("rows")
	Label(rows)
	// Eight rows; beyond the end, the last one again.
	var p [8]Register
	p[0] = GP64()
	MOVQ(src, p[0])
	ld := stride("ld")
	for i := 1; i < 8; i++ {
		p[i] = GP64()
		t := GP64()
		MOVQ(p[i-1], p[i])
		LEAQ(Mem{Base: p[i-1], Index: ld, Scale: 1}, t)
		CMPQ(n, Imm(uint64(i)))
		CMOVQGT(t, p[i])
	}
	// Their destination: panel done8/nr, column done8%nr.
	to, t := GP64(), GP64()
	MOVQ(done8, t)
	MOVQ(t, to)
	ANDQ(I32(int32(nr-1)), t)
	SUBQ(t, to)
	k := arg("k")
	IMULQ(k, to)
	ADDQ(t, to)
	SHLQ(Imm(2), to)
	dst := arg("dst")
	ADDQ(dst, to)
	block := func(l Register) {
		r := load8x8(func(i, disp int) Mem { return Mem{Base: p[i], Index: l, Scale: 4, Disp: disp} })
		r.storeColumns(func(l int) Mem { return Mem{Base: to, Disp: l * nr * 4} })
	}
	l := GP64()
	XORQ(l, l)
	blocks, last := label("blocks"), label("last")
	Label(blocks)
	block(l)
	ADDQ(Imm(8), l)
	ADDQ(I32(int32(8*nr*4)), to)
	rest := GP64()
	MOVQ(k, rest)
	SUBQ(l, rest)
	JLE(LabelRef(last))
	CMPQ(rest, Imm(8))
	JGE(LabelRef(blocks))
	// Fewer than 8 are left: step back and repeat some.
	SUBQ(Imm(8), rest)
	ADDQ(rest, l)
	IMUL3Q(Imm(uint64(nr*4)), rest, rest)
	ADDQ(rest, to)
	JMP(LabelRef(blocks))
	Label(last)
	ld = stride("ld")
	LEAQ(Mem{Base: src, Index: ld, Scale: 8}, src)
	ADDQ(Imm(8), done8)
	SUBQ(Imm(8), n)
	JG(LabelRef(rows))
	end()
}
