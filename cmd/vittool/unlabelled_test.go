//go:build unix

package main

import (
	"archive/tar"
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tasks/npy"
)

// TestPartlyLabelled embeds sources in which one image lacks a class: it is told before the
// features, and the label is -1.
func TestPartlyLabelled(t *testing.T) {
	dir := t.TempDir()
	vittool(t, dir, pretrainTiny("--steps", "1")...).mustEnd(t, exitDone)
	picture := encodePNG(gradient(32, 32))
	for _, name := range []string{"folder/cat/a.png", "folder/dog/b.png", "folder/stray.png", "a.png", "b.png", "c.png"} {
		writeTo(t, dir, name, picture)
	}
	writeTo(t, dir, "short.csv", []byte("a.png,cat\nb.png,dog\nc.png\n"))
	writeTo(t, dir, "empty.csv", []byte("path,label\na.png,cat\nb.png,dog\nc.png,\n"))
	writeTo(t, dir, "nan.csv", []byte("path,label\na.png,0\nb.png,1\nc.png,NaN\n"))
	writeTo(t, dir, "web.tar", tarOf(t, [][2]string{{"a.png", string(picture)}, {"a.cls", "0"}, {"b.png", string(picture)}, {"b.cls", "1"}, {"c.png", string(picture)}}))
	for source, first := range map[string]string{"folder": "stray.png", "short.csv": "c.png", "empty.csv": "c.png", "nan.csv": "c.png", "web.tar": "c.png"} {
		o := vittool(t, dir, "embed", "--from", "run", "--data", source, "--to", "f.npy", "--overwrite")
		o.mustEnd(t, exitDone)
		if want := "images without a class get the label -1: 1 of 3, the first is " + first + "\n"; !strings.Contains(o.stderr, want) {
			t.Errorf("%s: %q does not say %q", source, o.stderr, want)
		}
		labels := must.Get(npy.Read(bytes.NewReader(mustRead(t, filepath.Join(dir, "f.labels.npy")))))(t)
		if got := labels.Int64; len(got) != 3 || got[0] != 0 || got[1] != 1 || got[2] != -1 {
			t.Errorf("%s: labels %v", source, got)
		}
	}
	vittool(t, dir, "eval", "knn", "--from", "run", "--train", "folder", "--test", "folder", "--k", "1").mustEnd(t, exitDone)
}

// tarOf is an archive of files: names and contents.
func tarOf(t *testing.T, files [][2]string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		must.Do(t, w.WriteHeader(&tar.Header{Name: f[0], Mode: 0o644, Size: int64(len(f[1])), Typeflag: tar.TypeReg}))
		must.Get(w.Write([]byte(f[1])))(t)
	}
	must.Do(t, w.Close())
	return b.Bytes()
}
