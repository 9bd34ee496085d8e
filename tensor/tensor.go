package tensor

import (
	"fmt"
	"math"
	"unsafe"
)

// DType names the element type of a stored tensor, as safetensors spells it.
type DType string

// Element types of stored tensors: all that safetensors defines. vittool writes F64, F32, I64, I32
// and U8; it reads the values of all floats of whole bytes, and of I64, I32 and U8. Tensors of other
// types are kept as bytes.
const (
	F64        DType = "F64"
	F32        DType = "F32"
	F16        DType = "F16"
	BF16       DType = "BF16"
	F8E4M3     DType = "F8_E4M3" // finite, with NaN and without infinity
	F8E5M2     DType = "F8_E5M2"
	F8E8M0     DType = "F8_E8M0" // powers of two, for scales
	F8E4M3FNUZ DType = "F8_E4M3FNUZ"
	F8E5M2FNUZ DType = "F8_E5M2FNUZ"
	F6E2M3     DType = "F6_E2M3"
	F6E3M2     DType = "F6_E3M2"
	F4         DType = "F4"
	I64        DType = "I64"
	U64        DType = "U64"
	I32        DType = "I32"
	U32        DType = "U32"
	I16        DType = "I16"
	U16        DType = "U16"
	I8         DType = "I8"
	U8         DType = "U8"
	Bool       DType = "BOOL"
	Complex64  DType = "C64"
)

// bits are the bits per element of every known type.
var bits = map[DType]int{
	F64: 64, F32: 32, F16: 16, BF16: 16, F8E4M3: 8, F8E5M2: 8, F8E8M0: 8, F8E4M3FNUZ: 8, F8E5M2FNUZ: 8, F6E2M3: 6, F6E3M2: 6, F4: 4,
	I64: 64, U64: 64, I32: 32, U32: 32, I16: 16, U16: 16, I8: 8, U8: 8, Bool: 8, Complex64: 64,
}

// Size returns the bytes per element, 0 for an unknown type and for types of less than a byte.
func (d DType) Size() int { return bits[d] / 8 }

// Whole reports whether the elements are whole numbers or truth values.
func (d DType) Whole() bool {
	switch d {
	case I64, U64, I32, U32, I16, U16, I8, U8, Bool:
		return true
	}
	return false
}

// bytes returns the bytes that n elements take, false for an unknown type, for a number of elements
// whose bits are not whole bytes, and for more bytes than an int counts.
func (d DType) bytes(n int) (int, bool) {
	w := bits[d]
	if w == 0 || n > math.MaxInt/w || n*w%8 != 0 {
		return 0, false
	}
	return n * w / 8, true
}

// Tensor is a named array in the layout of a file: little-endian, row-major.
type Tensor struct {
	Name  string
	DType DType
	Shape Shape
	data  []byte
}

// number is an element type that Go memory and files have in common.
type number interface {
	~float64 | ~float32 | ~int64 | ~int32 | ~uint16 | ~uint8
}

// newTensor wraps data as a tensor of type t.
func newTensor[T number](name string, t DType, shape Shape, data []T) Tensor {
	if shape.Size() != len(data) {
		panic(fmt.Sprintf("tensor %s: shape %v has %d elements, the data %d", name, shape, shape.Size(), len(data)))
	}
	return Tensor{Name: name, DType: t, Shape: shape.Clone(), data: bytesOf(data)}
}

// NewF32 wraps data, without a copy, as a tensor to be stored. A length other than the size of the
// shape is a programming error and panics, as in the four functions below.
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

// Float32s returns the elements of a floating-point tensor: those of F32 without a copy where the
// memory is aligned, those of F64 rounded to the nearest float32, those of F16, BF16 and 8-bit
// floats exactly. Other types are an error: integers are not weights before they are scaled.
func (t Tensor) Float32s() ([]float32, error) {
	switch t.DType {
	case F32:
		return view[float32](t.data), nil
	case F64:
		return convert(view[float64](t.data), func(v float64) float32 { return float32(v) }), nil
	case F16:
		return convert(view[uint16](t.data), halfToFloat), nil
	case BF16:
		return convert(view[uint16](t.data), func(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }), nil
	case F8E5M2: // the upper half of an F16
		return convert(t.data, func(b byte) float32 { return halfToFloat(uint16(b) << 8) }), nil
	case F8E4M3:
		return convert(t.data, f8e4m3ToFloat), nil
	}
	return nil, t.typeError("floating-point numbers that can be converted to 32 bits")
}

// convert returns the values of a function of each element.
func convert[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
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
	return convert(f, func(v float32) float64 { return float64(v) }), nil
}

// Int64s returns the elements of an I64, I32 or U8 tensor; other types are an error.
func (t Tensor) Int64s() ([]int64, error) {
	switch t.DType {
	case I64:
		return view[int64](t.data), nil
	case I32:
		return convert(view[int32](t.data), func(v int32) int64 { return int64(v) }), nil
	case U8:
		return convert(t.data, func(v byte) int64 { return int64(v) }), nil
	}
	return nil, t.typeError("integers")
}

// typeError reports that the type of the tensor does not hold the wanted elements.
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

// f8e4m3ToFloat converts 8-bit floats with 4 bits of exponent: bias 7, no infinity, NaN where all
// bits but the sign are set.
func f8e4m3ToFloat(b byte) float32 {
	exp, frac := int(b>>3&15), float64(b&7)
	v := math.Ldexp(8+frac, exp-10)
	switch {
	case b&0x7F == 0x7F:
		v = math.NaN()
	case exp == 0: // zero and subnormal numbers
		v = math.Ldexp(frac, -9)
	}
	if b>>7 == 1 {
		v = -v
	}
	return float32(v)
}

// littleEndian reports whether memory has the byte order of the files.
var littleEndian = func() bool {
	x := uint16(1)
	return *(*byte)(unsafe.Pointer(&x)) == 1
}()

// view reinterprets file bytes as elements. It copies only if the memory is not aligned for T or
// the machine is big-endian.
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
