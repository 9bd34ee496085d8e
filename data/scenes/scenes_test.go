package scenes

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

func TestDrawIsAFunctionOfItsArguments(t *testing.T) {
	for id := range uint64(16) {
		a, b := Draw(7, id, 48, 32), Draw(7, id, 48, 32)
		if !bytes.Equal(a.Pix, b.Pix) || !bytes.Equal(a.Mask, b.Mask) {
			t.Fatalf("scene %d differs between two drawings", id)
		}
		if a.Class != int(id)%len(Classes) {
			t.Errorf("scene %d has class %d", id, a.Class)
		}
		if c := Draw(8, id, 48, 32); bytes.Equal(a.Pix, c.Pix) {
			t.Errorf("scene %d is the same for another seed", id)
		}
	}
}

func TestLabelsAreConsistent(t *testing.T) {
	for id := range uint64(64) {
		s := Draw(0, id, 64, 64)
		subject := 0
		for i, m := range s.Mask {
			if int(m) >= len(Regions) {
				t.Fatalf("scene %d: region %d at %d", id, m, i)
			}
			if !(s.Depth[i] > 0 && s.Depth[i] <= MaxDepth) {
				t.Fatalf("scene %d: depth %v at %d", id, s.Depth[i], i)
			}
			if m == regionSky && s.Depth[i] != MaxDepth {
				t.Fatalf("scene %d: the sky is %v away", id, s.Depth[i])
			}
			if int(m) == regionThings+s.Class {
				subject++
			}
		}
		if share := float64(subject) / float64(len(s.Mask)); share < 0.03 {
			t.Errorf("scene %d: its %s fills %.1f %% of the picture", id, Classes[s.Class], 100*share)
		}
	}
}

func TestAnySize(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {2, 7}, {33, 9}, {96, 160}} {
		s := Draw(3, 5, size[0], size[1])
		if len(s.Pix) != 3*size[0]*size[1] {
			t.Errorf("%v: %d bytes", size, len(s.Pix))
		}
	}
}

// TestSheet writes a sheet of scenes to $VITTOOL_SCENES for people to look at.
func TestSheet(t *testing.T) {
	path := os.Getenv("VITTOOL_SCENES")
	if path == "" {
		return
	}
	const n, size = 8, 128
	sheet := image.NewRGBA(image.Rect(0, 0, n*size, 5*size))
	for i := range n * 5 {
		s := Draw(0, uint64(i), size, size)
		for p := range size * size {
			sheet.Set(i%n*size+p%size, i/n*size+p/size, color.RGBA{s.Pix[3*p], s.Pix[3*p+1], s.Pix[3*p+2], 255})
		}
	}
	f := must.Get(os.Create(path))(t)
	defer f.Close()
	must.Do(t, png.Encode(f, sheet))
}

func BenchmarkDraw64(b *testing.B) {
	for i := range b.N {
		Draw(0, uint64(i), 64, 64)
	}
}
