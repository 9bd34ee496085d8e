//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vittool/vittool/backbone/families"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tasks"
	"github.com/vittool/vittool/tasks/npy"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/train"
	"golang.org/x/sys/unix"
)

// TestWorkflow trains a little and then uses the run as a user does.
func TestWorkflow(t *testing.T) {
	dir := t.TempDir()
	o := vittool(t, dir, append(pretrainTiny("--steps", "3", "run.log_every=1"), "--json")...)
	o.mustEnd(t, exitDone, "settings of preset demo", "step 3/3")
	var result train.Result
	if err := json.Unmarshal([]byte(o.stdout), &result); err != nil || result.Step != 3 || result.Digest == "" {
		t.Fatalf("result %+v, error %v, from\n%s", result, err, o.stdout)
	}
	for _, name := range []string{"config.yaml", "run.json", "metrics.jsonl", "log.txt", "skipped.txt",
		"pictures/loss.png", "pictures/reconstruction-00000003.png", "checkpoints/latest", "checkpoints/step-00000003.safetensors"} {
		if _, err := os.Stat(filepath.Join(dir, "run", name)); err != nil {
			t.Errorf("the run has no %s", name)
		}
	}
	if log, err := os.ReadFile(filepath.Join(dir, "run", "log.txt")); err != nil || !bytes.Contains(log, []byte(result.Digest)) {
		t.Errorf("log.txt does not tell how the run ended (%v):\n%s", err, log)
	}
	again := vittool(t, dir, "pretrain", "--config", "run", "--out", "again", "--json", "-q")
	again.mustEnd(t, exitDone)
	if !strings.Contains(again.stdout, result.Digest) {
		t.Errorf("running config.yaml again gives other weights:\n%s", again.stdout)
	}

	probes := []string{"--train", "demo:?count=60", "--test", "demo:?count=30&seed=1", "--batch-size", "16"}
	steps := []struct {
		name string
		args []string
		want []string // parts of the output
	}{
		{"report", []string{"report", "run"}, []string{"done, step 3 of 3", "vit_nano_patch4_32", "loss.png"}},
		{"report as JSON", []string{"report", "run", "--json"}, []string{`"status": "done"`}},
		{"reconstruct", []string{"reconstruct", "--from", "run", "--count", "3", "--to", "r.png"}, []string{"r.png: reconstruction after step 3", "root mean square over masked pixels", "mean [", "as the file says"}},
		{"reconstruct as JSON", []string{"reconstruct", "--from", "run", "--data", "demo:?seed=3", "--count", "2", "--to", "s.png", "--json"}, []string{`"file": "s.png"`, `"error_unit": "root mean square`, `"normalization": "as the file says"`}},
		{"attention", []string{"attention", "--from", "run", "--data", "demo:?count=5", "--count", "2", "--to", "a.png"}, []string{"a.png: 2 images, 4 heads on 8×8 patches"}},
		{"attention as JSON", []string{"attention", "--from", "run", "--data", "demo:?count=5", "--block", "0", "--image-size", "64", "--mass", "0.6", "--to", "m.png", "--json"}, []string{`"images": 5`, `"rows": 16`}},
		{"export", []string{"export", "--from", "run", "--to", "b.safetensors"}, []string{"b.safetensors: vit_nano_patch4_32"}},
		{"export as JSON", []string{"export", "--from", "run", "--to", "b.safetensors", "--json"}, []string{`"step": 3`}},
		{"knn", slices.Concat([]string{"eval", "knn", "--from", "run", "--k", "5,20"}, probes), []string{"knn 5", "knn 20", "top-1"}},
		{"knn of the export", slices.Concat([]string{"eval", "knn", "--from", "b.safetensors", "--json"}, probes), []string{`"test_images": 30`, `"name": "knn 20"`}},
		{"linear", slices.Concat([]string{"eval", "linear", "--from", "run", "--iterations", "5"}, probes), []string{"linear", "top-1"}},
		{"embed", []string{"embed", "--from", "run", "--data", "demo:?count=10", "--to", "f.npy"}, []string{"f.npy: 10 images × 64 numbers", "f.labels.npy"}},
		{"embed both as JSON", []string{"embed", "--from", "run", "--data", "demo:?count=10", "--pool", "both", "--to", "g.npy", "--json"}, []string{`"dim": 128`}},
	}
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			o := vittool(t, dir, s.args...)
			o.mustEnd(t, exitDone)
			for _, w := range s.want {
				if !strings.Contains(o.stdout, w) {
					t.Errorf("it prints no %q:\n%s", w, o.stdout)
				}
			}
		})
	}
	file, err := tensor.ReadSafetensors(filepath.Join(dir, "b.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := file.Get("blocks.3.mlp.fc2.weight"); !ok || slices.ContainsFunc(file.Names(), func(n string) bool { return strings.HasPrefix(n, "backbone.") }) {
		t.Errorf("the export's names are not timm's: %v", file.Names())
	}
	if a, err := npy.Read(bytes.NewReader(read(t, dir, "f.npy"))); err != nil || !slices.Equal(a.Shape, []int{10, 64}) {
		t.Errorf("features of shape %v, error %v", a.Shape, err)
	}
}

