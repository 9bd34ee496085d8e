package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// packFunction starts a kernel that packs n ≤ width columns.
func packFunction(width int) (k, n, src, ld, dst Register) {
	function(fmt.Sprintf("packCopy%dx", width), "func(k, n int, src *float32, ld int, dst *float32)",
		fmt.Sprintf("is dst[l*%[1]d+r] = src[l*ld+r] for l < k and r < n, 0 for n ≤ r < %[1]d.", width))
	return arg("k"), arg("n"), arg("src"), stride("ld"), arg("dst")
}

// packLoop runs body for each of the k rows and prefetches the row sixteen rows ahead.
func packLoop(k, src, ld, dst Register, width int, body func()) {
	ahead := GP64()
	MOVQ(ld, ahead)
	SHLQ(Imm(4), ahead)
	countdown("loop", k, func() {
		for d := 0; d < width*4; d += 64 {
			PREFETCHT0(Mem{Base: src, Index: ahead, Scale: 1, Disp: d})
		}
		body()
		ADDQ(ld, src)
		ADDQ(Imm(uint64(width*4)), dst)
	})
}

// copyWide copies two vectors side by side.
func copyWide(src, dst Register, low, high at) {
	high.disp = w * 4
	a, b := low.load(src), high.load(src)
	VMOVUPS(a, Mem{Base: dst})
	VMOVUPS(b, Mem{Base: dst, Disp: w * 4})
}

// genPackCopy16 writes the AVX-512 copies of narrow ≤ 16 and wide = 32 columns.
func genPackCopy16(narrow, wide int) {
	k, n, src, ld, dst := packFunction(narrow)
	SHLQ(Imm(2), n)
	from := tailMask(n)
	width := GP64()
	MOVQ(I32(int32(narrow*4)), width)
	to := tailMask(width)
	packLoop(k, src, ld, dst, narrow, func() {
		v := newVec()
		VMOVUPS_Z(Mem{Base: src}, from, v)
		VMOVUPS(v, to, Mem{Base: dst})
	})
	end()

	k, n, src, ld, dst = packFunction(wide)
	ones := GP64()
	MOVQ(I32(-1), ones)
	BZHIQ(n, ones, ones)
	low, high := K(), K()
	KMOVW(ones.As32(), low)
	SHRQ(Imm(16), ones)
	ANDQ(I32(0xffff), ones)
	KMOVW(ones.As32(), high)
	packLoop(k, src, ld, dst, wide, func() { copyWide(src, dst, at{tail: true, mask: low}, at{tail: true, mask: high}) })
	end()
}

// genPackCopy8 writes the AVX2 copies of narrow = 6 and wide = 16 columns.
func genPackCopy8(narrow, wide int) {
	k, n, src, ld, dst := packFunction(narrow)
	SHLQ(Imm(2), n)
	mask := tailMask(n)
	packLoop(k, src, ld, dst, narrow, func() {
		v, x := newVec(), XMM()
		VMASKMOVPS(Mem{Base: src}, mask, v)
		VEXTRACTF128(Imm(1), v, x)
		VMOVUPS(v.AsX(), Mem{Base: dst})
		VMOVSD(x, Mem{Base: dst, Disp: 16})
	})
	end()

	k, n, src, ld, dst = packFunction(wide)
	// Bytes in the low and the high half, each at most 32.
	low, high, most := GP64(), GP64(), GP64()
	MOVQ(I32(32), most)
	SHLQ(Imm(2), n)
	MOVQ(n, low)
	CMPQ(low, most)
	CMOVQGT(most, low)
	MOVQ(n, high)
	SUBQ(low, high)
	lowMask, highMask := tailMask(low), tailMask(high)
	packLoop(k, src, ld, dst, wide, func() { copyWide(src, dst, at{tail: true, mask: lowMask}, at{tail: true, mask: highMask}) })
	end()
}

