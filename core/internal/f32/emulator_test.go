package f32

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// emulator runs generated assembly, instruction by instruction, so that a level
// is tested on machines that lack it. It knows the instructions that the kernels
// it is asked for use, and panics on any other.
type emulator struct {
	code    []instruction
	starts  map[string]int // functions
	memory  []byte
	free    int64
	gp      [17]int64 // the last is the frame of locals
	vectors [32][16]uint32
	masks   [8]uint64
	sign    int64 // of the last result or comparison
	ran     []bool
}

// instruction is one line, its operands in Go's order, the destination last.
type instruction struct {
	text, op string
	operands []emulatedOperand
	target   int // of a jump
}

type emulatedOperand struct {
	kind         byte // 'i'mmediate, 'm'emory, 'r'egister, 'k' mask, 'X', 'Y', 'Z'
	n            int  // register, base
	index, scale int64
	value        int64 // immediate, displacement
}

const (
	emulatedArguments = 1 << 12
	emulatedLocals    = 1 << 13
	emulatedSymbols   = 1 << 14
	emulatedHeap      = 1 << 17
	frame             = 16
	noRegister        = -1
	unknownRegister   = 15 // parts of registers: what uses them is not known either
)

var (
	emulatedRegisters = []string{"AX", "BX", "CX", "DX", "SI", "DI", "BP", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15", "unused", "SP"}
	dataLine          = regexp.MustCompile(`^DATA (\w+)<>\+(\d+)\(SB\)/4, \$(0x[0-9a-f]+)`)
	memoryOperand     = regexp.MustCompile(`^(-?\d*)\((\w+)\)(?:\((\w+)\*(\d)\))?$`)
	argumentOperand   = regexp.MustCompile(`^\w+\+(\d+)\(FP\)$`)
	symbolOperand     = regexp.MustCompile(`^(\w+)<>\+(\d+)\(SB\)$`)
)

// newEmulator reads an assembly file of this folder.
func newEmulator(t *testing.T, file string) *emulator {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	e := &emulator{starts: map[string]int{}, memory: make([]byte, 1<<20), free: emulatedHeap}
	labels, symbols, next := map[string]int{}, map[string]int64{}, int64(emulatedSymbols)
	var lines []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "//") || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "GLOBL"):
		case strings.HasPrefix(line, "DATA"):
			m := dataLine.FindStringSubmatch(line)
			if symbols[m[1]] == 0 {
				symbols[m[1]] = next
				next += 1 << 13
			}
			v, _ := strconv.ParseUint(m[3], 0, 32)
			binary.LittleEndian.PutUint32(e.memory[symbols[m[1]]+integer(m[2]):], uint32(v))
		case strings.HasPrefix(line, "TEXT ·"):
			name, _, _ := strings.Cut(line[len("TEXT ·"):], "(")
			e.starts[name] = len(lines)
		case strings.HasSuffix(line, ":"):
			labels[line[:len(line)-1]] = len(lines)
		default:
			lines = append(lines, line)
		}
	}
	for _, line := range lines {
		op, rest, _ := strings.Cut(line, " ")
		in := instruction{text: line, op: op}
		rest = strings.ReplaceAll(rest, " ", "")
		switch {
		case rest == "":
		case op[0] == 'J':
			in.target = labels[rest]
		default:
			for _, o := range strings.Split(rest, ",") {
				in.operands = append(in.operands, parseOperand(o, symbols))
			}
		}
		e.code = append(e.code, in)
	}
	e.ran = make([]bool, len(e.code))
	return e
}

func integer(s string) int64 {
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func registerNumber(name string) int {
	for i, r := range emulatedRegisters {
		if r == name {
			return i
		}
	}
	return unknownRegister
}

func parseOperand(s string, symbols map[string]int64) emulatedOperand {
	if m := argumentOperand.FindStringSubmatch(s); m != nil {
		return emulatedOperand{kind: 'm', n: noRegister, index: noRegister, value: emulatedArguments + integer(m[1])}
	}
	if m := symbolOperand.FindStringSubmatch(s); m != nil {
		return emulatedOperand{kind: 'm', n: noRegister, index: noRegister, value: symbols[m[1]] + integer(m[2])}
	}
	if m := memoryOperand.FindStringSubmatch(s); m != nil {
		o := emulatedOperand{kind: 'm', n: registerNumber(m[2]), index: noRegister}
		if m[1] != "" {
			o.value = integer(m[1])
		}
		if m[3] != "" {
			o.index, o.scale = int64(registerNumber(m[3])), integer(m[4])
		}
		return o
	}
	switch {
	case s[0] == '$':
		return emulatedOperand{kind: 'i', value: integer(s[1:])}
	case strings.ContainsRune("XYZ", rune(s[0])):
		return emulatedOperand{kind: s[0], n: int(integer(s[1:]))}
	case s[0] == 'K':
		return emulatedOperand{kind: 'k', n: int(integer(s[1:]))}
	}
	return emulatedOperand{kind: 'r', n: registerNumber(s)}
}

// floats is memory of the emulated program: NaN at first, with a gap before it.
type floats struct {
	e  *emulator
	at int64
	n  int
}

func (e *emulator) floats(n int) floats {
	b := floats{e, e.free + 256, n}
	e.free = b.at + int64(4*n)
	for i := range n {
		b.set(i, float32(math.NaN()))
	}
	return b
}

func (b floats) set(i int, v float32) {
	binary.LittleEndian.PutUint32(b.e.memory[b.at+int64(4*i):], math.Float32bits(v))
}

func (b floats) values() []float32 {
	x := make([]float32, b.n)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b.e.memory[b.at+int64(4*i):]))
	}
	return x
}

