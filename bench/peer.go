package bench

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

//go:embed pytorch/mae.py pytorch/resnet.py pytorch/driver.py pytorch/loader.py
var pytorch embed.FS

// PythonVariable names the interpreter that has PyTorch; python3 when unset.
const PythonVariable = "VITTOOL_PYTHON"

// PyTorchOptions say which training step the peer does.
type PyTorchOptions struct {
	Model   string // a case of driver.py
	Batch   int
	Threads int
	Bare    bool      // no model: for single kernels
	Default bool      // leaves the allocator as it is, for measuring memory
	Decoder [3]int    // width, depth, heads; zero: the model's own
	Image   int       // side in pixels; zero: the model's own
	Width   float64   // factor of a ResNet's channels; zero: 1
	Bank    int       // images in the memory bank; zero: that of driver.py
	Log     io.Writer // takes Python's stderr
}

// A Variant is a way in which PyTorch does the same step. The zero value is eager, with channels
// first in maps.
type Variant struct {
	Compiled     bool // torch.compile; its first step takes minutes
	ChannelsLast bool // of maps
}

// words are those of the driver's command.
func (v Variant) words() (words []string) {
	if v.Compiled {
		words = append(words, "compiled")
	}
	if v.ChannelsLast {
		words = append(words, "channels_last")
	}
	return words
}

// A Peer is a PyTorch process that does one training step on request.
type Peer struct {
	Info PeerInfo

	name   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *tail
	dir    string
}

// PeerInfo describes the PyTorch that is compared with.
type PeerInfo struct {
	Torch      string `json:"torch"`
	Threads    int    `json:"threads"`
	Capability string `json:"capability"` // the instruction set PyTorch chose
	MKL        bool   `json:"mkl"`
}

// ErrNoPyTorch is wrapped when there is no interpreter with PyTorch to compare with.
var ErrNoPyTorch = errors.New("no PyTorch to compare with")

// StartPyTorch starts the peer. The error wraps ErrNoPyTorch where Python or PyTorch is missing.
func StartPyTorch(ctx context.Context, o PyTorchOptions) (*Peer, error) {
	args := []string{"--model", o.Model, "--batch", strconv.Itoa(o.Batch), "--threads", strconv.Itoa(o.Threads)}
	if o.Decoder != [3]int{} {
		args = append(args, "--decoder", fmt.Sprintf("%d,%d,%d", o.Decoder[0], o.Decoder[1], o.Decoder[2]))
	}
	if o.Image > 0 {
		args = append(args, "--image", strconv.Itoa(o.Image))
	}
	if o.Width > 0 {
		args = append(args, "--width", strconv.FormatFloat(o.Width, 'g', -1, 64))
	}
	if o.Bank > 0 {
		args = append(args, "--bank", strconv.Itoa(o.Bank))
	}
	if o.Bare {
		args = append(args, "--bare")
	}
	env := allocator
	if o.Default {
		env = nil
	}
	p, err := launch(ctx, "driver.py", args, []string{"torch"}, env, o.Log)
	if err != nil {
		return nil, err
	}
	if err := p.answer(&p.Info); err != nil {
		return nil, errors.Join(fmt.Errorf("starting PyTorch: %w", err), p.Close())
	}
	p.name = "PyTorch " + p.Info.Torch
	return p, nil
}

