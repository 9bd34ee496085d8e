package jpeg

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
)

// testFile is a file that newFile makes of random coefficients, with sampling factors, restarts and
// color spaces as no encoder at hand writes them all.
type testFile struct {
	name     string
	w, h     int
	factors  [][2]int // of each component
	interval int
	adobe    int // transform of an Adobe segment; -1: none
	jfif     bool
	ids      string
	density  int // coefficients in a block, at most
}

// testFiles are the same in every run.
func testFiles() []testFile {
	var all []testFile
	add := func(f testFile) {
		f.name = fmt.Sprintf("%02d %dx%d %v restart %d adobe %d ids %q", len(all), f.w, f.h, f.factors, f.interval, f.adobe, f.ids)
		all = append(all, f)
	}
	sampling := [][][2]int{
		{{1, 1}}, {{2, 2}}, // gray, the factors of which mean nothing
		{{1, 1}, {1, 1}, {1, 1}},
		{{2, 1}, {1, 1}, {1, 1}},
		{{2, 2}, {1, 1}, {1, 1}},
		{{1, 2}, {1, 1}, {1, 1}},
		{{4, 1}, {1, 1}, {1, 1}},
		{{4, 2}, {1, 1}, {1, 1}},
		{{2, 1}, {2, 1}, {2, 1}},
		{{2, 2}, {2, 1}, {1, 2}},
		{{2, 2}, {1, 2}, {2, 1}},
		{{1, 1}, {2, 2}, {2, 1}},
	}
	sizes := [][2]int{{1, 1}, {2, 3}, {3, 2}, {5, 5}, {16, 16}, {17, 33}, {40, 23}, {101, 67}, {34, 20}}
	i := 0
	for _, s := range sampling {
		for _, size := range sizes {
			ids := "\x01\x02\x03"
			f := testFile{w: size[0], h: size[1], factors: s, adobe: -1, ids: ids, density: 1 << (i % 7)}
			switch i % 5 {
			case 1:
				f.interval = 1
			case 2:
				f.interval, f.jfif = 3, true
			case 3:
				f.adobe, f.interval = 1, 7
			}
			add(f)
			i++
		}
	}
	for _, size := range sizes[3:7] {
		add(testFile{w: size[0], h: size[1], factors: sampling[2], adobe: 0, ids: "\x01\x02\x03", density: 20})
		add(testFile{w: size[0], h: size[1], factors: sampling[2], adobe: -1, ids: "RGB", density: 20})
		add(testFile{w: size[0], h: size[1], factors: sampling[4], adobe: -1, ids: "RGB", density: 20})
		add(testFile{w: size[0], h: size[1], factors: sampling[2], adobe: 0, jfif: true, ids: "\x01\x02\x03", density: 20})
		add(testFile{w: size[0], h: size[1], factors: sampling[2], adobe: -1, ids: "abc", density: 20})
	}
	return all
}

// bitWriter stuffs bits as T.81 has them.
type bitWriter struct {
	out []byte
	acc uint32
	n   int
}

func (w *bitWriter) put(v uint32, n int) {
	for i := n - 1; i >= 0; i-- {
		w.acc = w.acc<<1 | v>>i&1
		if w.n++; w.n == 8 {
			w.out = append(w.out, byte(w.acc))
			if byte(w.acc) == 0xff {
				w.out = append(w.out, 0)
			}
			w.acc, w.n = 0, 0
		}
	}
}

func (w *bitWriter) flush() {
	for w.n != 0 {
		w.put(1, 1)
	}
}

// code is a Huffman code: short for frequent symbols, and with more codes of 11 to 16 bits than
// real files have.
type code struct {
	counts  [16]byte
	symbols []byte
	bits    [256]uint32
	length  [256]int
}

func newCode(symbols []byte) *code {
	c := &code{symbols: symbols}
	want := [17]int{3: 3, 4: 4, 5: 3, 7: 4, 9: 6, 11: 20, 13: 40, 16: 256}
	next, v := 0, uint32(0)
	for n := 1; n <= 16; n++ {
		for i := 0; i < want[n] && next < len(symbols); i++ {
			c.bits[symbols[next]], c.length[symbols[next]] = v, n
			c.counts[n-1]++
			next++
			v++
		}
		v <<= 1
	}
	return c
}

func (c *code) put(w *bitWriter, symbol byte) { w.put(c.bits[symbol], c.length[symbol]) }

func magnitude(v int) (bitsOf uint32, size int) {
	size = bits.Len(uint(max(v, -v)))
	if v < 0 {
		v += 1<<size - 1
	}
	return uint32(v), size
}

