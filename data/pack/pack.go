package pack

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/vittool/vittool/data/pixels"
)

// Is reports whether a folder holds a pack, finished or not.
func Is(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, IndexName)); err == nil {
		return true
	}
	return unfinished(dir)
}

// unfinished reports whether a folder holds shards and nothing else.
func unfinished(dir string) bool {
	head := make([]byte, len(shardMagic))
	f, err := os.Open(filepath.Join(dir, shardName(0)))
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = f.Read(head)
	return err == nil && string(head) == shardMagic
}

// Pack is an open pack. Methods may be called from several goroutines.
type Pack struct {
	Header
	entries
	dir     string
	index   *mapping
	shards  []*mapping
	sound   []atomic.Uint32 // (images/32) bits of the images whose digest was right
	content string
	shorter int
}

// Open reads the index and looks at the shards.
func Open(dir string) (_ *Pack, err error) {
	path := filepath.Join(dir, IndexName)
	p := &Pack{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if p.index, err = mapFile(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) && unfinished(dir) {
			return nil, errors.New("the pack is not finished: run the same `vittool data pack` again, and it goes on where it stopped")
		}
		return nil, err
	}
	h, t, err := parseIndex(p.index.bytes)
	if err != nil {
		return nil, err
	}
	p.Header, p.entries = *h, t
	for _, s := range h.Shards {
		m, err := mapFile(filepath.Join(dir, s.Name))
		if err != nil {
			return nil, err
		}
		p.shards = append(p.shards, m)
		if int64(len(m.bytes)) != s.Bytes {
			return nil, errDamaged("%s has %d bytes, its index says %d", s.Name, len(m.bytes), s.Bytes)
		}
		if !strings.HasPrefix(string(m.bytes[:len(shardMagic)]), shardMagic) {
			return nil, errDamaged("%s does not begin as a shard", s.Name)
		}
	}
	content := sha256.New()
	for i := range t.len() {
		e, _ := t.at(i)
		content.Write(e.Digest[:])
		fmt.Fprintf(content, " %d %d %d %q\n", e.W, e.H, e.Class, e.Name)
		if e.W != e.FullW || e.H != e.FullH {
			p.shorter++
		}
	}
	p.content = "sha256:" + hex.EncodeToString(content.Sum(nil))
	p.sound = make([]atomic.Uint32, (t.len()+31)/32)
	return p, nil
}

// Len is the number of images.
func (p *Pack) Len() int { return p.len() }

// Entry returns the entry of an image in the index.
func (p *Pack) Entry(i int) Entry {
	e, _ := p.at(i) // was checked when the index was read
	return e
}

// Shortened is the number of images that are smaller than they were.
func (p *Pack) Shortened() int { return p.shorter }

// Content is a digest over all images, their names and classes.
func (p *Pack) Content() string { return p.content }

// Image returns the pixels of an image, which lie in the file and can only be read, until Close.
// They are checked the first time.
func (p *Pack) Image(i int) (*pixels.Image, error) {
	e := p.Entry(i)
	if e.Problem != "" {
		return nil, fmt.Errorf("could not be read when it was packed: %s", e.Problem)
	}
	n := int64(e.W) * int64(e.H) * int64(p.Channels)
	pix := p.shards[e.Shard].bytes[e.Offset : e.Offset+n : e.Offset+n]
	if bit := uint32(1) << (i % 32); p.sound[i/32].Load()&bit == 0 {
		if sha256.Sum256(pix) != e.Digest {
			return nil, errDamaged("its pixels in %s have another digest", p.Shards[e.Shard].Name)
		}
		p.sound[i/32].Or(bit)
	}
	return &pixels.Image{Pix: pix, W: e.W, H: e.H, C: p.Channels}, nil
}

// Close gives the files back. No image may be used after it.
func (p *Pack) Close() error {
	var errs []error
	for _, m := range append(p.shards, p.index) {
		if m != nil {
			errs = append(errs, m.close())
		}
	}
	p.shards, p.index = nil, nil
	return errors.Join(errs...)
}
