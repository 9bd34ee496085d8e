package faults

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives"
)

var (
	kills = flag.Int("kills", 0, "how often to kill the host, and how often the objective; 0: 3 times with the default objective, once with each other")
	seed  = flag.Uint64("seed", 1, "of the moments of the kills")
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "faults-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil { // another user runs it in one test
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		binary = filepath.Join(dir, "vittool")
		build := exec.Command("go", "build", "-o", binary, "../cmd/vittool")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building vittool: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// steps, checkpointEvery and evaluateEvery size the run that is disturbed.
const (
	steps           = 14
	checkpointEvery = 2
	evaluateEvery   = 3
)

// recipe is the settings of a run that is disturbed: an objective and its network.
type recipe struct {
	objective string
	residual  bool // a residual network, whose running statistics are state; otherwise a transformer
}

// String is mae, or dino-resnet for an objective on the network that is not its usual one.
func (r recipe) String() string {
	switch {
	case r.residual == slices.Contains(residual, r.objective):
		return r.objective
	case r.residual:
		return r.objective + "-resnet"
	}
	return r.objective + "-vit"
}

// residual lists the objectives that come from residual networks and are usually run on one here.
var residual = []string{"byol", "instdisc", "moco", "simclr", "simsiam", "swav"}

// recipes are every objective on its usual network, and some on the other one.
func recipes() (all []recipe) {
	for _, name := range objectives.Names() {
		all = append(all, recipe{name, slices.Contains(residual, name)})
	}
	return append(all, recipe{"dino", true}, recipe{"mocov3", true}, recipe{"moco", false})
}

// eachRecipe runs a test for every recipe, with the moment of the first kill and the number of kills.
// By default the recipes but the plain one take turns: a test with turn 0 to 3 has every fourth of
// them; -kills runs all.
func eachRecipe(t *testing.T, turn int, test func(t *testing.T, r recipe, first moment, kills int)) {
	for i, r := range recipes() {
		t.Run(r.String(), func(t *testing.T) {
			if _, err := os.Stat(r.settings()); errors.Is(err, os.ErrNotExist) {
				t.Skipf("there is no %s to make the objective small with", r.settings())
			}
			switch {
			case *kills > 0:
				test(t, r, 0, *kills)
			case r == plain:
				test(t, r, 0, moments)
			case i%4 != turn:
				t.Skip("it is not its turn; -kills 1 runs it")
			default:
				test(t, r, moment(i%moments), 1)
			}
		})
	}
}

// plain is the recipe of tests in which the objective does not matter.
var plain = recipe{objective: configs.Default().Objective.Name}

// settings is the file that makes the objective small; it lies in its own folder.
func (r recipe) settings() string {
	return filepath.Join("..", "objectives", r.objective, "testdata", "small.yaml")
}

// evaluates reports whether features are evaluated while the run goes on: of one transformer and of
// one residual network.
func (r recipe) evaluates() bool { return r == plain || r.String() == "moco" }

// pretrain returns the arguments of the run, the same in every test but for the folder: a run that
// is disturbed is compared with one that is not. A step is short, for the tests are about its
// interruption.
func (r recipe) pretrain(run string, more ...string) []string {
	network := []string{"--model", "vit_micro_patch4_32"}
	if r.residual {
		network = []string{"--model", "resnet18_cifar", "model.width=0.0625"}
	}
	if r.evaluates() {
		network = append(network, "eval.data=demo:", fmt.Sprintf("eval.every=%d steps", evaluateEvery), "eval.limit=8", "eval.k=3")
	}
	return slices.Concat([]string{
		"pretrain", "--config", r.settings(), "--image-size", "16",
		"--data", "demo:?count=400&size=24", "--out", run, "--steps", strconv.Itoa(steps), "--batch-size", "16", "--seed", "7", "--threads", "2",
		fmt.Sprintf("run.checkpoint_every=%d steps", checkpointEvery), "run.keep=0", "run.log_every=1", "run.pictures_every=never",
	}, network, more)
}

// A program is a started vittool.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	output *lockedBuffer
	ended  chan struct{}
}

// lockedBuffer may be written by the process and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// command prepares vittool with temporary files in tmp. shell, when given, is the command line that
// runs it; its arguments follow.
func command(t *testing.T, tmp string, args []string, shell ...string) *program {
	t.Helper()
	argv := append(slices.Clone(shell), append([]string{binary}, args...)...)
	p := &program{t: t, cmd: exec.Command(argv[0], argv[1:]...), output: &lockedBuffer{}, ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "XDG_RUNTIME_DIR="+tmp)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	return p
}

func (p *program) start() *program {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		p.cmd.Wait() // the state it ended in is looked at below
		close(p.ended)
	}()
	p.t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
	})
	return p
}

func (p *program) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// limit is far longer than any run here takes, even on a busy machine.
const limit = 3 * time.Minute

// wait returns the exit code, -1 after a signal.
func (p *program) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Fatalf("still running after %v:\n%s", limit, p.output)
	}
	return p.cmd.ProcessState.ExitCode()
}

// until polls as fast as is decent; false when the program ended first.
func (p *program) until(event string, condition func() bool) bool {
	p.t.Helper()
	deadline := time.Now().Add(limit)
	for !condition() {
		if p.hasEnded() {
			return false
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited %v for %s:\n%s", limit, event, p.output)
		}
		time.Sleep(200 * time.Microsecond)
	}
	return true
}

// A process is known by number and start time, for numbers are used again.
type process struct {
	pid   int
	start string
}

// stat reads parent, state and start time of a process.
func stat(pid int) (parent int, state, start string, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, "", "", err
	}
	_, rest, ok := strings.Cut(string(b[bytes.LastIndexByte(b, ')'):]), " ") // the name may hold anything
	f := strings.Fields(rest)
	if !ok || len(f) < 20 {
		return 0, "", "", fmt.Errorf("/proc/%d/stat: %q", pid, b)
	}
	parent, err = strconv.Atoi(f[1])
	return parent, f[0], f[19], err
}

// descendants lists the living processes below pid.
func descendants(t *testing.T, pid int) []process {
	t.Helper()
	entries := must.Get(os.ReadDir("/proc"))(t)
	children := map[int][]process{}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		parent, state, start, err := stat(child)
		if err == nil && state != "Z" {
			children[parent] = append(children[parent], process{child, start})
		}
	}
	var all []process
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		for _, c := range children[queue[0]] {
			all = append(all, c)
			queue = append(queue, c.pid)
		}
	}
	return all
}

func (p process) alive() bool {
	_, state, start, err := stat(p.pid)
	return err == nil && start == p.start && state != "Z" && state != "X"
}

func (p process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(p.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}

// mustBeGone fails when one of the processes outlives its host by two seconds.
func mustBeGone(t *testing.T, processes []process) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Second)
	for _, p := range processes {
		for p.alive() {
			if time.Now().After(deadline) {
				cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
				p.signal(t, syscall.SIGKILL)
				t.Fatalf("process %d (%q) outlived its host", p.pid, bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '}))
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}
