package program_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/tensor"
)

// TestReferenceRefusals changes case files into some that cannot be interpreted, or contradict themselves. The test of
// the reference must fail each of them, saying why: a case that passes although a part of it was not looked at proves
// nothing.
func TestReferenceRefusals(t *testing.T) {
	set := func(key string, value any) func(c *editedCase) { return func(c *editedCase) { c.config[key] = value } }
	inTrajectory := func(key string, value any) func(c *editedCase) {
		return func(c *editedCase) { c.config["traj"].(map[string]any)[key] = value }
	}
	drop := func(name string) func(c *editedCase) {
		return func(c *editedCase) {
			c.tensors = slices.DeleteFunc(c.tensors, func(x tensor.Tensor) bool { return x.Name == name })
			delete(c.deviation, name)
		}
	}
	bogus := func(c *editedCase) {
		c.tensors = append(c.tensors, tensor.NewF32("bogus.thing", tensor.Shape{1}, []float32{1}))
	}
	for _, tc := range []struct {
		name, folder, file string
		edit               func(c *editedCase)
		want               string
	}{
		{"as it is", "vit", "b_forward_interp", func(*editedCase) {}, ""},
		{"activation", "vit", "b_forward_interp", set("activation", "relu"), "activation"},
		{"drop path", "vit", "b_forward_interp", set("drop_path", .5), "drop_path"},
		{"rotary positions", "vit", "b_forward_interp", set("rope", true), "rope"},
		{"setting of another kind", "vit", "b_forward_interp", set("norm_pix_loss", true), "norm_pix_loss"},
		{"input size", "vit", "b_forward_interp", set("input_size", []int{16, 24}), "input.images"},
		{"batch", "vit", "b_forward_interp", set("batch", 5), "input.images"},
		{"zero gradient of nothing", "vit", "b_forward_interp", set("known_zero_grads", []any{[]any{"blocks.9.nothing", 0, 1}}), "blocks.9.nothing"},
		{"zero gradient out of range", "vit", "b_forward_interp", set("known_zero_grads", []any{[]any{"norm.bias", 0, 1000}}), "norm.bias"},
		{"no tokens", "vit", "b_forward_interp", drop("out.tokens"), "out.tokens"},
		{"extra tensor", "vit", "b_forward_interp", bogus, "bogus.thing"},
		{"extra tensor of the tables", "vit", "pos_interp", bogus, "bogus.thing"},
		{"unknown key of a table", "vit", "pos_interp", func(c *editedCase) {
			c.config["cases"].([]any)[1].(map[string]any)["antialias"] = true
		}, "cases.antialias"},
		{"another loss", "mae", "a_plain_traj", set("loss", "l1"), "loss"},
		{"clipping", "mae", "a_plain_traj", inTrajectory("clip", 1.0), "traj.clip"},
		{"no prediction", "mae", "a_plain_traj", drop("out.pred"), "out.pred"},
		{"image size", "mae", "a_plain_traj", set("img_size", 24), "patches"},
		{"another statistic", "dino", "b_bn_head", set("bn_eps", 1e-3), "bn_eps"},
		{"unknown key", "dino", "b_bn_head", set("koleo", .1), "koleo"},
		{"unknown key", "sit", "a_traj", set("rotation", true), "rotation"},
		{"unknown key", "mocov3", "a_traj", inTrajectory("nesterov", true), "traj.nesterov"},
		{"unknown key", "beit", "b_abs_perblock_nonsquare", set("rope", true), "rope"},
		{"another grid", "beit", "b_abs_perblock_nonsquare", set("grid", []int{6, 4}), "grid"},
	} {
		t.Run(tc.folder+"/"+tc.name, func(t *testing.T) {
			path := filepath.Join(golden.Repository(t), "testdata", "reference", tc.folder, tc.file+".safetensors")
			folder := t.TempDir()
			editCase(t, path, filepath.Join(folder, tc.folder, "edited.safetensors"), tc.edit)
			cmd := exec.Command(os.Args[0], "-test.run", "^TestReference$", "-test.v")
			cmd.Env = append(os.Environ(), "VITTOOL_REFERENCE="+folder)
			out, err := cmd.CombinedOutput()
			passes := tc.name == "as it is"
			if passes != (err == nil) || !strings.Contains(string(out), tc.folder+"/edited") || !strings.Contains(string(out), tc.want) {
				t.Errorf("error %v, and the test says, not %q:\n%s", err, tc.want, out)
			}
		})
	}
}

// editedCase is a case file that is about to be written again.
type editedCase struct {
	config, deviation map[string]any
	tensors           []tensor.Tensor
}

func editCase(t *testing.T, from, to string, edit func(c *editedCase)) {
	t.Helper()
	file, err := tensor.ReadSafetensors(from)
	if err != nil {
		t.Fatal(err)
	}
	c := editedCase{tensors: file.Tensors}
	for key, v := range map[string]*map[string]any{"config": &c.config, "f32_deviation": &c.deviation} {
		if err := json.Unmarshal([]byte(file.Meta[key]), v); err != nil {
			t.Fatal(err)
		}
	}
	edit(&c)
	for key, v := range map[string]map[string]any{"config": c.config, "f32_deviation": c.deviation} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		file.Meta[key] = string(text)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := tensor.WriteSafetensors(to, c.tensors, file.Meta); err != nil {
		t.Fatal(err)
	}
}