// newFile writes the file; rng chooses its coefficients.
func newFile(f testFile, rng *rand.Rand) []byte {
	acSymbols := []byte{0, 0x01, 0x02, 0x11, 0x03, 0xf0, 0x21, 0x12, 0x31}
	for run := range byte(16) {
		for size := byte(1); size <= 10; size++ {
			if symbol := run<<4 | size; !bytes.Contains(acSymbols, []byte{symbol}) {
				acSymbols = append(acSymbols, symbol)
			}
		}
	}
	e := encoder{testFile: f, rng: rng, dc: newCode([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}), ac: newCode(acSymbols)}
	return append(append(e.header(), e.scan()...), 0xff, markerEOI)
}

// encoder writes one file.
type encoder struct {
	testFile
	rng    *rand.Rand
	dc, ac *code
	bitWriter
	last [3]int // first coefficient of each component's last block
}

// header returns all segments up to the scan.
func (e *encoder) header() []byte {
	out := []byte{0xff, markerSOI}
	segment := func(marker byte, body ...byte) {
		out = append(out, 0xff, marker)
		out = binary.BigEndian.AppendUint16(out, uint16(len(body)+2))
		out = append(out, body...)
	}
	if e.jfif {
		segment(markerAPP0, []byte("JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")...)
	}
	if e.adobe >= 0 {
		segment(markerAPPE, append([]byte("Adobe\x00\x64\x00\x00\x00\x00"), byte(e.adobe))...)
	}
	for id := range byte(2) {
		table := []byte{id}
		for k := range 64 {
			table = append(table, byte(1+k/8+3*int(id)))
		}
		segment(markerDQT, table...)
	}
	frame := []byte{8, byte(e.h >> 8), byte(e.h), byte(e.w >> 8), byte(e.w), byte(len(e.factors))}
	scan := []byte{byte(len(e.factors))}
	for i, s := range e.factors {
		frame = append(frame, e.ids[i], byte(s[0]<<4|s[1]), byte(min(i, 1)))
		scan = append(scan, e.ids[i], 0)
	}
	segment(markerSOF0, frame...)
	segment(markerDHT, append(append([]byte{0}, e.dc.counts[:]...), e.dc.symbols...)...)
	segment(markerDHT, append(append([]byte{0x10}, e.ac.counts[:]...), e.ac.symbols...)...)
	if e.interval > 0 {
		segment(markerDRI, byte(e.interval>>8), byte(e.interval))
	}
	segment(markerSOS, append(scan, 0, 63, 0)...)
	return out
}

// scan returns the entropy-coded data.
func (e *encoder) scan() []byte {
	factors := e.factors
	if len(factors) == 1 {
		factors = [][2]int{{1, 1}}
	}
	hMax, vMax := 1, 1
	for _, s := range factors {
		hMax, vMax = max(hMax, s[0]), max(vMax, s[1])
	}
	mcus := ((e.w + 8*hMax - 1) / (8 * hMax)) * ((e.h + 8*vMax - 1) / (8 * vMax))
	for m := range mcus {
		if e.interval > 0 && m > 0 && m%e.interval == 0 {
			e.flush()
			e.out = append(e.out, 0xff, byte(markerRST0+(m/e.interval-1)%8))
			e.last = [3]int{}
		}
		for c, s := range factors {
			for range s[0] * s[1] {
				e.block(c)
			}
		}
	}
	e.flush()
	return e.out
}

// block writes a random block of component c.
func (e *encoder) block(c int) {
	q := 1 + 3*min(c, 1)
	level := e.rng.IntN(1200/q) - 600/q
	v, size := magnitude(level - e.last[c])
	e.last[c] = level
	e.dc.put(&e.bitWriter, byte(size))
	e.put(v, size)
	var block [64]int
	for range e.rng.IntN(e.density + 1) {
		block[1+e.rng.IntN(63)] = (e.rng.IntN(61) - 30) / (1 + e.rng.IntN(6))
	}
	run := 0
	for _, value := range block[1:] {
		if value == 0 {
			run++
			continue
		}
		for ; run > 15; run -= 16 {
			e.ac.put(&e.bitWriter, 0xf0)
		}
		v, size := magnitude(value)
		e.ac.put(&e.bitWriter, byte(run<<4|size))
		e.put(v, size)
		run = 0
	}
	if run > 0 {
		e.ac.put(&e.bitWriter, 0)
	}
}

// files writes all testFiles.
func files() (names []string, contents [][]byte) {
	rng := rand.New(rand.NewPCG(81, 1992))
	for _, f := range testFiles() {
		names = append(names, f.name)
		contents = append(contents, newFile(f, rng))
	}
	return names, contents
}
