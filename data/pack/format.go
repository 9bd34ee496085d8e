// Package pack reads and writes packs: folders of decoded images for data that is read many times.
// docs/pack-format.md describes the bytes.
//
// A pack is shards, which hold pixels, and an index, which is written last: a folder without an
// index is a pack that is not finished. Every file is written under another name and renamed when
// it is whole. The index is covered by a digest that Open checks, the pixels of each image by one
// that is checked when they are first read.
package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
)

// IndexName is the file that makes a folder a pack.
const IndexName = "pack.index"

const (
	indexMagic = "vittool pack 1\n\x00"
	shardMagic = "vittool shard 1\n"
	recordSize = 72
	maxText    = math.MaxUint16
)

// Header describes a pack as a whole.
type Header struct {
	// Source is the fingerprint of the images that were packed.
	Source string `json:"source"`
	// Channels of every image.
	Channels int `json:"channels"`
	// ShortSide is the side to which larger images were shortened; 0: none were.
	ShortSide int      `json:"short_side"`
	Classes   []string `json:"classes"`
	Shards    []Shard  `json:"shards"`
}

// Shard is a file of pixels.
type Shard struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// Entry is one image. One that could not be read when it was packed has no pixels, and Problem is
// the reason.
type Entry struct {
	Name    string
	Class   int // index into the classes, -1: none
	W, H    int
	FullW   int // before it was shortened
	FullH   int
	Shard   int
	Offset  int64
	Digest  [sha256.Size]byte // of the pixels
	Problem string
}

// appendEntry adds an entry to a table and its texts.
func appendEntry(table, text []byte, e *Entry) (_, _ []byte, err error) {
	problem := e.Problem[:min(len(e.Problem), maxText)]
	if len(e.Name) > maxText {
		return nil, nil, fmt.Errorf("the name of an image has %d bytes, more than %d", len(e.Name), maxText)
	}
	if len(text)+len(e.Name)+len(problem) > math.MaxUint32 {
		return nil, nil, errors.New("the names of the images take more than 4 GiB")
	}
	le := binary.LittleEndian
	table = le.AppendUint32(table, uint32(int32(e.Class)))
	table = le.AppendUint32(table, uint32(e.W))
	table = le.AppendUint32(table, uint32(e.H))
	table = le.AppendUint32(table, uint32(e.FullW))
	table = le.AppendUint32(table, uint32(e.FullH))
	table = le.AppendUint32(table, uint32(e.Shard))
	table = le.AppendUint64(table, uint64(e.Offset))
	table = le.AppendUint32(table, uint32(len(text)))
	table = le.AppendUint16(table, uint16(len(e.Name)))
	table = le.AppendUint16(table, uint16(len(problem)))
	table = append(table, e.Digest[:]...)
	return table, append(append(text, e.Name...), problem...), nil
}

// entries is a table and its texts, as they lie in a file.
type entries struct {
	table, text []byte
}

func (t entries) len() int { return len(t.table) / recordSize }

// at reads an entry; ok is false where its texts are not there.
func (t entries) at(i int) (e Entry, ok bool) {
	r := t.table[i*recordSize : (i+1)*recordSize]
	le := binary.LittleEndian
	e.Class = int(int32(le.Uint32(r)))
	e.W, e.H = int(le.Uint32(r[4:])), int(le.Uint32(r[8:]))
	e.FullW, e.FullH, e.Shard = int(le.Uint32(r[12:])), int(le.Uint32(r[16:])), int(le.Uint32(r[20:]))
	e.Offset = int64(le.Uint64(r[24:]))
	at, name, problem := int64(le.Uint32(r[32:])), int64(le.Uint16(r[36:])), int64(le.Uint16(r[38:]))
	copy(e.Digest[:], r[40:])
	if at+name+problem > int64(len(t.text)) {
		return e, false
	}
	e.Name, e.Problem = string(t.text[at:at+name]), string(t.text[at+name:at+name+problem])
	return e, true
}

