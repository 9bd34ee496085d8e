package train

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/plugintest"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// outside are the names under which the test binary is a third-party plugin.
var outside = map[string]func(){
	"vittool-pull-plugin": plugintest.Serve(&pull{}), "vittool-blank-plugin": plugintest.Serve(&blank{}), "vittool-variant-plugin": plugintest.Serve(&variant{}),
	"vittool-overflow-plugin": plugintest.Serve(&overflow{}), "vittool-views-plugin": plugintest.Serve(&viewsPlan{[]sdk.ViewOption{sdk.ColorJitter(1, 150, 0, 0, 0)}}),
}

// TestMain lets the test binary be the plugins: a built-in objective when started as the host does,
// and one of somebody else's under another name.
func TestMain(m *testing.M) {
	plugintest.Main(m, host.ServeArgs, objectives.New, outside)
}

// small is a run of a few seconds: 40 scenes, 5 batches of 8 an epoch.
func small(t *testing.T) *configs.Config {
	t.Helper()
	return smallOf(t, configs.Default().Objective.Name)
}

// smallOf is the same with a built-in objective, made small by the settings in its own folder.
func smallOf(t *testing.T, objective string) *configs.Config {
	t.Helper()
	settings := filepath.Join("..", "objectives", objective, "testdata", "small.yaml")
	if _, err := os.Stat(settings); errors.Is(err, os.ErrNotExist) {
		t.Skipf("there is no %s to make the objective small with", settings)
	}
	loaded := must.Get(configs.Load(configs.Request{Configs: []string{settings}}))(t)
	cfg := loaded.Config
	if cfg.Objective.Name != objective {
		t.Fatalf("the small settings of %s are for %s", objective, cfg.Objective.Name)
	}
	cfg.Model.Name = "vit_nano_patch4_32"
	if full {
		cfg.Model.Name = wider
	}
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
	result := must.Get(Pretrain(context.Background(), cfg, opts))(t)
	return result
}

// undisturbedRun is the result of a run from start to end, as far as tests compare others with it.
type undisturbedRun struct {
	digest   string
	file     [sha256.Size]byte // of the last checkpoint
	losses   []string
	features string          // recommended ones, in the last checkpoint
	moved    map[string]bool // by tensor of the last checkpoint: the first one has other bytes under the name
}

// undisturbedRuns holds the runs of undisturbed by their settings, without the folder.
var undisturbedRuns = map[string]*undisturbedRun{}

// undisturbed runs a configuration to its end, once for all tests.
func undisturbed(t *testing.T, cfg *configs.Config) *undisturbedRun {
	t.Helper()
	settings := *cfg
	settings.Run.Out = ""
	key := string(settings.YAML())
	if r := undisturbedRuns[key]; r != nil {
		return r
	}
	result := pretrain(t, cfg, Options{})
	list := must.Get(runs.Checkpoints(cfg.Run.Out))(t)
	first := must.Get(tensor.ReadSafetensors(list[0].Path))(t)
	last := must.Get(tensor.ReadSafetensors(result.Checkpoint))(t)
	r := &undisturbedRun{
		digest: result.Digest, file: sha256.Sum256(contents(t, result.Checkpoint)), losses: losses(t, cfg.Run.Out),
		features: last.Meta[runs.MetaFeatures], moved: map[string]bool{},
	}
	for _, x := range last.Tensors {
		before, ok := first.Get(x.Name)
		r.moved[x.Name] = ok && !bytes.Equal(before.Bytes(), x.Bytes())
	}
	undisturbedRuns[key] = r
	return r
}

// mustEqual fails the test where another run ended with other weights.
func (r *undisturbedRun) mustEqual(t *testing.T, got *Result) {
	t.Helper()
	if got.Digest != r.digest {
		t.Errorf("digest %s, want %s", got.Digest, r.digest)
	}
	if sha256.Sum256(contents(t, got.Checkpoint)) != r.file {
		t.Error("the files differ although their tensors do not")
	}
}

// losses reads the loss of every step that metrics.jsonl tells of, as text, and the epochs' lines
// without their speeds.
func losses(t *testing.T, dir string) []string {
	t.Helper()
	b := must.Get(os.ReadFile(filepath.Join(dir, runs.MetricsFile)))(t)
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

// full asks for every repetition of the long tests, and for a wider network in all of them, as
// .ci/run does.
var full = os.Getenv("VITTOOL_TEST_FULL") != ""

// wider is a network whose arithmetic takes more chunks than that of smallOf.
const wider = "vit_micro_patch4_32"

// every lists the built-in objectives. With -short, as under the race detector, one stands for all:
// they share the goroutines of the loop.
func every() []string {
	if testing.Short() {
		return []string{configs.Default().Objective.Name}
	}
	return objectives.Names()
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	b := must.Get(os.ReadFile(path))(t)
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

// interrupt runs cfg until the end of a step and checks the run folder.
func interrupt(t *testing.T, cfg *configs.Config, at int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	result, err := Pretrain(ctx, cfg, Options{Progress: &stopper{at: at, cancel: cancel}})
	if !errors.Is(err, context.Canceled) || !result.Interrupted || result.Step != at {
		t.Fatalf("result %+v, error %v", result, err)
	}
	info := must.Get(runs.ReadInfo(cfg.Run.Out))(t)
	if info.Status != runs.StatusInterrupted || info.Step != at {
		t.Errorf("run.json says %s at step %d", info.Status, info.Step)
	}
}
