package main

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// vec is a vector register of the level.
type vec = VecVirtual

func newVec() vec {
	if w == 16 {
		return ZMM()
	}
	return YMM()
}

func newVecs(n int) []vec {
	v := make([]vec, n)
	for i := range v {
		v[i] = newVec()
	}
	return v
}

func zero(v vec) vec {
	if w == 16 {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
	return v
}

func zeros(n int) []vec {
	v := newVecs(n)
	for i := range v {
		zero(v[i])
	}
	return v
}

// The arithmetic below returns a new register; operands are in reading order.

func add(a vec, b Op) vec { d := newVec(); VADDPS(b, a, d); return d }
func sub(a vec, b Op) vec { d := newVec(); VSUBPS(b, a, d); return d }
func mul(a vec, b Op) vec { d := newVec(); VMULPS(b, a, d); return d }
func div(a vec, b Op) vec { d := newVec(); VDIVPS(b, a, d); return d }

// fma adds a*b to c, in place.
func fma(a vec, b Op, c vec) { VFMADD231PS(b, a, c) }

func move(a vec) vec { d := newVec(); VMOVAPS(a, d); return d }

func and(a vec, b Op) vec { d := newVec(); VANDPS(b, a, d); return d }
func or(a vec, b Op) vec  { d := newVec(); VORPS(b, a, d); return d }

// broadcast fills a register with the float at m.
func broadcast(m Op) vec { d := newVec(); VBROADCASTSS(m, d); return d }

// The table of constants: each fills a whole register, so that it can be a memory operand.
var (
	constants     Mem
	constantIndex = map[uint32]int{}
	haveConstants bool
)

func bits(b uint32) Mem {
	if !haveConstants {
		constants = GLOBL("constants"+suffix, RODATA|NOPTR)
		haveConstants = true
	}
	i, ok := constantIndex[b]
	if !ok {
		i = len(constantIndex)
		constantIndex[b] = i
		for j := 0; j < w; j++ {
			DATA((i*w+j)*4, U32(b))
		}
	}
	return constants.Offset(i * w * 4)
}

func constant(f float64) Mem { return bits(math.Float32bits(float32(f))) }

func load(m Op) vec { d := newVec(); VMOVUPS(m, d); return d }

// reduce folds the lanes of v with op in a fixed tree; lane 0 of the result holds the value.
func reduce(v vec, op func(a, b, d Op)) Register {
	y := v
	if w == 16 {
		y = YMM()
		VEXTRACTF64X4(Imm(1), v, y)
		op(y, v.AsY(), y)
	}
	t, x := XMM(), XMM()
	VEXTRACTF128(Imm(1), y, t)
	op(t, y.AsX(), x)
	for _, shuffle := range []uint64{0x4e, 0xb1} {
		VPERMILPS(Imm(shuffle), x, t)
		op(t, x, x)
	}
	return x
}

func sumLanes(v vec) Register { return reduce(v, func(a, b, d Op) { VADDPS(a, b, d) }) }

// sumVecs adds registers pairwise into the first.
func sumVecs(v []vec) vec {
	for step := 1; step < len(v); step *= 2 {
		for i := 0; i+step < len(v); i += 2 * step {
			VADDPS(v[i+step], v[i], v[i])
		}
	}
	return v[0]
}

var labels int

func label(name string) string {
	labels++
	return fmt.Sprintf("%s%d", name, labels)
}

// countdown runs body n times, at least once, and leaves 0 in n.
func countdown(name string, n Register, body func()) {
	loop := label(name)
	Label(loop)
	body()
	DECQ(n)
	JNZ(LabelRef(loop))
}

// at is one step of a loop over floats: a whole vector, or the tail of fewer than w.
type at struct {
	index Register // byte index, nil for none
	disp  int
	lane  int // number of the unrolled copy
	tail  bool
	mask  Register // K register or vector mask of the tail
}

func (a at) mem(p Register) Mem {
	m := Mem{Base: p, Disp: a.disp}
	if a.index != nil {
		m.Index, m.Scale = a.index, 1
	}
	return m
}

// load reads p at this step; the lanes beyond the end are zero.
func (a at) load(p Register) vec {
	d := newVec()
	switch {
	case !a.tail:
		VMOVUPS(a.mem(p), d)
	case w == 16:
		VMOVUPS_Z(a.mem(p), a.mask, d)
	default:
		VMASKMOVPS(a.mem(p), a.mask, d)
	}
	return d
}

func (a at) store(v vec, p Register) {
	switch {
	case !a.tail:
		VMOVUPS(v, a.mem(p))
	case w == 16:
		VMOVUPS(v, a.mask, a.mem(p))
	default:
		VMASKMOVPS(v, a.mask, a.mem(p))
	}
}

// keep clears the lanes beyond the end.
func (a at) keep(v vec) vec {
	if !a.tail {
		return v
	}
	d := newVec()
	if w == 16 {
		VMOVAPS_Z(v, a.mask, d)
	} else {
		VANDPS(a.mask, v, d)
	}
	return d
}

// maximum is acc = max(acc, v) on the lanes before the end.
func (a at) maximum(v, acc vec) {
	switch {
	case !a.tail:
		VMAXPS(v, acc, acc)
	case w == 16:
		VMAXPS(v, acc, a.mask, acc)
	default:
		VBLENDVPS(a.mask, v, acc, v)
		VMAXPS(v, acc, acc)
	}
}

// each runs body over n floats: unrolled, then single vectors, then the tail.
func each(n Register, unroll int, body func(a at)) {
	eachTogether(n, unroll, func(as []at) {
		for _, a := range as {
			body(a)
		}
	})
}

// eachTogether is each for a body that takes all unrolled steps at once.
func eachTogether(n Register, unroll int, body func(as []at)) {
	i, limit := GP64(), GP64()
	end := GP64()
	XORQ(i, i)
	MOVQ(n, end)
	SHLQ(Imm(2), end)
	for _, u := range []int{unroll, 1} {
		if u == 1 && unroll == 1 && limit == nil {
			continue
		}
		loop, done := label("loop"), label("done")
		MOVQ(end, limit)
		ANDQ(I32(int32(-u*w*4)), limit)
		CMPQ(i, limit)
		JGE(LabelRef(done))
		Label(loop)
		as := make([]at, u)
		for lane := range as {
			as[lane] = at{index: i, disp: lane * w * 4, lane: lane}
		}
		body(as)
		ADDQ(I32(int32(u*w*4)), i)
		CMPQ(i, limit)
		JLT(LabelRef(loop))
		Label(done)
		if unroll == 1 {
			break
		}
	}
	done := label("done")
	SUBQ(i, end)
	JZ(LabelRef(done))
	body([]at{{index: i, tail: true, mask: tailMask(end)}})
	Label(done)
}

var haveMasks bool
var masks Mem

// tailMask selects the first bytes/4 lanes; bytes is overwritten.
func tailMask(bytes Register) Register {
	if w == 16 {
		SHRQ(Imm(2), bytes)
		ones, k := GP64(), K()
		MOVQ(I32(-1), ones)
		BZHIQ(bytes, ones, ones)
		KMOVW(ones.As32(), k)
		return k
	}
	if !haveMasks {
		haveMasks = true
		masks = GLOBL("masks"+suffix, RODATA|NOPTR)
		for i := 0; i < 16; i++ {
			v := uint32(0xffffffff)
			if i >= 8 {
				v = 0
			}
			DATA(i*4, U32(v))
		}
		if haveConstants {
			panic("the mask table must come before the constants")
		}
	}
	from, m := GP64(), newVec()
	LEAQ(masks.Offset(32), from)
	SUBQ(bytes, from)
	VMOVUPS(Mem{Base: from}, m)
	return m
}

// function starts a kernel. Its doc comment is the name and doc, wrapped.
func function(name, signature, doc string) {
	TEXT(name+suffix, NOSPLIT, signature)
	const width = 97 // without the comment mark
	line, lines := name+suffix, []string{}
	for _, word := range strings.Fields(doc) {
		if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), word
		} else {
			line += " " + word
		}
	}
	Doc(append(lines, line, "")...)
	Pragma("noescape")
}

func slice(name string) Register  { return Load(Param(name).Base(), GP64()) }
func length(name string) Register { return Load(Param(name).Len(), GP64()) }
func arg(name string) Register    { return Load(Param(name), GP64()) }

// stride loads a leading dimension in bytes.
func stride(name string) Register { r := arg(name); SHLQ(Imm(2), r); return r }

// param is the place of an argument.
func param(name string) Mem {
	m, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return m.Addr
}

// scalar broadcasts an argument.
func scalar(name string) vec { return broadcast(param(name)) }

func end() {
	VZEROUPPER()
	RET()
}
