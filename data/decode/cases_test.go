package decode

import (
	"archive/zip"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
)

// refusedKinds are the kinds of files that Pillow reads and this package refuses, by the words that
// its error has for them.
var refusedKinds = []string{
	"scans are missing", // libjpeg smooths such a picture
	"arithmetic coding", "lossless coding", "AVIF", "JPEG 2000",
	"two-dimensional fax code", "CCITT RLE", "compression 50001 (WebP)", "CIE L*a*b*",
}

// TestCases reads the files that expect.tsv lists beside them, with the width, the height and the
// digest of their pixels in Pillow: those of testdata (the archive holds the script that made its
// own), those of the shared data, and those of the folder that VITTOOL_CASES names. Each has
// Pillow's pixels, or is refused by the name of its kind. Files that Pillow refuses may be refused
// or read.
func TestCases(t *testing.T) {
	t.Run("own", func(t *testing.T) { testCases(t, os.DirFS("testdata/cases")) })
	t.Run("generated", func(t *testing.T) { testCases(t, generated(t)) })
	if dir := os.Getenv("VITTOOL_CASES"); dir != "" {
		t.Run("named", func(t *testing.T) { testCases(t, os.DirFS(dir)) })
	}
	t.Run("shared", func(t *testing.T) {
		if !golden.SharedExists(t) {
			t.Skip("there is no shared data")
		}
		testCases(t, os.DirFS(filepath.Join(golden.Shared(t), "cases", "decode")))
	})
}

func generated(t testing.TB) fs.FS {
	r := must.Get(zip.OpenReader("testdata/generated.zip"))(t)
	t.Cleanup(func() { r.Close() })
	return r
}

func testCases(t *testing.T, root fs.FS) {
	f := must.Get(root.Open("expect.tsv"))(t)
	defer f.Close()
	same, refused, lines := 0, 0, bufio.NewScanner(f)
	for lines.Scan() {
		c := strings.Split(lines.Text(), "\t")
		if c[0] == "file" {
			continue
		}
		b := must.Get(fs.ReadFile(root, c[0]))(t)
		m, err := Decode(b, Options{})
		switch {
		case err != nil && strings.Contains(err.Error(), "the decoder failed on this file"):
			t.Errorf("%s: %v", c[0], err)
		case err != nil && (c[1] == "refused" || refusedByName(err)):
			refused++
		case err != nil:
			t.Errorf("%s: %v", c[0], err)
		case c[1] != "refused":
			same++
			compareCase(t, root, c[0], m, c[1:])
		}
	}
	must.Do(t, lines.Err())
	t.Logf("%d files like Pillow, %d refused", same, refused)
	if same < 50 {
		t.Errorf("only %d files were compared", same)
	}
}

func refusedByName(err error) bool {
	for _, kind := range refusedKinds {
		if strings.Contains(err.Error(), kind) {
			return true
		}
	}
	return false
}

// compareCase wants the pixels of Pillow: within 2 levels of JPEG in TIFF, whose chroma libtiff may
// interpolate in another way, and exactly in all else.
func compareCase(t *testing.T, root fs.FS, name string, m *pixels.Image, want []string) {
	if size := strconv.Itoa(m.W) + "x" + strconv.Itoa(m.H); size != want[0]+"x"+want[1] {
		t.Errorf("%s: %s pixels, Pillow has %sx%s", name, size, want[0], want[1])
		return
	}
	sum := sha256.Sum256(m.Pix)
	if hex.EncodeToString(sum[:]) == want[2] {
		return
	}
	b, err := fs.ReadFile(root, name+".expect.png")
	if err != nil {
		t.Errorf("%s: other pixels than Pillow's", name)
		return
	}
	truth := must.Get(Decode(b, Options{}))(t)
	tolerance, worst := 0, 0
	if strings.HasSuffix(name, ".tif") && strings.Contains(path.Base(name), "jpeg") {
		tolerance = 2
	}
	for i, v := range m.Pix {
		worst = max(worst, int(v)-int(truth.Pix[i]), int(truth.Pix[i])-int(v))
	}
	if worst > tolerance {
		t.Errorf("%s: up to %d levels off", name, worst)
	}
}