// TestRecommendedBlocks: a linear classifier reads the blocks that the run's objective recommends
// for it, neighbors the last one, and a user's own choice goes before both.
func TestRecommendedBlocks(t *testing.T) {
	dir := t.TempDir()
	c, err := families.All().Variant("vit_micro_patch4_32")
	if err != nil {
		t.Fatal(err)
	}
	m := &tasks.Model{Store: param.NewStore(), Config: c, Info: c.Info(), Meta: map[string]string{}, Pool: tasks.PoolMean, LinearBlocks: 2}
	m.Mean, m.Std = []float64{.5, .5, .5}, []float64{.2, .2, .2}
	if m.Backbone, err = c.New(m.Store, "", nil, 1); err != nil {
		t.Fatal(err)
	}
	must.Do(t, m.Export(filepath.Join(dir, "b.safetensors")))
	eval := func(args ...string) (r evalResult) {
		args = append([]string{"eval"}, append(args, "--from", "b.safetensors", "--train", "demo:?count=20", "--test", "demo:?count=10&seed=1", "--json", "-q")...)
		o := vittool(t, dir, args...)
		o.mustEnd(t, exitDone)
		if err := json.Unmarshal([]byte(o.stdout), &r); err != nil {
			t.Fatalf("%v in %s", err, o.stdout)
		}
		return r
	}
	for _, c := range []struct {
		args []string
		want []int
	}{
		{[]string{"linear", "--iterations", "2"}, []int{4, 5}},
		{[]string{"linear", "--iterations", "2", "--blocks", "0,-1"}, []int{0, 5}},
		{[]string{"knn"}, []int{5}},
	} {
		if got := eval(c.args...).Blocks; !slices.Equal(got, c.want) {
			t.Errorf("%v reads blocks %v, want %v", c.args, got, c.want)
		}
	}
}

