package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// pairs runs body over n floats, two vectors at a time; step moves the pointers on after each pair.
// The rest, less than a pair, is masked. n is overwritten.
func pairs(n Register, step func(), body func(disp int, mask Register)) {
	vector := w * 4
	loop, rest, done := label("pairs"), label("rest"), label("done")
	SHLQ(Imm(2), n)
	Label(loop)
	CMPQ(n, I32(int32(2*vector)))
	JLT(LabelRef(rest))
	body(0, nil)
	body(vector, nil)
	step()
	SUBQ(I32(int32(2*vector)), n)
	JMP(LabelRef(loop))
	Label(rest)
	TESTQ(n, n)
	JZ(LabelRef(done))
	first, most := GP64(), GP64()
	MOVQ(I32(int32(vector)), most)
	MOVQ(n, first)
	CMPQ(first, most)
	CMOVQGT(most, first)
	SUBQ(first, n)
	body(0, tailMask(first))
	TESTQ(n, n)
	JZ(LabelRef(done))
	body(vector, tailMask(n))
	Label(done)
}

// read loads a vector, masked unless mask is nil.
func read(m Mem, mask Register) vec {
	v := newVec()
	switch {
	case mask == nil:
		VMOVUPS(m, v)
	case w == 16:
		VMOVUPS_Z(m, mask, v)
	default:
		VMASKMOVPS(m, mask, v)
	}
	return v
}

// operand is m itself, or its masked vector.
func operand(m Mem, mask Register) Op {
	if mask == nil {
		return m
	}
	return read(m, mask)
}

func write(v vec, m Mem, mask Register) {
	switch {
	case mask == nil:
		VMOVUPS(v, m)
	case w == 16:
		VMOVUPS(v, mask, m)
	default:
		VMASKMOVPS(v, mask, m)
	}
}

// fourth addresses stream i < 4 of streams at this distance; third is three times as much.
func fourth(base, distance, third Register, i, disp int) Mem {
	m := Mem{Base: base, Disp: disp}
	switch i {
	case 1, 2:
		m.Index, m.Scale = distance, uint8(i)
	case 3:
		m.Index, m.Scale = third, 1
	}
	return m
}

func times3(r Register) Register {
	t := GP64()
	LEAQ(Mem{Base: r, Index: r, Scale: 2}, t)
	return t
}

// perTile emits body as a loop over the tiles of a run, whose number is the argument.
func perTile(body func()) {
	tile := label("tile")
	left := AllocLocal(8)
	count := arg("tiles")
	MOVQ(count, left)
	Label(tile)
	body()
	DECQ(left)
	JNZ(LabelRef(tile))
	end()
}

// genWinograd writes the transforms of Winograd's F(2×2, 3×3).
func genWinograd(lanes int) {
	genWinogradInput()
	genWinogradOutput(false)
	genWinogradOutput(true)
	genWinogradGrad(lanes)
	genWinogradWeight()
	genWinogradWeightGrad()
}

// genWinogradInput computes Bᵀ·d·B with Bᵀ = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1], row by row,
// so that few values are in registers at a time.
func genWinogradInput() {
	function("winogradInput", "func(tiles, c, pixel int, row0, row1, row2, row3, dst *float32, ld, distance int)",
		"is, for t < tiles, Bᵀ·d·B of c channels of the 4×4 pixels from pixel 2t of each row on, at distances of pixel floats: value p at dst[t*ld+p*distance].")
	var rows [4]Register
	for i := range rows {
		rows[i] = arg(fmt.Sprintf("row%d", i))
	}
	pixel := stride("pixel")
	pixel3 := times3(pixel)
	dst, distance := arg("dst"), stride("distance")
	distance3 := times3(distance)
	first := AllocLocal(8)
	MOVQ(dst, first)
	perTile(func() {
		n := arg("c")
		moved := GP64()
		pairs(n, func() {
			for _, r := range append(rows[:], dst) {
				ADDQ(I32(int32(2*w*4)), r)
			}
		}, func(disp int, mask Register) {
			winogradInputBody(rows, pixel, pixel3, dst, distance, distance3, disp, mask)
		})
		// Two pixels on, less the whole pairs that were walked.
		MOVQ(stride("c"), moved)
		ANDQ(I32(int32(-2*w*4)), moved)
		NEGQ(moved)
		LEAQ(Mem{Base: moved, Index: pixel, Scale: 2}, moved)
		for _, r := range rows {
			ADDQ(moved, r)
		}
		MOVQ(first, dst)
		ld := stride("ld")
		ADDQ(ld, dst)
		MOVQ(dst, first)
	})
}

