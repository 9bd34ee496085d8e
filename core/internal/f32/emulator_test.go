package f32

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

// emulator runs generated assembly, instruction by instruction, so that a level is tested on
// machines that lack it. It knows the instructions of the kernels under test and panics on any
// other.
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
	unknownRegister   = 15 // parts of registers: their instructions are unknown, too
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
	text := must.Get(os.ReadFile(file))(t)
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

// doubles is memory of float64 values, zero at first.
type doubles struct{ words floats }

func (e *emulator) doubles(n int) doubles {
	d := doubles{e.floats(2 * n)}
	clear(e.memory[d.words.at:e.free])
	return d
}

func (d doubles) values() []float64 {
	x := make([]float64, d.words.n/2)
	for i := range x {
		x[i] = math.Float64frombits(binary.LittleEndian.Uint64(d.words.e.memory[d.words.at+int64(8*i):]))
	}
	return x
}

// reset frees all floats.
func (e *emulator) reset() { e.free = emulatedHeap }

// call runs a function on ints, float32s and floats (nil: a nil pointer). Registers hold garbage at
// first.
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
		case doubles:
			word(a.words.at)
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

// emulatedLevels are the levels with assembly: w is the number of floats in a vector, mr the rows
// of a tile.
var emulatedLevels = []struct {
	file, suffix string
	w, mr        int
}{{"avx2_amd64.s", "AVX2", 8, 6}, {"avx512_amd64.s", "AVX512", 16, 14}}

func (b floats) random(r *rand.Rand) floats {
	for i := range b.n {
		b.set(i, float32(r.NormFloat64()))
	}
	return b
}

func close32(t *testing.T, name string, got, want []float32) {
	t.Helper()
	for i, w := range want {
		if d := math.Abs(float64(got[i] - w)); w == w && !(d <= 1e-5*(1+math.Abs(float64(w)))) {
			t.Fatalf("%s[%d] = %v, want %v", name, i, got[i], w)
		}
	}
}
