package pack

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/must"
)

const testImages = 9

// image i of the test pack.
func image(i int) *pixels.Image {
	m := pixels.New(3+i, 2+i%3, 3)
	for k := range m.Pix {
		m.Pix[k] = uint8(k*7 + i)
	}
	return m
}

func entry(i int) Entry {
	e := Entry{Name: strings.Repeat("x", i) + ".png", Class: i%3 - 1, FullW: 3 + i, FullH: 2 + i%3}
	if i == 4 {
		e.Problem, e.FullW, e.FullH = "it is broken", 0, 0
	}
	return e
}

func header() Header {
	return Header{Source: "sha256:ab", Channels: 3, Classes: []string{"a", "b"}}
}

// write writes images until it has written as many as given, then fails.
func write(dir string, images int) error {
	w, err := NewWriter(dir, header(), testImages, "", 140)
	if err != nil {
		return err
	}
	at := w.Next()
	for done := false; !done; {
		done, err = w.Shard(func() (Entry, *pixels.Image, error) {
			switch at {
			case testImages:
				return Entry{}, nil, io.EOF
			case images:
				return Entry{}, nil, errStopped
			}
			at++
			return entry(at - 1), image(at - 1), nil
		})
		if err != nil {
			return err
		}
	}
	_, err = w.Finish()
	return err
}

var errStopped = errors.New("stopped")

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	list := must.Get(os.ReadDir(dir))(t)
	for _, e := range list {
		b := must.Get(os.ReadFile(filepath.Join(dir, e.Name())))(t)
		out[e.Name()] = string(b)
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	must.Do(t, write(dir, testImages))
	p := must.Get(Open(dir))(t)
	defer p.Close()
	if p.Len() != testImages || len(p.Shards) < 3 || p.Source != "sha256:ab" || p.Shortened() != 0 {
		t.Fatalf("%d images, %+v", p.Len(), p.Header)
	}
	for i := range testImages {
		want, m := entry(i), image(i)
		got, err := p.Image(i)
		if i == 4 {
			if err == nil || !strings.Contains(err.Error(), "it is broken") {
				t.Errorf("the broken image: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		e := p.Entry(i)
		if e.Name != want.Name || e.Class != want.Class || got.W != m.W || got.H != m.H || !bytes.Equal(got.Pix, m.Pix) {
			t.Errorf("image %d: %+v, %dx%d", i, e, got.W, got.H)
		}
	}
	if err := write(dir, testImages); !errors.Is(err, ErrOther) {
		t.Errorf("a second pack over the first: %v", err)
	}
}

// TestGoesOn: a writer that is stopped after any image leaves whole shards and nothing else, and
// the next one makes the pack that an undisturbed one makes.
func TestGoesOn(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	must.Do(t, write(whole, testImages))
	want := contents(t, whole)
	for stop := range testImages {
		dir := filepath.Join(t.TempDir(), "p")
		if err := write(dir, stop); err != errStopped {
			t.Fatal(err)
		}
		for name, b := range contents(t, dir) {
			if want[name] != b {
				t.Errorf("stopped at %d: %s was left and is no shard of the pack", stop, name)
			}
		}
		if _, err := Open(dir); err == nil {
			t.Error("an unfinished pack is opened")
		}
		// The rest of a killed writer, too.
		must.Do(t, os.WriteFile(filepath.Join(dir, ".shard-00001.tmp-abc"), []byte("half"), 0o600))
		must.Do(t, write(dir, testImages))
		got := contents(t, dir)
		if len(got) != len(want) {
			t.Errorf("stopped at %d: %d files, want %d", stop, len(got), len(want))
		}
		for name, b := range want {
			if got[name] != b {
				t.Errorf("stopped at %d: %s differs", stop, name)
			}
		}
	}
}

func TestOtherThings(t *testing.T) {
	dir := t.TempDir()
	must.Do(t, os.WriteFile(filepath.Join(dir, "letter.txt"), []byte("dear"), 0o600))
	if err := write(dir, testImages); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), "letter.txt") {
		t.Errorf("a folder with a letter: %v", err)
	}
	dir = filepath.Join(t.TempDir(), "p")
	if err := write(dir, 5); err != errStopped {
		t.Fatal(err)
	}
	h := header()
	h.ShortSide = 64
	if _, err := NewWriter(dir, h, testImages, "", 140); !errors.Is(err, ErrOther) {
		t.Errorf("going on with other options: %v", err)
	}
}

// TestDamage changes bytes of every file, one at a time, and cuts each file. The damage is found
// when the pack is opened or the image is read, or the byte has no meaning for a reader.
func TestDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	must.Do(t, write(dir, testImages))
	check := func(what string) (failed bool) {
		p, err := Open(dir)
		if err != nil {
			return true
		}
		defer p.Close()
		for i := range testImages {
			m, err := p.Image(i)
			switch {
			case err != nil && i != 4:
				failed = true
			case err == nil && !bytes.Equal(m.Pix, image(i).Pix):
				t.Errorf("%s: image %d has other pixels and no error", what, i)
			}
		}
		return failed
	}
	for name, content := range contents(t, dir) {
		path := filepath.Join(dir, name)
		put := func(b []byte) {
			must.Do(t, os.WriteFile(path, b, 0o600))
		}
		for i := 0; i < len(content); i += 3 {
			b := []byte(content)
			b[i] ^= 0x41
			put(b)
			if !check(name) && name == IndexName {
				t.Errorf("byte %d of the index may be anything", i)
			}
		}
		for _, n := range []int{0, 1, 15, 16, 40, len(content) / 2, len(content) - 1} {
			put([]byte(content[:n]))
			if !check(name) {
				t.Errorf("%s cut to %d of %d bytes is accepted", name, n, len(content))
			}
		}
		must.Do(t, os.Remove(path))
		if !check(name) {
			t.Errorf("%s is not missed", name)
		}
		put([]byte(content))
	}
	if check("in the end") {
		t.Error("the pack was not put back")
	}
}

