package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/host"
	compiler "github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/schema"
)

// program is the vittool under test, built once: objectives are started as processes of it, so a
// call of main would not do.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "vittool-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "vittool")
		if runtime.GOOS == "windows" {
			program += ".exe"
		}
		if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building vittool: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// outcome is how a command line ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// vittool runs the program in dir as a user would, for at most two minutes.
func vittool(t *testing.T, dir string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("vittool %s hangs\n%s", strings.Join(args, " "), stderr.String())
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// mustEnd checks the exit code, that the message holds words, and that no panic reached the user.
func (o outcome) mustEnd(t *testing.T, code int, words ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit code %d, want %d", o.code, code)
	}
	for _, w := range words {
		if !strings.Contains(o.stderr, w) {
			t.Errorf("the message does not say %q", w)
		}
	}
	if strings.Contains(o.stderr, "panic") || strings.Contains(o.stderr, "goroutine ") {
		t.Error("a panic reached the user")
	}
	if n := strings.Count(o.stderr, "vittool: "); code != exitDone && code != exitInterrupted && n != 1 {
		t.Errorf("%d messages, want one", n)
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", o.stdout, o.stderr)
	}
}

func TestUsage(t *testing.T) {
	cases := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"unknown command", []string{"pretrian"}, exitUsage, []string{"pretrian", "did you mean vittool pretrain?"}},
		{"unknown subcommand", []string{"config", "shw"}, exitUsage, []string{"did you mean vittool config show?"}},
		{"nothing near", []string{"config", "zzzz"}, exitUsage, []string{"commands are: check, presets, show"}},
		{"unknown flag", []string{"pretrain", "--epoch", "3"}, exitUsage, []string{"--epoch", "did you mean --epochs?"}},
		{"unknown short flag", []string{"pretrain", "-z"}, exitUsage, []string{"-z", "vittool pretrain --help"}},
		{"flag without value", []string{"pretrain", "--epochs"}, exitUsage, []string{"--epochs"}},
		{"flag of wrong type", []string{"pretrain", "--epochs", "many"}, exitUsage, []string{"flag --epochs", "train.epochs = many", "whole number"}},
		{"flag out of range", []string{"pretrain", "--batch-size", "0"}, exitUsage, []string{"flag --batch-size", "out of range"}},
		{"unknown key", []string{"pretrain", "train.epoch=3"}, exitUsage, []string{"train.epoch", "did you mean train.epochs?"}},
		{"argument without =", []string{"pretrain", "pictures/"}, exitUsage, []string{"pictures/", "key=value"}},
		{"unknown preset", []string{"pretrain", "--config", "mae-23"}, exitUsage, []string{"mae-23", "did you mean mae-32?"}},
		{"unknown preset to print", []string{"config", "presets", "dmo"}, exitUsage, []string{"did you mean demo?"}},
		{"two presets to print", []string{"config", "presets", "demo", "mae-32"}, exitUsage, []string{"takes one argument", "got 2"}},
		{"section as a key", []string{"pretrain", "train=1"}, exitUsage, []string{"train", "is a section", "train.epochs"}},
		{"check of an option that the objective refuses", []string{"config", "check", "demo", "objective.options.decoder_dim=15"}, exitUsage, []string{"decoder_dim 15"}},
		{"check of options that contradict each other", []string{"config", "check", "demo", "objective.options.decoder_heads=3"}, exitUsage, []string{"decoder_heads 3", "decoder_dim 64"}},
		{"check without argument", []string{"config", "check"}, exitUsage, []string{"FILE, PRESET or RUN"}},
		{"too many arguments", []string{"version", "please"}, exitUsage, []string{"takes no argument"}},
		{"resume without a folder", []string{"pretrain", "--resume"}, exitUsage, []string{"--resume needs the folder"}},
		{"resume of nothing", []string{"pretrain", "--resume", "--out", "nowhere"}, exitUsage, []string{"nowhere", "no run to resume"}},
		{"both loud and quiet", []string{"pretrain", "-q", "-v"}, exitUsage, []string{"--verbose and --quiet", "one of them"}},
		{"report of nothing", []string{"report", "nowhere"}, exitUsage, []string{"nowhere", "run.json"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			vittool(t, dir, c.args...).mustEnd(t, c.code, c.want...)
			mustBeEmpty(t, dir)
		})
	}
}

// mustBeEmpty fails when a command left something in the folder it ran in.
func mustBeEmpty(t *testing.T, dir string) {
	t.Helper()
	entries := must.Get(os.ReadDir(dir))(t)
	for _, e := range entries {
		t.Errorf("the command left %s", e.Name())
	}
}

