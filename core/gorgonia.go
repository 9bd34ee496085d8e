package core

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"runtime/debug"
	"unsafe"

	"github.com/chewxy/hm"
	"github.com/vittool/vittool/tensor"
	"gorgonia.org/gorgonia"
	dense "gorgonia.org/tensor"
)

// Three files hold the whole contact of vittool with gorgonia: gorgonia.go, builder.go and
// machine.go. Every step of a compiled graph becomes a gorgonia.Op over memory of this package
// (gorgonia.go), gorgonia checks types and orders the nodes (builder.go), and a gorgonia.VM runs
// them (machine.go). The tape machine of gorgonia gives the same bits and allocates for each op.
// Rules of the adapter that let either machine run the graph:
//
//   - An op returns the same persistent value from every Do. ReturnsPtr and CallsExtern are
//     false and OverwritesInput is -1: a machine neither allocates nor overwrites.
//   - gorgonia merges nodes of equal 32-bit hash without comparing them. So every op hashes
//     its serial number and a salt, and the builder looks for collisions.
//   - The tape machine runs ops in a goroutine of its own, where a panic would end the
//     process. So Do recovers.
//   - Ops are chained: each takes its predecessor as one more operand. That makes the order of
//     execution ours, which the layout of the arena relies on.

// value wraps memory for gorgonia, a scalar as *gorgonia.F32.
func value(shape tensor.Shape, data []float32) gorgonia.Value {
	if len(shape) == 0 {
		return (*gorgonia.F32)(unsafe.Pointer(&data[0]))
	}
	return dense.New(dense.WithShape(shape...), dense.WithBacking(data))
}

// typeOf returns the gorgonia type of a shape and an element type.
func typeOf(shape tensor.Shape, of dense.Dtype) hm.Type {
	if len(shape) == 0 {
		return of
	}
	return gorgonia.TensorType{Dims: len(shape), Of: of}
}

// signature is the part of gorgonia.Op without arithmetic: name, types and hash.
type signature struct {
	name   string
	id     uint64
	in     []hm.Type
	result tensor.Shape
}

func (s *signature) Arity() int { return len(s.in) }

func (s *signature) Type() hm.Type {
	types := append(append([]hm.Type{}, s.in...), typeOf(s.result, dense.Float32))
	return hm.NewFnType(types...)
}

func (s *signature) InferShape(...gorgonia.DimSizer) (dense.Shape, error) {
	return dense.Shape(s.result.Clone()), nil
}
func (s *signature) ReturnsPtr() bool     { return false }
func (s *signature) CallsExtern() bool    { return false }
func (s *signature) OverwritesInput() int { return -1 }
func (s *signature) String() string       { return fmt.Sprintf("%s(%x)", s.name, s.id) }
func (s *signature) Hashcode() uint32 {
	h := fnv.New32a()
	s.WriteHash(h)
	return h.Sum32()
}
func (s *signature) WriteHash(h hash.Hash) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], s.id)
	h.Write(b[:])
}

// instruction is a step as a gorgonia.Op.
type instruction struct {
	signature
	builder *builder
	step    *step
	call    Call
	result  gorgonia.Value
}

// Do runs the step. It ignores the operands, whose memory is known beforehand.
func (x *instruction) Do(...gorgonia.Value) (result gorgonia.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %v\n%s", x.step.describe(), r, debug.Stack())
		}
		if err != nil {
			x.builder.exe.fail(err)
		}
	}()
	x.builder.exe.execute(x.step, &x.call)
	if x.call.Err != nil {
		return nil, &OperandError{Op: x.step.describe(), Err: x.call.Err}
	}
	return x.result, nil
}

// pick is an op that passes on a further output or gradient of its only operand.
type pick struct {
	signature
	value gorgonia.Value
}

// Do returns the value; nothing is computed.
func (x *pick) Do(...gorgonia.Value) (gorgonia.Value, error) { return x.value, nil }