// genPackRows writes the copies of rows into several whole panels of width columns. The loop over
// rows is outside, that over panels inside, so that memory is read in order: rows at a distance of
// a power of two share one set of the first-level cache, and would leave it before the next panel
// reaches the same line.
func genPackRows(width int, body func(src, dst Register)) {
	function(fmt.Sprintf("packRows%dx", width), "func(rows, panels int, src *float32, ld int, dst *float32, panelStride int)",
		fmt.Sprintf("is dst[p*panelStride+l*%[1]d+r] = src[l*ld+p*%[1]d+r] for l < rows, p < panels and r < %[1]d.", width))
	rows, panels, src, ld, dst, panelStride := arg("rows"), arg("panels"), arg("src"), stride("ld"), arg("dst"), stride("panelStride")
	// Four rows ahead: in the worst case the lines of all rows in between share a set of the
	// first-level cache, which holds eight.
	from, to, left, ahead := GP64(), GP64(), GP64(), GP64()
	MOVQ(ld, ahead)
	SHLQ(Imm(2), ahead)
	countdown("row", rows, func() {
		MOVQ(src, from)
		MOVQ(dst, to)
		MOVQ(panels, left)
		countdown("panel", left, func() {
			for d := 0; d < width*4; d += 64 {
				PREFETCHT0(Mem{Base: from, Index: ahead, Scale: 1, Disp: d})
			}
			body(from, to)
			ADDQ(Imm(uint64(width*4)), from)
			ADDQ(panelStride, to)
		})
		ADDQ(ld, src)
		ADDQ(Imm(uint64(width*4)), dst)
	})
	end()
}

// genPackRows16 writes the AVX-512 copies of rows, genPackRows8 those of AVX2.
func genPackRows16(narrow, wide int) {
	genPackRows(narrow, func(src, dst Register) {
		x, y := YMM(), YMM()
		VMOVUPS(Mem{Base: src}, x)
		VMOVUPS(Mem{Base: src, Disp: narrow*4 - 32}, y)
		VMOVUPS(x, Mem{Base: dst})
		VMOVUPS(y, Mem{Base: dst, Disp: narrow*4 - 32})
	})
	genPackRows(wide, func(src, dst Register) { copyWide(src, dst, at{}, at{}) })
}

func genPackRows8(narrow, wide int) {
	genPackRows(narrow, func(src, dst Register) {
		x, q := XMM(), GP64()
		VMOVUPS(Mem{Base: src}, x)
		MOVQ(Mem{Base: src, Disp: 16}, q)
		VMOVUPS(x, Mem{Base: dst})
		MOVQ(q, Mem{Base: dst, Disp: 16})
	})
	genPackRows(wide, func(src, dst Register) { copyWide(src, dst, at{}, at{}) })
}

// block8x8 is a block of 8×8 floats: [h][i] holds columns 4h..4h+3 of rows i and i+4.
type block8x8 [2][4]VecVirtual

// load8x8 loads a block; from is the address of row i at a displacement.
func load8x8(from func(i, disp int) Mem) (r block8x8) {
	for h := range r {
		for i := range r[h] {
			r[h][i] = YMM()
			VMOVUPS(from(i, h*16), r[h][i].AsX())
			VINSERTF128(Imm(1), from(i+4, h*16), r[h][i], r[h][i])
		}
	}
	return r
}

// storeColumns writes column l of the block to the address to(l).
func (r block8x8) storeColumns(to func(l int) Mem) {
	for h := range r {
		for i, o := range transpose4(r[h][:]) {
			VMOVUPS(o, to(h*4+i))
		}
	}
}

// transpose4 transposes the 4×4 blocks in both halves of four rows.
func transpose4(r []VecVirtual) []VecVirtual {
	t, o := []VecVirtual{YMM(), YMM(), YMM(), YMM()}, []VecVirtual{YMM(), YMM(), YMM(), YMM()}
	for i := range 2 {
		VUNPCKLPS(r[2*i+1], r[2*i], t[2*i])
		VUNPCKHPS(r[2*i+1], r[2*i], t[2*i+1])
	}
	for i := range 2 {
		VUNPCKLPD(t[i+2], t[i], o[2*i])
		VUNPCKHPD(t[i+2], t[i], o[2*i+1])
	}
	return o
}

