//go:build unix

package host

import (
	"bufio"
	"context"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/plan"
)

// alive reports whether a process exists and is no zombie.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	for range 100 {
		if !alive(pid) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("process %d is still there", pid)
	syscall.Kill(pid, syscall.SIGKILL)
}

// Programs that are no proper plugins: one clear message each.
func TestStartFaults(t *testing.T) {
	tidy(t)
	dir := t.TempDir()
	write := func(name string, mode os.FileMode, content string) string {
		path := filepath.Join(dir, name)
		must.Do(t, os.WriteFile(path, []byte(content), mode))
		return path
	}
	elf := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\xf3\x00" + strings.Repeat("\x00", 100) // RISC-V
	for _, c := range []struct {
		name  string
		o     Options
		parts []string
	}{
		{"exits", Options{Args: []string{"misbehave", "exit"}}, []string{"exit status 3", "before its handshake", "libmissing.so"}},
		{"prints", Options{Args: []string{"misbehave", "noise"}}, []string{`"Hello! Loading the model ..."`, "standard error"}},
		{"hangs", Options{Args: []string{"misbehave", "hang"}, StartDeadline: time.Second}, []string{"did not shake hands in time", "objective.deadline"}},
		{"version", Options{Args: []string{"misbehave", "version"}}, []string{"version 99", "vittool version 1"}},
		{"core version", Options{Args: []string{"misbehave", "core"}}, []string{"go-plugin"}},
		{"net/rpc", Options{Args: []string{"misbehave", "netrpc"}}, []string{"does not speak gRPC"}},
		{"tcp", Options{Args: []string{"misbehave", "tcp"}}, []string{"TCP without TLS"}},
		{"no listener", Options{Args: []string{"misbehave", "no-listener"}, StartDeadline: time.Second}, []string{"could not be started"}},
		{"missing", Options{Path: filepath.Join(dir, "nothing")}, []string{"no program at"}},
		{"not executable", Options{Path: write("plain", 0o644, "#!/bin/sh\n")}, []string{"chmod +x"}},
		{"architecture", Options{Path: write("riscv", 0o755, elf)}, []string{"another architecture"}},
		{"no interpreter", Options{Path: write("text", 0o755, "print('hello')\n")}, []string{"#! line"}},
		{"missing interpreter", Options{Path: write("script", 0o755, "#!/nowhere/python3 -u\n")}, []string{"/nowhere/python3", "interpreter"}},
		{"empty line", Options{Args: []string{"misbehave", "empty-line"}}, []string{`printed ""`, "standard output"}},
		{"version no number", Options{Args: []string{"misbehave", "version-x"}}, []string{`1|x|unix|`, "second field", "a number"}},
		{"killed", Options{Args: []string{"misbehave", "killed"}}, []string{"signal: killed", "before its handshake"}},
		{"folder", Options{Path: dir}, []string{dir, "is a folder"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.o.Path == "" {
				c.o.Path = os.Args[0]
			}
			start := time.Now()
			_, err := Open(context.Background(), c.o)
			wantError(t, err, Start, append(c.parts, "plugin "+c.o.Path)...)
			for _, raw := range []string{"rpc error", "strconv."} {
				if strings.Contains(err.Error(), raw) {
					t.Errorf("%q is nothing to a user: %v", raw, err)
				}
			}
			if d := time.Since(start); d > 8*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// Without a folder for temporary files the message names the variable that sets one.
func TestNoTemporaryFolder(t *testing.T) {
	t.Setenv("TMPDIR", "/nowhere")
	_, err := Open(context.Background(), probeOptions("good", ""))
	wantError(t, err, Start, "/nowhere", "set TMPDIR to a folder", "no such file")
}

// A caller that gives up while the plugin starts or answers its first calls gets the context's
// error, no PluginError, and does not wait.
func TestCancelledWhileStarting(t *testing.T) {
	tidy(t)
	third := func(how string) Options { return Options{Path: os.Args[0], Args: []string{"misbehave", how}} }
	for name, o := range map[string]Options{"handshake": third("hang"), "Open": probeOptions("hang-open", "")} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(500*time.Millisecond, cancel)
			start := time.Now()
			if _, err := Open(ctx, o); err != context.Canceled {
				t.Errorf("error %v", err)
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
	for _, after := range []time.Duration{0, 5, 20, 50, 100} {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(after*time.Millisecond, cancel)
		if _, err := Describe(ctx, Options{Name: "mae", Builtin: builtin}); err != nil && err != context.Canceled {
			t.Errorf("cancelled after %d ms: %v", after, err)
		}
	}
}

func TestCallFaults(t *testing.T) {
	tidy(t)
	ctx := context.Background()
	short := func(o Options) Options { o.CallDeadline = time.Second; return o }
	for _, c := range []struct {
		mode  string
		kind  Kind
		parts []string
	}{
		{"hang-open", Hang, []string{"Open", "no answer within 1s", "raise objective.deadline"}},
		{"panic-open", Returned, []string{"Plan panicked: no plan today", "goroutine"}},
		{"exit-open", Crash, []string{"exit status 7"}},
	} {
		_, err := Open(ctx, short(probeOptions(c.mode, t.TempDir())))
		wantError(t, err, c.kind, append(c.parts, "plugin probe")...)
	}
	for _, c := range []struct {
		mode     string
		kind     Kind
		restarts int
		parts    []string
	}{
		{"always-die-in-mask", Crash, 3, []string{"Mask", "signal: killed", "3 retries", "about to die in Mask"}},
		{"panic-mask", Returned, 0, []string{"Mask panicked: bad mask", "goroutine"}},
		{"duplicate", Reply, 0, []string{`mask "mask"`, "sample 0", "twice"}},
		{"range", Reply, 0, []string{"patch 99", "0..15"}},
		{"changing-plan", Changed, 0, []string{"plan differs", "schedules", "only-once"}},
	} {
		t.Run(c.mode, func(t *testing.T) {
			h := open(t, probeOptions(c.mode, t.TempDir()))
			_, err := h.Mask(ctx, maskRequest(7, 4))
			wantError(t, err, c.kind, c.parts...)
			if h.Restarts() != c.restarts {
				t.Errorf("%d restarts, want %d", h.Restarts(), c.restarts)
			}
		})
	}
	t.Run("oversized reply", func(t *testing.T) {
		o := probeOptions("", "")
		o.Name, o.Path, o.Args, o.Config = "", os.Args[0], []string{"misbehave", "huge"}, nil
		h := open(t, o)
		_, err := h.Mask(ctx, maskRequest(0, 3))
		wantError(t, err, Reply, "larger than 64 MiB", "shared memory")
	})
}

// A process that dies or hangs once is replaced, and the answer is that of an undisturbed run.
func TestRestart(t *testing.T) {
	tidy(t)
	ctx := context.Background()
	good := open(t, probeOptions("good", ""))
	want := must.Get(good.Mask(ctx, maskRequest(5, 4)))(t)
	for _, mode := range []string{"die-in-mask", "hang-mask"} {
		o := probeOptions(mode, t.TempDir())
		o.CallDeadline = 2 * time.Second
		h := open(t, o)
		pid := h.PID()
		got, err := h.Mask(ctx, maskRequest(5, 4))
		if err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		if !sameMasks(got, want) || h.Restarts() != 1 {
			t.Errorf("%s: another answer, or %d restarts", mode, h.Restarts())
		}
		waitGone(t, pid)
	}
}

// SIGKILL at random moments while masks are being drawn by several goroutines: every answer still
// comes and is the right one.
func TestKilledAtRandom(t *testing.T) {
	tidy(t)
	ctx := context.Background()
	good := open(t, probeOptions("good", ""))
	h := open(t, probeOptions("slow-mask", ""))
	random := rand.New(rand.NewSource(1))
	stop := make(chan struct{})
	killed := make(chan int)
	var answered atomic.Int64
	go func() {
		n := 0
		defer func() { killed <- n }()
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(20+random.Intn(60)) * time.Millisecond):
				// At most one kill per answer: more than the retries of a call are a failure by
				// design.
				if pid := h.PID(); pid > 0 && answered.Swap(0) > 0 && syscall.Kill(pid, syscall.SIGKILL) == nil {
					n++
				}
			}
		}
	}()
	type answer struct {
		step  uint64
		reply []plan.MaskSet
		err   error
	}
	answers := make(chan answer)
	const steps = 40
	for worker := range uint64(2) {
		go func() {
			for step := worker; step < steps; step += 2 {
				r, err := h.Mask(ctx, maskRequest(step, 4))
				answers <- answer{step, r, err}
			}
		}()
	}
	for range steps {
		a := <-answers
		answered.Add(1)
		if a.err != nil {
			t.Errorf("step %d: %v", a.step, a.err)
			continue
		}
		want, err := good.Mask(ctx, maskRequest(a.step, 4))
		if err != nil || !sameMasks(want, a.reply) {
			t.Errorf("step %d: another mask, %v", a.step, err)
		}
	}
	close(stop)
	if n := <-killed; n < 2 {
		t.Errorf("only %d kills", n)
	} else {
		t.Logf("%d kills, %d restarts", n, h.Restarts())
	}
}

// A plugin that was stopped does not hold Close up.
func TestCloseOfStoppedProcess(t *testing.T) {
	tidy(t)
	h := open(t, probeOptions("good", ""))
	pid := h.PID()
	must.Do(t, syscall.Kill(pid, syscall.SIGSTOP))
	start := time.Now()
	h.Close()
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("Close took %v", d)
	}
	waitGone(t, pid)
}

// A host that is killed leaves no process and, once another host has started, no file.
func TestHostKilled(t *testing.T) {
	tidy(t)
	random := rand.New(rand.NewSource(2))
	for i := range 6 {
		cmd := exec.Command(os.Args[0], "be-a-host")
		cmd.Env = append(os.Environ(), "PROBE_DIR="+t.TempDir())
		out := must.Get(cmd.StdoutPipe())(t)
		must.Do(t, cmd.Start())
		pid := 0
		if i < 3 { // after it has printed its plugin's process id
			line, err := bufio.NewReader(out).ReadString('\n')
			if _, e := fmt.Sscanf(line, "plugin %d", &pid); err != nil || e != nil {
				t.Fatalf("host says %q, %v", line, err)
			}
			time.Sleep(time.Duration(random.Intn(50)) * time.Millisecond)
		} else { // while it is starting
			time.Sleep(time.Duration(random.Intn(80)) * time.Millisecond)
		}
		must.Do(t, cmd.Process.Kill())
		if err := cmd.Wait(); err == nil {
			t.Error("the host ended by itself")
		}
		if pid != 0 {
			waitGone(t, pid)
		}
	}
	h := open(t, probeOptions("good", "")) // sweeps
	h.Close()
}