func TestResults(t *testing.T) {
	cases := []struct {
		name string
		args []string
		want []string // parts of the output
	}{
		{"help", nil, []string{"Available Commands:", "pretrain", "Exit codes:"}},
		{"version", []string{"version"}, []string{"go1."}},
		{"version as JSON", []string{"version", "--json"}, []string{`"version":`}},
		{"presets", []string{"config", "presets"}, []string{"mae-32", "mae-224", "demo"}},
		{"presets as JSON", []string{"config", "presets", "--json"}, []string{`"name": "demo"`}},
		{"a preset", []string{"config", "presets", "mae-224"}, []string{"# Source:", "vit_base_patch16_224"}},
		{"settings of the demo", []string{"config", "show"}, []string{"name: vit_nano_patch4_32"}},
		{"settings of a shorter demo", []string{"config", "show", "--epochs", "2"}, []string{"name: vit_nano_patch4_32", "warmup_epochs: 1"}},
		{"settings without the demo", []string{"config", "show", "--data", "x"}, []string{"name: vit_tiny_patch4_32"}},
		{"settings explained", []string{"config", "show", "--explain", "train.epochs=7"}, []string{"# Epochs of the run.", "set by argument train.epochs=7"}},
		{"settings as JSON", []string{"config", "show", "--json"}, []string{`"batch_size": 16`}},
		{"check", []string{"config", "check", "mae-224"}, []string{"valid", "vit_base_patch16_224"}},
		{"objectives", []string{"plugin", "list"}, []string{"mae", "built in"}},
		{"objectives as JSON", []string{"plugin", "list", "--json"}, []string{`"builtin": true`}},
		{"an objective", []string{"plugin", "info", "mae"}, []string{"He et al.", "objective.options.mask_ratio"}},
		{"doctor", []string{"doctor"}, []string{"kernels", "GFLOP/s", "asked and stopped"}},
		{"doctor as JSON", []string{"doctor", "--json"}, []string{`"name": "plugin"`}},
		{"check as JSON", []string{"config", "check", "mae-224", "--json"}, []string{`"valid": true`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			o := vittool(t, dir, c.args...)
			o.mustEnd(t, exitDone)
			for _, w := range c.want {
				if !strings.Contains(o.stdout, w) {
					t.Errorf("it prints no %q:\n%s", w, o.stdout)
				}
			}
			mustBeEmpty(t, dir)
		})
	}
}

// TestHelp holds every command to a one-line summary and an example that its own flags accept.
func TestHelp(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "help" || cmd.Name() == "completion" || cmd.Hidden {
			return
		}
		t.Run(strings.ReplaceAll(cmd.CommandPath(), " ", "/"), func(t *testing.T) {
			if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
				t.Errorf("summary %q", cmd.Short)
			}
			if !strings.Contains(cmd.Example, cmd.CommandPath()) {
				t.Errorf("no example calls it: %q", cmd.Example)
			}
			for line := range strings.Lines(cmd.Example) {
				mustParse(t, line)
			}
		})
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(newRootCommand())
}

// mustParse checks that an example names a command and flags that exist.
func mustParse(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	if len(words) == 0 || words[0] != "vittool" {
		return
	}
	for i, w := range words {
		if w == ">" || w == "#" {
			words = words[:i]
			break
		}
	}
	cmd, rest, err := newRootCommand().Find(words[1:])
	if err != nil {
		t.Errorf("example %q: %v", strings.TrimSpace(line), err)
		return
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("example %q: %v", strings.TrimSpace(line), err)
	}
}

func TestExitCode(t *testing.T) {
	background := context.Background()
	signalled, cancel := context.WithCancelCause(background)
	cancel(errInterrupted)
	cancelled, stop := context.WithCancel(background)
	stop()
	cases := []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"done", background, nil, exitDone},
		{"done although a signal came late", signalled, nil, exitDone},
		{"failure", background, errors.New("x"), exitFailure},
		{"usage", background, fmt.Errorf("x: %w", &usageError{}), exitUsage},
		{"one setting", background, fmt.Errorf("x: %w", &configs.Error{}), exitUsage},
		{"settings", background, configs.Errors{{}, {}}, exitUsage},
		{"interrupted", signalled, context.Canceled, exitInterrupted},
		{"interrupted deep inside", signalled, fmt.Errorf("after step 3: %w", context.Canceled), exitInterrupted},
		{"interrupted, and then no room for a checkpoint", signalled, errors.Join(context.Canceled, errors.New("disk full")), exitFailure},
		{"images", background, fmt.Errorf("x: %w", &data.Error{}), exitData},
		{"option of an objective", background, fmt.Errorf("x: %w", &schema.Error{}), exitUsage},
		{"plugin", background, fmt.Errorf("x: %w", &host.PluginError{Kind: host.Crash}), exitPlugin},
		{"plan that can't be compiled", background, fmt.Errorf("x: %w", &compiler.Error{Err: errors.New("y")}), exitPlugin},
		{"plugin that refuses the options", background, &host.PluginError{Kind: host.Refused}, exitUsage},
		{"cancelled by something else", cancelled, context.Canceled, exitFailure},
	}
	for _, c := range cases {
		if got := exitCode(c.ctx, c.err); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
