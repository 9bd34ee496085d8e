package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// genAttention writes the kernels of attention. Each does a whole block of
// queries by keys in one call: a head of a short sequence is a handful of them.
func genAttention(mr int) {
	genStrided(mr)
	genTransposeRows()
	genAttentionSoftmax()
	genAttentionGrad()

	function("rowDots", "func(rows, n int, x *float32, ldx int, y *float32, ldy int, out *float32)", "is out[i] = Σ_j x[i][j]·y[i][j].")
	n, x, y, out := arg("n"), arg("x"), arg("y"), arg("out")
	eachRow(func() {
		acc := zeros(2)
		each(n, 2, func(i at) { fma(i.load(x), i.load(y), acc[i.lane]) })
		VMOVSS(lane0(sumLanes(sumVecs(acc))), Mem{Base: out})
	}, []Register{x, y}, []string{"ldx", "ldy"}, []Register{out})

	function("scaleRows", "func(rows, n int, c *float32, ldc int, factor *float32)", "is c[i][j] *= factor[i].")
	n, c, factor := arg("n"), arg("c"), arg("factor")
	eachRow(func() {
		f := broadcast(Mem{Base: factor})
		each(n, 2, func(i at) { i.store(mul(f, i.load(c)), c) })
	}, []Register{c}, []string{"ldc"}, []Register{factor})
}

// eachRow runs body for each of the rows that the argument of that name counts.
// After each, the matrices advance by the named leading dimensions and the
// vectors by one float.
func eachRow(body func(), matrices []Register, lds []string, vectors []Register) {
	rows := arg("rows")
	loop := label("row")
	Label(loop)
	body()
	for i, m := range matrices {
		ADDQ(stride(lds[i]), m)
	}
	for _, v := range vectors {
		ADDQ(Imm(4), v)
	}
	DECQ(rows)
	JNZ(LabelRef(loop))
	end()
}

// local reserves a word of the frame.
func local() Mem { return AllocLocal(8) }

// genStrided writes a product of small matrices whose left operand lies at any
// strides, so that it may be a transpose, and whose right operand is either in
// panels or in place. An element of C is one chain of fused multiply-adds, or
// two where only one vector of columns is left, so its bits depend on its
// column and on k alone.
func genStrided(mr int) {
	nr := 2 * w
	function("strided", "func(m, n, k int, a *float32, rowA, colA int, b *float32, rowB, panelB int, c *float32, ldc int, accumulate int)",
		fmt.Sprintf("is c[i][j] (+)= Σ_l a[i·rowA+l·colA]·b[j/%d·panelB+l·rowB+j%%%d]; m, n and k are at least 1.", nr, nr))
	// Where the columns at hand begin.
	left, bAt, cAt, rows := local(), local(), local(), local()
	move := func(from Op, to Op) { r := GP64(); MOVQ(from, r); MOVQ(r, to) }
	param := func(name string) Mem {
		m, err := Param(name).Resolve()
		if err != nil {
			panic(err)
		}
		return m.Addr
	}
	move(param("n"), left)
	move(param("b"), bAt)
	move(param("c"), cAt)
	rowA, colA := stride("rowA"), stride("colA")
	acc := newVecs(2 * mr)

	panel, narrow, done := label("panel"), label("narrow"), label("done")
	// strips runs over the rows of C: strips of mr, the last two of equal height.
	strips := func(nv int) {
		as, cs := arg("a"), GP64()
		MOVQ(cAt, cs)
		move(param("m"), rows)
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
		for s := mr; s >= 1; s-- {
			bodies = append(bodies, label(fmt.Sprintf("rows%dby%d", s, nv)))
			if s > 1 {
				CMPQ(size, Imm(uint64(s)))
				JEQ(LabelRef(bodies[mr-s]))
			}
		}
		for s := 1; s <= mr; s++ {
			Label(bodies[mr-s])
			genStrip(s, nv, acc, left, bAt, rowA, colA, as, cs)
			CMPQ(rows, Imm(0))
			JNE(LabelRef(next))
			JMP(LabelRef(finished))
		}
		Label(finished)
	}
	Label(panel)
	t := GP64()
	MOVQ(left, t)
	CMPQ(t, Imm(uint64(nr)))
	JLT(LabelRef(narrow))
	strips(2)
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
	strips(1)
	advance(w, Imm(uint64(w*4)))
	MOVQ(left, t)
	JMP(LabelRef(narrow))
	Label(done)
	end()
}

