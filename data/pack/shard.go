package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"os"
)

// A shard is, one behind the other: its magic; a key, the digest of all that decides its bytes;
// pixels; the table of its images with their texts; a tail. The tail is for a writer that goes on
// where another stopped. Readers only use the index.
const (
	shardStart = len(shardMagic) + sha256.Size
	tailSize   = 3*8 + sha256.Size // first image, how many, bytes of text, digest
)

// shardTail ends a shard whose table and texts are t.
func shardTail(key [sha256.Size]byte, first int, t entries) []byte {
	le := binary.LittleEndian
	var b []byte
	b = le.AppendUint64(b, uint64(first))
	b = le.AppendUint64(b, uint64(t.len()))
	b = le.AppendUint64(b, uint64(len(t.text)))
	sum := tailDigest(key, t, b)
	return append(b, sum[:]...)
}

func tailDigest(key [sha256.Size]byte, t entries, counts []byte) (sum [sha256.Size]byte) {
	d := sha256.New()
	for _, part := range [][]byte{key[:], t.table, t.text, counts} {
		d.Write(part)
	}
	d.Sum(sum[:0])
	return sum
}

// readTail returns the table of a finished shard that another writer left, if it belongs to the
// pack of this key and begins with the image first.
func readTail(path string, key [sha256.Size]byte, first int) (t entries, size int64, ok bool) {
	f, err := os.Open(path)
	if err != nil {
		return t, 0, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < int64(shardStart+tailSize) {
		return t, 0, false
	}
	head, tail := make([]byte, shardStart), make([]byte, tailSize)
	if _, err := io.ReadFull(f, head); err != nil {
		return t, 0, false
	}
	if string(head[:len(shardMagic)]) != shardMagic || !bytes.Equal(head[len(shardMagic):], key[:]) {
		return t, 0, false
	}
	if _, err := f.ReadAt(tail, info.Size()-tailSize); err != nil {
		return t, 0, false
	}
	le := binary.LittleEndian
	count, text := le.Uint64(tail[8:]), le.Uint64(tail[16:])
	room := uint64(info.Size() - int64(shardStart+tailSize))
	if le.Uint64(tail) != uint64(first) || count == 0 || count > room/recordSize || text > room-count*recordSize {
		return t, 0, false
	}
	b := make([]byte, count*recordSize+text)
	if _, err := f.ReadAt(b, info.Size()-tailSize-int64(len(b))); err != nil {
		return t, 0, false
	}
	t = entries{b[:count*recordSize], b[count*recordSize:]}
	if sum := tailDigest(key, t, tail[:24]); !bytes.Equal(sum[:], tail[24:]) {
		return t, 0, false
	}
	return t, info.Size(), true
}