// genTranspose writes the 8×8 transpose of the packing routines.
func genTranspose() {
	function("transpose8x", "func(blocks int, src *float32, ld int, dst *float32, width int)",
		"is dst[l*width+r] = src[r*ld+l] for r < 8 and l < 8*blocks.")
	blocks, src, ld, dst, width := arg("blocks"), arg("src"), stride("ld"), arg("dst"), stride("width")
	src4, ld3, dst4, width3 := GP64(), GP64(), GP64(), GP64()
	LEAQ(Mem{Base: src, Index: ld, Scale: 4}, src4)
	LEAQ(Mem{Base: ld, Index: ld, Scale: 2}, ld3)
	LEAQ(Mem{Base: width, Index: width, Scale: 2}, width3)
	row := func(base, base4, ld, ld3 Register, i, disp int) Mem {
		m := Mem{Base: base, Disp: disp}
		if i >= 4 {
			m.Base = base4
		}
		switch i % 4 {
		case 1, 2:
			m.Index, m.Scale = ld, uint8(i%4)
		case 3:
			m.Index, m.Scale = ld3, 1
		}
		return m
	}
	countdown("loop", blocks, func() {
		r := load8x8(func(i, disp int) Mem { return row(src, src4, ld, ld3, i, disp) })
		LEAQ(Mem{Base: dst, Index: width, Scale: 4}, dst4)
		r.storeColumns(func(l int) Mem { return row(dst, dst4, width, width3, l, 0) })
		ADDQ(Imm(32), src)
		ADDQ(Imm(32), src4)
		LEAQ(Mem{Base: dst, Index: width, Scale: 8}, dst)
	})
	end()
}

// genTranspose6 writes the transpose that makes panels of 6 rows.
func genTranspose6() {
	function("transpose6x", "func(blocks int, src *float32, ld int, dst *float32)",
		"is dst[l*6+r] = src[r*ld+l] for r < 6 and l < 8*blocks.")
	blocks, src, ld, dst := arg("blocks"), arg("src"), stride("ld"), arg("dst")
	src3 := GP64()
	LEAQ(Mem{Base: src, Index: ld, Scale: 2}, src3)
	ADDQ(ld, src3)
	countdown("loop", blocks, func() {
		var r [6]VecVirtual
		for i := range r {
			m := Mem{Base: src}
			if i >= 3 {
				m.Base = src3
			}
			if i%3 > 0 {
				m.Index, m.Scale = ld, uint8(i%3)
			}
			r[i] = load(m)
		}
		// Columns l and l+4 of rows 0 to 3, and columns l, l+1, l+4 and l+5 of rows 4 and 5.
		four, two := transpose4(r[:4]), newVecs(2)
		VUNPCKLPS(r[5], r[4], two[0])
		VUNPCKHPS(r[5], r[4], two[1])
		for half := 0; half < 2; half++ {
			for l := 0; l < 4; l++ {
				at := (half*4 + l) * 24
				x, y := four[l].AsX(), two[l/2].AsX()
				if half == 1 {
					x = XMM()
					VEXTRACTF128(Imm(1), four[l], x)
					if l%2 == 0 {
						VEXTRACTF128(Imm(1), two[l/2], y)
					}
				}
				VMOVUPS(x, Mem{Base: dst, Disp: at})
				if l%2 == 0 {
					VMOVLPS(y, Mem{Base: dst, Disp: at + 16})
				} else {
					VMOVHPS(y, Mem{Base: dst, Disp: at + 16})
				}
			}
		}
		ADDQ(Imm(32), src)
		ADDQ(Imm(32), src3)
		ADDQ(Imm(8*24), dst)
	})
	end()
}
