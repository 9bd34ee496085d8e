package jpeg

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/must"
)

// decode reads all of a picture.
func decode(t testing.TB, file []byte) *pixels.Image {
	t.Helper()
	var d Decoder
	m := &pixels.Image{}
	must.Do(t, d.Open(file))
	w, h := d.Size()
	must.Do(t, d.Decode(m, pixels.Rect{W: w, H: h}, true))
	return m
}

func digest(m *pixels.Image) string {
	sum := sha256.Sum256(m.Pix)
	return hex.EncodeToString(sum[:])
}

// TestPillowDigests compares with the pixels of Pillow 13.0 with libjpeg-turbo 3.2.
func TestPillowDigests(t *testing.T) {
	b := must.Get(os.ReadFile("testdata/pillow.txt"))(t)
	want := strings.Split(strings.TrimSpace(string(b)), "\n")
	names, contents := files()
	if len(want) != len(names) {
		t.Fatalf("%d digests for %d files", len(want), len(names))
	}
	for i, file := range contents {
		if got := digest(decode(t, file)); got != want[i] {
			t.Errorf("%s: other pixels than Pillow's", names[i])
		}
	}
}

// pillow prints the digest of the pixels of every file that stdin names.
const pillow = `
import hashlib, sys
from PIL import Image
for name in sys.stdin:
    print(hashlib.sha256(Image.open(name.strip()).tobytes()).hexdigest())
`

// TestPillow asks Pillow itself, where VITTOOL_PYTHON names a Python that has it: about the same
// files, and about photographs where the shared data has some. VITTOOL_RECORD=1 writes the digests
// of TestPillowDigests.
func TestPillow(t *testing.T) {
	python := os.Getenv("VITTOOL_PYTHON")
	if python == "" {
		t.Skip("VITTOOL_PYTHON names no Python with Pillow")
	}
	if out, err := exec.Command(python, "-c", "import PIL").CombinedOutput(); err != nil {
		t.Skipf("%s has no Pillow: %s", python, out)
	}
	names, contents := files()
	generated := len(names)
	dir := t.TempDir()
	var paths []string
	for i, file := range contents {
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("%03d.jpg", i)))
		must.Do(t, os.WriteFile(paths[i], file, 0o600))
	}
	for _, pattern := range []string{"imagenet-sample/*.JPEG", "cifar10/test/*/*0.jp*g"} {
		found := must.Get(filepath.Glob(filepath.Join(os.Getenv("VITTOOL_SHARED"), "data", pattern)))(t)
		for _, path := range found {
			b := must.Get(os.ReadFile(path))(t)
			names, contents, paths = append(names, path), append(contents, b), append(paths, path)
		}
	}
	cmd := exec.Command(python, "-c", pillow)
	cmd.Stdin = strings.NewReader(strings.Join(paths, "\n"))
	cmd.Stderr = os.Stderr
	out := must.Get(cmd.Output())(t)
	if os.Getenv("VITTOOL_RECORD") != "" {
		lines := strings.SplitAfter(string(out), "\n")
		must.Do(t, os.WriteFile("testdata/pillow.txt", []byte(strings.Join(lines[:generated], "")), 0o644))
	}
	sc := bufio.NewScanner(strings.NewReader(string(out)))
	for i := range names {
		if !sc.Scan() {
			t.Fatalf("Pillow answered for %d of %d files", i, len(names))
		}
		if got := digest(decode(t, contents[i])); got != sc.Text() {
			t.Errorf("%s: other pixels than Pillow's", names[i])
		}
	}
	t.Logf("%d files like Pillow", len(names))
}