// encodeIndex is the content of an index file.
func encodeIndex(h *Header, t entries) ([]byte, error) {
	head, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	b := []byte(indexMagic)
	b = le.AppendUint32(b, uint32(len(head)))
	b = append(b, head...)
	b = le.AppendUint64(b, uint64(t.len()))
	b = le.AppendUint64(b, uint64(len(t.text)))
	b = append(append(b, t.table...), t.text...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}

// errDamaged is an error about a damaged file of a pack.
func errDamaged(format string, args ...any) error {
	return fmt.Errorf("the pack is damaged: %s", fmt.Sprintf(format, args...))
}

// parseIndex is the inverse of encodeIndex. Everything is checked that Pack relies on later.
func parseIndex(b []byte) (*Header, entries, error) {
	var none entries
	switch {
	case len(b) < len(indexMagic) || !bytes.HasPrefix(b, []byte(indexMagic[:len("vittool pack ")])):
		return nil, none, errDamaged("its index does not begin as one")
	case string(b[:len(indexMagic)]) != indexMagic:
		return nil, none, errors.New("the pack was written by another version of vittool; pack the images again")
	case len(b) < len(indexMagic)+4+16+sha256.Size:
		return nil, none, errDamaged("its index is cut short")
	}
	body := b[:len(b)-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], b[len(body):]) {
		return nil, none, errDamaged("the digest of its index is wrong")
	}
	le := binary.LittleEndian
	rest := body[len(indexMagic):]
	n := uint64(le.Uint32(rest))
	rest = rest[4:]
	if n+16 > uint64(len(rest)) {
		return nil, none, errDamaged("the header of its index is cut short")
	}
	h := &Header{}
	d := json.NewDecoder(bytes.NewReader(rest[:n]))
	d.DisallowUnknownFields()
	if err := d.Decode(h); err != nil {
		return nil, none, errDamaged("the header of its index: %v", err)
	}
	rest = rest[n:]
	count, text := le.Uint64(rest), le.Uint64(rest[8:])
	rest = rest[16:]
	if count > uint64(len(rest))/recordSize || text != uint64(len(rest))-count*recordSize {
		return nil, none, errDamaged("its index has %d bytes for %d images and %d bytes of names", len(rest), count, text)
	}
	t := entries{rest[:count*recordSize], rest[count*recordSize:]}
	if err := check(h, t); err != nil {
		return nil, none, err
	}
	return h, t, nil
}

// maxSide bounds an image as the header of a file does; it keeps products of sides and channels far
// from overflow.
const maxSide = 1 << 20

func check(h *Header, t entries) error {
	if h.Channels < 1 || h.Channels > 64 || h.ShortSide < 0 {
		return errDamaged("%d channels, short side %d", h.Channels, h.ShortSide)
	}
	for _, s := range h.Shards {
		if s.Name == "" || s.Name != filepath.Base(s.Name) || s.Bytes < int64(len(shardMagic)) {
			return errDamaged("it names %q, of %d bytes, as a shard", s.Name, s.Bytes)
		}
	}
	for i := range t.len() {
		e, ok := t.at(i)
		size := int64(e.W) * int64(e.H) * int64(h.Channels)
		switch {
		case !ok:
			return errDamaged("image %d has its name past the end", i)
		case e.Class < -1 || e.Class >= len(h.Classes):
			return errDamaged("image %d (%s) has class %d of %d", i, e.Name, e.Class, len(h.Classes))
		case e.Problem != "":
		case e.W < 1 || e.H < 1 || e.W > maxSide || e.H > maxSide:
			return errDamaged("image %d (%s) has %dx%d pixels", i, e.Name, e.W, e.H)
		case e.Shard >= len(h.Shards) || e.Offset < 0 || e.Offset > h.Shards[e.Shard].Bytes-size:
			return errDamaged("image %d (%s) lies at byte %d of shard %d, where there is none", i, e.Name, e.Offset, e.Shard)
		}
	}
	return nil
}
