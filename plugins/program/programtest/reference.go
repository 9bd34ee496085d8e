package programtest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tensor"
)

// Reference runs every file of the reference folder of an objective, or of the network. files are
// the tests of those that are no cases, such as statistics, by their names; cases the tests of the
// others by the objective that they name. A file without a test fails, and a case of which the test
// leaves a tensor or a setting unread; see [golden.Whole].
func Reference(t *testing.T, folder string, files map[string]func(*testing.T, string), cases map[string]func(*testing.T, *golden.Case)) {
	for _, path := range golden.Files(t, folder) {
		t.Run(golden.Name(path), func(t *testing.T) {
			if test := files[filepath.Base(golden.Name(path))]; test != nil {
				test(t, path)
				return
			}
			c := golden.Whole(t, path)
			test := cases[c.Objective(t)]
			if test == nil {
				t.Fatalf("%s: there is no test for a case of objective %q", path, c.Objective(t))
			}
			test(t, c)
		})
	}
}

// A Refusal is a change of a case file that must make TestReference fail with an error that
// contains Want; "" where it must pass.
type Refusal struct {
	Name, File string
	Edit       func(c *EditedCase)
	Want       string
}

// Set changes one setting of a case.
func Set(key string, value any) func(c *EditedCase) {
	return func(c *EditedCase) { c.Config[key] = value }
}

// SetInTrajectory changes one setting of a case's training.
func SetInTrajectory(key string, value any) func(c *EditedCase) {
	return func(c *EditedCase) { c.Config["traj"].(map[string]any)[key] = value }
}

// Drop leaves a tensor of a case out.
func Drop(name string) func(c *EditedCase) {
	return func(c *EditedCase) {
		c.Tensors = slices.DeleteFunc(c.Tensors, func(x tensor.Tensor) bool { return x.Name == name })
		delete(c.Deviation, name)
	}
}

// Refusals changes case files of a folder into some that cannot be interpreted, or contradict
// themselves. The package's TestReference must fail each of them, saying why: a case that passes
// although a part of it was not looked at proves nothing.
func Refusals(t *testing.T, folder string, refusals []Refusal) {
	for _, tc := range refusals {
		t.Run(tc.Name, func(t *testing.T) {
			path := filepath.Join(golden.Repository(t), "testdata", "reference", folder, tc.File+".safetensors")
			chosen := t.TempDir()
			editCase(t, path, filepath.Join(chosen, folder, "edited.safetensors"), tc.Edit)
			cmd := exec.Command(os.Args[0], "-test.run", "^TestReference$", "-test.v")
			cmd.Env = append(os.Environ(), "VITTOOL_REFERENCE="+chosen)
			out, err := cmd.CombinedOutput()
			if passes := tc.Want == ""; passes != (err == nil) || !strings.Contains(string(out), folder+"/edited") || !strings.Contains(string(out), tc.Want) {
				t.Errorf("error %v, and the test says, not %q:\n%s", err, tc.Want, out)
			}
		})
	}
}

// EditedCase is a case file that is about to be written again.
type EditedCase struct {
	Config, Deviation map[string]any
	Tensors           []tensor.Tensor
}

func editCase(t *testing.T, from, to string, edit func(c *EditedCase)) {
	t.Helper()
	file := must.Get(tensor.ReadSafetensors(from))(t)
	c := EditedCase{Tensors: file.Tensors}
	for key, v := range map[string]*map[string]any{"config": &c.Config, "f32_deviation": &c.Deviation} {
		must.Do(t, json.Unmarshal([]byte(file.Meta[key]), v))
	}
	edit(&c)
	for key, v := range map[string]map[string]any{"config": c.Config, "f32_deviation": c.Deviation} {
		text := must.Get(json.Marshal(v))(t)
		file.Meta[key] = string(text)
	}
	must.Do(t, os.MkdirAll(filepath.Dir(to), 0o755))
	must.Do(t, tensor.WriteSafetensors(to, c.Tensors, file.Meta))
}