// FuzzIndex gives parseIndex anything, with a digest that is right: an index that it accepts can be
// used without looking again.
func FuzzIndex(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "p")
	if err := write(dir, testImages); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, IndexName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:len(b)-sha256.Size])
	f.Add([]byte(indexMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := sha256.Sum256(b)
		h, entries, err := parseIndex(append(bytes.Clone(b), sum[:]...))
		if err != nil {
			return
		}
		for i := range entries.len() {
			e, ok := entries.at(i)
			if !ok {
				t.Fatalf("image %d has no name", i)
			}
			if e.Problem != "" {
				continue
			}
			end := e.Offset + int64(e.W)*int64(e.H)*int64(h.Channels)
			if e.W < 1 || e.H < 1 || e.Offset < 0 || end < e.Offset || end > h.Shards[e.Shard].Bytes || e.Class >= len(h.Classes) {
				t.Fatalf("image %d: %+v of %+v", i, e, h)
			}
		}
	})
}

// FuzzTail: the end of a shard, whose digest is right, is anything.
func FuzzTail(f *testing.F) {
	key := sha256.Sum256(nil)
	var table, text []byte
	e := entry(2)
	table, text, err := appendEntry(table, text, &e)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(table, text...), uint64(1), uint64(len(text)))
	f.Add([]byte{}, uint64(1)<<60, uint64(1)<<60)
	path := filepath.Join(f.TempDir(), "shard")
	f.Fuzz(func(t *testing.T, b []byte, count, texts uint64) {
		tail := shardTail(key, 0, entries{})[:24]
		for i := range 8 {
			tail[8+i], tail[16+i] = byte(count>>(8*i)), byte(texts>>(8*i))
		}
		sum := tailDigest(key, entries{table: b}, tail)
		file := append([]byte(shardMagic), key[:]...)
		file = append(append(append(file, b...), tail...), sum[:]...)
		must.Do(t, os.WriteFile(path, file, 0o600))
		if got, _, ok := readTail(path, key, 0); ok {
			for i := range got.len() {
				got.at(i)
			}
		}
	})
}