// TestTargets asks for results in the place of files that must stay: nothing is changed.
func TestTargets(t *testing.T) {
	dir := t.TempDir()
	goodImages(t, dir, 2)
	vittool(t, dir, pretrainTiny()...).mustEnd(t, exitDone)
	vittool(t, dir, "export", "--from", "run", "--to", "b.safetensors").mustEnd(t, exitDone)
	checkpoint := "run/checkpoints/step-00000001.safetensors"
	for from, to := range map[string]string{"run": "link", "b.safetensors": "c.safetensors", checkpoint: "d.safetensors"} {
		if from != "run" {
			from = filepath.Join(dir, from)
		}
		must.Do(t, os.Symlink(from, filepath.Join(dir, to)))
	}
	writeTo(t, dir, "f.names.txt", []byte("pictures/000.jpg\n"))
	writeTo(t, dir, "one.png", encodePNG(gradient(40, 40)))
	among := []string{"among the checkpoints of the run", "name a file elsewhere"}
	before := contentsBelow(t, dir)
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"export over its checkpoint", []string{"export", "--from", "run", "--to", checkpoint}, among},
		{"export beside it", []string{"export", "--from", "b.safetensors", "--to", "run/checkpoints/new.safetensors"}, among},
		{"through a link to the folder", []string{"export", "--from", "b.safetensors", "--to", "link/checkpoints/new.safetensors"}, among},
		{"through a link to the file", []string{"export", "--from", "b.safetensors", "--to", "d.safetensors"}, among},
		{"export over its input", []string{"export", "--from", "b.safetensors", "--to", "./b.safetensors"}, []string{"would replace the file that is read, b.safetensors", "name another file"}},
		{"export over a link to its input", []string{"export", "--from", "b.safetensors", "--to", "c.safetensors"}, []string{"would replace"}},
		{"tokenizer", []string{"tokenizer", "export", "--from", "run", "--to", checkpoint}, among},
		{"tokenizer of a training", []string{"tokenizer", "train", "--out", "other", "--to", checkpoint}, among},
		{"tokenizer over its input", []string{"tokenizer", "import", "--from", "b.safetensors", "--to", "b.safetensors"}, []string{"would replace"}},
		{"embed among the checkpoints", []string{"embed", "--from", "run", "--data", "demo:?count=4", "--to", "run/checkpoints/f.npy"}, among},
		{"embed over its list of images", []string{"embed", "--from", "run", "--data", "f.names.txt", "--to", "f.npy"}, []string{"would replace", "f.names.txt"}},
		{"attention over its image", []string{"attention", "--from", "run", "--data", "one.png", "--to", "one.png"}, []string{"would replace"}},
		{"reconstruct over its image", []string{"reconstruct", "--from", "run", "--data", "one.png", "--to", "one.png"}, []string{"would replace"}},
		{"bench", []string{"bench", "--only", "kernels", "--save", "run/checkpoints/b.json"}, among},
	} {
		t.Run(c.name, func(t *testing.T) {
			vittool(t, dir, c.args...).mustEnd(t, exitUsage, c.want...)
			if after := contentsBelow(t, dir); !maps.Equal(before, after) {
				t.Errorf("files differ: %v, before %v", slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)))
			}
		})
	}
}

