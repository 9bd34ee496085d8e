package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/plugintest"
)

// TestMain lets the test binary be the objective's process.
func TestMain(m *testing.M) {
	plugintest.Main(m, host.ServeArgs, objectives.New, nil)
}

// small is a step that takes no time worth mentioning.
func small(t *testing.T) configs.Config {
	t.Helper()
	overrides := append(Overrides(), "model.name=vit_micro_patch4_32", "train.batch_size=8",
		"objective.options.decoder_dim=32", "objective.options.decoder_depth=1", "objective.options.decoder_heads=2", "objective.mode=inproc")
	r := must.Get(configs.Load(configs.Request{Presets: objectives.Presets(), Configs: []string{Preset}, Overrides: overrides}))(t)
	return *r.Config
}

// TestRun measures a small step and reports it, both ways, and leaves nothing.
func TestRun(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := must.Get(Run(t.Context(), Options{Config: small(t), Warmup: 1, Rounds: 2, Step: true}))(t)
	if r.Step.Batch != 8 || r.Step.FLOPs <= 0 || r.Step.ImagesPerS <= 0 || r.Step.Time.Count != 2 {
		t.Errorf("%+v", r.Step)
	}
	var text, js bytes.Buffer
	must.Do(t, r.WriteText(&text))
	for _, want := range []string{"peak of fused multiply-adds", "vit_micro_patch4_32", "data wait", "of the peak"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in the text:\n%s", want, &text)
		}
	}
	must.Do(t, r.WriteJSON(&js))
	var back Report
	if err := json.Unmarshal(js.Bytes(), &back); err != nil || back.Step.FLOPs != r.Step.FLOPs {
		t.Errorf("JSON does not read back: %v\n%s", err, &js)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestTrainingFails: a run that cannot start says why, at the first step.
func TestTrainingFails(t *testing.T) {
	cfg := small(t)
	cfg.Data.Path = filepath.Join(t.TempDir(), "nowhere")
	run := must.Get(StartTraining(t.Context(), "broken", cfg))(t)
	if _, err := run.Step(t.Context()); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("Step: %v, want the folder in it", err)
	}
	run.Close()
}

// TestNoPython: a missing interpreter is distinguished from a comparison that broke.
func TestNoPython(t *testing.T) {
	t.Setenv(PythonVariable, filepath.Join(t.TempDir(), "python"))
	r := must.Get(Run(t.Context(), Options{Config: small(t), PyTorch: true}))(t)
	if len(r.Comparison) != 0 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], PythonVariable) {
		t.Errorf("%+v", r)
	}
}

// TestSteadyState trains with batches and networks of several sizes on images
// that are kept, the objective in its own process: the allocations of a step (messages,
// metrics, log lines) must grow neither with the batch nor with the model. With
// VITTOOL_TEST_FULL it looks at more images and steps.
func TestSteadyState(t *testing.T) {
	images, rounds, large := 64, 16, 32
	if os.Getenv("VITTOOL_TEST_FULL") != "" {
		images, rounds, large = 512, 40, 128
	}
	allocated := func(model string, batch int) float64 {
		cfg := small(t)
		cfg.Objective.Mode = "process"
		cfg.Model.Name, cfg.Train.BatchSize, cfg.Data.Path = model, batch, fmt.Sprintf("demo:?count=%d&size=32", images)
		s := must.Get(StartTraining(t.Context(), "steady", cfg))(t)
		defer s.Close()
		steps := func(n int) {
			for range n {
				if _, err := s.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		steps(images/batch + 4) // every image is read, and every buffer made
		// The garbage collector empties the connection's pools of buffers.
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		steps(rounds)
		runtime.ReadMemStats(&after)
		n := float64(after.TotalAlloc-before.TotalAlloc) / float64(rounds)
		t.Logf("%s, batch %d: %.0f bytes a step", model, batch, n)
		return n
	}
	base := allocated("vit_nano_patch4_32", 8)
	const slack = 4 << 10 // a large batch has 300 kB or more of pixels more, and vit_tiny 16 MB of weights
	if more := allocated("vit_nano_patch4_32", large); more > base+slack {
		t.Errorf("a step allocates %.0f bytes with a batch of %d, and %.0f with 8", more, large, base)
	}
	if more := allocated("vit_tiny_patch4_32", 8); more > base+slack {
		t.Errorf("a step allocates %.0f bytes with vit_tiny, and %.0f with vit_nano", more, base)
	}
}
