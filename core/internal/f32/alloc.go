package f32

import "unsafe"

// Alloc returns n zeroed floats whose first element lies on a 64-byte boundary.
func Alloc(n int) []float32 {
	if n <= 0 {
		return nil
	}
	buf := make([]float32, n+15)
	skip := 0
	if r := uintptr(unsafe.Pointer(&buf[0])) & 63; r != 0 {
		skip = int(64-r) / 4
	}
	return buf[skip : skip+n : skip+n]
}

// grow returns buf resized to n floats; the contents are lost when it moves.
func grow(buf []float32, n int) []float32 {
	if cap(buf) < n {
		return Alloc(n + n/8)
	}
	return buf[:n]
}

// offset returns the address n floats behind p.
func offset(p *float32, n int) *float32 { return (*float32)(unsafe.Add(unsafe.Pointer(p), n*4)) }

// sliceAt returns the n floats from p on.
func sliceAt(p *float32, n int) []float32 { return unsafe.Slice(p, n) }
