package pack

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/atomicfile"
)

// ErrOther is wrapped when the folder holds something that a new pack must not be written over.
var ErrOther = errors.New("is not empty")

// Writer makes a pack in a folder.
type Writer struct {
	dir        string
	key        [sha256.Size]byte
	shardBytes int64
	header     Header
	all        entries
	next       int // image
}

// NewWriter goes on with the shards that an earlier writer of the same images left, or begins. Two
// packs are the same by their header, count and options; a shard is full when it has shardBytes.
func NewWriter(dir string, h Header, count int, options string, shardBytes int64) (*Writer, error) {
	w := &Writer{dir: dir, header: h, shardBytes: shardBytes}
	w.header.Shards = nil
	w.key = sha256.Sum256(fmt.Appendf(nil, "%s %q %d %d %d %q %d %q", shardMagic, h.Source, h.Channels, h.ShortSide, count, h.Classes, shardBytes, options))
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return w, os.MkdirAll(dir, 0o777)
	}
	if err != nil {
		return nil, err
	}
	present := map[string]bool{}
	for _, e := range list {
		name := e.Name()
		switch {
		case atomicfile.IsTemporary(name) && (strings.Contains(name, "shard-") || strings.Contains(name, IndexName)):
			if err := os.Remove(filepath.Join(dir, name)); err != nil { // of a writer that was killed
				return nil, err
			}
		case name == IndexName:
			return nil, fmt.Errorf("%w: it already holds a pack", ErrOther)
		case strings.HasPrefix(name, "shard-"):
			present[name] = true
		default:
			return nil, fmt.Errorf("%w: it holds %s", ErrOther, name)
		}
	}
	for {
		name := shardName(len(w.header.Shards))
		if !present[name] {
			break
		}
		t, size, ok := readTail(filepath.Join(dir, name), w.key, w.next)
		if !ok {
			break
		}
		delete(present, name)
		if err := w.append(name, size, t); err != nil {
			return nil, err
		}
	}
	if len(present) > 0 {
		return nil, fmt.Errorf("%w: it holds part of a pack of other images, or of other options", ErrOther)
	}
	return w, nil
}

func shardName(n int) string { return fmt.Sprintf("shard-%05d", n) }

// Next is the image that the writer wants next: 0, or where another stopped.
func (w *Writer) Next() int { return w.next }

// Len is how many images are in the finished shards.
func (w *Writer) Len() int { return w.all.len() }

// Entry returns one of them.
func (w *Writer) Entry(i int) Entry {
	e, _ := w.all.at(i) // of our own making
	return e
}

// append takes a finished shard into the index.
func (w *Writer) append(name string, size int64, t entries) error {
	for i := range t.len() {
		e, ok := t.at(i)
		if !ok || e.Shard != len(w.header.Shards) {
			return errDamaged("the table of %s", name)
		}
		var err error
		if w.all.table, w.all.text, err = appendEntry(w.all.table, w.all.text, &e); err != nil {
			return err
		}
	}
	w.header.Shards = append(w.header.Shards, Shard{name, size})
	w.next += t.len()
	return nil
}

// Shard writes the next shard. more gives one image after the other, until the shard is full or it
// returns io.EOF: the entry's name, class and problem, and the pixels, which are used before the
// next call. Nothing is left of a shard that another error ends.
func (w *Writer) Shard(more func() (Entry, *pixels.Image, error)) (done bool, err error) {
	name := shardName(len(w.header.Shards))
	var t entries
	var failed error // of more, which is not about writing
	size := int64(shardStart)
	err = atomicfile.Write(filepath.Join(w.dir, name), func(out io.Writer) error {
		if _, err := out.Write(append([]byte(shardMagic), w.key[:]...)); err != nil {
			return err
		}
		for size < w.shardBytes {
			e, m, err := more()
			if err == io.EOF {
				done = true
				break
			}
			if err != nil {
				failed = err
				return err
			}
			e.Shard, e.Offset = len(w.header.Shards), size
			if e.Problem == "" {
				e.W, e.H, e.Digest = m.W, m.H, sha256.Sum256(m.Pix)
				if _, err := out.Write(m.Pix); err != nil {
					return err
				}
				size += int64(len(m.Pix))
			}
			if t.table, t.text, err = appendEntry(t.table, t.text, &e); err != nil {
				return err
			}
		}
		if t.len() == 0 {
			return errNothing
		}
		for _, part := range [][]byte{t.table, t.text, shardTail(w.key, w.next, t)} {
			if _, err := out.Write(part); err != nil {
				return err
			}
			size += int64(len(part))
		}
		return nil
	})
	switch {
	case errors.Is(err, errNothing):
		return true, nil
	case failed != nil:
		return false, failed
	}
	if err != nil {
		return false, err
	}
	return done, w.append(name, size, t)
}

var errNothing = errors.New("no image is left")

// Finish writes the index, which makes the folder a pack.
func (w *Writer) Finish() (bytes int64, err error) {
	b, err := encodeIndex(&w.header, w.all)
	if err != nil {
		return 0, err
	}
	bytes = int64(len(b))
	for _, s := range w.header.Shards {
		bytes += s.Bytes
	}
	return bytes, atomicfile.Write(filepath.Join(w.dir, IndexName), func(out io.Writer) error {
		_, err := out.Write(b)
		return err
	})
}
