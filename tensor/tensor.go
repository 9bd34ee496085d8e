package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// DType names the element type of a stored tensor, as safetensors spells it.
type DType string

// Element types of stored tensors. F16 and BF16 are read, never written by
// vittool itself.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	U8   DType = "U8"
)

// Size returns the bytes per element, 0 for an unknown type.
func (d DType) Size() int {
	switch d {
	case F64, I64:
		return 8
	case F32, I32:
		return 4
	case F16, BF16:
		return 2
	case U8:
		return 1
	}
	return 0
}

// Tensor is a named array as it stands in a file: little-endian, row-major.
type Tensor struct {
	Name  string
	DType DType
	Shape Shape
	data  []byte
}

// number are the element types that Go memory and files have in common.
type number interface {
	~float64 | ~float32 | ~int64 | ~int32 | ~uint8
}

func newTensor[T number](name string, t DType, shape Shape, data []T) Tensor {
	if shape.Size() != len(data) {
		panic(fmt.Sprintf("core: tensor %s: shape %v has %d elements, the data %d", name, shape, shape.Size(), len(data)))
	}
	return Tensor{Name: name, DType: t, Shape: shape.Clone(), data: bytesOf(data)}
}

// NewF32 wraps data, without copying, as a tensor to be stored. A length that
// differs from shape's size is a programming error and panics; so in the four
// functions below.
func NewF32(name string, shape Shape, data []float32) Tensor {
	return newTensor(name, F32, shape, data)
}

// NewF64 wraps float64 data.
func NewF64(name string, shape Shape, data []float64) Tensor {
	return newTensor(name, F64, shape, data)
}

// NewI64 wraps int64 data.
func NewI64(name string, shape Shape, data []int64) Tensor {
	return newTensor(name, I64, shape, data)
}

// NewI32 wraps int32 data.
func NewI32(name string, shape Shape, data []int32) Tensor {
	return newTensor(name, I32, shape, data)
}

// NewU8 wraps bytes.
func NewU8(name string, shape Shape, data []byte) Tensor {
	return newTensor(name, U8, shape, data)
}

// Len returns the number of elements.
func (t Tensor) Len() int { return t.Shape.Size() }

// Bytes returns the raw little-endian contents. It is not a copy.
func (t Tensor) Bytes() []byte { return t.data }

// Float32s returns the elements of an F32, F16 or BF16 tensor; F32 without a
// copy where the memory allows it. Other types are an error, for a silent loss
// of digits helps nobody.
func (t Tensor) Float32s() ([]float32, error) {
	switch t.DType {
	case F32:
		return view[float32](t.data), nil
	case F16, BF16:
		out := make([]float32, t.Len())
		for i := range out {
			h := binary.LittleEndian.Uint16(t.data[2*i:])
			if t.DType == BF16 {
				out[i] = math.Float32frombits(uint32(h) << 16)
			} else {
				out[i] = halfToFloat(h)
			}
		}
		return out, nil
	}
	return nil, t.typeError("32-bit floats")
}

// Float64s returns the elements of any floating-point tensor as float64.
func (t Tensor) Float64s() ([]float64, error) {
	if t.DType == F64 {
		return view[float64](t.data), nil
	}
	f, err := t.Float32s()
	if err != nil {
		return nil, t.typeError("floating-point numbers")
	}
	out := make([]float64, len(f))
	for i, v := range f {
		out[i] = float64(v)
	}
	return out, nil
}

// Int64s returns the elements of an I64, I32 or U8 tensor.
func (t Tensor) Int64s() ([]int64, error) {
	switch t.DType {
	case I64:
		return view[int64](t.data), nil
	case I32:
		return widen(view[int32](t.data)), nil
	case U8:
		return widen(t.data), nil
	}
	return nil, t.typeError("integers")
}

func widen[T int32 | uint8](in []T) []int64 {
	out := make([]int64, len(in))
	for i, v := range in {
		out[i] = int64(v)
	}
	return out
}

func (t Tensor) typeError(want string) error {
	return fmt.Errorf("tensor %s is of type %s, which does not hold %s", t.Name, t.DType, want)
}

// halfToFloat converts IEEE 754 binary16.
func halfToFloat(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp := uint32(h>>10) & 31
	frac := uint32(h) & 1023
	switch {
	case exp == 31: // infinity, NaN
		return math.Float32frombits(sign | 0xFF<<23 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	default: // zero and subnormal numbers: frac * 2^-24, exact in float32
		v := float32(frac) / (1 << 24)
		return math.Float32frombits(math.Float32bits(v) | sign)
	}
}

// littleEndian tells whether memory has the byte order of the files.
var littleEndian = func() bool {
	x := uint16(1)
	return *(*byte)(unsafe.Pointer(&x)) == 1
}()

// view reinterprets file bytes as elements, copying only if the memory is not
// aligned for T or the machine is big-endian.
func view[T number](b []byte) []T {
	var zero T
	size := int(unsafe.Sizeof(zero))
	n := len(b) / size
	if n == 0 {
		return []T{}
	}
	p := unsafe.Pointer(unsafe.SliceData(b))
	if littleEndian && uintptr(p)%uintptr(size) == 0 {
		return unsafe.Slice((*T)(p), n)
	}
	out := make([]T, n)
	dst := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(out))), n*size)
	copy(dst, b)
	if !littleEndian {
		reverseEach(dst, size)
	}
	return out
}

// bytesOf is the inverse of view.
func bytesOf[T number](v []T) []byte {
	if len(v) == 0 {
		return []byte{}
	}
	size := int(unsafe.Sizeof(v[0]))
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*size)
	if littleEndian {
		return b
	}
	c := append([]byte{}, b...)
	reverseEach(c, size)
	return c
}

func reverseEach(b []byte, size int) {
	for ; len(b) >= size; b = b[size:] {
		for i, j := 0, size-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
}
