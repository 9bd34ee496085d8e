package data_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/must"
)

// describe prints a source: every sample with its class and first pixel.
func describe(t *testing.T, s data.Source) string {
	t.Helper()
	var b strings.Builder
	for id := range s.Len() {
		class := "-"
		if c := s.Class(id); c >= 0 {
			class = s.Classes()[c]
		}
		m := must.Get(s.Image(id))(t)
		fmt.Fprintf(&b, "%s=%s:%d ", s.Name(id), class, m.Pix[0])
	}
	return strings.TrimSpace(b.String())
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"b.png", "a.PNG", "cat/9.jpeg", "cat/10.png", "dog/deep/er/x.png", "dog/noext", ".hidden/x.png", "dog/.x.png", "z/notes.txt"} {
		path := filepath.Join(dir, name)
		must.Do(t, os.MkdirAll(filepath.Dir(path), 0o755))
		writePNG(t, path, 3, 2, color.RGBA{uint8(i), 0, 0, 255})
	}
	s := open(t, dir)
	want := "a.PNG=-:1 b.png=-:0 cat/10.png=cat:3 cat/9.jpeg=cat:2 dog/deep/er/x.png=dog:4 dog/noext=dog:5"
	if got := describe(t, s); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	print := s.Fingerprint()
	if again := open(t, dir).Fingerprint(); again != print {
		t.Errorf("two fingerprints of one folder: %s and %s", print, again)
	}
	writePNG(t, filepath.Join(dir, "b.png"), 300, 2, color.Black)
	if changed := open(t, dir).Fingerprint(); changed == print {
		t.Error("the fingerprint does not see another size")
	}
}

func TestListFile(t *testing.T) {
	dir := folder(t, 4)
	for name, c := range map[string]struct{ text, want, classes string }{
		"plain.txt":   {"cat/002.png\n\n# no\ncat/000.png\r\n", "cat/002.png=-:2 cat/000.png=-:0", ""},
		"space.txt":   {"cat/002.png 7\ndog/001.png 0\n", "cat/002.png=7:2 dog/001.png=0:1", "0 1 2 3 4 5 6 7"},
		"tab.tsv":     {"cat/002.png\tb\ndog/001.png\ta b\n", "cat/002.png=b:2 dog/001.png=a b:1", "a b b"},
		"comma.csv":   {"path,label\n\"cat/002.png\",b\ndog/001.png,\n", "cat/002.png=b:2 dog/001.png=-:1", "b"},
		"bom.txt":     {"\ufeffcat/002.png,x\n", "cat/002.png=x:2", "x"},
		"nan.csv":     {"path,label\ncat/002.png,NaN\ndog/001.png,nan\ncat/000.png,2\n", "cat/002.png=-:2 dog/001.png=-:1 cat/000.png=2:0", "0 1 2"},
		"short.txt":   {"cat/002.png b\ndog/001.png\n", "cat/002.png=b:2 dog/001.png=-:1", "b"},
		"leading.csv": {"cat/002.png,007\n", "cat/002.png=007:2", "007"},
	} {
		path := filepath.Join(dir, name)
		write(t, path, []byte(c.text))
		s := open(t, path)
		if got := describe(t, s); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
		if got := strings.Join(s.Classes(), " "); got != c.classes {
			t.Errorf("%s: classes %q, want %q", name, got, c.classes)
		}
	}
	path := filepath.Join(dir, "missing.txt")
	write(t, path, []byte("cat/002.png\nno.png\n"))
	_, err := open(t, path).Image(1)
	expectData(t, err, filepath.Join(dir, "no.png"), "does not exist")
	if !strings.Contains(err.Error(), "line 2 of "+path) {
		t.Errorf("%v does not name the line", err)
	}
}

// TestRepeatedInList: an image that a list names twice is told, and counts twice.
func TestRepeatedInList(t *testing.T) {
	dir := folder(t, 4)
	for text, want := range map[string]string{
		"cat/002.png,a\ndog/001.png,b\n":                               "",
		"cat/002.png,a\ndog/001.png,b\n./cat/002.png,a\n":              "images listed again: 1 (such as ./cat/002.png in lines 1 and 3)",
		"cat/002.png,a\ncat/002.png,b\ncat/002.png,a\ndog/001.png,b\n": "images listed again: 2, of them with another label: 1 (such as cat/002.png in lines 1 and 2)",
	} {
		path := filepath.Join(dir, "list.csv")
		write(t, path, []byte(text))
		notes := ""
		s := must.Get(data.Open(data.Options{Path: path, Note: func(message string) { notes += message }}))(t)
		if want != "" {
			want = path + ": " + want
		}
		if notes != want || s.Len() != strings.Count(text, "\n") {
			t.Errorf("%q: %d images, note %q, want %q", text, s.Len(), notes, want)
		}
	}
}

