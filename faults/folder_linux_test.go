package faults

import (
	"bytes"
	"encoding/json"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/atomicfile"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// loggedSteps counts the steps in metrics.jsonl, 0 while there is no such file.
func loggedSteps(run string) int {
	b, err := os.ReadFile(filepath.Join(run, runs.MetricsFile))
	if err != nil {
		return 0
	}
	return bytes.Count(b, []byte(`"kind":"step"`))
}

// writingCheckpoint reports whether a checkpoint is being written just now.
func writingCheckpoint(run string) bool {
	entries, err := os.ReadDir(filepath.Join(run, runs.CheckpointsDir))
	if err != nil {
		return false
	}
	for _, e := range entries {
		if atomicfile.IsTemporary(e.Name()) && strings.Contains(e.Name(), ".safetensors") {
			return true
		}
	}
	return false
}

func hasRun(run string) bool {
	_, err := os.Stat(filepath.Join(run, runs.InfoFile))
	return err == nil
}

// mustBeReadable checks the promise of a run folder for every moment: each file is whole.
func mustBeReadable(t *testing.T, run string) {
	t.Helper()
	if !hasRun(run) {
		return // killed before there was a run
	}
	if _, err := runs.ReadInfo(run); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(filepath.Join(run, runs.ConfigFile)); err != nil || len(b) == 0 {
		t.Errorf("%s: %d bytes, %v", runs.ConfigFile, len(b), err)
	}
	b, err := os.ReadFile(filepath.Join(run, runs.MetricsFile))
	if err == nil && len(b) > 0 {
		if b[len(b)-1] != '\n' {
			t.Errorf("metrics.jsonl ends in half a line: %q", b[bytes.LastIndexByte(b, '\n')+1:])
		}
		for i, line := range bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) {
			if !json.Valid(line) {
				t.Errorf("metrics.jsonl line %d: %q", i+1, line)
			}
		}
	}
	mustHaveWholeCheckpoints(t, run)
	if latest, err := os.ReadFile(filepath.Join(run, runs.CheckpointsDir, runs.LatestFile)); err == nil {
		if _, err := os.Stat(filepath.Join(run, runs.CheckpointsDir, strings.TrimSpace(string(latest)))); err != nil {
			t.Errorf("latest names %q: %v", latest, err)
		}
	}
	pictures := must.Get(filepath.Glob(filepath.Join(run, runs.PicturesDir, "*.png")))(t)
	for _, p := range pictures {
		f := must.Get(os.Open(p))(t)
		if _, err := png.Decode(f); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		f.Close()
	}
}

// mustHaveWholeCheckpoints reads every checkpoint and returns how many there are.
func mustHaveWholeCheckpoints(t *testing.T, run string) int {
	t.Helper()
	list := must.Get(runs.Checkpoints(run))(t)
	for _, c := range list {
		f, err := tensor.ReadSafetensors(c.Path)
		if err == nil {
			err = f.VerifyDigest()
		}
		if err != nil {
			t.Error(err)
		}
	}
	return len(list)
}

// finalDigest is that of the checkpoint after the last step.
func finalDigest(t *testing.T, run string) string {
	t.Helper()
	file, step, err := runs.Latest(run, func(path string, err error) { t.Errorf("%s: %v", path, err) })
	if err != nil {
		t.Fatal(err)
	}
	if file == nil || step != steps {
		t.Fatalf("the newest checkpoint is of step %d, want %d", step, steps)
	}
	return tensor.Digest(file.Tensors)
}

// mustHaveEvaluated fails unless metrics.jsonl has one line for each evaluation that was due in the
// whole run.
func (r recipe) mustHaveEvaluated(t *testing.T, run string) {
	t.Helper()
	var want, got []int
	for step := 1; step <= steps && r.evaluates(); step++ {
		if step%evaluateEvery == 0 || step == steps {
			want = append(want, step)
		}
	}
	metrics := must.Get(os.ReadFile(filepath.Join(run, runs.MetricsFile)))(t)
	for text := range bytes.Lines(metrics) {
		var line runs.EvalLine
		if must.Do(t, json.Unmarshal(text, &line)); line.Kind == runs.KindEval {
			got = append(got, line.Step)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("features were evaluated after steps %v, want %v", got, want)
	}
}

// mustBeTidy fails when anything temporary is left in the run folder or anything at all in the
// folder for temporary files.
func mustBeTidy(t *testing.T, run, tmp string) {
	t.Helper()
	for _, dir := range []string{run, tmp} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && path != dir && (dir == tmp || atomicfile.IsTemporary(d.Name()) || d.Type()&fs.ModeSocket != 0) {
				t.Errorf("left behind: %s", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