// reset frees all floats.
func (e *emulator) reset() { e.free = emulatedHeap }

// call runs a function on ints, float32s and floats (nil: a nil pointer).
// Registers hold rubbish at first.
func (e *emulator) call(name string, arguments ...any) {
	at := int64(emulatedArguments)
	word := func(v int64) {
		at = (at + 7) &^ 7
		binary.LittleEndian.PutUint64(e.memory[at:], uint64(v))
		at += 8
	}
	for _, a := range arguments {
		switch a := a.(type) {
		case int:
			word(int64(a))
		case floats:
			word(a.at)
		case nil:
			word(0)
		case float32:
			binary.LittleEndian.PutUint32(e.memory[at:], math.Float32bits(a))
			at += 4
		default:
			panic(fmt.Sprintf("emulator: argument of type %T", a))
		}
	}
	for i := range e.vectors {
		for j := range e.vectors[i] {
			e.vectors[i][j] = 0x7fc12345
		}
	}
	for i := range e.gp {
		e.gp[i] = -0x123456789
	}
	e.gp[frame] = emulatedLocals
	at = int64(e.starts[name])
	if _, ok := e.starts[name]; !ok {
		panic("emulator: no function " + name)
	}
	for {
		in := &e.code[at]
		e.ran[at] = true
		at++
		if in.op == "RET" {
			return
		}
		if in.op[0] == 'J' {
			if e.jumps(in) {
				at = int64(in.target)
			}
		} else if !e.scalar(in) {
			e.vector(in)
		}
	}
}

// unused counts the instructions of a function that no call has run.
func (e *emulator) unused(name string) int {
	from, to := e.starts[name], len(e.code)
	for _, s := range e.starts {
		if s > from {
			to = min(to, s)
		}
	}
	count := 0
	for _, ran := range e.ran[from:to] {
		if !ran {
			count++
		}
	}
	return count
}

func (e *emulator) jumps(in *instruction) bool {
	switch in.op {
	case "JMP":
		return true
	case "JZ", "JEQ":
		return e.sign == 0
	case "JNZ", "JNE":
		return e.sign != 0
	case "JLT":
		return e.sign < 0
	case "JLE":
		return e.sign <= 0
	case "JGT", "JG":
		return e.sign > 0
	case "JGE":
		return e.sign >= 0
	}
	panic("emulator: " + in.text)
}

func (e *emulator) address(o emulatedOperand) int64 {
	a := o.value
	if o.n != noRegister {
		a += e.gp[o.n]
	}
	if o.index != noRegister {
		a += e.gp[o.index] * o.scale
	}
	return a
}

func (e *emulator) integer(o emulatedOperand) int64 {
	switch o.kind {
	case 'i':
		return o.value
	case 'm':
		return int64(binary.LittleEndian.Uint64(e.memory[e.address(o):]))
	}
	return e.gp[o.n]
}

func (e *emulator) setInteger(o emulatedOperand, v int64) {
	if o.kind == 'm' {
		binary.LittleEndian.PutUint64(e.memory[e.address(o):], uint64(v))
	} else {
		e.gp[o.n] = v
	}
}

// scalar runs an instruction on general registers, or tells that it is none.
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
	case "KMOVW":
		e.masks[last.n] = uint64(e.integer(o[0])) & 0xffff
	case "ADDQ", "SUBQ", "ANDQ", "XORQ", "IMULQ", "SHLQ", "SHRQ", "DECQ":
		v, x := e.integer(last), e.integer(o[0])
		switch in.op {
		case "ADDQ":
			v += x
		case "SUBQ":
			v -= x
		case "ANDQ":
			v &= x
		case "XORQ":
			v ^= x
		case "IMULQ":
			v *= x
		case "SHLQ":
			v <<= uint(x)
		case "SHRQ":
			v = int64(uint64(v) >> uint(x))
		case "DECQ":
			v--
		}
		e.setInteger(last, v)
		e.sign = v
	default:
		return false
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

