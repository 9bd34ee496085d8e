package decode

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vittool/vittool/data/pixels"
)

func TestCases(t *testing.T) {
	root := "/work/shared/cases/decode"
	f, err := os.Open(filepath.Join(root, "expect.tsv"))
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Scan()
	for s.Scan() {
		c := strings.Split(s.Text(), "\t")
		b, err := os.ReadFile(filepath.Join(root, c[0]))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Decode(b, Options{})
		if err != nil {
			if c[1] == "refused" {
				t.Logf("ok %s refused: %v", c[0], err)
				continue
			}
			t.Errorf("%s: %v", c[0], err)
			continue
		}
		if c[1] == "refused" {
			t.Logf("ok? %s read", c[0])
			continue
		}
		w, _ := strconv.Atoi(c[1])
		h, _ := strconv.Atoi(c[2])
		if m.W != w || m.H != h {
			t.Errorf("%s: %dx%d", c[0], m.W, m.H)
			continue
		}
		sum := sha256.Sum256(m.Pix)
		if hex.EncodeToString(sum[:]) == c[3] {
			continue
		}
		tb, _ := os.ReadFile(filepath.Join(root, c[0]+".expect.png"))
		want, err := Decode(tb, Options{})
		if err != nil {
			t.Fatal(err)
		}
		worst := 0
		for i, v := range m.Pix {
			worst = max(worst, int(v)-int(want.Pix[i]), int(want.Pix[i])-int(v))
		}
		t.Errorf("%s: %d levels off", c[0], worst)
	}
	_ = pixels.Image{}
}
