// Command _asm writes the assembly kernels of one level:
//
//	go run . -level avx2   -out ../avx2_amd64.s   -stubs ../avx2_amd64.go   -pkg f32
//	go run . -level avx512 -out ../avx512_amd64.s -stubs ../avx512_amd64.go -pkg f32
package main

import (
	"flag"
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
)

// w is the number of floats in a vector register, suffix the end of every function's name.
var (
	w      int
	suffix string
)

func main() {
	level := flag.String("level", "", "avx2 or avx512")
	flag.Parse()
	attentionRows, lanes := 6, 6
	switch *level {
	case "avx2":
		w, suffix = 8, "AVX2"
		genTiles(6, 2)
		genPackCopy8(6, 16)
		genPackRows8(6, 16)
		genTranspose6()
	case "avx512":
		w, suffix = 16, "AVX512"
		attentionRows, lanes = 8, 14
		genTiles(14, 2)
		genPackCopy16(14, 32)
		genPackRows16(14, 32)
	default:
		fmt.Fprintln(os.Stderr, "-level must be avx2 or avx512")
		os.Exit(2)
	}
	genTilePrefetch(2)
	genTranspose()
	genEpilogues(2)
	genElementwise()
	genReductions()
	genRows()
	genAttention(attentionRows)
	genCopyRows()
	genWinograd(lanes)
	genBatchNorm()
	genMaxPool()
	genPeak()
	if *level == "avx2" {
		genPause()
	}
	Generate()
}