func winogradInputBody(rows [4]Register, pixel, pixel3, dst, distance, distance3 Register, disp int, mask Register) {
	to := GP64()
	MOVQ(dst, to)
	at := func(r, j int) Mem { return fourth(rows[r], pixel, pixel3, j, disp) }
	put := func(t [4]vec, last bool) {
		for j, v := range []vec{sub(t[0], t[2]), add(t[1], t[2]), sub(t[2], t[1]), sub(t[1], t[3])} {
			write(v, fourth(to, distance, distance3, j, disp), mask)
		}
		if !last {
			LEAQ(Mem{Base: to, Index: distance, Scale: 4}, to)
		}
	}
	var t, u [4]vec
	for j := range t {
		t[j] = sub(read(at(0, j), mask), operand(at(2, j), mask))
	}
	put(t, false)
	for j := range t {
		a, b := read(at(1, j), mask), read(at(2, j), mask)
		t[j], u[j] = add(a, b), sub(b, a)
	}
	put(t, false)
	put(u, false)
	for j := range t {
		t[j] = sub(read(at(1, j), mask), operand(at(3, j), mask))
	}
	put(t, true)
}

// genWinogradOutput computes Aᵀ·m·A with Aᵀ = [1 1 1 0; 0 1 -1 -1].
func genWinogradOutput(adds bool) {
	name, signature, doc := "winogradOutput", ", bias *float32", "plus bias"
	if adds {
		name, signature, doc = "winogradOutputAdd", "", "plus their old values"
	}
	function(name, "func(tiles, c int, src *float32, ld, distance int, row0, row1 *float32"+signature+")",
		"sets, for t < tiles, the 2×2 pixels of c channels from pixel 2t of both rows on to Aᵀ·m·A, value p of m at src[t*ld+p*distance], "+doc+".")
	src, distance := arg("src"), stride("distance")
	distance3 := times3(distance)
	pixel := stride("c")
	rows := [2]Register{arg("row0"), arg("row1")}
	start := AllocLocal(8)
	MOVQ(src, start)
	perTile(func() {
		n := arg("c")
		var bias Register
		if !adds {
			bias = arg("bias")
		}
		pairs(n, func() {
			moving := []Register{src, rows[0], rows[1]}
			if !adds {
				moving = append(moving, bias)
			}
			for _, r := range moving {
				ADDQ(I32(int32(2*w*4)), r)
			}
		}, func(disp int, mask Register) {
			winogradOutputBody(src, distance, distance3, pixel, bias, rows, disp, mask)
		})
		moved := GP64()
		MOVQ(pixel, moved)
		ANDQ(I32(int32(-2*w*4)), moved)
		NEGQ(moved)
		LEAQ(Mem{Base: moved, Index: pixel, Scale: 2}, moved)
		ADDQ(moved, rows[0])
		ADDQ(moved, rows[1])
		MOVQ(start, src)
		ld := stride("ld")
		ADDQ(ld, src)
		MOVQ(src, start)
	})
}

// winogradOutputBody is one vector; without bias (nil) it adds to the pixels.
func winogradOutputBody(src, distance, distance3, pixel, bias Register, rows [2]Register, disp int, mask Register) {
	from := GP64()
	MOVQ(src, from)
	var t [2][4]vec
	next := func() { LEAQ(Mem{Base: from, Index: distance, Scale: 4}, from) }
	at := func(j int) Mem { return fourth(from, distance, distance3, j, disp) }
	for j := range t[0] {
		t[0][j] = read(at(j), mask)
	}
	next()
	for j := range t[0] {
		t[1][j] = read(at(j), mask)
		VADDPS(t[1][j], t[0][j], t[0][j])
	}
	next()
	for j := range t[0] {
		v := read(at(j), mask)
		VADDPS(v, t[0][j], t[0][j])
		VSUBPS(v, t[1][j], t[1][j])
	}
	next()
	for j := range t[0] {
		VSUBPS(operand(at(j), mask), t[1][j], t[1][j])
	}
	var b vec
	if bias != nil {
		b = read(Mem{Base: bias, Disp: disp}, mask)
	}
	for i, r := range rows {
		x := t[i]
		for j, v := range []vec{add(add(x[0], x[1]), x[2]), sub(sub(x[1], x[2]), x[3])} {
			m := Mem{Base: r, Disp: disp}
			if j == 1 {
				m.Index, m.Scale = pixel, 1
			}
			if bias != nil {
				VADDPS(b, v, v)
			} else {
				VADDPS(operand(m, mask), v, v)
			}
			write(v, m, mask)
		}
	}
}

