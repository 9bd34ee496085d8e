//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/train"
)

// onlineRuns are runs of every kind of feature: of tokens and of maps, of a student, of a teacher that
// moves after the step, and of a loss that spans micro-batches.
var onlineRuns = map[string][]string{
	"mae, tokens of the student":       {"mae", "--model", "vit_nano_patch4_32", "model.drop_path=0.1"},
	"dino, class token of the teacher": {"dino", "--model", "vit_nano_patch4_32"},
	"moco, maps of the student":        {"moco", "--model", "resnet18_cifar", "model.width=0.0625"},
	"simclr, cached gradients":         {"simclr", "--model", "resnet18_cifar", "model.width=0.0625", "train.accumulate=2", "train.grad_cache=true"},
}

// labelledImages writes images of noise in three classes, of a little more red, green or blue: 20 of
// each to learn from and 10 to test on.
func labelledImages(t *testing.T, dir string) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 90 {
		m := image.NewRGBA(image.Rect(0, 0, 16, 16))
		for p := range m.Pix {
			m.Pix[p] = uint8(random.IntN(200))
			if p%4 == i%3 {
				m.Pix[p] += 30
			}
		}
		var b bytes.Buffer
		must.Do(t, png.Encode(&b, m))
		set := "train"
		if i >= 60 {
			set = "val"
		}
		writeTo(t, dir, filepath.Join("labelled", set, "rgb"[i%3:i%3+1], fmt.Sprintf("%02d.png", i)), b.Bytes())
	}
}

// onlineArgs is a training of a few steps with the small settings of an objective.
func onlineArgs(t *testing.T, run []string, more ...string) []string {
	settings := must.Get(filepath.Abs(filepath.Join("..", "..", "objectives", run[0], "testdata", "small.yaml")))(t)
	return slices.Concat([]string{"pretrain", "--config", settings, "--image-size", "16", "--data", "demo:?count=40&size=16", "--steps", "5",
		"--batch-size", "8", "train.warmup_epochs=0", "--lr", "1e-3", "run.checkpoint_every=2 steps", "run.keep=0", "run.pictures_every=never", "--json"}, run[1:], more)
}

// TestOnlineFigures: the accuracy after a step is that of `eval knn` with its checkpoint, and the
// weights are those of a run without evaluations, for any number of threads.
func TestOnlineFigures(t *testing.T) {
	turn := 0
	for name, run := range onlineRuns {
		turn++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			labelledImages(t, dir)
			pretrain := func(out string, more ...string) (result train.Result) {
				t.Helper()
				o := vittool(t, dir, onlineArgs(t, run, append(more, "--out", out)...)...)
				o.mustEnd(t, exitDone)
				must.Do(t, json.Unmarshal([]byte(o.stdout), &result))
				return result
			}
			without := pretrain("without", "--threads", "2")
			with := pretrain("with", "--threads", fmt.Sprint(1+turn%3), "eval.data=labelled", "eval.every=2 steps", "eval.limit=45", "eval.k=7", "eval.temperature=0.1")
			if with.Digest != without.Digest {
				t.Errorf("digest %s with evaluations, %s without", with.Digest, without.Digest)
			}
			if config := read(t, dir, "without/config.yaml"); strings.Contains(string(config), "eval:") {
				t.Error("the settings of a run without evaluations have a section for them")
			}
			checkpoint := with.Checkpoint
			if !filepath.IsAbs(checkpoint) {
				checkpoint = filepath.Join(dir, checkpoint)
			}
			same := read(t, dir, filepath.Join("without", "checkpoints", filepath.Base(checkpoint)))
			if string(must.Get(os.ReadFile(checkpoint))(t)) != string(same) {
				t.Error("the last checkpoints of a run with evaluations and of one without differ")
			}
			var last runs.EvalLine
			steps := ""
			for text := range strings.Lines(string(read(t, dir, "with/metrics.jsonl"))) {
				var line runs.EvalLine
				if must.Do(t, json.Unmarshal([]byte(text), &line)); line.Kind != runs.KindEval {
					continue
				}
				last, steps = line, steps+fmt.Sprint(line.Step, " ")
				o := vittool(t, dir, "eval", "knn", "--from", fmt.Sprintf("with/checkpoints/step-%08d.safetensors", line.Step), "--data", "labelled",
					"--limit", "45", "--k", "7", "--temperature", "0.1", "--json", "-q")
				o.mustEnd(t, exitDone)
				var r evalResult
				must.Do(t, json.Unmarshal([]byte(o.stdout), &r))
				if r.Scores[0].Top1 != line.KNN || string(r.Network) != line.Network || string(r.Pool) != line.Pool || r.TrainRows != line.Train || r.TestRows != line.Test || line.Train != 45 || line.Test != 30 {
					t.Errorf("step %d: %+v in training, and %+v of the checkpoint", line.Step, line, r)
				}
			}
			if steps != "2 4 5 " || with.Eval == nil || *with.Eval != last {
				t.Errorf("evaluations after steps %s; the result tells of %+v, want %+v", steps, with.Eval, last)
			}
		})
	}
}

