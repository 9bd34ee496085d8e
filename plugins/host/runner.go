package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// runner starts the plugin's process for go-plugin. go-plugin's own runner hands the terminal over
// as standard input, leaves the process in the host's process group (Ctrl-C would reach it), and
// does not kill its children.
type runner struct {
	cmd    *exec.Cmd
	stdout *os.File // read ends
	stderr *os.File
	child  []*os.File // closed in the host once the process has its own
	first  *firstLine
	memory uint64 // limit in bytes, 0: none
	done   chan struct{}
	err    error           // of Wait; valid once done is closed
	ended  atomic.Bool     // by us, while it still ran
	ctx    context.Context // bounds the start: its end kills the process
	unbind func() bool     // from ctx
}

func newRunner(ctx context.Context, cmd *exec.Cmd, child []*os.File, memory uint64) (*runner, error) {
	r := &runner{cmd: cmd, child: child, memory: memory, done: make(chan struct{}), ctx: ctx, unbind: func() bool { return true }}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		outR.Close()
		outW.Close()
		return nil, err
	}
	r.stdout, r.stderr, r.first = outR, errR, &firstLine{r: outR}
	cmd.Stdin = nil // the null device
	cmd.Stdout, cmd.Stderr = outW, errW
	r.child = append(r.child, outW, errW)
	cmd.SysProcAttr = processAttributes()
	return r, nil
}

// Start runs the process, by way of onSpawner.
func (r *runner) Start(context.Context) error {
	err := onSpawner(r.cmd.Start)
	for _, f := range r.child {
		f.Close()
	}
	if err != nil {
		r.stdout.Close()
		r.stderr.Close()
		r.err = err
		close(r.done)
		return err
	}
	limitResources(r.cmd.Process.Pid, r.memory)
	go func() {
		r.err = r.cmd.Wait()
		close(r.done)
	}()
	r.unbind = context.AfterFunc(r.ctx, r.end)
	return nil
}

// started unties the process from the context that bounded its start.
func (r *runner) started() { r.unbind() }

// end kills the process and its children.
func (r *runner) end() {
	grace := time.Duration(0)
	if r.first.ended() { // it is about to end by itself, with a status that explains the failure
		grace = 500 * time.Millisecond
	}
	if !r.exited(grace) {
		r.ended.Store(true)
	}
	killGroup(r.cmd.Process)
}

func (r *runner) Wait(context.Context) error {
	<-r.done
	return r.err
}

// Kill ends the process and its children. Pipes that are still open after that (a child that left
// the group) are no longer read.
func (r *runner) Kill(context.Context) error {
	if r.cmd.Process == nil {
		return nil
	}
	r.end()
	<-r.done
	time.AfterFunc(time.Second, func() {
		r.stdout.Close()
		r.stderr.Close()
	})
	return nil
}

func (r *runner) Diagnose(context.Context) string { return "" }
func (r *runner) Stdout() io.ReadCloser           { return r.first }
func (r *runner) Stderr() io.ReadCloser           { return r.stderr }
func (r *runner) Name() string                    { return r.cmd.Path }

func (r *runner) ID() string {
	if r.cmd.Process == nil {
		return ""
	}
	return strconv.Itoa(r.cmd.Process.Pid)
}

func (r *runner) PluginToHost(network, addr string) (string, string, error) {
	return network, addr, nil
}

func (r *runner) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}

// exited reports whether the process ends within the given time.
func (r *runner) exited(within time.Duration) bool {
	select {
	case <-r.done:
		return true
	case <-time.After(within):
		return false
	}
}

// state describes the end of the process, e.g. "exit status 3" or "signal: killed".
func (r *runner) state() string {
	if !r.exited(time.Second) {
		return "still running"
	}
	var exit *exec.ExitError
	switch {
	case r.err == nil:
		return "exit status 0"
	case errors.As(r.err, &exit):
		if r.ended.Load() && !exit.Exited() {
			return "stopped by vittool"
		}
		return exit.ProcessState.String()
	}
	return fmt.Sprint(r.err)
}

func (r *runner) firstLine() string { return r.first.line() }

// printed reports whether there is a first line at all, if only an empty one.
func (r *runner) printed() bool {
	r.first.mu.Lock()
	defer r.first.mu.Unlock()
	return r.first.full || len(r.first.buf) > 0
}

// firstLine passes standard output through and keeps its first line, the handshake.
type firstLine struct {
	r    *os.File
	mu   sync.Mutex
	buf  []byte
	full bool
	eof  bool // the other end is closed
}

func (f *firstLine) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.eof = f.eof || err == io.EOF
	if !f.full {
		f.buf = append(f.buf, p[:n]...)
		if i := bytes.IndexByte(f.buf, '\n'); i >= 0 || len(f.buf) > 1<<16 {
			if i >= 0 {
				f.buf = f.buf[:i]
			}
			f.full = true
		}
	}
	return n, err
}

func (f *firstLine) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.eof
}

func (f *firstLine) Close() error { return f.r.Close() }

func (f *firstLine) line() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return string(f.buf)
}

var (
	spawnerOnce sync.Once
	spawnerWork chan func()
)

// onSpawner runs f on an operating system thread that lives as long as the host. Linux sends the
// parent-death signal when the *thread* that started a process ends, and Go may end any other
// thread at any time.
func onSpawner(f func() error) error {
	spawnerOnce.Do(func() {
		spawnerWork = make(chan func())
		go func() {
			runtime.LockOSThread()
			for g := range spawnerWork {
				g()
			}
		}()
	})
	result := make(chan error, 1)
	spawnerWork <- func() { result <- f() }
	return <-result
}
