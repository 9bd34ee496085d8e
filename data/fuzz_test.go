package data

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"
)

func FuzzListFile(f *testing.F) {
	for _, seed := range []string{"a.png\n", "a.png 3\nb.jpg\tcat\n", "path,label\n\"a,b.png\",x\n", "#\n\n\ufeffx", "\x00\xff", "a.jpg,\n,b",
		"\ufeffpath;label\r\na.png;x\r\n", "\xff\xfea\x00.\x00p\x00n\x00g\x00\n\x00", "sep=;\na.png;x\n", ",path,label\n0,a.png,x\n1,b.png,y\n", "a.png\rb.png\r", "cat\ta.png\n"} {
		f.Add(seed, ".txt")
		f.Add(seed, ".csv")
		f.Add(seed, ".tsv")
	}
	f.Fuzz(func(t *testing.T, text, ext string) {
		items, _, err := parseList(strings.NewReader(text), ext)
		if err != nil {
			return
		}
		for _, it := range items {
			if it.path == "" || it.line < 1 || it.line > strings.Count(text, "\n")+strings.Count(text, "\r")+1 {
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
	for name, target := range map[string]string{"b/y.png": "../a/x.png", "c": "a", "a/loop": "..", "d.png": "nothing", "e.png": "/a/x.png"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.WriteHeader(&tar.Header{Name: "h.png", Linkname: "b/y.png", Typeflag: tar.TypeLink}); err != nil {
		f.Fatal(err)
	}
	w.Close()
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:700])
	f.Fuzz(func(t *testing.T, content []byte) {
		index, err := indexTar(bytes.NewReader(content))
		if err != nil {
			return
		}
		for _, e := range index.entries {
			if e.offset == -1 && e.size == 0 {
				continue // a link to nothing
			}
			if e.offset < 0 || e.size < 0 || e.offset+e.size > int64(len(content)) {
				t.Fatalf("entry %+v of a shard of %d bytes", e, len(content))
			}
		}
	})
}