// TestRunFolders: the pictures of a run are no data, wherever its folder lies, and one note reports
// them. A run folder that is named itself is a folder of pictures.
func TestRunFolders(t *testing.T) {
	dir := folder(t, 4)
	before := open(t, dir)
	for run, files := range map[string][]string{
		"runs/whole":   {"run.json", "config.yaml", "checkpoints/latest"},
		"cat/no-info":  {"config.yaml", "checkpoints/latest"},
		"no-settings":  {"run.json", "checkpoints/latest"},
		"no-weights-1": {"run.json", "config.yaml"},
	} {
		pictures := filepath.Join(dir, run, "pictures")
		if err := os.MkdirAll(pictures, 0o755); err != nil {
			t.Fatal(err)
		}
		writePNG(t, filepath.Join(pictures, "loss.png"), 4, 4, color.RGBA{A: 255})
		for _, name := range files {
			path := filepath.Join(dir, run, name)
			write(t, path, []byte("x"))
		}
	}
	var notes []string
	s, err := data.Open(data.Options{Path: dir, Note: func(message string) { notes = append(notes, message) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Len() != 4 || s.Fingerprint() != before.Fingerprint() || len(s.Classes()) != 2 {
		t.Errorf("%d images, classes %v", s.Len(), s.Classes())
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "run folders: 4, such as cat/no-info") {
		t.Errorf("notes %q", notes)
	}
	if n := open(t, filepath.Join(dir, "runs/whole")).Len(); n != 1 {
		t.Errorf("%d pictures of a run that was named", n)
	}
	_, err = data.Open(data.Options{Path: filepath.Join(dir, "runs")})
	expectData(t, err, filepath.Join(dir, "runs"), "those of runs in it (such as whole) are left out")
	lone := filepath.Join(dir, "dog", "config.yaml") // one name alone makes no run
	write(t, lone, nil)
	if n := open(t, dir).Len(); n != 4 {
		t.Errorf("%d images beside a config.yaml", n)
	}
}

func tarBytes(t testing.TB, files ...[2]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f[0], Mode: 0o644, Size: int64(len(f[1])), Typeflag: tar.TypeReg}
		must.Do(t, w.WriteHeader(h))
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	must.Do(t, w.Close())
	return b.Bytes()
}

func TestTarShards(t *testing.T) {
	dir := t.TempDir()
	picture := func(v uint8) string {
		m := gradient(2, 1)
		m.SetRGBA(0, 0, color.RGBA{v, v, v, 255})
		return string(pngBytes(t, m))
	}
	long := strings.Repeat("long/", 30) + "c.png" // needs a PAX header
	for name, content := range map[string][]byte{
		"b.tar":   tarBytes(t, [2]string{"cat/1.png", picture(1)}, [2]string{"readme.txt", "hi"}, [2]string{"dog/2.png", picture(2)}, [2]string{long, picture(3)}),
		"a.tar":   tarBytes(t, [2]string{"./x.png", picture(4)}),
		"web.tar": tarBytes(t, [2]string{"000.png", picture(5)}, [2]string{"000.cls", "3\n"}, [2]string{"001.cls", "1"}, [2]string{"001.png", picture(6)}),
	} {
		write(t, filepath.Join(dir, name), content)
	}
	for path, want := range map[string]string{
		"b.tar":    "cat/1.png=cat:1 dog/2.png=dog:2 " + long + "=long:3",
		"[ab].tar": "a.tar:x.png=-:4 b.tar:cat/1.png=cat:1 b.tar:dog/2.png=dog:2 b.tar:" + long + "=long:3",
		"web.tar":  "000.png=3:5 001.png=1:6",
	} {
		if got := describe(t, open(t, filepath.Join(dir, path))); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	whole := tarBytes(t, [2]string{"a.png", picture(1) + strings.Repeat("x", 2000)})
	cut := filepath.Join(dir, "cut.tar")
	write(t, cut, whole[:1200])
	_, err := data.Open(data.Options{Path: cut})
	expectData(t, err, cut, "cut short")
}

func TestDemo(t *testing.T) {
	s := demo(t, "count=9&width=12&height=7&seed=4")
	if s.Len() != 9 || len(s.Classes()) != 8 || s.Class(8) != 0 {
		t.Errorf("%d scenes, classes %v, the last is %d", s.Len(), s.Classes(), s.Class(8))
	}
	m, err := s.Image(3)
	if err != nil || m.W != 12 || m.H != 7 {
		t.Fatalf("%v %v", m, err)
	}
	scene := s.(data.SceneSource).Scene(3)
	if !bytes.Equal(scene.Pix, m.Pix) || len(scene.Mask) != 12*7 {
		t.Error("the scene is not the image")
	}
	gray := must.Get(data.Open(data.Options{Path: "demo:", Channels: 1}))(t)
	if g, err := gray.Image(0); err != nil || g.C != 1 || g.W != 64 {
		t.Errorf("%v %v", g, err)
	}
	if s.Fingerprint() == gray.Fingerprint() {
		t.Error("equal fingerprints of different scenes")
	}
}
