package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/runs"
)

// counted is an evaluation whose figure is the number of the call; before, if set, is called first.
type counted struct {
	calls  int
	before func(call int) error
	closed bool
}

func (c *counted) open(Trained) (Evaluation, error) { return c, nil }
func (c *counted) About() string                    { return "an evaluation of a test" }
func (c *counted) Close()                           { c.closed = true }

func (c *counted) Run(context.Context, *device.CPU) (line runs.EvalLine, err error) {
	c.calls++
	if c.before != nil {
		err = c.before(c.calls)
	}
	return runs.EvalLine{KNN: float64(c.calls) / 100, K: 1}, err
}

// evaluated is a small run of 8 steps that is evaluated after steps 3, 6 and 8.
func evaluated(t *testing.T) *configs.Config {
	cfg := small(t)
	cfg.Eval.Data, cfg.Eval.Every = "anywhere", configs.Interval{Steps: 3}
	return cfg
}

// evaluations are the lines of evaluations in metrics.jsonl.
func evaluations(t *testing.T, dir string) (lines []runs.EvalLine) {
	t.Helper()
	for text := range strings.Lines(string(contents(t, filepath.Join(dir, runs.MetricsFile)))) {
		var line runs.EvalLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line.Kind == runs.KindEval {
			lines = append(lines, line)
		}
	}
	return lines
}

func mustHaveEvaluated(t *testing.T, cfg *configs.Config, result *Result, steps string) {
	t.Helper()
	var got []int
	lines := evaluations(t, cfg.Run.Out)
	for _, l := range lines {
		got = append(got, l.Step)
		if want := float64(l.Step) / 5; l.Epoch != want {
			t.Errorf("step %d is in epoch %v, want %v", l.Step, l.Epoch, want)
		}
	}
	if fmt.Sprint(got) != steps {
		t.Fatalf("evaluated after steps %v, want %s", got, steps)
	}
	last := lines[len(lines)-1]
	info := must.Get(runs.ReadInfo(cfg.Run.Out))(t)
	if result.Eval == nil || *result.Eval != last || info.Eval == nil || *info.Eval != last {
		t.Errorf("the result has %+v and run.json %+v, want %+v", result.Eval, info.Eval, last)
	}
}

// Features are evaluated at each interval and at the end, with the same weights as without.
func TestEvaluations(t *testing.T) {
	want := pretrain(t, small(t), Options{})
	cfg, e := evaluated(t), &counted{}
	got := pretrain(t, cfg, Options{OpenEvaluation: e.open})
	mustHaveEvaluated(t, cfg, got, "[3 6 8]")
	if got.Digest != want.Digest || want.Eval != nil || !e.closed {
		t.Errorf("digest %s, want %s; evaluated without being asked: %v; closed: %v", got.Digest, want.Digest, want.Eval, e.closed)
	}
}

// An evaluation that is stopped is made up for by the process that goes on, and one that was done is
// not repeated, also where a run goes on from an older checkpoint.
func TestEvaluationsOfAResumedRun(t *testing.T) {
	for call := 1; call <= 3; call++ {
		cfg := evaluated(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		e := &counted{before: func(c int) error {
			if c == call {
				cancel()
			}
			return ctx.Err()
		}}
		result, err := Pretrain(ctx, cfg, Options{OpenEvaluation: e.open})
		if !errors.Is(err, context.Canceled) || !result.Interrupted || result.Step != min(3*call, 8) {
			t.Fatalf("stopped in evaluation %d: %+v, %v", call, result, err)
		}
		got := pretrain(t, cfg, Options{Resume: true, OpenEvaluation: (&counted{}).open})
		mustHaveEvaluated(t, cfg, got, "[3 6 8]")
		before := contents(t, filepath.Join(cfg.Run.Out, runs.MetricsFile))
		again := &counted{}
		got = pretrain(t, cfg, Options{Resume: true, OpenEvaluation: again.open})
		if mustHaveEvaluated(t, cfg, got, "[3 6 8]"); again.calls > 0 || string(before) != string(contents(t, filepath.Join(cfg.Run.Out, runs.MetricsFile))) {
			t.Errorf("a finished run was evaluated %d times", again.calls)
		}
	}

	cfg := evaluated(t)
	pretrain(t, cfg, Options{OpenEvaluation: (&counted{}).open})
	must.Do(t, os.Remove(filepath.Join(cfg.Run.Out, runs.CheckpointsDir, "step-00000008.safetensors"))) // goes on after step 6
	got := pretrain(t, cfg, Options{Resume: true, OpenEvaluation: (&counted{}).open})
	mustHaveEvaluated(t, cfg, got, "[3 6 8]")
}

// A run that was killed between a checkpoint and the evaluation of its step makes up for it, also after
// the last step.
func TestEvaluationsOfAKilledRun(t *testing.T) {
	for _, step := range []int{6, 8} {
		cfg := evaluated(t)
		pretrain(t, cfg, Options{OpenEvaluation: (&counted{}).open})
		path := filepath.Join(cfg.Run.Out, runs.MetricsFile)
		kept := ""
		for text := range strings.Lines(string(contents(t, path))) {
			if strings.Contains(text, `"kind":"eval"`) && strings.Contains(text, fmt.Sprintf(`"step":%d,`, step)) {
				break
			}
			kept += text
		}
		must.Do(t, os.WriteFile(path, []byte(kept), 0o644))
		if step < 8 {
			must.Do(t, os.Remove(filepath.Join(cfg.Run.Out, runs.CheckpointsDir, "step-00000008.safetensors")))
		}
		killed := must.Get(runs.ReadInfo(cfg.Run.Out))(t)
		killed.Status, killed.Step, killed.Eval = runs.StatusRunning, step, nil
		must.Do(t, (&runs.Folder{Dir: cfg.Run.Out}).WriteInfo(killed))
		drawn := 0
		got := pretrain(t, cfg, Options{Resume: true, OpenEvaluation: (&counted{}).open, AfterCheckpoint: func(string, int) error {
			drawn = len(evaluations(t, cfg.Run.Out))
			return nil
		}})
		mustHaveEvaluated(t, cfg, got, "[3 6 8]")
		if drawn != 3 {
			t.Errorf("the last pictures are drawn with %d evaluations, want 3", drawn)
		}
	}
}

// An evaluation that fails does not stop the run; one that can't be opened leaves no folder.
func TestEvaluationsThatFail(t *testing.T) {
	cfg, seen := evaluated(t), &stopper{at: -1}
	e := &counted{before: func(c int) error {
		if c == 2 {
			return errors.New("the images are gone")
		}
		return nil
	}}
	got := pretrain(t, cfg, Options{OpenEvaluation: e.open, Progress: seen})
	mustHaveEvaluated(t, cfg, got, "[3 8]")
	if all := strings.Join(seen.events, "\n"); !strings.Contains(all, "after step 6: the images are gone") {
		t.Errorf("it says\n%s", all)
	}
	for text, open := range map[string]func(Trained) (Evaluation, error){
		"no such images":               func(Trained) (Evaluation, error) { return nil, errors.New("no such images") },
		"this program evaluates no f…": nil,
	} {
		cfg := evaluated(t)
		_, err := Pretrain(t.Context(), cfg, Options{OpenEvaluation: open})
		if err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(text, "…")) {
			t.Errorf("%v, want %s", err, text)
		}
		if _, err := os.Stat(cfg.Run.Out); err == nil {
			t.Errorf("%s: a run folder is left", text)
		}
	}
}