// genStrip computes rows×(nv·w) elements of C at cs from the rows at as and moves
// both on. One vector of columns is summed in two chains, or the multiply-adds
// would wait for each other.
func genStrip(rows, nv int, acc []vec, left, bAt Mem, rowA, colA, as, cs Register) {
	bases := []Register{GP64()}
	MOVQ(as, bases[0])
	rowA3 := GP64()
	LEAQ(Mem{Base: rowA, Index: rowA, Scale: 2}, rowA3)
	for r := 3; r < rows; r += 3 {
		base := GP64()
		LEAQ(Mem{Base: bases[len(bases)-1], Index: rowA3, Scale: 1}, base)
		bases = append(bases, base)
	}
	b, rowB, rounds := GP64(), stride("rowB"), arg("k")
	MOVQ(bAt, b)
	for _, v := range acc[:rows*2] {
		zero(v)
	}
	step := func(chain int) {
		bv := make([]vec, nv)
		for j := range bv {
			bv[j] = load(Mem{Base: b, Disp: j * w * 4})
		}
		ADDQ(rowB, b)
		for i := range rows {
			m := Mem{Base: bases[i/3]}
			if i%3 > 0 {
				m.Index, m.Scale = rowA, uint8(i%3)
			}
			av := broadcast(m)
			for j := range bv {
				fma(av, bv[j], acc[i*2+j+chain])
			}
		}
		for _, base := range bases {
			ADDQ(colA, base)
		}
	}
	loop, odd, store := label("loop"), label("odd"), label("store")
	const unroll = 4
	SHRQ(Imm(2), rounds)
	JZ(LabelRef(odd))
	Label(loop)
	for range unroll / 2 {
		step(0)
		step(2 - nv)
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
	if nv == 1 {
		for i := range rows {
			VADDPS(acc[i*2+1], acc[i*2], acc[i*2])
		}
	}
	ldc := stride("ldc")
	accumulate := arg("accumulate")
	write := func(whole at) {
		fresh, done := label("fresh"), label("done")
		TESTQ(accumulate, accumulate)
		JZ(LabelRef(fresh))
		row := GP64()
		MOVQ(cs, row)
		for i := range rows {
			for j := range nv {
				a := whole
				a.disp = j * w * 4
				VADDPS(a.load(row), acc[i*2+j], acc[i*2+j])
			}
			if i < rows-1 {
				ADDQ(ldc, row)
			}
		}
		Label(fresh)
		for i := range rows {
			for j := range nv {
				a := whole
				a.disp = j * w * 4
				a.store(acc[i*2+j], cs)
			}
			ADDQ(ldc, cs)
		}
		Label(done)
	}
	if nv == 1 {
		whole, written := label("whole"), label("written")
		columns := GP64()
		MOVQ(left, columns)
		CMPQ(columns, Imm(uint64(w)))
		JGE(LabelRef(whole))
		SHLQ(Imm(2), columns)
		write(at{tail: true, mask: tailMask(columns)})
		JMP(LabelRef(written))
		Label(whole)
		write(at{})
		Label(written)
	} else {
		write(at{})
	}
	t := GP64()
	IMUL3Q(Imm(uint64(rows)), rowA, t)
	ADDQ(t, as)
}

// genTransposeRows writes the transpose that puts the rows of keys into panels.
func genTransposeRows() {
	nr := 2 * w
	function("transposeRows", "func(n, k int, src *float32, ld int, dst *float32)",
		fmt.Sprintf("packs n rows of k ≥ 8 floats as columns of panels [n/%d][k][%d]; what the last panel has beyond n is undefined.", nr, nr))
	n, src := arg("n"), arg("src")
	done8 := local() // rows before the ones at hand
	{
		z := GP64()
		XORQ(z, z)
		MOVQ(z, done8)
	}
	rows := label("rows")
	Label(rows)
	// Eight rows; past the end, the last one again.
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
	// Where they go: panel done8/nr, column done8%nr.
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
		var r [2][4]VecVirtual
		for h := range r {
			for i := range r[h] {
				r[h][i] = YMM()
				VMOVUPS(Mem{Base: p[i], Index: l, Scale: 4, Disp: h * 16}, r[h][i].AsX())
				VINSERTF128(Imm(1), Mem{Base: p[i+4], Index: l, Scale: 4, Disp: h * 16}, r[h][i], r[h][i])
			}
		}
		for h := range r {
			u, o := [4]VecVirtual{YMM(), YMM(), YMM(), YMM()}, [4]VecVirtual{YMM(), YMM(), YMM(), YMM()}
			VUNPCKLPS(r[h][1], r[h][0], u[0])
			VUNPCKHPS(r[h][1], r[h][0], u[1])
			VUNPCKLPS(r[h][3], r[h][2], u[2])
			VUNPCKHPS(r[h][3], r[h][2], u[3])
			VUNPCKLPD(u[2], u[0], o[0])
			VUNPCKHPD(u[2], u[0], o[1])
			VUNPCKLPD(u[3], u[1], o[2])
			VUNPCKHPD(u[3], u[1], o[3])
			for i := range o {
				VMOVUPS(o[i], Mem{Base: to, Disp: (h*4 + i) * nr * 4})
			}
		}
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
	// Fewer than 8 are left: step back, over some that are done.
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

// padded stores v whole: rows of scores have room for whole vectors.
func (a at) padded(v vec, p Register) { VMOVUPS(v, a.mem(p)) }

// keysSeen returns how many of the n keys at hand row sees, at least 0: the
// argument seen counts those of the first row, and each row sees seenStep more.
// The row counter is advanced.
func keysSeen(row Mem) Register {
	c, n := GP64(), arg("n")
	MOVQ(row, c)
	CMPQ(c, n)
	CMOVQGT(n, c)
	step := arg("seenStep")
	ADDQ(step, row)
	return c
}

func startSeen() Mem {
	m, t := local(), arg("seen")
	MOVQ(t, m)
	return m
}

// zeroFrom clears the vectors of p after the first c floats, up to n.
func zeroFrom(c Register, ps ...Register) {
	n, i := arg("n"), GP64()
	LEAQ(Mem{Base: c, Disp: w - 1}, i)
	ANDQ(I32(int32(-w)), i)
	loop, done := label("clear"), label("cleared")
	z := zero(newVec())
	Label(loop)
	CMPQ(i, n)
	JGE(LabelRef(done))
	for _, p := range ps {
		VMOVUPS(z, Mem{Base: p, Index: i, Scale: 4})
	}
	ADDQ(Imm(uint64(w)), i)
	JMP(LabelRef(loop))
	Label(done)
}

// genAttentionSoftmax writes the softmax of a block of scores, as it is done for
// one block of keys after the other (Milakov and Gimelshein, arXiv:1805.02867).
func genAttentionSoftmax() {
	function("attentionSoftmax", "func(rows, n int, s *float32, ld int, scale float32, bias *float32, ldbias int, seen, seenStep int, peak, sum, keep *float32, first int)",
		"is s = exp(x - peak) row by row with x = scale·s + bias (nil: none), 0 for keys that a row does not see. "+
			"peak and sum are those of x and its exponentials over all blocks of keys so far, of which this is the first or a later one; "+
			"keep is what sums of earlier blocks are to be multiplied by.")
	s, bias, peak, sum, keep := arg("s"), arg("bias"), arg("peak"), arg("sum"), arg("keep")
	seen := startSeen()
	scale := scalar("scale")
	plain, biased := label("plain"), label("biased")
	TESTQ(bias, bias)
	JNZ(LabelRef(biased))
	Label(plain)
	for _, with := range []bool{false, true} {
		if with {
			Label(biased)
		}
		matrices, lds := []Register{s}, []string{"ld"}
		x := func(i at) vec { return mul(scale, i.load(s)) }
		if with {
			matrices, lds = append(matrices, bias), append(lds, "ldbias")
			x = func(i at) vec {
				v := i.load(s)
				VFMADD213PS(i.load(bias), scale, v)
				return v
			}
		}
		eachRow(func() {
			c := keysSeen(seen)
			some, none, next := label("some"), label("none"), label("next")
			CMPQ(c, Imm(0))
			JGT(LabelRef(some))
			Label(none)
			XORQ(c, c)
			one := load(constant(1))
			VMOVSS(one.AsX(), Mem{Base: keep})
			JMP(LabelRef(next))
			Label(some)
			most := []vec{load(constant(math.Inf(-1))), load(constant(math.Inf(-1)))}
			each(c, 2, func(i at) { i.maximum(x(i), most[i.lane]) })
			VMAXPS(most[1], most[0], most[0])
			top := lane0(reduce(most[0], func(a, b, d Op) { VMAXPS(a, b, d) }))
			shift := broadcast(top)
			acc := zeros(2)
			first, again, have := arg("first"), label("again"), label("have")
			TESTQ(first, first)
			JZ(LabelRef(again))
			before := zero(newVec())
			JMP(LabelRef(have))
			Label(again)
			old := broadcast(Mem{Base: peak})
			VMAXPS(old, shift, shift)
			factor := exp(sub(old, shift))
			VMOVSS(lane0(factor), Mem{Base: keep})
			VMULSS(Mem{Base: sum}, lane0(factor), lane0(before))
			Label(have)
			VMOVSS(lane0(shift), Mem{Base: peak})
			eachTogether(c, 2, func(is []at) {
				v := make([]vec, len(is))
				for l, i := range is {
					if with {
						v[l] = sub(x(i), shift)
					} else {
						v[l] = i.load(s)
						VFMSUB213PS(shift, scale, v[l])
					}
				}
				e := exps(v)
				for l, i := range is {
					e := i.keep(e[l])
					VADDPS(e, acc[i.lane], acc[i.lane])
					i.padded(e, s)
				}
			})
			total := lane0(sumLanes(sumVecs(acc)))
			VADDSS(lane0(before), total, total)
			VMOVSS(total, Mem{Base: sum})
			Label(next)
			zeroFrom(c, s)
		}, matrices, lds, []Register{peak, sum, keep})
	}
}

// genAttentionGrad writes the gradient of the softmax of a block of scores.
func genAttentionGrad() {
	function("attentionGrad", "func(rows, n int, s, dp *float32, ld int, scale float32, bias *float32, ldbias int, dbias *float32, lddbias int, seen, seenStep int, peak, inverse, delta *float32)",
		"is, row by row, s = p = exp(scale·s + bias - peak)·inverse and dp = scale·p·(dp - delta), both 0 for keys that a row does not see. "+
			"bias may be nil; so may dbias, to which p·(dp - delta) is added.")
	s, dp, bias, dbias := arg("s"), arg("dp"), arg("bias"), arg("dbias")
	peak, inverse, delta := arg("peak"), arg("inverse"), arg("delta")
	seen := startSeen()
	scale := scalar("scale")
	biased, learned := label("biased"), label("learned")
	TESTQ(dbias, dbias)
	JNZ(LabelRef(learned))
	TESTQ(bias, bias)
	JNZ(LabelRef(biased))
	for variant := range 3 {
		matrices, lds := []Register{s, dp}, []string{"ld", "ld"}
		switch variant {
		case 1:
			Label(biased)
			matrices, lds = append(matrices, bias), append(lds, "ldbias")
		case 2:
			Label(learned)
			matrices, lds = append(matrices, bias, dbias), append(lds, "ldbias", "lddbias")
		}
		eachRow(func() {
			c := keysSeen(seen)
			some, none := label("some"), label("none")
			CMPQ(c, Imm(0))
			JGT(LabelRef(some))
			XORQ(c, c)
			JMP(LabelRef(none))
			Label(some)
			shift, inv, d := broadcast(Mem{Base: peak}), broadcast(Mem{Base: inverse}), broadcast(Mem{Base: delta})
			eachTogether(c, 2, func(is []at) {
				v := make([]vec, len(is))
				for l, i := range is {
					v[l] = i.load(s)
					if variant > 0 {
						VFMADD213PS(i.load(bias), scale, v[l])
						VSUBPS(shift, v[l], v[l])
					} else {
						VFMSUB213PS(shift, scale, v[l])
					}
				}
				e := exps(v)
				for l, i := range is {
					p := i.keep(mul(inv, e[l]))
					i.padded(p, s)
					g := mul(p, sub(i.load(dp), d))
					if variant == 2 {
						i.store(add(g, i.load(dbias)), dbias)
					}
					i.padded(mul(scale, g), dp)
				}
			})
			Label(none)
			zeroFrom(c, s, dp)
		}, matrices, lds, []Register{peak, inverse, delta})
	}
}
