package vec

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// plain runs f without the assembly.
func plain(f func()) {
	was := assembly
	assembly = false
	defer func() { assembly = was }()
	f()
}

func random(rng *rand.Rand, n int) []uint8 {
	b := make([]uint8, n)
	for i := range b {
		b[i] = uint8(rng.IntN(256))
		if rng.IntN(4) == 0 { // the ends of the range, where clamping happens
			b[i] = uint8(-rng.IntN(2))
		}
	}
	return b
}

// both compares the results of f with and without assembly, and the bytes around them, which f must
// not touch.
func both(t *testing.T, kernel string, size int, f func(out []uint8)) {
	t.Helper()
	const guard = 64
	var got [2][]uint8
	run := func(i int) {
		got[i] = bytes.Repeat([]byte{0xa5}, size+2*guard)
		f(got[i][guard : guard+size : guard+size])
	}
	run(0)
	plain(func() { run(1) })
	if !bytes.Equal(got[0], got[1]) {
		for i := range got[0] {
			if got[0][i] != got[1][i] {
				t.Fatalf("%s: byte %d is %d with assembly, %d in plain Go", kernel, i-guard, got[0][i], got[1][i])
			}
		}
	}
}

func needAssembly(t *testing.T) {
	t.Helper()
	if !assembly {
		if available() {
			t.Skip("VITTOOL_KERNELS=generic: nothing to compare")
		}
		t.Skip("no assembly for this machine")
	}
}
