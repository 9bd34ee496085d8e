package data_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
)

// counts lists the number of images of a source and of each of its classes.
func counts(s data.Source) string {
	n := make([]int, len(s.Classes()))
	for id := range s.Len() {
		if c := s.Class(id); c >= 0 {
			n[c]++
		}
	}
	text := fmt.Sprint(s.Len())
	for c, name := range s.Classes() {
		text += fmt.Sprintf(" %s:%d", name, n[c])
	}
	return text
}

// labelled lists the names of a source, each with its class, - for none.
func labelled(s data.Source) string {
	var all []string
	for id := range s.Len() {
		class := "-"
		if n := s.Class(id); n >= 0 {
			class = s.Classes()[n]
		}
		all = append(all, s.Name(id)+"="+class)
	}
	return strings.Join(all, " ")
}

// TestCasesOfFolders opens the folders and lists of shared/cases.
func TestCasesOfFolders(t *testing.T) {
	if !golden.SharedExists(t) {
		return
	}
	root := filepath.Join(golden.Shared(t), "cases", "folders")
	lists, err := os.ReadDir(filepath.Join(root, "list-files"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"nas-thumbnails": "12 a:6 b:6", "netpbm": "8 s1:4 s2:4"}
	for _, l := range lists {
		switch {
		case l.IsDir():
		case strings.HasPrefix(l.Name(), "large_"):
			want["list-files/"+l.Name()] = "240 cat:120 dog:120"
		default:
			want["list-files/"+l.Name()] = "8 cat:4 dog:4"
		}
	}
	for name, want := range want {
		t.Run(name, func(t *testing.T) {
			s := open(t, filepath.Join(root, name))
			if got := counts(s); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			for id := range s.Len() {
				if _, err := s.Image(id); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestCasesOfNetpbm opens folders of the formats of older face and digit collections.
func TestCasesOfNetpbm(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"s1/1.pgm": "P5 2 1 255\n\x10\x20", "s1/2.PGM": "P2 2 1 255\n16 32\n", "s1/3.pnm": "P5 2 1 255\n\x10\x20",
		"s2/1.ppm": "P6 1 1 255\n\x10\x20\x30", "s2/2.pbm": "P1 2 1\n1 0\n", "s2/3.pfm": "Pf 1 1\n-1.0\n\x00\x00\x80\x3f",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		write(t, path, []byte(content))
	}
	s := open(t, dir)
	if got := counts(s); got != "6 s1:3 s2:3" {
		t.Error(got)
	}
	for id := range s.Len() {
		if _, err := s.Image(id); err != nil {
			t.Error(err)
		}
	}
}

// utf16 is text as Windows writes it, or with the bytes the other way round.
func utf16(text string, mark, big bool) string {
	if mark {
		text = "\ufeff" + text
	}
	var b strings.Builder
	for _, r := range text {
		pair := []byte{byte(r), byte(r >> 8)}
		if big {
			slices.Reverse(pair)
		}
		b.Write(pair)
	}
	return b.String()
}

// TestCasesOfLists reads lists as programs and people write them.
func TestCasesOfLists(t *testing.T) {
	dir := folder(t, 4)
	write(t, filepath.Join(dir, "plain"), nil)
	const (
		two   = "cat/000.png=cat dog/001.png=dog"
		plain = "cat/000.png=- dog/001.png=-"
	)
	for name, c := range map[string]struct{ text, want string }{
		"header.csv":              {"path,label\ncat/000.png,cat\ndog/001.png,dog\n", two},
		"crlf.csv":                {"path,label\r\ncat/000.png,cat\r\ndog/001.png,dog\r\n", two},
		"cr.csv":                  {"path,label\rcat/000.png,cat\rdog/001.png,dog\r", two},
		"cr.txt":                  {"cat/000.png\rdog/001.png\r", plain},
		"mark.csv":                {"\ufeffFile Name;Category\ncat/000.png;cat\ndog/001.png;dog", two},
		"mark-no-header.csv":      {"\ufeffcat/000.png,cat\ndog/001.png,dog\n", two},
		"utf16-mark.csv":          {utf16("path\tlabel\r\ncat/000.png\tcat\r\ndog/001.png\tdog\r\n", true, false), two},
		"utf16-big.csv":           {utf16("path,label\r\ncat/000.png,cat\r\ndog/001.png,dog\r\n", true, true), two},
		"utf16-no-mark.txt":       {utf16("cat/000.png\r\ndog/001.png\r\n", false, false), plain},
		"utf16-big-no-mark.txt":   {utf16("cat/000.png\tcat\ndog/001.png\tdog\n", false, true), two},
		"pandas.csv":              {",image_path,class\n0,cat/000.png,cat\n1,dog/001.png,dog\n", two},
		"pandas-read-again.csv":   {"Unnamed: 0.1,Unnamed: 0,filepath,target\n0,0,cat/000.png,cat\n1,1,dog/001.png,dog\n", two},
		"pandas-no-header.csv":    {"0,cat/000.png,cat\n1,dog/001.png,dog\n", two},
		"pandas-paths.csv":        {",file_name\n0,cat/000.png\n1,dog/001.png\n", plain},
		"running.csv":             {"0,cat/000.png\n1,dog/001.png\n2,cat/002.png\n", plain + " cat/002.png=-"},
		"label-first.csv":         {"class,img\ncat,cat/000.png\ndog,dog/001.png\n", two},
		"label-first-bare.tsv":    {"cat\tcat/000.png\ndog\tdog/001.png\n", two},
		"own-label-word.csv":      {"image,breed\ncat/000.png,cat\ndog/001.png,dog\n", two},
		"split.csv":               {"path,split\ncat/000.png,train\ndog/001.png,test\n", plain},
		"label-and-split.csv":     {"split,path,breed\ntrain,cat/000.png,cat\ntest,dog/001.png,dog\n", two},
		"captions.csv":            {"file_name,text\ncat/000.png,a cat\ndog/001.png,a dog\n", plain},
		"more-columns.csv":        {"split,filename,label,width\ntrain,cat/000.png,cat,3\ntest,dog/001.png,dog,4\n", two},
		"mask.csv":                {"image_path,mask,label\ncat/000.png,m/0.png,cat\ndog/001.png,m/1.png,dog\n", two},
		"sep.csv":                 {"sep=;\r\npath;label\r\ncat/000.png;cat\r\ndog/001.png;dog\r\n", two},
		"empty-rows.csv":          {"path;label;;\ncat/000.png;cat;;\n;;;\ndog/001.png;dog;;\n;;;\n", two},
		"joined.csv":              {"\ufeffpath,label\ncat/000.png,cat\n\ufeffpath,label\ndog/001.png,dog\n", two},
		"quotes.csv":              {"\"path\", \"label\"\n\"cat/000.png\", \"cat\"\n\"dog/001.png\", \"dog\"\n", two},
		"commas.csv":              {"path;label\ncat/000.png;cat, big\ndog/001.png;dog, big\n", "cat/000.png=cat, big dog/001.png=dog, big"},
		"bars.csv":                {"path|label\ncat/000.png|cat\ndog/001.png|dog\n", two},
		"backslashes.csv":         {"path,label\n.\\cat\\000.png,cat\ndog\\001.png,dog\n", "./" + two},
		"copied-as-paths.txt":     {"\"cat\\000.png\"\r\n\"dog\\001.png\"\r\n", plain},
		"quoted-with-label.txt":   {"\"cat/000.png\" cat\n\"dog/001.png\",dog\n", two},
		"header.txt":              {"filename label\ncat/000.png cat\ndog/001.png dog\n", two},
		"header-comma.txt":        {"image_path,label\ncat/000.png,cat\ndog/001.png,dog\n", two},
		"semicolon.txt":           {"cat/000.png;cat\ndog/001.png;dog\n", two},
		"header-alone.csv":        {"path\ncat/000.png\ndog/001.png\n", plain},
		"some-labels.csv":         {"cat/000.png\ndog/001.png,dog\n", "cat/000.png=- dog/001.png=dog"},
		"no-extension.txt":        {"cat/000.png\nplain\ndog/001.png\n", "cat/000.png=- plain=- dog/001.png=-"},
		"words-are-no-header.csv": {"cat/000.png,image\ndog/001.png,label\n", "cat/000.png=image dog/001.png=label"},
		"accents.csv":             {utf16("path,label\ncat/000.png,thé\ndog/001.png,dog\n", true, false), "cat/000.png=thé dog/001.png=dog"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			write(t, path, []byte(c.text))
			s := open(t, path)
			if got := labelled(s); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestCasesOfUnsureLists wants file and line of lists that may mean several things.
func TestCasesOfUnsureLists(t *testing.T) {
	dir := folder(t, 4)
	for name, c := range map[string]struct {
		text  string
		line  int
		words string
	}{
		"unknown-header.csv":   {"Bild,Art\ncat/000.png,cat\ndog/001.png,dog\n", 1, `"Bild" is neither a file`},
		"unknown-header.txt":   {"Bilder\ncat/000.png\ndog/001.png\n", 1, `"Bilder" is neither a file`},
		"id.csv":               {"id,label\nplain,cat\n", 1, `"id" is neither a file`},
		"id.txt":               {"names\nplain\n", 1, `"names" is neither a file`},
		"ids-of-files.csv":     {"image_id,label\ncat/000,cat\ndog/001,dog\n", 2, `"cat/000" is neither a file`},
		"single-quotes.csv":    {"'path','label'\n'cat/000.png','cat'\n", 2, "is neither a file"},
		"sum.csv":              {"path,label\ncat/000.png,cat\ndog/001.png,dog\nTotal,2\n", 4, `"Total" is neither`},
		"two-paths.csv":        {"path,image,label\ncat/000.png,a.png,cat\ndog/001.png,b.png,dog\n", 1, "columns path, image may hold the paths"},
		"two-paths-bare.csv":   {"cat/000.png,a.png\ndog/001.png,b.png\n", 1, "columns 1, 2 may hold the paths"},
		"two-labels.csv":       {"path,class,target\ncat/000.png,cat,0\ndog/001.png,dog,1\n", 1, "columns class, target may hold the label"},
		"which-label.csv":      {"path,breed,weight\ncat/000.png,cat,0\ndog/001.png,dog,1\n", 1, "columns breed, weight may hold the label"},
		"three.csv":            {"cat/000.png,cat,0\ndog/001.png,dog,1\n", 1, "3 columns, and no header"},
		"index-or-label.csv":   {"0,cat/000.png\n1,dog/001.png\n", 1, "a label or count the lines"},
		"separators.csv":       {"a;cat,cat/000.png\nb;dog,dog/001.png\n", 1, "may be separated by"},
		"comma-in-path.csv":    {"path,label\ncat/000.png,cat\nbig, dog/001.png,dog\n", 3, "3 columns"},
		"latin-1.csv":          {"path,label\ncat/000.png,th\xe9\n", 2, "not UTF-8"},
		"cut-utf16.csv":        {utf16("path,label\ncat/000.png,cat", true, false) + "\x01", 2, "not UTF-16"},
		"open-quote.tsv":       {"path\tlabel\n\"cat/000.png\tcat\ndog/001.png\tdog\n", 2, "quote is not closed"},
		"spreadsheet.csv":      {"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\xff\xfe", 1, "not UTF-8"},
		"no-path.csv":          {"width,height,depth\n1,2,3\n4,5,6\n", 1, "none of them holds names of images"},
		"path-last-spaces.txt": {"label path\ncat cat/000.png\ndog dog/001.png\n", 1, "separate the columns by tabs"},
		"empty-path.csv":       {"path,label\n,cat\ndog/001.png,dog\n", 2, "the path is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			write(t, path, []byte(c.text))
			s, err := data.Open(data.Options{Path: path})
			if err == nil {
				t.Fatalf("opened: %s, first %s", counts(s), s.Name(0))
			}
			expectData(t, err, fmt.Sprintf("%s:%d", path, c.line), c.words)
		})
	}
}

// TestCasesOfSystemFolders leaves out the files of network storage and desktops among the images,
// in folders and in archives.
func TestCasesOfSystemFolders(t *testing.T) {
	dir := folder(t, 4)
	picture, err := os.ReadFile(filepath.Join(dir, "cat", "000.png"))
	if err != nil {
		t.Fatal(err)
	}
	before := open(t, dir)
	archive := [][2]string{{"cat/000.png", string(picture)}, {"dog/001.png", string(picture)}}
	for _, name := range []string{"@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", "cat/@eaDir/000.png/SYNOPHOTO_THUMB_M.png", "#recycle/x.png", "$RECYCLE.BIN/S-1/x.png",
		"lost+found/x.png", "__MACOSX/cat/._000.png", "__MACOSX/cat/x.png", "System Volume Information/x.png", ".Trash-1000/files/x.png", ".AppleDouble/x.png",
		"@Recycle/x.png", ".@__thumb/x.png", ".thumbnails/x.png", "dog/._001.png", "cat/.ipynb_checkpoints/x.png", "#snapshot/x.png", "Thumbs.db", "desktop.ini", ".DS_Store"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		write(t, path, picture)
		archive = append(archive, [2]string{name, string(picture)})
	}
	var notes []string
	s, err := data.Open(data.Options{Path: dir, Note: func(m string) { notes = append(notes, m) }})
	if err != nil {
		t.Fatal(err)
	}
	if got := counts(s); got != "4 cat:2 dog:2" || s.Fingerprint() != before.Fingerprint() {
		t.Errorf("%s, want 4 cat:2 dog:2", got)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "left out") {
		t.Errorf("notes %q", notes)
	}
	_, err = data.Open(data.Options{Path: filepath.Join(dir, "@eaDir", "..", "$RECYCLE.BIN")})
	if err != nil {
		t.Errorf("a folder that was named itself: %v", err)
	}
	path := filepath.Join(t.TempDir(), "a.tar")
	write(t, path, tarBytes(t, archive...))
	if got := counts(open(t, path)); got != "2 cat:1 dog:1" {
		t.Errorf("archive: %s, want 2 cat:1 dog:1", got)
	}
}

// TestCasesOfWebDataset finds the label of every sample by WebDataset's keys.
func TestCasesOfWebDataset(t *testing.T) {
	picture := string(pngBytes(t, gradient(2, 1)))
	for name, c := range map[string]struct {
		files [][2]string
		want  string
	}{
		"extensions": {[][2]string{{"s.input.png", picture}, {"s.cls", "3"}, {"t.input.png", picture}, {"t.cls", "1"}}, "s.input.png=3 t.input.png=1"},
		"two":        {[][2]string{{"a/s.left.png", picture}, {"a/s.right.png", picture}, {"a/s.cls", "0"}, {"b.x/s.png", picture}, {"b.x/s.cls", "1"}}, "a/s.left.png=0 a/s.right.png=0 b.x/s.png=1"},
		"dotted":     {[][2]string{{"v1.2.png", picture}, {"v1.2.cls", "2"}, {"v1.3.png", picture}, {"v1.3.cls", "3"}}, "v1.2.png=2 v1.3.png=3"},
		"target":     {[][2]string{{"s.png", picture}, {"s.target.cls", "1"}, {"t.in.PNG", picture}, {"t.target.CLS", "0"}}, "s.png=1 t.in.PNG=0"},
		"unsure":     {[][2]string{{"s.png", picture}, {"s.a.cls", "1"}, {"s.b.cls", "0"}}, "s.png=-"},
	} {
		path := filepath.Join(t.TempDir(), "a.tar")
		write(t, path, tarBytes(t, c.files...))
		s := open(t, path)
		if got := labelled(s); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// TestCasesOfTarNames wants the classes of names that a program wrote in its own way, and an error
// for archives that would be read in part.
func TestCasesOfTarNames(t *testing.T) {
	picture := string(pngBytes(t, gradient(2, 1)))
	archive := func(prefix, separator string) string {
		return string(tarBytes(t, [2]string{prefix + "cat" + separator + "1.png", picture}, [2]string{prefix + "dog" + separator + "2.png", picture}))
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(archive("", "/"))); err != nil {
		t.Fatal(err)
	}
	z.Close()
	for name, c := range map[string]struct{ content, want string }{
		"plain":     {archive("", "/"), ""},
		"dot":       {archive("./", "/"), ""},
		"absolute":  {archive("/", "/"), ""},
		"above":     {archive("../", "/"), ""},
		"backslash": {archive("", `\`), ""},
		"joined":    {archive("", "/") + archive("", "/"), "have to be given one by one"},
		"gzip":      {packed.String(), "is a gzip archive and not a plain tar archive"},
		"label":     {string(tarBytes(t, [2]string{"1.png", picture}, [2]string{"1.cls", "\xff\xfe"})), `"1.cls" is not the text of a label`},
	} {
		path := filepath.Join(t.TempDir(), name+".tar")
		write(t, path, []byte(c.content))
		s, err := data.Open(data.Options{Path: path})
		switch {
		case c.want != "":
			expectData(t, err, path, c.want)
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case counts(s) != "2 cat:1 dog:1" || s.Name(0) != "cat/1.png":
			t.Errorf("%s: %s, first %s", name, counts(s), s.Name(0))
		}
		if err == nil {
			s.Close()
		}
	}
}

// TestCasesOfTarLinks follows links of both kinds, to files, folders and labels.
func TestCasesOfTarLinks(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(kind byte, name, text string) {
		t.Helper()
		h := &tar.Header{Name: name, Mode: 0o644, Typeflag: kind}
		if kind == tar.TypeReg {
			h.Size = int64(len(text))
		} else {
			h.Linkname = text
		}
		must.Do(t, w.WriteHeader(h))
		if kind == tar.TypeReg {
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	shade := func(v uint8) string {
		m := gradient(2, 1)
		m.SetRGBA(0, 0, color.RGBA{v, v, v, 255})
		return string(pngBytes(t, m))
	}
	add(tar.TypeReg, "store/abc", shade(1))
	add(tar.TypeReg, "cat/1.png", shade(2))
	add(tar.TypeLink, "cat/2.png", "cat/1.png")
	add(tar.TypeSymlink, "dog/1.png", "../store/abc")
	add(tar.TypeLink, "dog/2.png", "dog/1.png")
	add(tar.TypeSymlink, "wolf", "dog")
	add(tar.TypeSymlink, "dog/up", "..")
	add(tar.TypeSymlink, "fox/1.png", "../wolf/2.png")
	add(tar.TypeSymlink, "fox/loop.png", "loop.png")
	add(tar.TypeSymlink, "fox/out.png", "../../elsewhere.png")
	must.Do(t, w.Close())
	path := filepath.Join(t.TempDir(), "a.tar")
	write(t, path, b.Bytes())
	var notes []string
	s := must.Get(data.Open(data.Options{Path: path, Note: func(m string) { notes = append(notes, m) }}))(t)
	defer s.Close()
	var got []string
	for id := range s.Len() {
		m, err := s.Image(id)
		if err != nil {
			expectData(t, err, path+":"+s.Name(id), "a link to nothing in the archive")
			m = &pixels.Image{Pix: []uint8{0}}
		}
		got = append(got, fmt.Sprintf("%s=%s:%d", s.Name(id), s.Classes()[s.Class(id)], m.Pix[0]))
	}
	want := "cat/1.png=cat:2 cat/2.png=cat:2 dog/1.png=dog:1 dog/2.png=dog:1 wolf/1.png=wolf:1 wolf/2.png=wolf:1 fox/1.png=fox:1 fox/loop.png=fox:0 fox/out.png=fox:0"
	if got := strings.Join(got, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "lead to nothing in it: 2, such as fox/loop.png") {
		t.Errorf("notes %q", notes)
	}
}