// vector runs an instruction on vector registers.
func (e *emulator) vector(in *instruction) {
	o := in.operands
	last := o[len(o)-1]
	op, zeroing := strings.CutSuffix(in.op, ".Z")
	n := max(lanesOf(last), lanesOf(o[0]))
	if last.kind != 'm' && last.kind != 'k' {
		n = lanesOf(last)
	}
	mask := uint64(math.MaxUint64)
	for i := 1; i < len(o)-1; i++ {
		if o[i].kind == 'k' { // the operand before the destination
			mask = e.masks[o[i].n]
			o = append(append([]emulatedOperand{}, o[:i]...), o[i+1:]...)
			break
		}
	}
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
	switch last.kind {
	case 'm':
		for i := range n {
			if mask>>i&1 != 0 {
				binary.LittleEndian.PutUint32(e.memory[e.address(last)+int64(4*i):], result[i])
			}
		}
	case 'k':
		e.masks[last.n] = 0
		for i := range lanesOf(o[len(o)-2]) {
			e.masks[last.n] |= uint64(result[i]&1) << i
		}
	default:
		e.vectors[last.n] = result
	}
}

// laneResult is lane i of what an instruction computes; o has no mask.
func (e *emulator) laneResult(op string, in *instruction, o []emulatedOperand, last emulatedOperand, i int) uint32 {
	bits, float := math.Float32bits, math.Float32frombits
	base, j := i&^3, i&3
	switch op {
	case "VMOVUPS", "VMOVAPS", "VMOVSS":
		return e.lane(o[0], i)
	case "VBROADCASTSS":
		return e.lane(o[0], 0)
	case "VPMOVD2M":
		return e.lane(o[0], i) >> 31
	case "VPSLLD":
		return e.lane(o[1], i) << uint(o[0].value)
	case "VCVTPS2DQ":
		return uint32(int32(math.RoundToEven(float64(float(e.lane(o[0], i))))))
	case "VCVTDQ2PS":
		return bits(float32(int32(e.lane(o[0], i))))
	case "VPERMILPS":
		return e.lane(o[1], base+int(o[0].value>>(2*j)&3))
	case "VEXTRACTF128":
		return e.lane(o[1], 4*int(o[0].value)+i)
	case "VEXTRACTF64X4":
		return e.lane(o[1], 8*int(o[0].value)+i)
	case "VINSERTF128":
		if i>>2 == int(o[0].value) {
			return e.lane(o[1], j)
		}
		return e.lane(o[2], i)
	case "VUNPCKLPS":
		return e.lane(o[1-j&1], base+j/2)
	case "VUNPCKHPS":
		return e.lane(o[1-j&1], base+2+j/2)
	case "VUNPCKLPD":
		return e.lane(o[1-j/2], base+j&1)
	case "VUNPCKHPD":
		return e.lane(o[1-j/2], base+2+j&1)
	case "VBLENDVPS":
		if e.lane(o[0], i)>>31 != 0 {
			return e.lane(o[1], i)
		}
		return e.lane(o[2], i)
	case "VCMPPS":
		if o[0].value == 5 && !(float(e.lane(o[2], i)) < float(e.lane(o[1], i))) {
			return math.MaxUint32
		} else if o[0].value == 5 {
			return 0
		}
	case "VPADDD":
		return e.lane(o[0], i) + e.lane(o[1], i)
	case "VPXORD", "VXORPS":
		return e.lane(o[0], i) ^ e.lane(o[1], i)
	case "VANDPS":
		return e.lane(o[0], i) & e.lane(o[1], i)
	case "VADDSS", "VMULSS":
		if i > 0 {
			return e.lane(o[1], i)
		}
		op = op[:4] + "PS"
	}
	a, b := float(e.lane(o[1], i)), float(e.lane(o[0], i))
	switch op {
	case "VADDPS":
		return bits(a + b)
	case "VSUBPS":
		return bits(a - b)
	case "VMULPS":
		return bits(a * b)
	case "VDIVPS":
		return bits(a / b)
	case "VMAXPS":
		if a > b {
			return bits(a)
		}
		return bits(b)
	}
	c := float(e.lane(last, i))
	fma := func(x, y, z float32) uint32 { return bits(float32(math.FMA(float64(x), float64(y), float64(z)))) }
	switch op {
	case "VFMADD231PS":
		return fma(a, b, c)
	case "VFNMADD231PS":
		return fma(-a, b, c)
	case "VFMADD213PS":
		return fma(a, c, b)
	case "VFMSUB213PS":
		return fma(a, c, -b)
	}
	panic("emulator: " + in.text)
}
