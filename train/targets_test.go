package train

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/internal/must"
)

// warnings collects the warnings of a run.
type warnings struct {
	silent
	text []string
}

func (w *warnings) Warning(text string) { w.text = append(w.text, text) }

// TestTargetCache: BEiT's tokens of views that never change are computed once, kept between runs,
// and change no bit; a damaged file or a folder that can't be written costs a warning.
func TestTargetCache(t *testing.T) {
	dir := t.TempDir()
	run := func(cache string, change func(*configs.Config)) (string, []string) {
		t.Helper()
		cfg := smallOf(t, "beit")
		cfg.Data.Flip, cfg.Data.CropScale, cfg.Data.TargetCache = false, []float64{1, 1}, cache
		cfg.Objective.Options["color_jitter"] = 0.0
		if change != nil {
			change(cfg)
		}
		var w warnings
		return pretrain(t, cfg, Options{Progress: &w}).Digest, w.text
	}
	files := func() []string {
		t.Helper()
		return must.Get(filepath.Glob(filepath.Join(dir, "*", "*.safetensors")))(t)
	}
	want, text := run("none", nil)
	if len(text) > 0 || len(files()) > 0 {
		t.Errorf("none: warnings %q, files %q", text, files())
	}
	cold, _ := run(dir, nil)
	kept := files()
	if cold != want || len(kept) == 0 {
		t.Errorf("a new cache: digest %s, without %s; %d files", cold, want, len(kept))
	}
	before := must.Get(os.ReadFile(kept[0]))(t)
	warm, _ := run(dir, nil)
	if warm != want || len(files()) != len(kept) {
		t.Errorf("a full cache: digest %s, without %s; %d files, %d before", warm, want, len(files()), len(kept))
	}
	// A tokenizer's view does not depend on the network and its learning rate.
	run(dir, func(c *configs.Config) { c.Train.LR /= 2 })
	if len(files()) != len(kept) {
		t.Errorf("another learning rate added files: %q", files())
	}

	must.Do(t, os.WriteFile(kept[0], before[:len(before)-1], 0o644))
	damaged, text := run(dir, nil)
	if damaged != want || len(text) == 0 || !strings.Contains(text[0], kept[0]) {
		t.Errorf("a damaged file: digest %s, want %s; warnings %q", damaged, want, text)
	}

	file := filepath.Join(t.TempDir(), "file")
	must.Do(t, os.WriteFile(file, nil, 0o644))
	unwritable, text := run(filepath.Join(file, "inside"), nil)
	if unwritable != want || len(text) != 1 || !strings.Contains(text[0], "data.target_cache") {
		t.Errorf("a folder that can't be: digest %s, want %s; warnings %q", unwritable, want, text)
	}

	// Targets of views that change are not cached.
	empty := t.TempDir()
	dir = empty
	run(empty, func(c *configs.Config) { c.Data.Flip = true })
	if len(files()) > 0 {
		t.Errorf("targets of flipped views were cached: %q", files())
	}
}

// TestTargetCacheBound: a run adds a bounded number of values to any folder.
func TestTargetCacheBound(t *testing.T) {
	dir := t.TempDir()
	warn := func(text string) { t.Error(text) }
	key := func(i byte) (k [sha256.Size]byte) { k[0] = i; return k }
	value := make([]int32, 3)
	for run := range byte(3) {
		c := newTargetCache(dir, 2, warn) // 8 values at most
		known := 0
		for i := range byte(3 * 8) {
			if c.Get("kind", key(i), value) {
				known++
				if value[2] != int32(i) {
					t.Errorf("value %d is %v", i, value)
				}
			}
		}
		if want := int(run) * 8; known != want {
			t.Errorf("run %d finds %d values, want %d", run, known, want)
		}
		for i := byte(known); i < 3*8; i++ {
			c.Put("kind", key(i), []int32{0, 0, int32(i)})
		}
		must.Do(t, c.save())
	}
}
