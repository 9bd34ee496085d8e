package train

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/plugintest"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// variant is an objective whose author changes it: the text of a file beside the program names the
// change, and further text changes nothing.
type variant struct{}

func (*variant) Info() sdk.Info {
	return sdk.Info{Name: "variant", Version: "0.1.0", Summary: "a test objective"}
}

func (*variant) kind() string {
	text, _ := os.ReadFile(os.Args[0] + ".variant") // without one it is the first version
	kind, _, _ := strings.Cut(string(text), " ")
	return kind
}

func (o *variant) Plan(b *sdk.Builder) error {
	x := b.Linear("head", b.Student("encoder", b.View("image")).Class(), 4)
	loss := b.Mean(b.Mul(x, x))
	switch o.kind() {
	case "loss":
		loss = b.Scale(loss, 2)
	case "parameter":
		b.Param("further", []int{3}, sdk.InitZeros())
	case "unknown":
		loss = b.Node("telepathy", 0, []sdk.Input{{Name: "x", Value: x}})
	case "vector":
		loss = b.L2Normalize(x)
	case "metric":
		huge := b.Exp(b.Scale(b.Mul(loss, loss), 1e30))
		b.Metric("spread", b.Add(huge, b.Scale(huge, -1)))
	case "evaluate", "evaluate-metric":
		loss = b.Evaluate([]sdk.EvaluateInput{{Name: "x", Value: x, Gradient: true}})
	}
	return b.Minimize(loss)
}

func (o *variant) Evaluate(c *sdk.EvaluateCall) (float64, map[string]float64, error) {
	loss, err := plugintest.MeanSquare(c)
	metrics := map[string]float64{"rows": 8}
	if o.kind() == "evaluate-metric" {
		metrics["spread"] = math.NaN()
	}
	return loss, metrics, err
}

// variantRun is a run of the objective variant, and a function that changes its program.
func variantRun(t *testing.T) (cfg *configs.Config, change func(kind string)) {
	t.Helper()
	cfg = thirdParty(t, "variant")
	shared := cfg.Objective.Plugin // a link, which a write would change
	path := filepath.Join(t.TempDir(), filepath.Base(shared))
	cfg.Objective.Plugin = path
	program, err := os.ReadFile(shared)
	if err == nil {
		err = os.WriteFile(path, program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cfg, func(kind string) {
		t.Helper()
		must.Do(t, os.WriteFile(path+".variant", []byte(kind), 0o600))
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0) // another checksum
		if err == nil {
			_, err = f.WriteString(kind)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// A run goes on with a plugin of the same plan, and with another one only where the user accepts it.
func TestResumeRefusesAnotherPlan(t *testing.T) {
	for _, c := range []struct{ first, second, refused string }{
		{"", "same", ""}, // another program, the same plan
		{"", "loss", "its plan"},
		{"", "parameter", "its plan"},
		{"evaluate", "evaluate", ""}, // changes the program again
		{"evaluate", "loss", "its plan"},
	} {
		t.Run(c.first+" to "+c.second, func(t *testing.T) {
			cfg, change := variantRun(t)
			if c.first != "" {
				change(c.first)
			}
			interrupt(t, cfg, 4)
			change(c.second)
			want := c.refused
			if c.first == "evaluate" && want == "" {
				want = "computes the loss or targets itself"
			}
			var seen stopper
			_, err := Pretrain(context.Background(), cfg, Options{Resume: true, Progress: &seen})
			var e *host.PluginError
			if want != "" {
				if !errors.As(err, &e) || e.Kind != host.Changed || !strings.Contains(err.Error(), want) ||
					!strings.Contains(err.Error(), cfg.Objective.Plugin) || !strings.Contains(err.Error(), "--accept-plugin-change") {
					t.Fatalf("%v, want a refusal with %q", err, want)
				}
				if c.second == "parameter" { // accepted, and then the checkpoint lacks it
					if _, err := Pretrain(context.Background(), cfg, Options{Resume: true, AcceptPluginChange: true}); err == nil || !strings.Contains(err.Error(), "further") {
						t.Errorf("a parameter that the checkpoint lacks: %v", err)
					}
					return
				}
				seen = stopper{}
				_, err = Pretrain(context.Background(), cfg, Options{Resume: true, AcceptPluginChange: true, Progress: &seen})
			}
			if err != nil {
				t.Fatal(err)
			}
			if events := strings.Join(seen.events, "\n"); !strings.Contains(events, "is not the program the run was started with") {
				t.Errorf("no warning of another program: %s", events)
			}
		})
	}
}

// A checkpoint that names no plan is one of an earlier vittool, and goes on with a warning.
func TestResumeWithoutPlanDigest(t *testing.T) {
	cfg, change := variantRun(t)
	interrupt(t, cfg, 4)
	file, step, err := runs.Latest(cfg.Run.Out, func(path string, err error) { t.Error(path, err) })
	if err != nil || file.Meta[runs.MetaPlan] == "" {
		t.Fatalf("step %d: plan %q, %v", step, file.Meta[runs.MetaPlan], err)
	}
	delete(file.Meta, runs.MetaPlan)
	must.Do(t, tensor.WriteSafetensors(file.Path, file.Tensors, file.Meta))
	change("loss")
	var seen stopper
	pretrain(t, cfg, Options{Resume: true, Progress: &seen})
	if events := strings.Join(seen.events, "\n"); !strings.Contains(events, "is not the program the run was started with") {
		t.Errorf("no warning of another program: %s", events)
	}
}

// A built-in objective's checkpoint names no plan: vittool itself is its program.
func TestNoPlanDigestOfBuiltins(t *testing.T) {
	cfg := small(t)
	cfg.Train.Steps = 1
	pretrain(t, cfg, Options{})
	if file, _, err := runs.Latest(cfg.Run.Out, func(path string, err error) { t.Error(path, err) }); err != nil || file.Meta[runs.MetaPlan] != "" {
		t.Errorf("plan %q, %v", file.Meta[runs.MetaPlan], err)
	}
}

// Faults of a plugin's plan and of its numbers name the plugin and the node or metric. Both types of
// error have the exit code of plugins.
func TestPluginFaults(t *testing.T) {
	for kind, parts := range map[string][]string{
		"unknown":         {"telepathy_1", "no such operator"},
		"vector":          {"loss", "l2_normalize_1", "[8, 4]", "one number"},
		"metric":          {"step 1", `metric "spread" is NaN`},
		"evaluate-metric": {"step 1", `metric "spread" is NaN`},
	} {
		cfg, change := variantRun(t)
		change(kind)
		_, err := Pretrain(context.Background(), cfg, Options{})
		var e *host.PluginError
		var plan *program.Error
		if !errors.As(err, &e) && !errors.As(err, &plan) {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		for _, part := range append(parts, "plugin ", "variant") {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q", kind, err, part)
			}
		}
		if e != nil && e.Kind == host.Refused {
			t.Errorf("%s: %v is told as a wrong option", kind, err)
		}
		if strings.Contains(kind, "metric") {
			if _, step, err := runs.Latest(cfg.Run.Out, func(path string, err error) { t.Error(path, err) }); err != nil || step != 0 {
				t.Errorf("%s: a checkpoint of step %d, %v", kind, step, err)
			}
		}
	}
}
