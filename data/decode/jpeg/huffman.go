package jpeg

import (
	"bytes"
	"errors"
	"fmt"
)

// errTable is about a Huffman table that libjpeg refuses as well.
var errTable = errors.New("a Huffman table is not one")

// lookupBits of the stream choose an entry of a table. Most codes together with the value that
// follows them are no longer.
const lookupBits = 10

// huffman is a table by which the next bits are decoded.
//
// The bits of an entry, from the lowest: 0..4 how many bits to consume; 5..7 its kind; 8..15 how
// many zero coefficients come first; 16..31 the coefficient, signed. Where the value does not lie
// within the lookup, the kind is entryValue, the bits to consume are those of the code alone, and
// 16..19 count the further bits of the value. entryEnd ends the block, entryLong asks for the slow
// search.
type huffman struct {
	entries [1 << lookupBits]uint32
	source  []byte // counts (16) and symbols that the table was made of

	// Codes longer than the lookup, by length: F.2.2.3.
	maxCode [18]int32 // the largest code of a length, left-aligned to 16 bits, exclusive
	first   [17]int32 // symbol index minus code
	symbols [256]byte

	// For reading symbols alone, made by plain and nil before: 0..7 the bits of the code, 8..15 the
	// symbol; 0 where the code is longer than the lookup or is none.
	codes   *[1 << lookupBits]uint16
	codesOf []byte // source that they were made of
}

const (
	entryBits  = 31
	entryLong  = 1 << 5
	entryValue = 1 << 6
	entryEnd   = 1 << 7
	entryKinds = entryLong | entryValue | entryEnd
)

// set builds the table from counts and symbols as they stand in the file.
func (t *huffman) set(source []byte, dc bool) error {
	if bytes.Equal(t.source, source) {
		return nil
	}
	t.source = t.source[:0] // not valid until it is whole
	counts, symbols := source[:16], source[16:]
	limit := byte(0xff)
	if dc {
		limit = 15
	}
	for _, s := range symbols {
		if s > limit {
			return fmt.Errorf("%w: symbol %d", errTable, s)
		}
	}
	clear(t.symbols[:])
	copy(t.symbols[:], symbols)
	for i := range t.entries {
		t.entries[i] = entryLong
	}
	code, k := int32(0), int32(0)
	for n := 1; n <= 16; n++ {
		t.first[n] = k - code
		for range counts[n-1] {
			if code >= 1<<n {
				return fmt.Errorf("%w: more codes than fit", errTable)
			}
			if n <= lookupBits {
				t.fill(uint32(code), n, symbols[k], dc)
			}
			code++
			k++
		}
		t.maxCode[n] = code << (16 - n)
		code <<= 1
	}
	t.maxCode[17] = 1 << 16
	t.source = append(t.source, source...)
	return nil
}

// fill writes the entries of one code of n bits.
func (t *huffman) fill(code uint32, n int, symbol byte, dc bool) {
	free := lookupBits - n
	run, size := uint32(symbol>>4), int(symbol&15)
	for rest := range uint32(1) << free {
		e := uint32(n)
		switch {
		case !dc && size == 0 && run != 15: // 16 zeros are no end
			e |= entryEnd
		case size > free:
			e |= entryValue | run<<8 | uint32(size)<<16
		default:
			value := extend(int32(rest>>(free-size)), size)
			e = uint32(n+size) | run<<8 | uint32(uint16(value))<<16
		}
		t.entries[code<<free|rest] = e
	}
}

// plain makes codes ready.
func (t *huffman) plain() {
	if t.codes == nil {
		t.codes = new([1 << lookupBits]uint16)
	} else if bytes.Equal(t.codesOf, t.source) {
		return
	}
	clear(t.codes[:])
	code, k := 0, 0
	for n := 1; n <= lookupBits; n++ {
		for range t.source[n-1] {
			free := lookupBits - n
			for rest := range 1 << free {
				t.codes[code<<free|rest] = uint16(t.symbols[k])<<8 | uint16(n)
			}
			code++
			k++
		}
		code <<= 1
	}
	t.codesOf = append(t.codesOf[:0], t.source...)
}

// long finds the symbol whose code is too long for the lookup. bits are the next 16; n is 0 where
// they are no code at all.
func (t *huffman) long(bits int32) (symbol byte, n int) {
	for n = lookupBits + 1; n <= 16; n++ {
		if bits < t.maxCode[n] {
			return t.symbols[(bits>>(16-n)+t.first[n])&255], n
		}
	}
	return 0, 0
}

// extend makes a signed value of size bits: F.2.2.1.
func extend(v int32, size int) int32 {
	if size > 0 && v < 1<<(size-1) {
		v += -1<<size + 1
	}
	return v
}
