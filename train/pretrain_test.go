package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// TestWarmupBeyondTheEnd: a few steps of a recipe run, with a warning about the warm-up.
func TestWarmupBeyondTheEnd(t *testing.T) {
	cfg := small(t)
	cfg.Train.Steps, cfg.Train.WarmupEpochs = 1, 99
	progress := &stopper{}
	if _, err := Pretrain(t.Context(), cfg, Options{Progress: progress}); err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(progress.events, "\n"); !strings.Contains(all, "train.warmup_epochs = 99") || !strings.Contains(all, "1 step") {
		t.Errorf("it says\n%s", all)
	}
}

// A step that is not finite changes nothing and names the tensor.
func TestNotFinite(t *testing.T) {
	cfg := small(t)
	cfg.Train.LR, cfg.Train.WarmupEpochs, cfg.Run.CheckpointEvery = 1000, 0, configs.Interval{Steps: 1}
	cfg.Train.Optimizer, cfg.Train.Momentum = "sgd", 0
	_, err := Pretrain(context.Background(), cfg, Options{})
	var e *NotFiniteError
	if !errors.As(err, &e) {
		t.Fatalf("error %v", err)
	}
	if !strings.Contains(err.Error(), "lower train.lr,") {
		t.Errorf("%v does not name the key in force", err)
	}
	if e.Tensor == "" || e.Step < 2 || !(math.IsNaN(float64(e.Value)) || math.IsInf(float64(e.Value), 0)) {
		t.Errorf("%+v", e)
	}
	base := small(t)
	base.Train.LR, base.Train.BaseLR, base.Train.BatchSize, base.Train.WarmupEpochs, base.Train.Optimizer, base.Train.Momentum = 0, 1000, 40, 0, "sgd", 0
	if _, err := Pretrain(context.Background(), base, Options{}); err == nil || !strings.Contains(err.Error(), "lower train.base_lr,") {
		t.Errorf("%v does not name the key in force", err)
	}
	info := must.Get(runs.ReadInfo(cfg.Run.Out))(t)
	if info.Status != runs.StatusFailed || !strings.Contains(info.Error, e.Tensor) {
		t.Errorf("run.json says %s: %s", info.Status, info.Error)
	}
	file, step, err := runs.Latest(cfg.Run.Out, func(path string, err error) { t.Errorf("%s: %v", path, err) })
	if err != nil || step != e.Step-1 {
		t.Fatalf("newest checkpoint is of step %d (%v), want %d", step, err, e.Step-1)
	}
	for _, x := range file.Tensors {
		if x.DType != tensor.F32 {
			continue
		}
		v := must.Get(x.Float32s())(t)
		for i, f := range v {
			if f-f != 0 {
				t.Fatalf("%s[%d] = %v in the checkpoint", x.Name, i, f)
			}
		}
	}
}

// A run of epochs ends with the last image of the last one, and all that counts epochs follows the
// images: 37 images in micro-batches of 4 are 10 an epoch, 4 of them a step.
func TestRunOfEpochs(t *testing.T) {
	cfg := small(t)
	cfg.Data.Path, cfg.Train.DropLast = "demo:?count=37&size=24", false
	cfg.Train.BatchSize, cfg.Train.Accumulate, cfg.Train.Steps, cfg.Train.Epochs = 4, 4, 0, 3
	cfg.Run.CheckpointEvery = configs.Interval{Epochs: 1}
	result := pretrain(t, cfg, Options{})
	list := must.Get(runs.Checkpoints(cfg.Run.Out))(t)
	var steps []int
	for _, c := range list {
		steps = append(steps, c.Step)
	}
	if fmt.Sprint(steps) != "[0 3 5 8]" {
		t.Errorf("checkpoints of steps %v", steps)
	}
	positions, ends, stepLosses, epochLosses := curve(t, cfg.Run.Out)
	if want := fmt.Sprint([]float64{16. / 37, 32. / 37, 45. / 37, 61. / 37, 2, 90. / 37, 106. / 37, 3}); fmt.Sprint(positions) != want || fmt.Sprint(ends) != "[3 5 8]" {
		t.Errorf("epochs %v, ends after steps %v; want %v, [3 5 8]", positions, ends, want)
	}
	inSteps, inEpochs := 0.0, 0.0 // sums over all micro-batches
	for i, loss := range stepLosses {
		inSteps += loss * float64(min(4, 30-4*i))
	}
	for _, loss := range epochLosses {
		inEpochs += loss * 10
	}
	if math.Abs(inSteps-inEpochs) > 1e-9 {
		t.Errorf("the micro-batches of all steps have a loss of %v, those of all epochs of %v", inSteps, inEpochs)
	}
	last, err := runs.LastLines(cfg.Run.Out)
	if err != nil {
		t.Fatal(err)
	}
	if want := (runs.FinalLoss{Loss: last.Epoch.Loss, LossOf: "epoch 3", LastLoss: last.Step.Loss}); result.FinalLoss != want || want.Loss == want.LastLoss {
		t.Errorf("loss %+v, want %+v", result.FinalLoss, want)
	}
	if info, err := runs.ReadInfo(cfg.Run.Out); err != nil || info.FinalLoss != result.FinalLoss {
		t.Errorf("run.json says %+v, %v", info, err)
	}
}

