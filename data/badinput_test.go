package data_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/must"
)

func mustEncode(t testing.TB, f func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	must.Do(t, f(&b))
	return b.Bytes()
}

// gradient is a picture with some structure, so that its files are long enough to be cut.
func gradient(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		x, y := i%w, i/w
		m.SetRGBA(x, y, color.RGBA{uint8(x * 5), uint8(y * 7), uint8(x * y), 255})
	}
	return m
}

func pngBytes(t testing.TB, m image.Image) []byte {
	return mustEncode(t, func(b *bytes.Buffer) error { return png.Encode(b, m) })
}

func jpegBytes(t testing.TB, m image.Image) []byte {
	return mustEncode(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, m, nil) })
}

// withClaimedSize rewrites the size in a PNG's header, checksum included.
func withClaimedSize(b []byte, w, h uint32) []byte {
	b = bytes.Clone(b)
	binary.BigEndian.PutUint32(b[16:], w)
	binary.BigEndian.PutUint32(b[20:], h)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

// TestBadFiles reads one file of every kind that users have, through a folder, and expects a
// picture or a message with fault and place.
func TestBadFiles(t *testing.T) {
	photo := gradient(40, 30)
	gray16 := image.NewGray16(image.Rect(0, 0, 2, 1))
	gray16.SetGray16(0, 0, color.Gray16{0x1234})
	gray16.SetGray16(1, 0, color.Gray16{0xfedc})
	alpha := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	alpha.SetNRGBA(0, 0, color.NRGBA{200, 100, 50, 10})
	gifBytes := mustEncode(t, func(b *bytes.Buffer) error { return gif.Encode(b, photo, nil) })
	p, j := pngBytes(t, photo), jpegBytes(t, photo)

	for _, c := range []struct {
		name    string
		content []byte
		want    []uint8 // first pixels; nil where an error is wanted
		message string
	}{
		{"text.jpg", []byte("<html>404 not found</html>"), nil, `not an image but text, starting "<html>404`},
		{"empty.jpg", nil, nil, "the file is empty (0 bytes)"},
		{"noise.jpg", bytes.Repeat([]byte{0, 1, 2, 200}, 99), nil, "not an image: it starts with the bytes 00 01 02 c8"},
		{"zeros.png", make([]byte, 5000), nil, "not an image"},
		{"half.jpg", j[:len(j)/2], nil, "cut short"},
		{"no-end.jpg", j[:len(j)-2], nil, "cut short"},
		{"header.jpg", j[:20], nil, "cut short"},
		{"half.png", p[:len(p)/2], nil, "cut short"},
		{"header.png", p[:20], nil, "cut short"},
		{"half.gif", gifBytes[:len(gifBytes)/2], nil, "cut short"},
		{"bomb.png", withClaimedSize(p, 60000, 60000), nil, "60000x60000 pixels, more than data.max_pixels"},
		{"wide.png", withClaimedSize(p, 1<<31-1, 1<<31-1), nil, "PNG"},
		{"nothing.png", withClaimedSize(p, 0, 5), nil, "PNG"},
		{"more.png", withClaimedSize(p, 41, 30), nil, "PNG"},
		{"photo.heic", append([]byte{0, 0, 0, 24}, "ftypheic\x00\x00\x00\x00mif1heic"...), nil, ""}, // no image extension
		{"heic.jpg", append([]byte{0, 0, 0, 24}, "ftypheic\x00\x00\x00\x00mif1heic"...), nil, `"heic" container`},
		{"one.png", pngBytes(t, gradient(1, 1)), []uint8{0, 0, 0}, ""},
		{"one.jpg", jpegBytes(t, gradient(1, 1)), []uint8{0, 0, 0}, ""},
		{"really-a-png.jpg", p, []uint8{0, 0, 0, 5, 0, 0}, ""},
		{"sixteen.png", pngBytes(t, gray16), []uint8{0x12, 0x12, 0x12, 0xfe, 0xfe, 0xfe}, ""},
		{"alpha.png", pngBytes(t, alpha), []uint8{200, 100, 50}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, c.name)
			write(t, path, c.content)
			s, err := data.Open(data.Options{Path: dir})
			if c.message == "" && c.want == nil {
				expectData(t, err, dir, "no images")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			m, err := s.Image(0)
			if c.want == nil {
				expectData(t, err, path, c.message)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(m.Pix, c.want) {
				t.Errorf("pixels %v, want %v", m.Pix[:len(c.want)], c.want)
			}
		})
	}
}

// expectData wants a data error that contains the path and the words.
func expectData(t *testing.T, err error, path, words string) {
	t.Helper()
	var e *data.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a data error", err)
	}
	if e.Path != path {
		t.Errorf("the error names %q, not %q", e.Path, path)
	}
	if !strings.Contains(err.Error(), words) {
		t.Errorf("error %q does not say %q", err, words)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		write(t, path, []byte(content))
		return path
	}
	empty := filepath.Join(dir, "empty")
	must.Do(t, os.Mkdir(empty, 0o755))
	write("notes/readme.md", "hello")
	write("hidden/.a.png", "x")
	write("shards/a.tar", "")
	tests := []struct{ path, names, words string }{
		{"", "data.path", "no data given"},
		{filepath.Join(dir, "missing"), filepath.Join(dir, "missing"), "does not exist; check --data, the setting data.path (" + dir + " exists)"},
		{empty, empty, "is an empty folder"},
		{filepath.Join(dir, "notes"), filepath.Join(dir, "notes"), "contains 1 files (such as readme.md) but no images"},
		{filepath.Join(dir, "hidden"), filepath.Join(dir, "hidden"), "is an empty folder"},
		{filepath.Join(dir, "shards"), filepath.Join(dir, "shards"), "contains 1 tar shards and no image files; name the shards"},
		{write("x.zip", "PK"), filepath.Join(dir, "x.zip"), "compressed archives cannot be read; unpack it"},
		{write("x.bin", "?"), filepath.Join(dir, "x.bin"), "no data source"},
		{"https://example.org/a.zip", "https://example.org/a.zip", "is an address, not a path"},
		{write("void.txt", "# nothing\n\n"), filepath.Join(dir, "void.txt"), "lists no images"},
		{write("bad.txt", "a.png\nb.png\tcat\tdog\n"), filepath.Join(dir, "bad.txt") + ":2", "more than two columns"},
		{write("bad.csv", "path,label\na.png,cat\nb.png,cat,7\n"), filepath.Join(dir, "bad.csv") + ":3", "3 columns"},
		{write("quote.csv", "a.png,cat\n\"b.png,cat\n"), filepath.Join(dir, "quote.csv") + ":2", "quote"},
		{write("url.txt", "http://x/a.png\n"), filepath.Join(dir, "url.txt") + ":1", "is an address"},
		{write("binary.txt", "a.png\n\xff\xfe\x00.png\n"), filepath.Join(dir, "binary.txt") + ":2", "not UTF-8"},
		{write("cut.tar", strings.Repeat("x", 700)), filepath.Join(dir, "cut.tar"), "cannot be indexed"},
		{"demo:?count=0", "demo:?count=0", "count=0 is not a whole number from 1"},
		{"demo:?size=big", "demo:?size=big", "size=big is not a whole number"},
		{"demo:?colour=red", "demo:?colour=red", `unknown option "colour"; valid are`},
		{"demo:count=3", "demo:count=3", "start with a question mark"},
	}
	for _, c := range tests {
		s, err := data.Open(data.Options{Path: c.path})
		if err == nil {
			s.Close()
			t.Errorf("%s: opened", c.path)
			continue
		}
		expectData(t, err, c.names, c.words)
	}
	if _, err := data.Open(data.Options{Path: "demo:", Channels: 5}); err == nil || !strings.Contains(err.Error(), "5 channels") {
		t.Errorf("five channels of demo: %v", err)
	}
}

func TestLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // making links needs a privilege there
	}
	dir := folder(t, 4)
	link := func(target, name string) {
		t.Helper()
		must.Do(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	link(dir, "cat/loop")
	link("..", "dog/up")
	link(filepath.Join(dir, "cat", "000.png"), "cat/linked.png")
	link("nowhere.png", "cat/zz-dangling.png")
	elsewhere := folder(t, 2)
	link(filepath.Join(elsewhere, "dog"), "wolf")
	s := open(t, dir)
	var names []string
	for id := range s.Len() {
		names = append(names, s.Name(id))
	}
	want := "cat/000.png cat/002.png cat/linked.png cat/zz-dangling.png dog/001.png dog/003.png wolf/001.png"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := strings.Join(s.Classes(), " "); got != "cat dog wolf" {
		t.Errorf("classes %s", got)
	}
	if s.Class(6) != 2 || s.Class(0) != 0 {
		t.Errorf("classes of the first and last image are %d and %d", s.Class(0), s.Class(6))
	}
	_, err := s.Image(3)
	expectData(t, err, filepath.Join(dir, "cat", "zz-dangling.png"), "does not exist")
}

func TestUnreadable(t *testing.T) {
	dir := folder(t, 3)
	path := filepath.Join(dir, "cat", "000.png")
	must.Do(t, os.Chmod(path, 0))
	s := open(t, dir)
	if _, err := os.ReadFile(path); err == nil {
		// This user may read everything; a file that turned into a folder after the scan cannot be
		// read by anybody.
		must.Do(t, os.Remove(path))
		must.Do(t, os.Mkdir(path, 0o755))
		_, err := s.Image(0)
		expectData(t, err, path, "cannot be read")
		return
	}
	_, err := s.Image(0)
	expectData(t, err, path, "permission denied")
}
