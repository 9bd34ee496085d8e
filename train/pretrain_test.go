package train

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/launch"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// outside are the names under which the test binary is a third-party plugin.
var outside = map[string]sdk.Objective{"vittool-pull-plugin": &pull{}, "vittool-blank-plugin": &blank{}, "vittool-variant-plugin": &variant{}}

// TestMain lets the test binary be the plugins: a built-in objective when
// started as the host does, and one of somebody else's under another name.
func TestMain(m *testing.M) {
	if o := outside[filepath.Base(os.Args[0])]; o != nil {
		sdk.Serve(o)
		return
	}
	if n := len(host.ServeArgs); len(os.Args) == n+2 && os.Args[1] == host.ServeArgs[0] {
		if err := host.ServeBuiltin(os.Args[n+1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// small is a run of a few seconds: 40 scenes, 5 batches of 8 an epoch.
func small(t *testing.T) *configs.Config {
	t.Helper()
	return smallOf(t, configs.Default().Objective.Name)
}

// smallOf is the same with a built-in objective, made small by the settings in
// its own folder.
func smallOf(t *testing.T, objective string) *configs.Config {
	t.Helper()
	settings := filepath.Join("..", "objectives", objective, "testdata", "small.yaml")
	if _, err := os.Stat(settings); errors.Is(err, os.ErrNotExist) {
		t.Skipf("there is no %s to make the objective small with", settings)
	}
	loaded, err := configs.Load(configs.Request{Configs: []string{settings}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := loaded.Config
	if cfg.Objective.Name != objective {
		t.Fatalf("the small settings of %s are for %s", objective, cfg.Objective.Name)
	}
	cfg.Model.Name = "vit_micro_patch4_32"
	cfg.Model.ImageSize = []int{16}
	cfg.Model.DropPath = 0.1
	cfg.Objective.Mode = "inproc"
	cfg.Data.Path = "demo:?count=40&size=24"
	cfg.Data.Cache = 16
	cfg.Train.BatchSize, cfg.Train.Epochs, cfg.Train.Steps, cfg.Train.WarmupEpochs, cfg.Train.LR = 8, 0, 8, 1, 1e-3
	cfg.Run.Out = filepath.Join(t.TempDir(), "run")
	cfg.Run.CheckpointEvery, cfg.Run.LogEvery, cfg.Run.Keep = configs.Interval{Steps: 3}, 1, 0
	cfg.Run.Seed = 5
	return cfg
}

func pretrain(t *testing.T, cfg *configs.Config, opts Options) *Result {
	t.Helper()
	result, err := Pretrain(context.Background(), cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// losses reads the loss of every step that metrics.jsonl tells of, as text, and
// the epochs' lines without their speeds.
func losses(t *testing.T, dir string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, runs.MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var l struct {
			Kind string
			Step int
			Loss float64
		}
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", s.Text(), err)
		}
		out = append(out, fmt.Sprintf("%s %d %x", l.Kind, l.Step, l.Loss))
	}
	return out
}

// every lists the built-in objectives. With -short, as under the race detector, one stands
// for all: they share the goroutines of the loop.
func every() []string {
	if testing.Short() {
		return []string{configs.Default().Objective.Name}
	}
	return objectives.Names()
}

// The weights depend on none of the things that only decide how fast they are
// computed, nor on which process the objective is in.
func TestSameBits(t *testing.T) {
	for _, name := range every() {
		t.Run(name, func(t *testing.T) { sameBits(t, name) })
	}
}

func sameBits(t *testing.T, objective string) {
	of := func(change func(*configs.Config)) *configs.Config {
		cfg := smallOf(t, objective)
		change(cfg)
		return cfg
	}
	result := pretrain(t, of(func(*configs.Config) {}), Options{})
	want := result.Digest
	for name, change := range map[string]func(*configs.Config){
		"a second run":      func(*configs.Config) {},
		"one thread":        func(c *configs.Config) { c.Run.Threads = 1 },
		"recomputation":     func(c *configs.Config) { c.Train.Recompute = "blocks" },
		"two threads":       func(c *configs.Config) { c.Run.Threads = 2 },
		"three threads":     func(c *configs.Config) { c.Run.Threads = 3 },
		"one worker":        func(c *configs.Config) { c.Data.Workers = 1 },
		"eight workers":     func(c *configs.Config) { c.Data.Workers = 8 },
		"no cache":          func(c *configs.Config) { c.Data.Cache = 0 },
		"a process":         func(c *configs.Config) { c.Objective.Mode = "process" },
		"other checkpoints": func(c *configs.Config) { c.Run.CheckpointEvery, c.Run.Keep = configs.Interval{}, 1 },
		"bad images":        func(c *configs.Config) { c.Data.OnError, c.Data.MaxFailed = "fail", 0.5 },
	} {
		t.Run(name, func(t *testing.T) {
			got := pretrain(t, of(change), Options{})
			if got.Digest != want {
				t.Errorf("digest %s, want %s", got.Digest, want)
			}
			if !bytes.Equal(contents(t, got.Checkpoint), contents(t, result.Checkpoint)) {
				t.Error("the files differ although their tensors do not")
			}
		})
	}
	t.Run("another seed differs", func(t *testing.T) {
		if got := pretrain(t, of(func(c *configs.Config) { c.Run.Seed++ }), Options{}).Digest; got == want {
			t.Error("equal weights from another seed")
		}
	})
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stopper cancels a run after a step.
type stopper struct {
	silent
	at     int
	cancel context.CancelFunc
	events []string
}

func (s *stopper) Step(step Step) {
	if step.Step == s.at {
		s.cancel()
	}
}
func (s *stopper) Event(message string)   { s.events = append(s.events, message) }
func (s *stopper) Warning(message string) { s.events = append(s.events, message) }

// TestWarmupBeyondTheEnd: a few steps of a recipe run, and it is said what they are not.
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

// interrupt runs cfg until the end of a step and checks what is left.
func interrupt(t *testing.T, cfg *configs.Config, at int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	result, err := Pretrain(ctx, cfg, Options{Progress: &stopper{at: at, cancel: cancel}})
	if !errors.Is(err, context.Canceled) || !result.Interrupted || result.Step != at {
		t.Fatalf("result %+v, error %v", result, err)
	}
	info, err := runs.ReadInfo(cfg.Run.Out)
	if err != nil {
		t.Fatal(err)
	}
	if info.Status != runs.StatusInterrupted || info.Step != at {
		t.Errorf("run.json says %s at step %d", info.Status, info.Step)
	}
}

// A run that was interrupted after any step and goes on gives the same files as
// one that was not.
func TestResume(t *testing.T) {
	for _, name := range every() {
		t.Run(name, func(t *testing.T) {
			resumes(t, func() *configs.Config { return smallOf(t, name) }, 1, 5, 7)
		})
	}
	variants := map[string]func(*configs.Config){
		"accumulated": func(c *configs.Config) { c.Train.BatchSize, c.Train.Accumulate = 4, 2 },
		"small last batch": func(c *configs.Config) {
			c.Data.Path, c.Train.DropLast = "demo:?count=37&size=24", false
		},
		"sgd":  func(c *configs.Config) { c.Train.Optimizer = "sgd" },
		"lars": func(c *configs.Config) { c.Train.Optimizer, c.Train.LR = "lars", 0.1 },
		"clip": func(c *configs.Config) { c.Train.ClipNorm = 0.5 },
		"tables, clipped by tensor": func(c *configs.Config) {
			c.Train.Schedule, c.Train.WeightDecayEnd, c.Train.ClipMode, c.Train.ClipNorm = "iteration", 0.4, "tensor", 0.1
		},
	}
	for name, change := range variants {
		t.Run(name, func(t *testing.T) {
			resumes(t, func() *configs.Config {
				cfg := small(t)
				change(cfg)
				return cfg
			}, 5)
		})
	}
}

// resumes interrupts a run after each of the steps.
func resumes(t *testing.T, of func() *configs.Config, points ...int) {
	undisturbed := of()
	want := pretrain(t, undisturbed, Options{})
	for _, at := range points {
		cfg := of()
		interrupt(t, cfg, at)
		got := pretrain(t, cfg, Options{Resume: true})
		if got.Digest != want.Digest {
			t.Errorf("interrupted after step %d: digest %s, want %s", at, got.Digest, want.Digest)
		}
		if !bytes.Equal(contents(t, got.Checkpoint), contents(t, want.Checkpoint)) {
			t.Errorf("interrupted after step %d: the files differ although their tensors do not", at)
		}
		if a, b := losses(t, cfg.Run.Out), losses(t, undisturbed.Run.Out); strings.Join(a, "\n") != strings.Join(b, "\n") {
			t.Errorf("interrupted after step %d: metrics differ:\n%s\nwant\n%s", at, strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	}
}

// planOf opens a built-in objective as the small run does.
func planOf(t *testing.T, objective string) *plan.Plan {
	t.Helper()
	cfg := smallOf(t, objective)
	network, err := cfg.Backbone()
	if err != nil {
		t.Fatal(err)
	}
	o, err := launch.Open(context.Background(), launch.Request{Config: cfg, Network: network, Mode: host.Inproc, Batch: 8, TotalSteps: 8,
		StepsPerEpoch: 5, Images: 40})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	return o.Plan()
}

// What an objective keeps beside its weights lies in the checkpoint, and moves:
// every buffer, and every copy of a weight that is trained.
func TestStateOfTheObjective(t *testing.T) {
	kept := 0
	for _, name := range objectives.Names() {
		t.Run(name, func(t *testing.T) {
			cfg := smallOf(t, name)
			pretrain(t, cfg, Options{})
			list, err := runs.Checkpoints(cfg.Run.Out)
			if err != nil {
				t.Fatal(err)
			}
			first, err := tensor.ReadSafetensors(list[0].Path)
			if err != nil {
				t.Fatal(err)
			}
			last, err := tensor.ReadSafetensors(list[len(list)-1].Path)
			if err != nil {
				t.Fatal(err)
			}
			if plan := planOf(t, name); (plan.Recommended != nil) != (last.Meta[runs.MetaFeatures] != "") {
				t.Errorf("the plan recommends %v, the checkpoint %q", plan.Recommended, last.Meta[runs.MetaFeatures])
			}
			moved := func(tensor string) bool {
				before, ok := first.Get(tensor)
				after, ok2 := last.Get(tensor)
				return ok && ok2 && !bytes.Equal(before.Bytes(), after.Bytes())
			}
			for _, tensor := range last.Names() {
				weight, teacher := strings.CutPrefix(tensor, "teacher.")
				if !teacher && !strings.HasPrefix(tensor, "buffer.") {
					continue
				}
				kept++
				if !moved(tensor) && (!teacher || moved(weight)) {
					t.Errorf("%s did not move, or the first checkpoint lacks it", tensor)
				}
			}
		})
	}
	if kept == 0 {
		t.Error("no objective has a teacher or a buffer: this test looks at nothing")
	}
}

// A checkpoint with one bit flipped is reported and passed over for an older one.
func TestResumePassesOverDamage(t *testing.T) {
	undisturbed := small(t)
	want := pretrain(t, undisturbed, Options{}).Digest
	for name, damage := range map[string]func([]byte) []byte{
		"a flipped bit": func(b []byte) []byte { b[len(b)-1000] ^= 1; return b },
		"cut short":     func(b []byte) []byte { return b[:len(b)/2] },
		"empty":         func([]byte) []byte { return nil },
		"a header bit":  func(b []byte) []byte { b[200] ^= 4; return b },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := small(t)
			interrupt(t, cfg, 5)
			path := filepath.Join(cfg.Run.Out, runs.CheckpointsDir, "step-00000005.safetensors")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(b), 0o644); err != nil {
				t.Fatal(err)
			}
			p := &stopper{at: -1}
			if got := pretrain(t, cfg, Options{Resume: true, Progress: p}).Digest; got != want {
				t.Errorf("digest %s, want %s", got, want)
			}
			if all := strings.Join(p.events, "\n"); !strings.Contains(all, "damaged") || !strings.Contains(all, path) {
				t.Errorf("events do not tell of %s: %s", path, all)
			}
		})
	}
	t.Run("all of them", func(t *testing.T) {
		cfg := small(t)
		interrupt(t, cfg, 1)
		list, err := runs.Checkpoints(cfg.Run.Out)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			if err := os.Truncate(c.Path, 99); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Pretrain(context.Background(), cfg, Options{Resume: true}); err == nil || !strings.Contains(err.Error(), "none of the 2 checkpoints") {
			t.Errorf("error %v", err)
		}
	})
}

func TestResumeRefusesAnotherRun(t *testing.T) {
	cfg := small(t)
	interrupt(t, cfg, 4)
	for key, change := range map[string]func(*configs.Config){
		"model.name":        func(c *configs.Config) { c.Model.Name = "vit_tiny_patch4_32" },
		"train.batch_size":  func(c *configs.Config) { c.Train.BatchSize = 4 },
		"run.seed":          func(c *configs.Config) { c.Run.Seed = 6 },
		"train.steps":       func(c *configs.Config) { c.Train.Steps = 9 },
		"objective.options": func(c *configs.Config) { c.Objective.Options = map[string]any{"mask_ratio": 0.5} },
	} {
		t.Run(key, func(t *testing.T) {
			changed := *cfg
			change(&changed)
			_, err := Pretrain(context.Background(), &changed, Options{Resume: true})
			var e *configs.Error
			if !errors.As(err, &e) || !strings.HasPrefix(e.Key, key) {
				t.Errorf("error %v, want one about %s", err, key)
			}
		})
	}
	t.Run("nothing there", func(t *testing.T) {
		other := *cfg
		other.Run.Out = t.TempDir()
		_, err := Pretrain(context.Background(), &other, Options{Resume: true})
		var e *configs.Error
		if !errors.As(err, &e) || e.Key != "run.out" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a new run over it", func(t *testing.T) {
		_, err := Pretrain(context.Background(), cfg, Options{})
		var e *configs.Error
		if !errors.As(err, &e) || e.Key != "run.out" || !strings.Contains(err.Error(), "--resume") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("while it runs", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			t.Log("this system has no folder locks")
			return
		}
		folder, err := runs.Open(cfg.Run.Out)
		if err != nil {
			t.Fatal(err)
		}
		defer folder.Close()
		if _, err := Pretrain(context.Background(), cfg, Options{Resume: true}); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("error %v", err)
		}
	})
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
	info, err := runs.ReadInfo(cfg.Run.Out)
	if err != nil {
		t.Fatal(err)
	}
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
		v, err := x.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range v {
			if f-f != 0 {
				t.Fatalf("%s[%d] = %v in the checkpoint", x.Name, i, f)
			}
		}
	}
}

// pull is an objective that computes its loss itself: it pulls a learned vector
// towards the features' mean, which it keeps in a buffer too.
type pull struct{}

func (*pull) Info() sdk.Info {
	return sdk.Info{Name: "pull", Version: "0.1.0", Summary: "a test objective"}
}

func (*pull) Plan(b *sdk.Builder) error {
	view := b.View("image")
	tokens := b.Student("encoder", view).Class()
	weight := b.Param("weight", []int{b.Backbone().Dim}, sdk.InitZeros())
	mean := b.Buffer(sdk.BufferSpec{Name: "mean", Shape: []int{b.Backbone().Dim}})
	return b.Minimize(b.Evaluate([]sdk.EvaluateInput{{Name: "x", Value: tokens, Gradient: true}}, sdk.Training(weight), sdk.Keeping(mean, true)))
}

func (*pull) Evaluate(c *sdk.EvaluateCall) (float64, map[string]float64, error) {
	var a [6]*sdk.Array
	for i, get := range []func() (*sdk.Array, error){
		func() (*sdk.Array, error) { return c.Input("x") },
		func() (*sdk.Array, error) { return c.InputGradient("x") },
		func() (*sdk.Array, error) { return c.Param("weight") },
		func() (*sdk.Array, error) { return c.ParamGradient("weight") },
		func() (*sdk.Array, error) { return c.Buffer("mean") },
		func() (*sdk.Array, error) { return c.Update("mean") },
	} {
		var err error
		if a[i], err = get(); err != nil {
			return 0, nil, err
		}
	}
	x, dx, w, dw, mean, next := a[0].F32, a[1].F32, a[2].F32, a[3].F32, a[4].F32, a[5].F32
	rows := len(x) / len(w)
	copy(next, mean)
	clear(dw)
	loss := 0.0
	for i, v := range x {
		j := i % len(w)
		d := float64(v) - float64(w[j]) - 0.1*float64(mean[j])
		loss += d * d / float64(len(x))
		dx[i] = float32(2 * d / float64(len(x)))
		dw[j] -= dx[i]
		next[j] += 0.1 * v / float32(rows)
	}
	return loss, map[string]float64{"rows": float64(rows)}, nil
}

// pluginFile makes the test binary the third-party plugin of a name.
func pluginFile(t *testing.T, name string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.Link(self, path); err != nil {
		if err := os.Symlink(self, path); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// blank is an objective that is to predict hidden patches and hides none.
type blank struct{}

func (*blank) Info() sdk.Info {
	return sdk.Info{Name: "blank", Version: "0.1.0", Summary: "a test objective"}
}

func (*blank) Plan(b *sdk.Builder) error {
	view := b.View("image")
	hidden := b.BitMask("hidden", view, func(*sdk.MaskCall, int, []byte) {})
	pixels := b.Linear("decoder", b.Student("encoder", view).PatchTokens(), b.PatchDim())
	return b.Minimize(b.PatchMSE(pixels, b.Patches(view, sdk.ChannelFirst), hidden))
}

// Masks that are of the right form and can't be computed with are the plugin's fault.
func TestUselessMask(t *testing.T) {
	cfg := small(t)
	cfg.Objective.Name, cfg.Objective.Plugin, cfg.Objective.Mode, cfg.Objective.Options = "blank", pluginFile(t, "vittool-blank-plugin"), "process", nil
	_, err := Pretrain(context.Background(), cfg, Options{})
	var e *host.PluginError
	if !errors.As(err, &e) || e.Kind != host.Reply || !strings.Contains(err.Error(), "the mask is zero everywhere") || strings.Count(err.Error(), "plugin blank") != 1 {
		t.Errorf("error %v", err)
	}
}

// An objective that computes its loss in a process of its own trains, resumes
// to the same bits, and keeps its buffer in the checkpoint.
func TestEvaluatingPlugin(t *testing.T) {
	plugin := pluginFile(t, "vittool-pull-plugin")
	config := func() *configs.Config {
		cfg := small(t)
		cfg.Objective.Name, cfg.Objective.Plugin, cfg.Objective.Mode, cfg.Objective.Options = "pull", plugin, "process", nil
		return cfg
	}
	undisturbed := config()
	want := pretrain(t, undisturbed, Options{})
	file, _, err := runs.Latest(undisturbed.Run.Out, func(path string, err error) { t.Error(path, err) })
	if err != nil {
		t.Fatal(err)
	}
	mean, ok := file.Get("buffer.mean")
	if !ok {
		t.Fatalf("no buffer in the checkpoint: %v", file.Names())
	}
	if v, err := mean.Float32s(); err != nil || v[0] == 0 {
		t.Errorf("the buffer was never updated: %v %v", v, err)
	}
	cfg := config()
	interrupt(t, cfg, 4)
	if got := pretrain(t, cfg, Options{Resume: true}); got.Digest != want.Digest {
		t.Errorf("digest %s, want %s", got.Digest, want.Digest)
	}
}

// The last batch of an epoch is smaller where nothing is dropped, and evaluated alone.
func TestEvaluatingShortBatch(t *testing.T) {
	cfg := small(t)
	cfg.Objective.Name, cfg.Objective.Plugin, cfg.Objective.Mode, cfg.Objective.Options = "pull", pluginFile(t, "vittool-pull-plugin"), "process", nil
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
	if said := strings.Join(p.events, "\n"); strings.Contains(said, "pictures") {
		t.Errorf("of an interrupt it says %q", said)
	}
}

// A run that was killed before it wrote run.json left nothing that counts: it
// can be started again in its folder. Anything else in a folder is respected.
func TestKilledBeforeTheFirstByte(t *testing.T) {
	cfg := small(t)
	cfg.Train.Steps, cfg.Train.WarmupEpochs = 1, 0
	for _, name := range []string{runs.CheckpointsDir, runs.PicturesDir} {
		if err := os.MkdirAll(filepath.Join(cfg.Run.Out, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	temporary := filepath.Join(cfg.Run.Out, ".run.json.tmp-abc")
	for _, path := range []string{temporary, filepath.Join(cfg.Run.Out, runs.ConfigFile)} {
		if err := os.WriteFile(path, []byte("half a fi"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	foreign := filepath.Join(cfg.Run.Out, runs.CheckpointsDir, "thesis.tex")
	if err := os.WriteFile(foreign, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Pretrain(context.Background(), cfg, Options{}); err == nil || !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("a folder with somebody's file in it: %v", err)
	}
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	pretrain(t, cfg, Options{})
	if _, err := os.Stat(temporary); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary file is still there: %v", err)
	}
}

// A run killed before its first checkpoint starts over, with its own settings only.
func TestResumeBeforeTheFirstCheckpoint(t *testing.T) {
	undisturbed := small(t)
	want := pretrain(t, undisturbed, Options{}).Digest
	cfg := small(t)
	interrupt(t, cfg, 2)
	if err := os.RemoveAll(filepath.Join(cfg.Run.Out, runs.CheckpointsDir)); err != nil {
		t.Fatal(err)
	}
	changed := *cfg
	changed.Run.Seed++
	var e *configs.Error
	if _, err := Pretrain(context.Background(), &changed, Options{Resume: true}); !errors.As(err, &e) || e.Key != "run.seed" {
		t.Errorf("another seed: %v", err)
	}
	p := &stopper{at: -1}
	if got := pretrain(t, cfg, Options{Resume: true, Progress: p}).Digest; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	if said := strings.Join(p.events, "\n"); !strings.Contains(said, "has no checkpoint") || !strings.Contains(said, "step 2") {
		t.Errorf("events %q", said)
	}
}

// A run killed before run.json was written starts from the beginning when it is
// resumed, whether its settings have their name already or not, and says so.
func TestResumeBeforeRunJSON(t *testing.T) {
	want := pretrain(t, small(t), Options{}).Digest
	for _, name := range []string{runs.ConfigFile, "." + runs.ConfigFile + ".tmp-abc"} {
		t.Run(name, func(t *testing.T) {
			cfg := small(t)
			if err := os.MkdirAll(filepath.Join(cfg.Run.Out, runs.PicturesDir), 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(cfg.Run.Out, name)
			if err := os.WriteFile(path, cfg.YAML(), 0o644); err != nil {
				t.Fatal(err)
			}
			if got, err := runs.Settings(cfg.Run.Out, configs.IsWhole); err != nil || got != path {
				t.Errorf("settings in %q, %v", got, err)
			}
			changed := *cfg
			changed.Run.Seed++
			var e *configs.Error
			if _, err := Pretrain(context.Background(), &changed, Options{Resume: true}); !errors.As(err, &e) || e.Key != "run.seed" {
				t.Errorf("another seed: %v", err)
			}
			p := &stopper{at: -1}
			if got := pretrain(t, cfg, Options{Resume: true, Progress: p}).Digest; got != want {
				t.Errorf("digest %s, want %s", got, want)
			}
			if !strings.Contains(strings.Join(p.events, "\n"), "starts from the beginning") {
				t.Errorf("events %q", p.events)
			}
		})
	}
	t.Run("settings cut short", func(t *testing.T) {
		cfg := small(t)
		if err := os.MkdirAll(cfg.Run.Out, 0o755); err != nil {
			t.Fatal(err)
		}
		whole := cfg.YAML()
		for _, n := range []int{0, 1, len(whole) / 2, len(whole) - 2} {
			if err := os.WriteFile(filepath.Join(cfg.Run.Out, "."+runs.ConfigFile+".tmp-abc"), whole[:n], 0o644); err != nil {
				t.Fatal(err)
			}
			if got, err := runs.Settings(cfg.Run.Out, configs.IsWhole); err != nil || got != "" {
				t.Errorf("%d bytes of settings are taken for all: %q, %v", n, got, err)
			}
		}
	})
	t.Run("somebody's folder", func(t *testing.T) {
		cfg := small(t)
		for _, name := range []string{runs.ConfigFile, "thesis.tex"} {
			if err := os.MkdirAll(cfg.Run.Out, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(cfg.Run.Out, name), cfg.YAML(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var e *configs.Error
		if _, err := Pretrain(context.Background(), cfg, Options{Resume: true}); !errors.As(err, &e) || e.Key != "run.out" {
			t.Errorf("error %v", err)
		}
	})
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
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	(&recorder{skipped: f}).skip(0, "a\nb\tc.jpg", errors.New("first\nsecond"))
	if got := string(contents(t, f.Name())); got != `a\nb\tc.jpg`+"\t"+`first\nsecond`+"\n" {
		t.Errorf("skipped.txt holds %q", got)
	}
}

func TestResumeFinishedRun(t *testing.T) {
	cfg := small(t)
	want := pretrain(t, cfg, Options{})
	before := contents(t, filepath.Join(cfg.Run.Out, runs.InfoFile))
	p := &stopper{at: -1}
	got := pretrain(t, cfg, Options{Resume: true, Progress: p})
	if got.Digest != want.Digest || got.Loss != want.Loss || got.Step != want.Step {
		t.Errorf("%+v, want %+v", got, want)
	}
	if !strings.Contains(strings.Join(p.events, "\n"), "finished") {
		t.Errorf("events: %v", p.events)
	}
	if after := contents(t, filepath.Join(cfg.Run.Out, runs.InfoFile)); !bytes.Equal(before, after) {
		t.Errorf("run.json changed to %s", after)
	}
}

// A run that was killed after its last checkpoint was written and before it was closed
// is closed by a resume: no step is left, but what follows the last one is.
func TestResumeClosesTheRun(t *testing.T) {
	for name, steps := range map[string]int{"a whole epoch": 8, "less than an epoch": 4} {
		t.Run(name, func(t *testing.T) {
			cfg := small(t)
			cfg.Train.Steps, cfg.Run.Keep = steps, 2
			want := pretrain(t, cfg, Options{})
			closed, err := runs.ReadInfo(cfg.Run.Out)
			if err != nil {
				t.Fatal(err)
			}
			killed := *closed
			killed.Status, killed.Step, killed.Loss = runs.StatusRunning, 3, 0
			if err := (&runs.Folder{Dir: cfg.Run.Out}).WriteInfo(&killed); err != nil {
				t.Fatal(err)
			}
			checkpoints := filepath.Join(cfg.Run.Out, runs.CheckpointsDir)
			latest := filepath.Join(checkpoints, runs.LatestFile)
			named := contents(t, latest)
			old := filepath.Join(checkpoints, "step-00000001.safetensors") // beyond run.keep
			for path, text := range map[string]string{latest: "step-00000003.safetensors\n", old: "old"} {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			drawn := 0
			resume := Options{Resume: true, AfterCheckpoint: func(string, int) error { drawn++; return nil }}
			for range 2 { // the second finds nothing to do
				got := pretrain(t, cfg, resume)
				if got.Digest != want.Digest || got.Step != steps || math.Abs(got.Loss-want.Loss) > 1e-12 {
					t.Errorf("%+v, want %+v", got, want)
				}
			}
			info, err := runs.ReadInfo(cfg.Run.Out)
			if err != nil {
				t.Fatal(err)
			}
			if info.Status != runs.StatusDone || info.Step != steps || math.Abs(info.Loss-closed.Loss) > 1e-12 || info.Processes != 2 {
				t.Errorf("run.json says %+v, want %+v", info, closed)
			}
			if now := contents(t, latest); !bytes.Equal(now, named) {
				t.Errorf("latest says %s", now)
			}
			if _, err := os.Stat(old); err == nil {
				t.Error("a checkpoint beyond run.keep is still there")
			}
			if drawn != 1 {
				t.Errorf("pictures are drawn %d times", drawn)
			}
		})
	}
}

func TestResumeWithDamagedInfo(t *testing.T) {
	path := func(cfg *configs.Config) string { return filepath.Join(cfg.Run.Out, runs.InfoFile) }
	t.Run("damaged", func(t *testing.T) {
		resumesWithout(t, func(cfg *configs.Config) error { return os.WriteFile(path(cfg), []byte("\n"), 0o644) })
	})
	t.Run("missing", func(t *testing.T) { resumesWithout(t, func(cfg *configs.Config) error { return os.Remove(path(cfg)) }) })
}

// resumesWithout goes on with a run whose run.json was destroyed.
func resumesWithout(t *testing.T, destroy func(*configs.Config) error) {
	want := pretrain(t, small(t), Options{}).Digest
	cfg := small(t)
	interrupt(t, cfg, 5)
	if err := destroy(cfg); err != nil {
		t.Fatal(err)
	}
	p := &stopper{at: -1}
	if got := pretrain(t, cfg, Options{Resume: true, Progress: p}).Digest; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	if !strings.Contains(strings.Join(p.events, "\n"), runs.InfoFile) {
		t.Errorf("events: %v", p.events)
	}
	if info, err := runs.ReadInfo(cfg.Run.Out); err != nil || info.Status != runs.StatusDone || info.Step != 8 {
		t.Errorf("%+v, %v", info, err)
	}
}

// The checkpoint just written is never the one to go, whatever lies beside it.
func TestKeepDoesNotCountWhatIsNewer(t *testing.T) {
	cfg := small(t)
	cfg.Run.Keep = 1
	interrupt(t, cfg, 5)
	newest := filepath.Join(cfg.Run.Out, runs.CheckpointsDir, "step-00000007.safetensors")
	if err := os.WriteFile(newest, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
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
