package runs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

func TestCutMetrics(t *testing.T) {
	const whole = `{"kind":"step","step":1}` + "\n" + `{"kind":"step","step":2}` + "\n" + `{"kind":"epoch","step":2}` + "\n"
	for _, c := range []struct {
		name, content string
		last          int
		want          string
	}{
		{"nothing to cut", whole, 2, whole},
		{"later steps go", whole + `{"kind":"step","step":3}` + "\n", 2, whole},
		{"a torn line goes", whole + `{"kind":"step","st`, 9, whole},
		{"a line without its newline goes", whole + `{"kind":"step","step":3}`, 9, whole},
		{"a line that is no JSON ends the file", whole + "\x00\x00\x00\n" + `{"kind":"step","step":3}` + "\n", 9, whole},
		{"a line without a step ends the file", whole + "{}\n", 9, whole},
		{"back to the start", whole, 0, ""},
		{"empty", "", 5, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, MetricsFile)
			must.Do(t, os.WriteFile(path, []byte(c.content), 0o644))
			m := must.Get(OpenMetrics(dir, c.last))(t)
			must.Do(t, m.Step(StepLine{Step: c.last + 1}))
			m.Close()
			if err := cutMetrics(path, c.last); err != nil { // the appended line goes again
				t.Fatal(err)
			}
			got := must.Get(os.ReadFile(path))(t)
			if string(got) != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A full disk is told as such, and run.json can still say how the run ended.
func TestMetricsOnFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Logf("this system has no device that is full: %v", err)
		return
	}
	m := &Metrics{f: full}
	defer m.Close()
	if err := m.Step(StepLine{}); err == nil || !strings.Contains(err.Error(), "is full") || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("error %v", err)
	}
	f := &Folder{Dir: t.TempDir()}
	must.Do(t, f.WriteInfo(&Info{Format: 1, Status: StatusRunning, Error: strings.Repeat("x", 500)}))
	must.Do(t, f.OverwriteInfo(&Info{Format: 1, Status: StatusFailed, Error: "the disk is full"}))
	if info, err := ReadInfo(f.Dir); err != nil || info.Status != StatusFailed || info.Error != "the disk is full" {
		t.Errorf("%+v, %v", info, err)
	}
}

func FuzzCutMetrics(f *testing.F) {
	f.Add([]byte(`{"step":1}`+"\n"+`{"step":2}`), 1)
	f.Fuzz(func(t *testing.T, content []byte, last int) {
		path := filepath.Join(t.TempDir(), MetricsFile)
		must.Do(t, os.WriteFile(path, content, 0o644))
		must.Do(t, cutMetrics(path, last))
		got := must.Get(os.ReadFile(path))(t)
		if len(got) > len(content) || string(got) != string(content[:len(got)]) {
			t.Errorf("cut is no beginning of the file")
		}
		if len(got) > 0 && got[len(got)-1] != '\n' {
			t.Errorf("cut in the middle of a line")
		}
	})
}
