package f32

import (
	"encoding/binary"
	"math"
	"strings"
)

// scalarUpdates are the instructions that replace v, the destination, by a function of v and x.
var scalarUpdates = map[string]func(v, x int64) int64{
	"ADDQ":  func(v, x int64) int64 { return v + x },
	"SUBQ":  func(v, x int64) int64 { return v - x },
	"ANDQ":  func(v, x int64) int64 { return v & x },
	"XORQ":  func(v, x int64) int64 { return v ^ x },
	"IMULQ": func(v, x int64) int64 { return v * x },
	"SHLQ":  func(v, x int64) int64 { return v << uint(x) },
	"SHRQ":  func(v, x int64) int64 { return int64(uint64(v) >> uint(x)) },
	"DECQ":  func(v, x int64) int64 { return v - 1 },
	"NEGQ":  func(v, x int64) int64 { return -v },
}

// scalar runs an instruction on general registers; false if it is none.
func (e *emulator) scalar(in *instruction) bool {
	o := in.operands
	if len(o) == 0 || strings.HasPrefix(in.op, "PREFETCH") {
		return len(o) == 0 || in.op[0] == 'P' // VZEROUPPER
	}
	last := o[len(o)-1]
	switch in.op {
	case "MOVQ":
		e.setInteger(last, e.integer(o[0]))
	case "LEAQ":
		e.gp[last.n] = e.address(o[0])
	case "IMUL3Q":
		e.gp[last.n] = e.integer(o[0]) * e.integer(o[1])
	case "CMPQ":
		e.sign = e.integer(o[0]) - e.integer(o[1])
	case "TESTQ":
		e.sign = e.integer(o[0]) & e.integer(o[1])
	case "CMOVQGT", "CMOVQGE":
		if e.sign > 0 || e.sign == 0 && in.op == "CMOVQGE" {
			e.gp[last.n] = e.integer(o[0])
		}
	case "BZHIQ":
		e.gp[last.n] = e.integer(o[1]) & (1<<min(63, e.integer(o[0])) - 1)
	case "KORW":
		e.masks[last.n] = e.masks[o[0].n] | e.masks[o[1].n]
	case "KMOVW":
		e.masks[last.n] = uint64(e.integer(o[0])) & 0xffff
	default:
		update, ok := scalarUpdates[in.op]
		if !ok {
			return false
		}
		v := update(e.integer(last), e.integer(o[0]))
		e.setInteger(last, v)
		e.sign = v
	}
	return true
}

func lanesOf(o emulatedOperand) int { return map[byte]int{'X': 4, 'Y': 8, 'Z': 16, 'k': 16}[o.kind] }

func (e *emulator) lane(o emulatedOperand, i int) uint32 {
	if o.kind == 'm' {
		return binary.LittleEndian.Uint32(e.memory[e.address(o)+int64(4*i):])
	}
	return e.vectors[o.n][i]
}

// mask returns the lanes that a mask operand selects, all without one, and the other operands.
func (e *emulator) mask(o []emulatedOperand) (uint64, []emulatedOperand) {
	for i := 1; i < len(o)-1; i++ {
		if o[i].kind == 'k' { // the operand before the destination
			return e.masks[o[i].n], append(append([]emulatedOperand{}, o[:i]...), o[i+1:]...)
		}
	}
	return math.MaxUint64, o
}

// vector runs an instruction on vector registers.
func (e *emulator) vector(in *instruction) {
	o := in.operands
	last := o[len(o)-1]
	op, zeroing := strings.CutSuffix(in.op, ".Z")
	n := max(lanesOf(last), lanesOf(o[0]))
	if last.kind != 'm' && last.kind != 'k' {
		n = lanesOf(last)
	}
	mask, o := e.mask(o)
	if op == "VMASKMOVPS" {
		mask = 0
		for i := range n {
			mask |= uint64(e.vectors[o[1].n][i]>>31) << i
		}
		op, zeroing = "VMOVUPS", last.kind != 'm'
	}
	var result [16]uint32
	switch {
	case op == "VMOVSS" && last.kind == 'm':
		n = 1
	case op == "VMOVSD" && last.kind == 'm':
		n = 2
	case op == "VMOVSS" && o[0].kind == 'm':
		result[0] = e.lane(o[0], 0)
		e.vectors[last.n] = result
		return
	}
	for i := range n {
		if op == "VBLENDMPS" {
			result[i] = e.lane(o[1-mask>>i&1], i)
		} else if mask>>i&1 != 0 {
			result[i] = e.laneResult(op, in, o, last, i)
		} else if last.kind != 'm' && !zeroing {
			result[i] = e.vectors[last.n][i]
		}
	}
	if last.kind == 'k' {
		e.masks[last.n] = 0
		for i := range lanesOf(o[len(o)-2]) {
			e.masks[last.n] |= uint64(result[i]&1) << i
		}
		return
	}
	e.storeLanes(last, result, n, mask)
}

// storeLanes writes the selected ones of n lanes to memory, or all to a register.
func (e *emulator) storeLanes(o emulatedOperand, lanes [16]uint32, n int, mask uint64) {
	if o.kind != 'm' {
		e.vectors[o.n] = lanes
		return
	}
	for i := range n {
		if mask>>i&1 != 0 {
			binary.LittleEndian.PutUint32(e.memory[e.address(o)+int64(4*i):], lanes[i])
		}
	}
}