// contentsBelow reads every file below a folder.
func contentsBelow(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestRunInsideTheData goes on with a run whose pictures lie among the images.
func TestRunInsideTheData(t *testing.T) {
	dir := t.TempDir()
	goodImages(t, dir, 8)
	vittool(t, dir, pretrainTiny("--data", ".", "--steps", "2", "run.pictures_every=1 step", "run.checkpoint_every=1 step")...).mustEnd(t, exitDone)
	must.Do(t, os.Remove(filepath.Join(dir, "run", "checkpoints", "step-00000002.safetensors")))
	vittool(t, dir, "pretrain", "--out", "run", "--resume").mustEnd(t, exitDone, "resumed after step 1", "the pictures of runs in it are left out")
}

// TestBadTasks are mistakes in the commands that use a trained network.
func TestBadTasks(t *testing.T) {
	cases := []struct {
		name  string
		setup func(t *testing.T, dir string)
		args  []string
		code  int
		want  []string
	}{
		{"no weights named", nil, []string{"eval", "knn", "--data", "demo:"}, exitUsage, []string{"--from"}},
		{"no data named", nil, []string{"eval", "knn", "--from", "x"}, exitUsage, []string{"--data", "--train and --test"}},
		{"weights that are not there", nil, []string{"eval", "knn", "--from", "x", "--data", "demo:"}, exitData, []string{"x", "no such run or weight file"}},
		{"folder without a run", func(t *testing.T, dir string) { mkdir(t, dir, "x") }, []string{"export", "--from", "x", "--to", "y.safetensors"}, exitData, []string{"x", "no checkpoint"}},
		{"weights that are none", func(t *testing.T, dir string) { writeTo(t, dir, "x", []byte("hello world, this is text")) }, []string{"export", "--from", "x", "--to", "y.safetensors"}, exitData, []string{"x", "this is a text file", "name a safetensors file"}},
		{"recipe as weights", func(t *testing.T, dir string) { writeTo(t, dir, "some.yaml", []byte("objective:\n  name: mae\n")) }, []string{"eval", "knn", "--from", "some.yaml", "--data", "demo:"}, exitData, []string{"some.yaml", "a text file (YAML", "the folder of a run"}},
		{"picture as weights", func(t *testing.T, dir string) { writeTo(t, dir, "x.png", encodePNG(gradient(30, 30))) }, []string{"embed", "--from", "x.png", "--data", "demo:", "--to", "f.npy"}, exitData, []string{"x.png", "a PNG image, not a safetensors file"}},
		{"folder without train and test", func(t *testing.T, dir string) { mkdir(t, dir, "d") }, []string{"eval", "knn", "--from", "x", "--data", "d"}, exitData, []string{"d", "train and test", "--train"}},
		{"unknown pool", nil, []string{"embed", "--from", "x", "--data", "demo:", "--to", "f.npy", "--pool", "max"}, exitUsage, []string{"--pool max", "mean, class, both"}},
		{"bad neighbors", nil, []string{"eval", "knn", "--from", "x", "--data", "demo:", "--k", "0"}, exitUsage, []string{"--k"}},
		{"embed to nowhere", nil, []string{"embed", "--from", "x", "--data", "demo:"}, exitUsage, []string{"needs --to"}},
		{"embed to a text", nil, []string{"embed", "--from", "x", "--data", "demo:", "--to", "f.txt"}, exitUsage, []string{"--to f.txt", "must end in .npy"}},
		{"embed into a missing folder", nil, []string{"embed", "--from", "x", "--data", "demo:", "--to", "away/f.npy"}, exitUsage, []string{"--to away/f.npy", "no folder away"}},
		{"embed over a folder", func(t *testing.T, dir string) { mkdir(t, dir, "f.names.txt") }, []string{"embed", "--from", "x", "--data", "demo:", "--to", "f.npy"}, exitUsage, []string{"f.names.txt", "a folder"}},
		{"embed with a setting of training", nil, []string{"embed", "--from", "x", "--data", "demo:", "--to", "f.npy", "data.flip=false"}, exitUsage, []string{"data.flip=false", "data.max_failed"}},
		{"export to PyTorch", nil, []string{"export", "--from", "x", "--to", "x.pt"}, exitUsage, []string{"--to x.pt", "must end in .safetensors"}},
		{"export to a device", func(t *testing.T, dir string) {
			must.Do(t, unix.Mkfifo(filepath.Join(dir, "pipe.safetensors"), 0o600))
		}, []string{"export", "--from", "x", "--to", "pipe.safetensors"}, exitUsage, []string{"pipe.safetensors", "a pipe"}},
		{"reconstruct to a JPEG", nil, []string{"reconstruct", "--from", "x", "--to", "r.jpg"}, exitUsage, []string{"--to r.jpg", "must end in .png"}},
		{"attention to a JPEG", nil, []string{"attention", "--from", "x", "--data", "demo:", "--to", "a.jpg"}, exitUsage, []string{"--to a.jpg", "must end in .png"}},
		{"attention of no images", nil, []string{"attention", "--from", "x", "--to", "a.png"}, exitUsage, []string{"--data"}},
		{"more than all attention", nil, []string{"attention", "--from", "x", "--data", "demo:", "--to", "a.png", "--mass", "1"}, exitUsage, []string{"--mass 1", "0.6"}},
		{"plugin that does not exist", nil, []string{"plugin", "info", "mea"}, exitUsage, []string{"did you mean mae?"}},
		{"plugin file that does not exist", nil, []string{"plugin", "info", "./mea"}, exitPlugin, []string{"mea"}},
		{"unknown part of the bench", nil, []string{"bench", "--only", "kernel"}, exitUsage, []string{"did you mean kernels?"}},
		{"baseline without kernels to compare", nil, []string{"bench", "--only", "step", "--against", "b.json"}, exitUsage, []string{"--against", "--only"}},
		{"baseline that is none", func(t *testing.T, dir string) { writeTo(t, dir, "b.json", []byte("{}")) }, []string{"bench", "--only", "kernels", "--against", "b.json"}, exitFailure, []string{"b.json", "--save"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if c.setup != nil {
				c.setup(t, dir)
			}
			vittool(t, dir, c.args...).mustEnd(t, c.code, c.want...)
		})
	}
}

// TestUnsuitable gives a trained network unsuitable images and sizes.
func TestUnsuitable(t *testing.T) {
	dir := t.TempDir()
	vittool(t, dir, pretrainTiny("--steps", "2")...).mustEnd(t, exitDone)
	vittool(t, dir, "export", "--from", "run", "--to", "b.safetensors").mustEnd(t, exitDone)
	whole := must.Get(os.ReadFile(filepath.Join(dir, "b.safetensors")))(t)
	writeTo(t, dir, "cut.safetensors", whole[:len(whole)*2/3])
	checkpoint := must.Get(os.ReadFile(filepath.Join(dir, "run", "checkpoints", "step-00000002.safetensors")))(t)
	checkpoint[len(checkpoint)/2] ^= 1
	writeTo(t, dir, "flipped.safetensors", checkpoint)
	for _, set := range []string{"train", "test"} {
		for i, class := range []string{"cat", "dog"} {
			for n := range 2 {
				writeTo(t, dir, filepath.Join("few", set, class, string(rune('a'+n))+".jpg"), encodeJPEG(32+i, 32))
			}
		}
		writeTo(t, dir, filepath.Join("one", set, "cat", "a.jpg"), encodeJPEG(32, 32))
	}
	goodImages(t, dir, 3)
	writeTo(t, dir, "pictures/bad.jpg", []byte("text"))
	writeTo(t, dir, "bad.jpg", []byte("text"))
	cases := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"cut weights", []string{"embed", "--from", "cut.safetensors", "--data", "demo:?count=3", "--to", "f.npy"}, exitData, []string{"cut.safetensors"}},
		{"flipped weights", []string{"reconstruct", "--from", "flipped.safetensors", "--to", "r.png"}, exitData, []string{"flipped.safetensors", "SHA-256"}},
		{"export reconstructed", []string{"reconstruct", "--from", "b.safetensors", "--to", "r.png"}, exitData, []string{"b.safetensors", "no checkpoint of a run"}},
		{"another model", []string{"export", "--from", "b.safetensors", "--to", "c.safetensors", "--model", "vit_tiny_patch4_32"}, exitUsage, []string{"vit_tiny_patch4_32", "vit_nano_patch4_32"}},
		{"model that is none", []string{"export", "--from", "b.safetensors", "--to", "c.safetensors", "--model", "vit_huge_patch3"}, exitUsage, []string{"vit_huge_patch3"}},
		{"no teacher", []string{"export", "--from", "run", "--to", "c.safetensors", "--teacher"}, exitUsage, []string{"teacher"}},
		{"more neighbors than images", []string{"eval", "knn", "--from", "run", "--data", "few"}, exitData, []string{"few/train", "--k 20", "4 images", "at most 4"}},
		{"as many neighbors as images", []string{"eval", "knn", "--from", "run", "--data", "few", "--k", "4"}, exitDone, nil},
		{"one class of neighbors", []string{"eval", "knn", "--from", "run", "--data", "one", "--k", "1"}, exitData, []string{"one class", "cat"}},
		{"a single class", []string{"eval", "linear", "--from", "run", "--data", "one"}, exitData, []string{"one class", "cat"}},
		{"too many bad images", []string{"embed", "--from", "run", "--data", "pictures", "--to", "f.npy"}, exitData, []string{"data.max_failed", "bad.jpg"}},
		{"bad images allowed", []string{"embed", "--from", "run", "--data", "pictures", "--to", "f.npy", "data.max_failed=0.5"}, exitDone, []string{"left out", "bad.jpg"}},
		{"no bad images allowed", []string{"embed", "--from", "run", "--data", "pictures", "--to", "g.npy", "data.max_failed=0"}, exitData, []string{"bad.jpg"}},
		{"missing data", []string{"embed", "--from", "run", "--data", "nope", "--to", "g.npy"}, exitData, []string{"nope", "--data"}},
		{"one bad image", []string{"reconstruct", "--from", "run", "--data", "bad.jpg", "--to", "r.png"}, exitData, []string{"bad.jpg", "can't be decoded"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			vittool(t, dir, c.args...).mustEnd(t, c.code, c.want...)
			for _, file := range []string{"c.safetensors", "g.npy", "g.names.txt", "r.png"} {
				if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
					t.Errorf("%s was written", file)
				}
			}
			mustHaveNoTemporaryFile(t, dir)
		})
	}
	t.Run("report of a run that may not be changed", func(t *testing.T) {
		must.Do(t, os.RemoveAll(filepath.Join(dir, "run", "pictures")))
		writeTo(t, dir, "run/pictures", nil) // the superuser may write to any folder, and to no file's inside
		o := vittool(t, dir, "report", "run")
		o.mustEnd(t, exitDone, "warning", "curve is not drawn")
		if !strings.Contains(o.stdout, "done, step 2 of 2") || strings.Contains(o.stdout, "loss.png") {
			t.Errorf("it prints\n%s", o.stdout)
		}
	})
}

