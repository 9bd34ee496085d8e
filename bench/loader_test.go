package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

// TestLoader measures drawn images, then those of a folder, and leaves nothing.
func TestLoader(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	t.Setenv(PythonVariable, filepath.Join(t.TempDir(), "python"))
	cfg := small(t)
	l := must.Get(MeasureLoader(t.Context(), cfg, 0, 2))(t)
	if len(l.Works) != 6 || !strings.Contains(l.NoPeer, PythonVariable) {
		t.Fatalf("%+v", l)
	}
	for _, r := range l.Works {
		if r.Images < 20 || !(r.Ours.Median > 10) || r.Ours.Count != 2 || r.Ratio != nil {
			t.Errorf("%+v", r)
		}
	}
	var text bytes.Buffer
	if err := (&Report{Loader: l}).WriteText(&text); err != nil || !strings.Contains(text.String(), "drawn, 32×32 (200)") {
		t.Errorf("%v, it prints\n%s", err, &text)
	}
	left, err := filepath.Glob(filepath.Join(temporary, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	folder := t.TempDir()
	paths := must.Get(drawn(folder, 3, 300, 260))(t)
	must.Do(t, os.WriteFile(filepath.Join(folder, "broken.jpg"), []byte("\xff\xd8\xff"), 0o600))
	cfg.Data.Path = folder
	if l, err = MeasureLoader(t.Context(), cfg, 0, 1); err != nil || len(l.Works) != 3 || l.Works[0].Images != len(paths) {
		t.Errorf("%+v, %v", l, err)
	}
	cfg.Data.Path = filepath.Join(folder, "nowhere")
	if _, err := MeasureLoader(t.Context(), cfg, 0, 1); err == nil {
		t.Error("a folder that is not there is measured")
	}
}
