package data

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"
)

func FuzzListFile(f *testing.F) {
	for _, seed := range []string{"a.png\n", "a.png 3\nb.jpg\tcat\n", "path,label\n\"a,b.png\",x\n", "#\n\n\ufeffx", "\x00\xff", "a.jpg,\n,b"} {
		f.Add(seed, ".txt")
		f.Add(seed, ".csv")
	}
	f.Fuzz(func(t *testing.T, text, ext string) {
		items, err := parseList(strings.NewReader(text), ext)
		if err != nil {
			return
		}
		for _, it := range items {
			if it.path == "" || it.line < 1 || it.line > strings.Count(text, "\n")+1 {
				t.Fatalf("item %+v of %q", it, text)
			}
		}
	})
}

func FuzzTarIndex(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"a/x.png", "a/x.cls", strings.Repeat("long/", 40) + "y.jpg"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: 3, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			f.Fatal(err)
		}
		if _, err := w.Write([]byte("123")); err != nil {
			f.Fatal(err)
		}
	}
	w.Close()
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:700])
	f.Fuzz(func(t *testing.T, content []byte) {
		entries, err := indexTar(bytes.NewReader(content))
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.offset < 0 || e.size < 0 || e.offset+e.size > int64(len(content)) {
				t.Fatalf("entry %+v of a shard of %d bytes", e, len(content))
			}
		}
	})
}
