package train

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/runs"
)

// A run that was interrupted after any step and goes on gives the same files as one that was not.
// The default objective is interrupted at three points, every second of the others at one of them in
// turn; with VITTOOL_TEST_FULL all are interrupted at all.
func TestResume(t *testing.T) {
	points := []int{1, 5, 7}
	for i, name := range every() {
		some := points
		if !full && name != configs.Default().Objective.Name {
			if i%2 == 0 {
				continue
			}
			some = points[i%len(points):][:1]
		}
		t.Run(name, func(t *testing.T) {
			resumes(t, func() *configs.Config { return smallOf(t, name) }, some...)
		})
	}
	variants := map[string]func(*configs.Config){
		"accumulated": func(c *configs.Config) { c.Train.BatchSize, c.Train.Accumulate = 4, 2 },
		"accumulated over the end of epochs, shorter last step": func(c *configs.Config) {
			c.Data.Path, c.Train.DropLast = "demo:?count=37&size=24", false
			c.Train.BatchSize, c.Train.Accumulate, c.Train.Steps, c.Train.Epochs = 4, 4, 0, 3
		},
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
	if !testing.Short() {
		for _, name := range []string{"swav", "instdisc"} { // a queue and a memory bank move once a step
			t.Run(name+", accumulated", func(t *testing.T) {
				resumes(t, func() *configs.Config {
					cfg := smallOf(t, name)
					cfg.Train.BatchSize, cfg.Train.Accumulate = 4, 2
					return cfg
				}, 5)
			})
		}
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
	want := undisturbed(t, of())
	for _, at := range points {
		cfg := of()
		interrupt(t, cfg, at)
		t.Logf("interrupted after step %d", at)
		want.mustEqual(t, pretrain(t, cfg, Options{Resume: true}))
		if a, b := losses(t, cfg.Run.Out), want.losses; strings.Join(a, "\n") != strings.Join(b, "\n") {
			t.Errorf("interrupted after step %d: metrics differ:\n%s\nwant\n%s", at, strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	}
}

// goesOn resumes a run to the weights of an undisturbed one, and wants words in its events.
func goesOn(t *testing.T, cfg *configs.Config, digest string, words ...string) {
	t.Helper()
	p := &stopper{at: -1}
	if got := pretrain(t, cfg, Options{Resume: true, Progress: p}).Digest; got != digest {
		t.Errorf("digest %s, want %s", got, digest)
	}
	for _, w := range words {
		if all := strings.Join(p.events, "\n"); !strings.Contains(all, w) {
			t.Errorf("the events do not tell of %s: %s", w, all)
		}
	}
}

// refused wants an error about a key, or one below it, with words in its text.
func refused(t *testing.T, cfg *configs.Config, o Options, key string, words ...string) {
	t.Helper()
	_, err := Pretrain(context.Background(), cfg, o)
	var e *configs.Error
	if !errors.As(err, &e) || e.Key != key && !strings.HasPrefix(e.Key, key+".") {
		t.Errorf("error %v, want one about %s", err, key)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %v, want %q in it", err, w)
		}
	}
}

// A checkpoint with one bit flipped is reported and passed over for an older one.
func TestResumePassesOverDamage(t *testing.T) {
	want := undisturbed(t, small(t)).digest
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
			b := must.Get(os.ReadFile(path))(t)
			must.Do(t, os.WriteFile(path, damage(b), 0o644))
			goesOn(t, cfg, want, "damaged", path)
		})
	}
	t.Run("all of them", func(t *testing.T) {
		cfg := small(t)
		interrupt(t, cfg, 1)
		list := must.Get(runs.Checkpoints(cfg.Run.Out))(t)
		for _, c := range list {
			must.Do(t, os.Truncate(c.Path, 99))
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
			refused(t, &changed, Options{Resume: true}, key)
		})
	}
	t.Run("nothing there", func(t *testing.T) {
		other := *cfg
		other.Run.Out = t.TempDir()
		refused(t, &other, Options{Resume: true}, "run.out")
	})
	t.Run("a new run over it", func(t *testing.T) {
		refused(t, cfg, Options{}, "run.out", "--resume")
	})
	t.Run("while it runs", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			t.Log("this system has no folder locks")
			return
		}
		folder := must.Get(runs.Open(cfg.Run.Out))(t)
		defer folder.Close()
		if _, err := Pretrain(context.Background(), cfg, Options{Resume: true}); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("error %v", err)
		}
	})
}