// TestOnlineOutput: the figures stand in the lines of progress, the summary, the report and the curve.
func TestOnlineOutput(t *testing.T) {
	dir := t.TempDir()
	o := vittool(t, dir, pretrainTiny("--steps", "3", "-v", "--data", "demo:?count=8&size=32", "run.log_every=1", "eval.data=demo:", "eval.every=1", "eval.limit=30")...)
	o.mustEnd(t, exitDone, "30 images to learn from, 30 to test on, 8 classes", "% of 30 test images after step 2, by 20 neighbors among 30 images", "  knn ", "features    knn ")
	r := vittool(t, dir, "report", "run")
	r.mustEnd(t, exitDone)
	if !strings.Contains(r.stdout, "KNN") || strings.Count(r.stdout, " %\n") != 3 {
		t.Errorf("the report shows no evaluations:\n%s", r.stdout)
	}
	var info runs.Info
	must.Do(t, json.Unmarshal(read(t, dir, "run/run.json"), &info))
	if info.Eval == nil || info.Eval.Step != 3 || info.Eval.Train != 30 {
		t.Errorf("run.json tells of %+v", info.Eval)
	}
	events := must.Get(filepath.Glob(filepath.Join(dir, "run", "events.out.tfevents.*")))(t)
	if b := must.Get(os.ReadFile(events[0]))(t); strings.Count(string(b), "eval/knn") != 3 {
		t.Errorf("TensorBoard gets %d evaluations, want 3", strings.Count(string(b), "eval/knn"))
	}
}

// badEvaluations are evaluations that there is nothing to evaluate with. Each ends before the first
// step, with the exit code that `eval knn` has.
func badEvaluations() []badInput {
	folders := func(files ...string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			for i, f := range files {
				writeTo(t, dir, filepath.Join("labelled", f), encodeJPEG(40+i, 36))
			}
		}
	}
	labelled := pretrainTiny("eval.data=labelled", "eval.k=1")
	return []badInput{
		{name: "evaluations without images", args: pretrainTiny("eval.every=1 epoch"), code: exitUsage, want: []string{"eval.every = 1 epoch", "eval.data names none"}},
		{name: "evaluations at an unknown interval", args: pretrainTiny("eval.every=1 hour"), code: exitUsage, want: []string{"eval.every", "not an interval"}},
		{name: "evaluation of a folder that is not there", args: labelled, code: exitData, want: []string{"labelled", "can't be read", "eval.data"}},
		{name: "evaluation of one folder", args: labelled, setup: folders("train/a/1.jpg", "train/b/1.jpg"), code: exitData, want: []string{"labelled", "no subfolders train and test", "eval.data"}},
		{name: "evaluation without labels", args: labelled, setup: folders("train/1.jpg", "test/1.jpg"), code: exitData, want: []string{"labelled/train", "no labels"}},
		{name: "evaluation of one class", args: labelled, setup: folders("train/a/1.jpg", "test/a/1.jpg"), code: exitData, want: []string{"labelled/train", "one class, a"}},
		{name: "evaluation without a common class", args: labelled, setup: folders("train/a/1.jpg", "train/b/1.jpg", "val/c/1.jpg", "val/d/1.jpg"), code: exitData, want: []string{"labelled/val", "in common"}},
		{name: "evaluation with too many neighbors", args: pretrainTiny("eval.data=labelled"), setup: folders("train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg"), code: exitData, want: []string{"labelled/train", "2 images", "eval.k 20", "at most 2"}},
		{name: "evaluation with a limit below the neighbors", args: pretrainTiny("eval.data=demo:", "eval.limit=5"), code: exitData, want: []string{"5 images", "eval.k 20"}},
		{name: "evaluation of one set of scenes", args: pretrainTiny("eval.data=demo:?count=9"), code: exitUsage, want: []string{"eval.data = demo:?count=9", "two are needed"}},
		{name: "evaluation of a tokenizer", args: []string{"pretrain", "--config", "vq-32", "--data", "demo:", "--out", "run", "--steps", "1", "eval.data=demo:"}, code: exitUsage, want: []string{"eval.data", "trains no backbone"}},
		{name: "neighbors in a limit below them", args: []string{"eval", "knn", "--from", "run", "--data", "demo:", "--limit", "-1"}, code: exitUsage, want: []string{"--limit -1"}},
	}
}
