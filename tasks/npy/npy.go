// Package npy reads and writes NumPy's .npy files (format 1.0 and 2.0) for dense C-ordered arrays
// of the few element types that features and labels need. The format is described in
// numpy/lib/format.py.
package npy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
)

const magic = "\x93NUMPY"

// maxHeader bounds the text header. NumPy's own headers are below 200 bytes.
const maxHeader = 1 << 16

// Array is a dense array in C order. Exactly one of the slices is set and its length is the product
// of Shape (1 for an empty shape, a scalar).
type Array struct {
	Shape   []int
	Float32 []float32
	Float64 []float64
	Int64   []int64
	Int32   []int32
}

// ErrFormat is wrapped by every error about bytes that are no array file, or one of an element type
// or order that this package does not read.
var ErrFormat = errors.New("not a readable .npy array")

// Write stores a in format 1.0, little endian. The header is padded so that the data begins at a
// multiple of 64 bytes and can be memory-mapped.
func Write(w io.Writer, a Array) error {
	descr, length, data, err := a.describe()
	if err != nil {
		return err
	}
	if n, ok := elements(a.Shape); !ok || n != length {
		return fmt.Errorf("npy: shape %v does not describe %d elements", a.Shape, length)
	}
	dims := make([]string, len(a.Shape))
	for i, d := range a.Shape {
		dims[i] = strconv.Itoa(d)
	}
	shape := strings.Join(dims, ", ")
	if len(dims) == 1 {
		shape += "," // a Python tuple of one needs its comma
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape)
	total := len(magic) + 2 + 2 + len(header) + 1
	header += strings.Repeat(" ", (64-total%64)%64) + "\n"
	if len(header) > math.MaxUint16 {
		return fmt.Errorf("npy: the header of %d dimensions is longer than %d bytes", len(dims), math.MaxUint16)
	}
	b := bufio.NewWriterSize(w, 1<<20)
	b.WriteString(magic)
	b.Write([]byte{1, 0})
	b.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(header))))
	b.WriteString(header)
	if err := binary.Write(b, binary.LittleEndian, data); err != nil {
		return fmt.Errorf("npy: writing %d elements: %w", length, err)
	}
	return b.Flush()
}

func (a Array) describe() (descr string, length int, data any, err error) {
	set := 0
	if a.Float32 != nil {
		descr, length, data = "<f4", len(a.Float32), a.Float32
		set++
	}
	if a.Float64 != nil {
		descr, length, data = "<f8", len(a.Float64), a.Float64
		set++
	}
	if a.Int64 != nil {
		descr, length, data = "<i8", len(a.Int64), a.Int64
		set++
	}
	if a.Int32 != nil {
		descr, length, data = "<i4", len(a.Int32), a.Int32
		set++
	}
	if set != 1 {
		return "", 0, nil, fmt.Errorf("npy: an array holds exactly one kind of element, this one holds %d", set)
	}
	return descr, length, data, nil
}

// elements multiplies the dimensions; ok is false for a negative dimension or a product beyond the
// range of int.
func elements(shape []int) (n int, ok bool) {
	n = 1
	for _, d := range shape {
		if d < 0 || (d > 0 && n > math.MaxInt/d) {
			return 0, false
		}
		n *= d
	}
	return n, true
}

var (
	descrRule   = regexp.MustCompile(`'descr'\s*:\s*'([^']*)'`)
	fortranRule = regexp.MustCompile(`'fortran_order'\s*:\s*(True|False)`)
	shapeRule   = regexp.MustCompile(`'shape'\s*:\s*\(([0-9,\s]*)\)`)
)

// Read reads one array. Memory grows with the bytes of the file, not with the claims of its header.
func Read(r io.Reader) (Array, error) {
	b := bufio.NewReaderSize(r, 1<<20)
	header, err := readHeader(b)
	if err != nil {
		return Array{}, err
	}
	descr, shape, err := parseHeader(header)
	if err != nil {
		return Array{}, err
	}
	a := Array{Shape: shape}
	n, ok := elements(shape)
	if !ok {
		return Array{}, bad("shape %v is too large", shape)
	}
	switch descr {
	case "<f4":
		a.Float32, err = values(b, n, 4, func(p []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(p)) })
	case "<f8":
		a.Float64, err = values(b, n, 8, func(p []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(p)) })
	case "<i8":
		a.Int64, err = values(b, n, 8, func(p []byte) int64 { return int64(binary.LittleEndian.Uint64(p)) })
	case "<i4":
		a.Int32, err = values(b, n, 4, func(p []byte) int32 { return int32(binary.LittleEndian.Uint32(p)) })
	default:
		return Array{}, bad("element type %q; use <f4, <f8, <i4 or <i8", descr)
	}
	if err != nil {
		return Array{}, bad("shape %v: %v", shape, err)
	}
	return a, nil
}

// bad is an error that wraps ErrFormat.
func bad(format string, args ...any) error {
	return fmt.Errorf("npy: %s: %w", fmt.Sprintf(format, args...), ErrFormat)
}

// readHeader checks the magic number and returns the text of the header. Its length is a field of 2
// bytes in format 1, of 4 bytes in formats 2 and 3.
func readHeader(r io.Reader) ([]byte, error) {
	var lead [8]byte
	if _, err := io.ReadFull(r, lead[:]); err != nil {
		return nil, bad("shorter than its magic number")
	}
	if string(lead[:6]) != magic {
		return nil, bad("the magic number is missing")
	}
	var size [4]byte
	field := size[:2]
	switch lead[6] {
	case 1:
	case 2, 3:
		field = size[:]
	default:
		return nil, bad("format version %d.%d is unknown", lead[6], lead[7])
	}
	if _, err := io.ReadFull(r, field); err != nil {
		return nil, bad("cut off in the header")
	}
	length := binary.LittleEndian.Uint32(size[:])
	if length > maxHeader {
		return nil, bad("a header of %d bytes", length)
	}
	header := make([]byte, length)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, bad("cut off in the header")
	}
	return header, nil
}

// parseHeader returns the element type and the shape of an array in C order.
func parseHeader(header []byte) (descr string, shape []int, err error) {
	d, fortran, dims := descrRule.FindSubmatch(header), fortranRule.FindSubmatch(header), shapeRule.FindSubmatch(header)
	if d == nil || fortran == nil || dims == nil {
		return "", nil, bad("header %.120q lacks descr, fortran_order or shape", header)
	}
	for _, f := range strings.Split(string(dims[1]), ",") {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		n, err := strconv.Atoi(f)
		if err != nil {
			return "", nil, bad("dimension %q", f)
		}
		shape = append(shape, n)
	}
	if string(fortran[1]) == "True" && len(shape) > 1 {
		return "", nil, bad("Fortran order; store it with numpy.ascontiguousarray")
	}
	return string(d[1]), shape, nil
}

// values reads n elements of size bytes in pieces. The stream must end after them.
func values[T any](r *bufio.Reader, n, size int, decode func([]byte) T) ([]T, error) {
	const piece = 1 << 14
	buf := make([]byte, piece*size)
	out := make([]T, 0, min(n, piece))
	for len(out) < n {
		part := buf[:min(n-len(out), piece)*size]
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, fmt.Errorf("the data ends after %d of %d elements", len(out), n)
		}
		for i := 0; i < len(part); i += size {
			out = append(out, decode(part[i:]))
		}
	}
	if _, err := r.ReadByte(); err != io.EOF {
		return nil, fmt.Errorf("bytes follow the %d elements", n)
	}
	return out, nil
}