// genWinogradGrad computes A·d·Aᵀ, the transpose of the output transform, of the channels of a
// panel of lanes. Where a vector is wider than that, all tiles but the last are stored with zeros
// beyond the panel's row, which the next tile overwrites.
func genWinogradGrad(lanes int) {
	function("winogradGrad", "func(tiles, c, pixel int, row0, row1, dst *float32, distance int)",
		fmt.Sprintf("is, for t < tiles, A·d·Aᵀ of c ≤ %[1]d channels of the 2×2 pixels from pixel 2t of both rows on, at distances of pixel floats: value p at dst[t*%[1]d+p*distance], made up with zeros to %[1]d channels.", lanes))
	pixel := stride("pixel")
	rows := [2]Register{arg("row0"), arg("row1")}
	dst, distance := arg("dst"), stride("distance")
	distance3 := times3(distance)
	tiles := arg("tiles")
	var whole Register
	if w == 16 {
		bytes := GP64()
		MOVQ(I32(int32(lanes*4)), bytes)
		whole = tailMask(bytes)
	}
	channels := stride("c")
	mask := tailMask(channels)
	null := zero(newVec())
	tile, last := label("tile"), label("last")
	body := func(put func(v vec, m Mem)) {
		winogradGradBody(rows, pixel, dst, distance, distance3, mask, null, put)
		for _, r := range rows {
			LEAQ(Mem{Base: r, Index: pixel, Scale: 2}, r)
		}
		ADDQ(Imm(uint64(lanes*4)), dst)
	}
	Label(tile)
	if w == 8 {
		DECQ(tiles)
		JZ(LabelRef(last))
		body(func(v vec, m Mem) { VMOVUPS(v, m) })
		JMP(LabelRef(tile))
		Label(last)
		body(func(v vec, m Mem) { writeLanes(v, m, lanes, whole) })
	} else {
		body(func(v vec, m Mem) { writeLanes(v, m, lanes, whole) })
		DECQ(tiles)
		JNZ(LabelRef(tile))
	}
	end()
}

func winogradGradBody(rows [2]Register, pixel, dst, distance, distance3, mask Register, null vec, put func(v vec, m Mem)) {
	var d [2][2]vec
	for i, r := range rows {
		d[i][0] = read(Mem{Base: r}, mask)
		d[i][1] = read(Mem{Base: r, Index: pixel, Scale: 1}, mask)
	}
	to := GP64()
	MOVQ(dst, to)
	for i := 0; i < 4; i++ {
		var t [2]vec
		for j := range t {
			switch i {
			case 0:
				t[j] = d[0][j]
			case 1:
				t[j] = add(d[0][j], d[1][j])
			case 2:
				t[j] = sub(d[0][j], d[1][j])
			case 3:
				t[j] = sub(null, d[1][j])
			}
		}
		for j, v := range []vec{t[0], add(t[0], t[1]), sub(t[0], t[1]), sub(null, t[1])} {
			put(v, fourth(to, distance, distance3, j, 0))
		}
		if i < 3 {
			LEAQ(Mem{Base: to, Index: distance, Scale: 4}, to)
		}
	}
}

// writeLanes stores the first lanes of v, 6 of 8 or those of the mask whole.
func writeLanes(v vec, m Mem, lanes int, whole Register) {
	if w == 16 {
		VMOVUPS(v, whole, m)
		return
	}
	if lanes != 6 {
		panic("a panel of AVX2 has 6 rows")
	}
	high := XMM()
	VEXTRACTF128(Imm(1), v, high)
	VMOVUPS(v.AsX(), m)
	VMOVSD(high, m.Offset(16))
}