// laneResult is lane i of the result of an instruction; o has no mask.
func (e *emulator) laneResult(op string, in *instruction, o []emulatedOperand, last emulatedOperand, i int) uint32 {
	if v, ok := e.moved(op, o, i); ok {
		return v
	}
	if v, ok := e.shuffled(op, o, i); ok {
		return v
	}
	if v, ok := e.double(op, o, i); ok {
		return v
	}
	if op == "VADDSS" || op == "VMULSS" {
		if i > 0 {
			return e.lane(o[1], i)
		}
		op = op[:4] + "PS"
	}
	v, ok := floatOps[op]
	if !ok {
		panic("emulator: " + in.text)
	}
	float := math.Float32frombits
	return math.Float32bits(v(float(e.lane(o[1], i)), float(e.lane(o[0], i)), float(e.lane(last, i))))
}

// double is half of a float64 lane of the result of an instruction: the low word where i is even.
func (e *emulator) double(op string, o []emulatedOperand, i int) (uint32, bool) {
	wide := func(o emulatedOperand) float64 {
		return math.Float64frombits(uint64(e.lane(o, i&^1)) | uint64(e.lane(o, i|1))<<32)
	}
	var v float64
	switch op {
	case "VCVTPS2PD":
		v = float64(math.Float32frombits(e.lane(o[0], i/2)))
	case "VADDPD":
		v = wide(o[0]) + wide(o[1])
	default:
		return 0, false
	}
	return uint32(math.Float64bits(v) >> (32 * (i & 1))), true
}

// floatOps are the operations on floats: a is the second operand, b the first, c the destination.
var floatOps = map[string]func(a, b, c float32) float32{
	"VADDPS": func(a, b, _ float32) float32 { return a + b },
	"VSUBPS": func(a, b, _ float32) float32 { return a - b },
	"VMULPS": func(a, b, _ float32) float32 { return a * b },
	"VDIVPS": func(a, b, _ float32) float32 { return a / b },
	"VMAXPS": func(a, b, _ float32) float32 {
		if a > b {
			return a
		}
		return b
	},
	"VFMADD231PS":  func(a, b, c float32) float32 { return fma32(a, b, c) },
	"VFNMADD231PS": func(a, b, c float32) float32 { return fma32(-a, b, c) },
	"VFMADD213PS":  func(a, b, c float32) float32 { return fma32(a, c, b) },
	"VFMSUB213PS":  func(a, b, c float32) float32 { return fma32(a, c, -b) },
}

// emulatedComparisons are the predicates of VCMPPS.
var emulatedComparisons = map[int64]func(a, b float32) bool{
	0:    func(a, b float32) bool { return a == b },
	3:    func(a, b float32) bool { return a != a || b != b },
	5:    func(a, b float32) bool { return !(a < b) },
	0x1e: func(a, b float32) bool { return a > b },
}

func fma32(x, y, z float32) float32 {
	return float32(math.FMA(float64(x), float64(y), float64(z)))
}

// moved is lane i of the result of an instruction that moves, converts or combines whole lanes.
func (e *emulator) moved(op string, o []emulatedOperand, i int) (uint32, bool) {
	float := math.Float32frombits
	switch op {
	case "VMOVUPS", "VMOVUPD", "VMOVAPS", "VMOVSS", "VMOVSD":
		return e.lane(o[0], i), true
	case "VBROADCASTSS":
		return e.lane(o[0], 0), true
	case "VPMOVD2M":
		return e.lane(o[0], i) >> 31, true
	case "VPSLLD":
		return e.lane(o[1], i) << uint(o[0].value), true
	case "VCVTPS2DQ":
		return uint32(int32(math.RoundToEven(float64(float(e.lane(o[0], i)))))), true
	case "VCVTDQ2PS":
		return math.Float32bits(float32(int32(e.lane(o[0], i)))), true
	case "VBLENDVPS":
		if e.lane(o[0], i)>>31 != 0 {
			return e.lane(o[1], i), true
		}
		return e.lane(o[2], i), true
	case "VCMPPS":
		compare, ok := emulatedComparisons[o[0].value]
		if ok && compare(float(e.lane(o[2], i)), float(e.lane(o[1], i))) {
			return math.MaxUint32, ok
		}
		return 0, ok
	case "VPADDD":
		return e.lane(o[0], i) + e.lane(o[1], i), true
	case "VORPS":
		return e.lane(o[0], i) | e.lane(o[1], i), true
	case "VPXORD", "VXORPS":
		return e.lane(o[0], i) ^ e.lane(o[1], i), true
	case "VANDPS":
		return e.lane(o[0], i) & e.lane(o[1], i), true
	}
	return 0, false
}

// shuffled is lane i of the result of an instruction that reorders lanes.
func (e *emulator) shuffled(op string, o []emulatedOperand, i int) (uint32, bool) {
	base, j := i&^3, i&3
	switch op {
	case "VPERMILPS":
		return e.lane(o[1], base+int(o[0].value>>(2*j)&3)), true
	case "VEXTRACTF128":
		return e.lane(o[1], 4*int(o[0].value)+i), true
	case "VEXTRACTF64X4":
		return e.lane(o[1], 8*int(o[0].value)+i), true
	case "VINSERTF128":
		if i>>2 == int(o[0].value) {
			return e.lane(o[1], j), true
		}
		return e.lane(o[2], i), true
	case "VUNPCKLPS":
		return e.lane(o[1-j&1], base+j/2), true
	case "VUNPCKHPS":
		return e.lane(o[1-j&1], base+2+j/2), true
	case "VUNPCKLPD":
		return e.lane(o[1-j/2], base+j&1), true
	case "VUNPCKHPD":
		return e.lane(o[1-j/2], base+2+j&1), true
	}
	return 0, false
}