// curve reads the lines of metrics.jsonl: epochs and losses after each step, the steps in which
// epochs end, and their losses.
func curve(t *testing.T, dir string) (positions []float64, ends []int, steps, epochs []float64) {
	t.Helper()
	err := runs.ReadMetrics(bytes.NewReader(contents(t, filepath.Join(dir, runs.MetricsFile))), func(p runs.Point) {
		if p.Kind == runs.KindEpoch {
			ends, epochs = append(ends, p.Step), append(epochs, p.Loss)
		} else {
			positions, steps = append(positions, p.Epoch), append(steps, p.Loss)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return positions, ends, steps, epochs
}

// A step may read several epochs, each with a line of its own.
func TestStepsLongerThanEpochs(t *testing.T) {
	cfg := small(t)
	cfg.Data.Path, cfg.Train.Accumulate, cfg.Train.Steps, cfg.Train.Epochs = "demo:?count=16&size=24", 5, 0, 3
	pretrain(t, cfg, Options{})
	if positions, ends, _, _ := curve(t, cfg.Run.Out); fmt.Sprint(positions, ends) != "[2.5 3] [1 1 2]" {
		t.Errorf("epochs %v after each step, ends in steps %v", positions, ends)
	}
}

// Dropped images are told.
func TestDroppedImages(t *testing.T) {
	cfg := small(t)
	cfg.Data.Path, cfg.Train.Steps, cfg.Train.WarmupEpochs = "demo:?count=43&size=24", 1, 0
	p := &stopper{at: -1}
	if got := pretrain(t, cfg, Options{Progress: p}); got.LossOf != "epoch 1 so far" || got.Loss != got.LastLoss {
		t.Errorf("loss %+v", got.FinalLoss)
	}
	if all := strings.Join(p.events, "\n"); strings.Count(all, "reads 40 of the 43 images") != 1 {
		t.Errorf("events: %s", all)
	}
}

// The last batch of an epoch is smaller where nothing is dropped, and evaluated alone.
func TestEvaluatingShortBatch(t *testing.T) {
	cfg := thirdParty(t, "pull")
	cfg.Train.BatchSize, cfg.Train.DropLast, cfg.Train.Steps = 16, false, 3 // of 40 images
	pretrain(t, cfg, Options{})
	metrics := string(contents(t, filepath.Join(cfg.Run.Out, runs.MetricsFile)))
	if full, short := strings.Count(metrics, `"rows":16`), strings.Count(metrics, `"rows":8`); full != 2 || short != 1 {
		t.Errorf("%d full batches and %d short ones, want 2 and 1:\n%s", full, short, metrics)
	}
}

// Pictures that cannot be drawn are told of and stop nothing.
func TestAfterCheckpoint(t *testing.T) {
	cfg := small(t)
	cfg.Run.PicturesEvery = configs.Interval{Steps: 4}
	var steps []int
	p := &stopper{at: -1}
	pretrain(t, cfg, Options{Progress: p, AfterCheckpoint: func(dir string, step int) error {
		if dir != cfg.Run.Out {
			t.Errorf("folder %s", dir)
		}
		steps = append(steps, step)
		return errors.New("no ink")
	}})
	if fmt.Sprint(steps) != "[4 8]" {
		t.Errorf("drawn after steps %v", steps)
	}
	if !strings.Contains(strings.Join(p.events, "\n"), "no ink") {
		t.Errorf("events: %v", p.events)
	}
	cfg, p = small(t), &stopper{at: -1}
	pretrain(t, cfg, Options{Progress: p, AfterCheckpoint: func(string, int) error { return fmt.Errorf("drawing: %w", context.Canceled) }})
	if all := strings.Join(p.events, "\n"); strings.Contains(all, "pictures") {
		t.Errorf("of an interrupt it says %q", all)
	}
}

// A run that was killed before it wrote run.json can be started again in its folder. A folder with
// other files is refused.
func TestKilledBeforeTheFirstByte(t *testing.T) {
	cfg := small(t)
	cfg.Train.Steps, cfg.Train.WarmupEpochs = 1, 0
	for _, name := range []string{runs.CheckpointsDir, runs.PicturesDir} {
		must.Do(t, os.MkdirAll(filepath.Join(cfg.Run.Out, name), 0o755))
	}
	temporary := filepath.Join(cfg.Run.Out, ".run.json.tmp-abc")
	for _, path := range []string{temporary, filepath.Join(cfg.Run.Out, runs.ConfigFile)} {
		must.Do(t, os.WriteFile(path, []byte("half a fi"), 0o644))
	}
	foreign := filepath.Join(cfg.Run.Out, runs.CheckpointsDir, "thesis.tex")
	must.Do(t, os.WriteFile(foreign, nil, 0o644))
	if _, err := Pretrain(context.Background(), cfg, Options{}); err == nil || !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("a folder with somebody's file in it: %v", err)
	}
	must.Do(t, os.Remove(foreign))
	pretrain(t, cfg, Options{})
	if _, err := os.Stat(temporary); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary file is still there: %v", err)
	}
}

// Runs that start at once without a name for their folder get one each.
func TestFoldersWithoutNames(t *testing.T) {
	t.Chdir(t.TempDir())
	const processes = 3
	errs := make(chan error, processes)
	for range processes {
		cfg := *small(t)
		cfg.Run.Out, cfg.Train.Steps, cfg.Train.WarmupEpochs = "", 1, 0
		go func() {
			_, err := Pretrain(context.Background(), &cfg, Options{})
			errs <- err
		}()
	}
	for range processes {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if made, err := filepath.Glob(filepath.Join("runs", "*", runs.InfoFile)); err != nil || len(made) != processes {
		t.Errorf("runs %v, error %v", made, err)
	}
}

// A name with a line break stays one line of skipped.txt.
func TestSkippedNames(t *testing.T) {
	f := must.Get(os.CreateTemp(t.TempDir(), ""))(t)
	defer f.Close()
	(&recorder{skipped: f}).skip(0, "a\nb\tc.jpg", errors.New("first\nsecond"))
	if got := string(contents(t, f.Name())); got != `a\nb\tc.jpg`+"\t"+`first\nsecond`+"\n" {
		t.Errorf("skipped.txt holds %q", got)
	}
}

// The checkpoint just written stays, even beside a file of a later step.
func TestKeepDoesNotCountNewerFiles(t *testing.T) {
	cfg := small(t)
	cfg.Run.Keep = 1
	interrupt(t, cfg, 5)
	newest := filepath.Join(cfg.Run.Out, runs.CheckpointsDir, "step-00000007.safetensors")
	must.Do(t, os.WriteFile(newest, []byte("damaged"), 0o644))
	interrupted := *cfg
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if _, err := Pretrain(ctx, &interrupted, Options{Resume: true, Progress: &stopper{at: 6, cancel: cancel}}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, step, err := runs.Latest(cfg.Run.Out, func(string, error) {}); err != nil || step != 6 {
		t.Errorf("newest whole checkpoint is of step %d, %v", step, err)
	}
}