// genWinogradWeight computes G·g·Gᵀ with G = [1 0 0; ½ ½ ½; ½ -½ ½; 0 0 1].
func genWinogradWeight() {
	function("winogradWeight", "func(c int, src *float32, ld int, dst *float32, distance int)",
		"is G·g·Gᵀ of 3×3 values of c channels, value t at src[t*ld]: value p at dst[p*distance].")
	n, src, ld, dst, distance := arg("c"), arg("src"), stride("ld"), arg("dst"), stride("distance")
	distance3, ld3 := times3(distance), times3(ld)
	rows := [3]Register{src, GP64(), GP64()}
	LEAQ(Mem{Base: src, Index: ld3, Scale: 1}, rows[1])
	LEAQ(Mem{Base: src, Index: ld3, Scale: 2}, rows[2])
	half := broadcast(constant(0.5))
	pairs(n, func() {
		for _, r := range append(rows[:], dst) {
			ADDQ(I32(int32(2*w*4)), r)
		}
	}, func(disp int, mask Register) {
		to := GP64()
		MOVQ(dst, to)
		g := func(i, j int) vec {
			m := Mem{Base: rows[i], Disp: disp}
			if j > 0 {
				m.Index, m.Scale = ld, uint8(j)
			}
			return read(m, mask)
		}
		put := func(x, y, z vec, last bool) {
			s, h := mul(add(x, z), half), mul(y, half)
			for j, v := range []vec{x, add(s, h), sub(s, h), z} {
				write(v, fourth(to, distance, distance3, j, disp), mask)
			}
			if !last {
				LEAQ(Mem{Base: to, Index: distance, Scale: 4}, to)
			}
		}
		put(g(0, 0), g(0, 1), g(0, 2), false)
		var t, u [3]vec
		for j := range t {
			s, h := mul(add(g(0, j), g(2, j)), half), mul(g(1, j), half)
			t[j], u[j] = add(s, h), sub(s, h)
		}
		put(t[0], t[1], t[2], false)
		put(u[0], u[1], u[2], false)
		put(g(2, 0), g(2, 1), g(2, 2), true)
	})
	end()
}

// genWinogradWeightGrad computes Gᵀ·u·G.
func genWinogradWeightGrad() {
	function("winogradWeightGrad", "func(c int, src *float32, distance int, dst *float32, ld int)",
		"is Gᵀ·u·G of 16 values of c channels, value p at src[p*distance]: 3×3 values, value t at dst[t*ld].")
	n, src, distance, dst, ld := arg("c"), arg("src"), stride("distance"), arg("dst"), stride("ld")
	distance3 := times3(distance)
	pairs(n, func() {
		ADDQ(I32(int32(2*w*4)), src)
		ADDQ(I32(int32(2*w*4)), dst)
	}, func(disp int, mask Register) {
		from := GP64()
		MOVQ(src, from)
		next := func() { LEAQ(Mem{Base: from, Index: distance, Scale: 4}, from) }
		at := func(j int) Mem { return fourth(from, distance, distance3, j, disp) }
		// [a + (b+c)/2; (b-c)/2; (b+c)/2 + d], first of columns.
		var t [3][4]vec
		for j := range t[0] {
			t[0][j] = read(at(j), mask)
		}
		next()
		for j := range t[0] {
			t[1][j] = read(at(j), mask)
		}
		next()
		for j := range t[0] {
			c := read(at(j), mask)
			t[2][j] = mul(add(t[1][j], c), constant(0.5))
			VSUBPS(c, t[1][j], t[1][j])
			VMULPS(constant(0.5), t[1][j], t[1][j])
			VADDPS(t[2][j], t[0][j], t[0][j])
		}
		next()
		for j := range t[0] {
			VADDPS(operand(at(j), mask), t[2][j], t[2][j])
		}
		to := GP64()
		MOVQ(dst, to)
		for i := range t {
			a, b, c, d := t[i][0], t[i][1], t[i][2], t[i][3]
			s := mul(add(b, c), constant(0.5))
			VSUBPS(c, b, b)
			VMULPS(constant(0.5), b, b)
			VADDPS(s, a, a)
			VADDPS(s, d, d)
			for j, v := range []vec{a, b, d} {
				write(v, Mem{Base: to, Disp: disp}, mask)
				if i*3+j < 8 {
					ADDQ(ld, to)
				}
			}
		}
	})
	end()
}
