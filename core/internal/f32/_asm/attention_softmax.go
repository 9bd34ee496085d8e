package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// padded stores all of v: rows of scores are padded to whole vectors.
func (a at) padded(v vec, p Register) { VMOVUPS(v, a.mem(p)) }

// keysSeen returns the number of keys of the block that a row sees, at most n: row, which startSeen
// has set to the argument seen, is advanced by seenStep.
func keysSeen(row Mem) Register {
	c, n := GP64(), arg("n")
	MOVQ(row, c)
	CMPQ(c, n)
	CMOVQGT(n, c)
	step := arg("seenStep")
	ADDQ(step, row)
	return c
}

// startSeen returns a local variable that holds the argument seen.
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

// earlierBlocks raises shift, the peak of a row in this block, to that of the blocks before, if
// there are any. It returns the sum of their exponentials, scaled to shift, and stores the factor
// in keep.
func earlierBlocks(shift vec, peak, sum, keep Register) (before vec) {
	first, again, have := arg("first"), label("again"), label("have")
	TESTQ(first, first)
	JZ(LabelRef(again))
	before = zero(newVec())
	JMP(LabelRef(have))
	Label(again)
	old := broadcast(Mem{Base: peak})
	VMAXPS(old, shift, shift)
	factor := exp(sub(old, shift))
	VMOVSS(lane0(factor), Mem{Base: keep})
	VMULSS(Mem{Base: sum}, lane0(factor), lane0(before))
	Label(have)
	return before
}

// genAttentionSoftmax writes the softmax of a block of scores, one block of keys after the other
// (Milakov and Gimelshein, arXiv:1805.02867).
func genAttentionSoftmax() {
	function("attentionSoftmax", "func(rows, n int, s *float32, ld int, scale float32, bias *float32, ldbias int, seen, seenStep int, peak, sum, keep *float32, first int)",
		"is the online softmax of a block of scores, for i < rows and j < n: with x[j] = scale*s[i*ld+j] + bias[i*ldbias+j] (bias nil: 0) and "+
			"top = max over the first seen+i*seenStep x[j], and peak[i] unless first, it is keep[i] = exp(peak[i] - top); "+
			"s[i*ld+j] = exp(x[j] - top), 0 beyond the keys seen; sum[i] = keep[i]*sum[i] + Σ_j s[i*ld+j]; peak[i] = top.")
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
			before := earlierBlocks(shift, peak, sum, keep)
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
		"is, for i < rows and j < n, s[i*ld+j] = exp(scale*s[i*ld+j] + bias[i*ldbias+j] - peak[i])*inverse[i]; "+
			"g = s[i*ld+j]*(dp[i*ld+j] - delta[i]); dbias[i*lddbias+j] += g; dp[i*ld+j] = scale*g. "+
			"s and dp become 0 beyond the first seen+i*seenStep keys; bias and dbias may be nil.")
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
