// Command _asm writes the AVX2 kernels:
//
//	go run . -out ../avx2_amd64.s -stubs ../avx2_amd64.go -pkg vec
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	genInverse()
	genRGB()
	genInterpolate("interpolateHAVX2", false)
	genInterpolate("interpolateHVAVX2", true)
	genVertical()
	genHorizontal()
	Generate()
}

// words makes a constant of n 32-bit values.
func words(name string, values ...uint32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i, v := range values {
		DATA(4*i, U32(v))
	}
	return m
}

// all makes a constant of 8 equal 32-bit values.
func all(name string, v int32) Mem {
	values := make([]uint32, 8)
	for i := range values {
		values[i] = uint32(v)
	}
	return words(name, values...)
}

// pair makes a constant whose 32-bit values are two 16-bit ones.
func pair(name string, lo, hi int16) Mem {
	return all(name, int32(uint32(uint16(lo))|uint32(uint16(hi))<<16))
}

// bytesOf makes a constant of bytes, -1 standing for a zero of VPSHUFB.
func bytesOf(name string, values ...int) Mem {
	m := make([]uint32, len(values)/4)
	for i, v := range values {
		m[i/4] |= uint32(uint8(v)) << (8 * (i % 4))
	}
	return words(name, m...)
}

// The arithmetic below returns a new register; operands are in reading order.

func addD(a VecVirtual, b Op) VecVirtual { d := YMM(); VPADDD(b, a, d); return d }
func subD(a VecVirtual, b Op) VecVirtual { d := YMM(); VPSUBD(b, a, d); return d }
func mulD(a VecVirtual, b Op) VecVirtual { d := YMM(); VPMULLD(b, a, d); return d }
func addW(a VecVirtual, b Op) VecVirtual { d := YMM(); VPADDW(b, a, d); return d }

func arg(name string) Register { return Load(Param(name), GP64()) }

func end() {
	VZEROUPPER()
	RET()
}
