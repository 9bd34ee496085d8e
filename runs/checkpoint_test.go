package runs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// saved makes a run folder with a checkpoint of one number after each step.
func saved(t *testing.T, keep int, steps ...int) *runs.Folder {
	t.Helper()
	f := must.Get(runs.Create(filepath.Join(t.TempDir(), "run")))(t)
	t.Cleanup(func() { f.Close() })
	for _, step := range steps {
		tensors := []tensor.Tensor{tensor.NewF32(runs.HeadPrefix+"w", tensor.Shape{1}, []float32{float32(step)})}
		meta := runs.Meta{Step: step, Objective: runs.ObjectiveInfo{Name: "x", Mode: "process"}, Data: runs.DataInfo{Path: "here", Images: 3}}
		c, digest, err := f.Save(meta, tensors, keep)
		if err != nil || c.Step != step || digest != tensor.Digest(tensors) {
			t.Fatalf("%+v, digest %s, %v", c, digest, err)
		}
	}
	return f
}

// A checkpoint says nothing of the place of the images and of the plugin's mode; the oldest ones
// go, and "latest" names the newest.
func TestSave(t *testing.T) {
	f := saved(t, 2, 0, 5, 100)
	list, err := runs.Checkpoints(f.Dir)
	if err != nil || len(list) != 2 || list[0].Step != 5 || list[1].Step != 100 {
		t.Fatalf("%+v, %v", list, err)
	}
	if b, err := os.ReadFile(f.Path(runs.CheckpointsDir, runs.LatestFile)); err != nil || string(b) != filepath.Base(list[1].Path)+"\n" {
		t.Errorf("latest says %q, %v", b, err)
	}
	file, step, err := runs.Latest(f.Dir, nil)
	if err != nil || step != 100 {
		t.Fatalf("step %d, %v", step, err)
	}
	var objective runs.ObjectiveInfo
	var images runs.DataInfo
	if err := runs.Decode(file, runs.MetaObjective, &objective); err != nil || objective != (runs.ObjectiveInfo{Name: "x"}) {
		t.Errorf("%+v, %v", objective, err)
	}
	if err := runs.Decode(file, runs.MetaData, &images); err != nil || images != (runs.DataInfo{Images: 3}) {
		t.Errorf("%+v, %v", images, err)
	}
	if err := runs.Decode(file, "nothing", &images); err == nil || !strings.Contains(err.Error(), `"nothing"`) {
		t.Errorf("a missing key: %v", err)
	}
	if runs.OfCheckpoint(file.Path) != "" { // a folder without run.json and config.yaml
		t.Errorf("%s is taken for a checkpoint of a run", file.Path)
	}
	if err := f.WriteInfo(runs.NewInfo()); err != nil || runs.OfCheckpoint(filepath.Join(filepath.Dir(file.Path), "new")) == "" {
		t.Errorf("a new file among the checkpoints is not seen, %v", err)
	}
}

// Damaged, renamed and foreign checkpoints are passed over, newest first.
func TestLatest(t *testing.T) {
	if file, _, err := runs.Latest(t.TempDir(), nil); file != nil || err != nil {
		t.Errorf("a folder without checkpoints: %v, %v", file, err)
	}
	f := saved(t, 0, 1, 2)
	at := func(name string) string { return f.Path(runs.CheckpointsDir, name) }
	first := must.Get(os.ReadFile(at("step-00000001.safetensors")))(t)
	for name, content := range map[string][]byte{"step-00000007.safetensors": first, "step-00000009.safetensors": first[:len(first)-1]} {
		must.Do(t, os.WriteFile(at(name), content, 0o644))
	}
	var passed []string
	report := func(path string, err error) { passed = append(passed, filepath.Base(path)) }
	if _, step, err := runs.Latest(f.Dir, report); err != nil || step != 2 {
		t.Errorf("step %d, %v", step, err)
	}
	if !slices.Equal(passed, []string{"step-00000009.safetensors", "step-00000007.safetensors"}) {
		t.Errorf("passed over %q", passed)
	}
	for _, step := range []string{"1", "2"} {
		must.Do(t, os.WriteFile(at("step-0000000"+step+".safetensors"), nil, 0o644))
	}
	if _, _, err := runs.Latest(f.Dir, nil); err == nil || !strings.Contains(err.Error(), "none of the 4 checkpoints") {
		t.Errorf("all damaged: %v", err)
	}
}

// The optimizers of core keep their state under the prefix that the format names.
func TestOptimizerPrefix(t *testing.T) {
	e := must.Get(device.NewCPU(1))(t)
	defer e.Close()
	p := &param.Parameter{Name: "w", Shape: tensor.Shape{1}, Data: []float32{1}}
	o := optim.NewSGD(e, optim.SGDOptions{Momentum: 0.9})
	o.Step([]*param.Parameter{p}, func(*param.Parameter) []float32 { return []float32{1} }, optim.Rate{Now: 0.1}, 0)
	if len(o.State()) == 0 {
		t.Fatal("the optimizer has no state")
	}
	for _, x := range o.State() {
		if !strings.HasPrefix(x.Name, runs.OptimizerPrefix) {
			t.Errorf("state %s", x.Name)
		}
	}
}
