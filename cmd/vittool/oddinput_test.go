//go:build unix

package main

import (
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

// TestOddImages: commands that read images take unusual ones, or end with the right code and word.
func TestOddImages(t *testing.T) {
	dir := t.TempDir()
	vittool(t, dir, pretrainTiny("--steps", "1")...).mustEnd(t, exitDone)
	folder := func(name string) string {
		must.Do(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
		return name
	}
	write := func(path string, content []byte) {
		must.Do(t, os.WriteFile(path, content, 0o644))
	}
	folder("empty")
	folder("one")
	write(filepath.Join(dir, "one", "a.png"), encodePNG(image.NewNRGBA64(image.Rect(0, 0, 40, 30)))) // 16 bit with alpha
	broken := mustRead(t, filepath.Join(dir, "one", "a.png"))[:50]
	odd := folder("two words\nand \"a line\"")
	write(filepath.Join(dir, odd, "x\ny.png"), encodePNG(image.NewGray16(image.Rect(0, 0, 9, 9))))
	mixed := folder("mixed")
	write(filepath.Join(dir, mixed, "good.png"), encodePNG(image.NewGray(image.Rect(0, 0, 40, 40))))
	write(filepath.Join(dir, mixed, "thin.png"), encodePNG(image.NewGray(image.Rect(0, 0, 1, 900))))
	write(filepath.Join(dir, mixed, "bad.png"), broken)
	write(filepath.Join(dir, folder("bad"), "bad.png"), broken)
	for _, c := range []struct {
		name  string
		args  []string
		code  int
		words []string // in the message or the result
	}{
		{"embed nothing", []string{"embed", "--data", "empty", "--to", "a.npy"}, exitData, []string{"empty folder"}},
		{"embed one image", []string{"embed", "--data", "one/a.png", "--to", "b.npy"}, exitDone, []string{"b.npy: 1 image ×"}},
		{"embed an odd folder", []string{"embed", "--data", odd, "--to", "c d\ne.npy"}, exitDone, []string{"1 image ×"}},
		{"embed a bad image", []string{"embed", "--data", mixed, "--to", "d.npy"}, exitData, []string{"left out: bad.png", "data.max_failed"}},
		{"attention on nothing", []string{"attention", "--data", "empty", "--to", "a.png"}, exitData, []string{"empty folder"}},
		{"attention on a bad image", []string{"attention", "--data", mixed, "--to", "b.png"}, exitDone, []string{"left out: bad.png", "b.png: 2 images"}},
		{"attention on bad images alone", []string{"attention", "--data", "bad", "--to", "c.png"}, exitData, []string{"none of the", "bad.png"}},
		{"too many maps", []string{"attention", "--data", "demo:", "--count", "1000", "--to", "d.png"}, exitUsage, []string{"count", "draw fewer pictures"}},
		{"maps beyond memory", []string{"attention", "--data", "demo:", "--count", "1", "--image-size", "4096", "--to", "d.png"}, exitFailure, []string{"do not fit in memory"}},
		{"reconstruct nothing", []string{"reconstruct", "--data", "empty", "--to", "e.png"}, exitData, []string{"empty folder"}},
		{"reconstruct one image", []string{"reconstruct", "--data", "one/a.png", "--to", "f.png"}, exitDone, []string{"f.png: reconstruction"}},
		{"reconstruct a bad image", []string{"reconstruct", "--data", mixed, "--to", "g.png"}, exitDone, []string{"left out: bad.png"}},
		{"too many reconstructions", []string{"reconstruct", "--data", "demo:", "--count", "1000", "--to", "h.png"}, exitUsage, []string{"count", "draw fewer pictures"}},
		{"statistics", []string{"reconstruct", "--data", "demo:", "--patch-statistics", "true", "--to", "i.png"}, exitUsage, []string{"visible and original"}},
		{"evaluate one image", []string{"eval", "knn", "--train", "one/a.png", "--test", "one"}, exitData, []string{"one/a.png: its images have no labels"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := vittool(t, dir, append(c.args, "--from", "run")...)
			o.mustEnd(t, c.code)
			for _, w := range c.words {
				if !strings.Contains(o.stdout+o.stderr, w) {
					t.Errorf("neither message nor result contain %q:\n%s%s", w, o.stdout, o.stderr)
				}
			}
		})
	}
}