// launch runs one of the scripts in an interpreter that has the modules, with env beside our own
// environment.
func launch(ctx context.Context, script string, args, modules, env []string, log io.Writer) (*Peer, error) {
	python := os.Getenv(PythonVariable)
	if python == "" {
		python = "python3"
	}
	if _, err := exec.LookPath(python); err != nil {
		return nil, fmt.Errorf("%w: %w (%s may name the interpreter)", ErrNoPyTorch, err, PythonVariable)
	}
	if err := exec.CommandContext(ctx, python, "-c", "import "+strings.Join(modules, ", ")).Run(); err != nil {
		return nil, fmt.Errorf("%w: %s cannot import %s: create an environment with `python3 -m venv` and `pip install %s`, and name its interpreter in %s",
			ErrNoPyTorch, python, strings.Join(modules, ", "), strings.Join(modules, " "), PythonVariable)
	}

	dir, err := os.MkdirTemp("", "vittool-bench-")
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, pytorch); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p := &Peer{name: "Python", dir: dir, stderr: &tail{also: log}}
	p.cmd = exec.CommandContext(ctx, python, append([]string{filepath.Join(dir, "pytorch", script)}, args...)...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.stderr
	if p.in, err = p.cmd.StdinPipe(); err == nil {
		var out io.ReadCloser
		if out, err = p.cmd.StdoutPipe(); err == nil {
			p.out = bufio.NewReader(out)
			err = p.cmd.Start()
		}
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

// allocator keeps glibc from giving the activations of every step back to the system and faulting
// them in again in the next, which costs an untuned PyTorch up to half of its step. A peer that is
// slow for that reason proves nothing.
var allocator = []string{"MALLOC_MMAP_MAX_=0", "MALLOC_TRIM_THRESHOLD_=1000000000000", "MALLOC_TOP_PAD_=268435456"}

// Name is PyTorch with its version.
func (p *Peer) Name() string { return p.name }

// Step trains once in a variant and returns the time that PyTorch itself measured, by the clock and
// of all cores.
func (p *Peer) Step(v Variant) (wall, cpu time.Duration, err error) {
	var a struct {
		Seconds float64 `json:"seconds"`
		CPU     float64 `json:"cpu"`
	}
	err = p.ask(strings.Join(append([]string{"step"}, v.words()...), " "), &a)
	return seconds(a.Seconds), seconds(a.CPU), err
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Attention does fused attention, forward and backward, so many times on q, k and v [batch, heads,
// tokens, width], and returns the time of one.
func (p *Peer) Attention(batch, tokens, heads, width, times int) (time.Duration, error) {
	return p.seconds(fmt.Sprintf("attention %d %d %d %d %d", batch, tokens, heads, width, times))
}

// seconds has a command carried out and returns the time that Python measured.
func (p *Peer) seconds(command string) (time.Duration, error) {
	var a struct {
		Seconds float64 `json:"seconds"`
	}
	err := p.ask(command, &a)
	return seconds(a.Seconds), err
}

// Memory is the most memory that the process has held so far, in bytes.
func (p *Peer) Memory() (int64, error) {
	var a struct {
		Peak int64 `json:"peak"`
	}
	err := p.ask("memory", &a)
	return a.Peak, err
}

// Close ends the process and removes its scripts.
func (p *Peer) Close() error {
	p.in.Close() // ends the driver's loop
	err := p.cmd.Wait()
	return errors.Join(err, os.RemoveAll(p.dir))
}

func (p *Peer) ask(command string, into any) error {
	if _, err := io.WriteString(p.in, command+"\n"); err != nil {
		return p.explain(err)
	}
	return p.answer(into)
}

func (p *Peer) answer(into any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return p.explain(err)
	}
	var failed struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(line, &failed); err != nil {
		return fmt.Errorf("PyTorch driver printed %q, which is no answer: %w", line, err)
	}
	if failed.Error != "" {
		return errors.New("PyTorch driver: " + failed.Error)
	}
	return json.Unmarshal(line, into)
}

func (p *Peer) explain(err error) error {
	return fmt.Errorf("the Python process ended: %w; its last words: %s", err, p.stderr.String())
}

// tail is a writer that keeps the last bytes.
type tail struct {
	kept []byte
	also io.Writer
}

const tailSize = 2000

func (t *tail) Write(b []byte) (int, error) {
	t.kept = append(t.kept, b...)
	if n := len(t.kept) - tailSize; n > 0 {
		t.kept = append(t.kept[:0], t.kept[n:]...)
	}
	if t.also != nil {
		return t.also.Write(b)
	}
	return len(b), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.kept)) }