// TestInterruptedStart sends a signal while a command still starts: it ends as interrupted, and no
// plugin is at fault.
func TestInterruptedStart(t *testing.T) {
	for _, args := range [][]string{pretrainTiny(), {"bench", "--only", "step", "--config", "demo"}} {
		for _, after := range []time.Duration{50, 150, 300, 450, 600} {
			dir := t.TempDir()
			cmd := exec.Command(program, append(args, "train.steps=100000")...)
			cmd.Dir = dir
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			must.Do(t, cmd.Start())
			time.Sleep(after * time.Millisecond)
			_ = cmd.Process.Signal(unix.SIGTERM) // it may not listen yet, and ends all the same
			hung := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
			_ = cmd.Wait() // the exit code is looked at
			hung.Stop()
			code := cmd.ProcessState.ExitCode()
			if code != exitInterrupted && code != -1 || strings.Contains(stderr.String(), "plugin") {
				t.Errorf("%s after %d ms: exit code %d, and it says\n%s", args[0], after, code, stderr.String())
			}
		}
	}
}

// TestInterrupt sends the signals of Ctrl-C and of a supervisor in the middle of a run: it must end
// with a checkpoint, and go on from there to the same weights.
func TestInterrupt(t *testing.T) {
	args := pretrainTiny("--steps", "40", "run.checkpoint_every=never", "run.log_every=1")
	whole := t.TempDir()
	vittool(t, whole, append(args, "-q")...).mustEnd(t, exitDone)
	want := digestOf(t, filepath.Join(whole, "run"))
	for _, signal := range []os.Signal{os.Interrupt, unix.SIGTERM, unix.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			if ossignal.Ignored(signal) {
				t.Skip("these tests were started with the signal ignored, as nohup does, and so is the run")
			}
			dir := t.TempDir()
			cmd := exec.Command(program, append(args, "-v")...)
			cmd.Dir = dir
			stderr := must.Get(cmd.StderrPipe())(t)
			must.Do(t, cmd.Start())
			hung := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
			defer hung.Stop()
			var lines []string
			for s := bufio.NewScanner(stderr); s.Scan(); {
				lines = append(lines, s.Text())
				if strings.HasPrefix(s.Text(), "step 3/") {
					must.Do(t, cmd.Process.Signal(signal))
				}
			}
			_ = cmd.Wait() // the exit code is looked at
			printed := strings.Join(lines, "\n")
			if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(printed, "--resume") {
				t.Fatalf("exit code %d, want %d and a hint to --resume:\n%s", code, exitInterrupted, printed)
			}
			info, err := runs.ReadInfo(filepath.Join(dir, "run"))
			if err != nil || info.Status != runs.StatusInterrupted || info.Step < 3 || info.Step >= 40 {
				t.Fatalf("run.json %+v, error %v", info, err)
			}
			vittool(t, dir, "pretrain", "--out", "run", "--resume", "-q").mustEnd(t, exitDone)
			if got := digestOf(t, filepath.Join(dir, "run")); got != want {
				t.Errorf("digest %s, undisturbed %s", got, want)
			}
		})
	}
}

// digestOf reads the digest of a run's newest checkpoint.
func digestOf(t *testing.T, run string) string {
	t.Helper()
	file, _, err := runs.Latest(run, func(path string, err error) { t.Errorf("%s: %v", path, err) })
	if err != nil || file == nil {
		t.Fatalf("no checkpoint in %s: %v", run, err)
	}
	return tensor.Digest(file.Tensors)
}