// A run killed before its first checkpoint starts over, with its own settings only.
func TestResumeBeforeTheFirstCheckpoint(t *testing.T) {
	want := undisturbed(t, small(t)).digest
	cfg := small(t)
	interrupt(t, cfg, 2)
	must.Do(t, os.RemoveAll(filepath.Join(cfg.Run.Out, runs.CheckpointsDir)))
	changed := *cfg
	changed.Run.Seed++
	refused(t, &changed, Options{Resume: true}, "run.seed")
	goesOn(t, cfg, want, "has no checkpoint", "step 2")
}

// A run killed before run.json was written starts from the beginning when it is resumed, whether
// its settings have their name already or not, and says so.
func TestResumeBeforeRunJSON(t *testing.T) {
	want := undisturbed(t, small(t)).digest
	for _, name := range []string{runs.ConfigFile, "." + runs.ConfigFile + ".tmp-abc"} {
		t.Run(name, func(t *testing.T) {
			cfg := small(t)
			must.Do(t, os.MkdirAll(filepath.Join(cfg.Run.Out, runs.PicturesDir), 0o755))
			path := filepath.Join(cfg.Run.Out, name)
			must.Do(t, os.WriteFile(path, cfg.YAML(), 0o644))
			if got, err := runs.Settings(cfg.Run.Out, configs.IsWhole); err != nil || got != path {
				t.Errorf("settings in %q, %v", got, err)
			}
			changed := *cfg
			changed.Run.Seed++
			refused(t, &changed, Options{Resume: true}, "run.seed")
			goesOn(t, cfg, want, "starts from the beginning")
		})
	}
	t.Run("settings cut short", func(t *testing.T) {
		cfg := small(t)
		must.Do(t, os.MkdirAll(cfg.Run.Out, 0o755))
		whole := cfg.YAML()
		for _, n := range []int{0, 1, len(whole) / 2, len(whole) - 2} {
			must.Do(t, os.WriteFile(filepath.Join(cfg.Run.Out, "."+runs.ConfigFile+".tmp-abc"), whole[:n], 0o644))
			if got, err := runs.Settings(cfg.Run.Out, configs.IsWhole); err != nil || got != "" {
				t.Errorf("%d bytes of settings are taken for all: %q, %v", n, got, err)
			}
		}
	})
	t.Run("somebody's folder", func(t *testing.T) {
		cfg := small(t)
		for _, name := range []string{runs.ConfigFile, "thesis.tex"} {
			must.Do(t, os.MkdirAll(cfg.Run.Out, 0o755))
			must.Do(t, os.WriteFile(filepath.Join(cfg.Run.Out, name), cfg.YAML(), 0o644))
		}
		refused(t, cfg, Options{Resume: true}, "run.out")
	})
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

// A run that was killed between its last checkpoint and its end is closed by a resume: no step is
// left, but run.json and the pictures are.
func TestResumeClosesTheRun(t *testing.T) {
	for name, steps := range map[string]int{"a whole epoch": 8, "less than an epoch": 4} {
		t.Run(name, func(t *testing.T) {
			cfg := small(t)
			cfg.Train.Steps, cfg.Run.Keep = steps, 2
			want := pretrain(t, cfg, Options{})
			closed := must.Get(runs.ReadInfo(cfg.Run.Out))(t)
			killed := *closed
			killed.Status, killed.Step, killed.Loss = runs.StatusRunning, 3, 0
			must.Do(t, (&runs.Folder{Dir: cfg.Run.Out}).WriteInfo(&killed))
			checkpoints := filepath.Join(cfg.Run.Out, runs.CheckpointsDir)
			latest := filepath.Join(checkpoints, runs.LatestFile)
			named := contents(t, latest)
			old := filepath.Join(checkpoints, "step-00000001.safetensors") // beyond run.keep
			for path, text := range map[string]string{latest: "step-00000003.safetensors\n", old: "old"} {
				must.Do(t, os.WriteFile(path, []byte(text), 0o644))
			}
			drawn := 0
			resume := Options{Resume: true, AfterCheckpoint: func(string, int) error { drawn++; return nil }}
			for range 2 { // the second finds nothing to do
				got := pretrain(t, cfg, resume)
				if got.Digest != want.Digest || got.Step != steps || math.Abs(got.Loss-want.Loss) > 1e-12 {
					t.Errorf("%+v, want %+v", got, want)
				}
			}
			info := must.Get(runs.ReadInfo(cfg.Run.Out))(t)
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
	want := undisturbed(t, small(t)).digest
	cfg := small(t)
	interrupt(t, cfg, 5)
	must.Do(t, destroy(cfg))
	goesOn(t, cfg, want, runs.InfoFile)
	if info, err := runs.ReadInfo(cfg.Run.Out); err != nil || info.Status != runs.StatusDone || info.Step != 8 {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestResumeOfOlderEpochs: run.json of an older version does not say that epochs follow the images.
// Where its epochs had another number of steps, the run goes on with a warning.
func TestResumeOfOlderEpochs(t *testing.T) {
	for _, c := range []struct {
		name       string
		accumulate int
		older      bool // without the field
		warned     bool
	}{
		{"older, an epoch ends within a step", 4, true, true},
		{"older, an epoch is whole steps", 5, true, false},
		{"of this version", 4, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := small(t) // 5 micro-batches an epoch
			cfg.Train.Accumulate, cfg.Train.Steps = c.accumulate, 3
			interrupt(t, cfg, 1)
			path := filepath.Join(cfg.Run.Out, runs.InfoFile)
			text := contents(t, path)
			if c.older {
				shorter := bytes.Replace(text, []byte("  \"epoch_of\": \"images\",\n"), nil, 1)
				if len(shorter) == len(text) {
					t.Fatalf("run.json does not say how an epoch is counted:\n%s", text)
				}
				text = shorter
			}
			must.Do(t, os.WriteFile(path, text, 0o600))
			progress := &stopper{}
			pretrain(t, cfg, Options{Resume: true, Progress: progress})
			all := strings.Join(progress.events, "\n")
			if got := strings.Contains(all, "begun by an older version") && strings.Contains(all, "1.25 steps an epoch"); got != c.warned {
				t.Errorf("warned: %v, want %v; it says\n%s", got, c.warned, all)
			}
		})
	}
}

// TestBatchNormOfOneImage: a micro-batch of one image, also if it is the last of an epoch, is refused
// before the first step where the objective normalizes over the batch, and leaves no folder.
func TestBatchNormOfOneImage(t *testing.T) {
	for _, c := range []struct {
		name  string
		batch int
		drop  bool
		steps int
		want  string // "" for a run
	}{
		{"batch of one", 1, true, 2, "take --batch-size 2 or more"},
		{"last batch of one", 13, false, 9, "train.drop_last=true"},
		{"last batch of one, left out", 13, true, 1, ""},
		{"last batch of one, never read", 13, false, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := smallOf(t, "mocov3") // 40 images
			cfg.Train.BatchSize, cfg.Train.DropLast, cfg.Train.Steps = c.batch, c.drop, c.steps
			_, err := Pretrain(t.Context(), cfg, Options{})
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *configs.Error
			if !errors.As(err, &e) || e.Key != "train.batch_size" || !strings.Contains(e.Problem, "objective mocov3") || e.Hint == "" || !strings.Contains(e.Hint, c.want) {
				t.Errorf("error %v", err)
			}
			if _, err := os.Stat(cfg.Run.Out); err == nil {
				t.Error("it left a folder")
			}
		})
	}
}
