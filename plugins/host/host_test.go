package host

import (
	"cmp"
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/schema"
)

// The built-in objective over the process boundary and inside the host: the same plan and masks.
func TestProcessEqualsInproc(t *testing.T) {
	tidy(t)
	ctx := context.Background()
	o := probeOptions("", "")
	o.Name, o.Config = "mae", map[string]any{"mask_ratio": 0.75, "decoder_dim": 16, "decoder_depth": 2, "decoder_heads": 2}
	a := open(t, o)
	o.Mode = Inproc
	b := open(t, o)
	if d := a.PlanDifference(b); d != "" {
		t.Errorf("plans differ: %s", d)
	}
	for step := range uint64(20) {
		x := must.Get(a.Mask(ctx, maskRequest(step, 4)))(t)
		y := must.Get(b.Mask(ctx, maskRequest(step, 4)))(t)
		if !sameMasks(x, y) {
			t.Fatalf("step %d: masks differ", step)
		}
	}
	if len(a.SHA256()) != 64 || b.SHA256() != a.SHA256() {
		t.Errorf("checksums %q and %q", a.SHA256(), b.SHA256())
	}
}

func TestConfigurationErrors(t *testing.T) {
	tidy(t)
	ctx := context.Background()
	for _, mode := range []Mode{Process, Inproc} {
		o := probeOptions("good", "")
		o.Mode = mode
		o.Config = map[string]any{"mod": "good"}
		_, err := Open(ctx, o)
		var se *schema.Error
		if !errors.As(err, &se) || !strings.Contains(err.Error(), `did you mean mode?`) {
			t.Errorf("%s: %v", mode, err)
		}
		o = probeOptions("refuse", "")
		o.Mode = mode
		_, err = Open(ctx, o)
		wantError(t, err, Refused, "plugin probe", "Open", "cannot be trained")
	}
	o := probeOptions("good", "")
	o.Name = "nothing"
	if _, err := Open(ctx, o); err == nil || !strings.Contains(err.Error(), "valid are: "+strings.Join(objectives.Names(), ", ")) {
		t.Error(err)
	}
	o.Path = "x"
	if _, err := Open(ctx, o); err == nil {
		t.Error("name and path together were accepted")
	}
	if _, err := Open(ctx, Options{Path: os.Args[0], Mode: Inproc}); err == nil {
		t.Error("a third-party plugin was accepted in process")
	}
}

func TestDescribe(t *testing.T) {
	tidy(t)
	d := must.Get(Describe(context.Background(), Options{Name: "mae", Builtin: builtin}))(t)
	if d.Name != "mae" || len(d.Options) < 6 || d.Evaluates {
		t.Errorf("%v", d)
	}
}

func TestLogs(t *testing.T) {
	tidy(t)
	log := &syncBuffer{}
	o := probeOptions("print", "")
	o.LogWriter = log
	h := open(t, o)
	if _, err := h.Mask(context.Background(), maskRequest(0, 4)); err != nil {
		t.Fatal(err)
	}
	must.Do(t, h.Close())
	for _, want := range []string{"[probe] a line on standard output\n", "[probe] a line on standard error\n"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log without %q:\n%s", want, log.String())
		}
	}
}

func TestThirdPartyProgramAndLock(t *testing.T) {
	tidy(t)
	ctx := context.Background()
	o := probeOptions("good", "")
	o.Name, o.Path, o.Args = "", os.Args[0], []string{"misbehave", "good"}
	h := open(t, o)
	if h.Description().Name != "probe" {
		t.Errorf("%v", h.Description())
	}
	sum, err := Sum(os.Args[0])
	if err != nil || sum != h.SHA256() {
		t.Errorf("sum %s, %v, want %s", h.SHA256(), err, sum)
	}

	o.Checksum = strings.Repeat("0", 64)
	_, err = Open(ctx, o)
	wantError(t, err, Checksum, "expected 0000", sum)

	o.Checksum, o.Lock = "", filepath.Join(t.TempDir(), LockFile)
	abs := must.Get(filepath.Abs(os.Args[0]))(t)
	for _, c := range []struct {
		sum string
		ok  bool
	}{{sum, true}, {strings.Repeat("a", 64), false}} {
		must.Do(t, WriteLock(o.Lock, []Locked{{Path: abs, Name: "probe", Version: "0.1.0", SHA256: c.sum}}))
		h, err := Open(ctx, o)
		if (err == nil) != c.ok {
			t.Errorf("locked to %s: %v", c.sum, err)
		}
		if err == nil {
			h.Close()
		}
	}
	must.Do(t, os.WriteFile(o.Lock, []byte(`{"plugins":[{"path":"x","sha256":"short"}]}`), 0o600))
	if _, err := Open(ctx, o); err == nil || !strings.Contains(err.Error(), "64 hexadecimal digits") {
		t.Error(err)
	}
}

func TestCancelledByCaller(t *testing.T) {
	tidy(t)
	h := open(t, probeOptions("hang-mask", t.TempDir()))
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := h.Mask(ctx, maskRequest(0, 4)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if h.Restarts() != 0 {
		t.Error("the caller's cancellation restarted the plugin")
	}
}

// An objective inside the host cannot be killed. After its caller has abandoned a call, it may
// still use the caller's request (the race detector watches) and the bound memory (a fault would
// show).
func TestGivenUpInproc(t *testing.T) {
	tidy(t)
	o := probeOptions("slow-targets", "")
	o.Mode = Inproc
	h := open(t, o)
	b := must.Get(h.Bind(context.Background(), layout(h)))(t)
	target := b.F32(RoleTarget, "target")
	target[0] = -1
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	r := Call{Step: 3, Seed: 1, SampleIDs: []uint64{5, 6, 7, 8}}
	if err := h.Targets(ctx, r); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v", err)
	}
	for i := range r.SampleIDs {
		r.SampleIDs[i] = 0
	}
	l := h.proc.local
	if l.calls.Load() != 1 {
		t.Fatal("the call ended before it was given up: the test proves nothing")
	}
	must.Do(t, h.Close())
	if n := l.calls.Load(); n != 0 {
		t.Errorf("%d calls are in progress after Close", n)
	}
}

func layout(o *Objective) Layout {
	return Layout{
		Views:   []Tensor{{Name: "image", Shape: []int{4, 3, 16, 16}}},
		Targets: []Tensor{{Name: "target", Shape: []int{4, 4}}},
		Inputs:  []Tensor{{Name: "x", Shape: []int{4, 9, 8}}},
		Params:  []Tensor{{Name: "weight", Shape: []int{4}}},
		Buffers: []Tensor{{Name: "center", Shape: []int{4}}},
	}
}

// evaluated holds all results of one Targets and one Evaluate.
type evaluated struct {
	loss                 float64
	target, dx, dw, next []float32
	offset               float64
}

func evaluateOnce(t *testing.T, h *Objective) (evaluated, error) {
	t.Helper()
	ctx := context.Background()
	b, err := h.Bind(ctx, layout(h))
	if err != nil {
		return evaluated{}, err
	}
	for name, role := range map[string]Role{"image": RoleView, "x": RoleInput, "weight": RoleParam, "center": RoleBuffer} {
		d := b.F32(role, name)
		if d == nil {
			t.Fatalf("no region %s", name)
		}
		for i := range d {
			d[i] = float32(i%17) * .25
		}
	}
	ids := []uint64{5, 6, 7, 8}
	if err := h.Targets(ctx, Call{Step: 3, Seed: 1, SampleIDs: ids}); err != nil {
		return evaluated{}, err
	}
	masks, err := h.Mask(ctx, &plan.MaskRequest{MicroBatch: 3, Seed: 1, SampleIDs: ids})
	if err != nil {
		return evaluated{}, err
	}
	r, err := h.Evaluate(ctx, EvaluateRequest{Call: Call{Step: 3, Seed: 1, SampleIDs: ids}, Gradients: true,
		Scalars: []Value{{Name: "scale", Value: 1.5}}, Masks: masks})
	if err != nil {
		return evaluated{}, err
	}
	if len(r.Updated) != 1 || r.Updated[0] != "center" {
		t.Errorf("updated %v", r.Updated)
	}
	clone := func(d []float32) []float32 { return append([]float32(nil), d...) }
	return evaluated{
		loss: r.Loss, offset: r.Metrics[0].Value,
		target: clone(b.F32(RoleTarget, "target")),
		dx:     clone(b.F32(RoleInputGradient, "x")),
		dw:     clone(b.F32(RoleParamGradient, "weight")),
		next:   clone(b.F32(RoleBufferUpdate, "center")),
	}, nil
}

// A loss computed in the plugin: in process, in a process, and in one that is killed in the middle
// with half of the gradients written. The bits are the same.
func TestEvaluate(t *testing.T) {
	tidy(t)
	var first evaluated
	for i, c := range []struct {
		mode     Mode
		probe    string
		restarts int
	}{{Inproc, "good", 0}, {Process, "good", 0}, {Process, "die-in-evaluate", 1}} {
		o := probeOptions(c.probe, t.TempDir())
		o.Mode = c.mode
		h := open(t, o)
		e, err := evaluateOnce(t, h)
		if err != nil {
			t.Fatalf("%s %s: %v", c.mode, c.probe, err)
		}
		if h.Restarts() != c.restarts {
			t.Errorf("%s %s: %d restarts, want %d", c.mode, c.probe, h.Restarts(), c.restarts)
		}
		if i == 0 {
			first = e
			if e.loss == 0 || e.dx[5] == 0 || e.dw[0] == 0 || e.next[1] != 1.25 || e.target[0] != 3 {
				t.Errorf("implausible: %+v", e)
			}
			continue
		}
		if e.loss != first.loss || e.offset != first.offset || !bitsEqual(e.target, first.target) || !bitsEqual(e.dx, first.dx) ||
			!bitsEqual(e.dw, first.dw) || !bitsEqual(e.next, first.next) {
			t.Errorf("%s %s: other bits than in process", c.mode, c.probe)
		}
	}
}

// A short batch after a full one is evaluated alone: 8 samples × 2 views after 16 × 2.
func TestEvaluateShortBatch(t *testing.T) {
	tidy(t)
	o := probeOptions("", "")
	o.Name, o.Config = "square", nil
	evaluatesShortBatch(t, o)
	o.Mode = Inproc
	evaluatesShortBatch(t, o)
}

// The same with the Python example's Memory, where Python and its gRPC packages are installed;
// VITTOOL_PYTHON names the interpreter, python3 unless set.
func TestEvaluateShortBatchPython(t *testing.T) {
	python, err := exec.LookPath(cmp.Or(os.Getenv("VITTOOL_PYTHON"), "python3"))
	if err == nil {
		err = exec.Command(python, "-c", "import grpc, grpc_tools").Run()
	}
	if err != nil {
		t.Logf("no Python with grpcio and grpcio-tools here (%v): the Python objective was not run", err)
		return
	}
	o := probeOptions("", "")
	o.Name, o.Config, o.Path, o.Args = "", nil, python, []string{filepath.Join("testdata", "square.py")}
	evaluatesShortBatch(t, o)
}

func evaluatesShortBatch(t *testing.T, o Options) {
	t.Helper()
	h := open(t, o)
	b, err := h.Bind(context.Background(), Layout{Inputs: []Tensor{{Name: "x", Shape: []int{32, 8}}}})
	if err != nil {
		t.Fatal(err)
	}
	evaluate := func(samples int, square float64) (*EvaluateReply, error) {
		x := b.F32(RoleInput, "x")[:2*samples*8]
		for i := range x {
			x[i] = float32(math.Sqrt(square))
		}
		return h.Evaluate(context.Background(), EvaluateRequest{Call: Call{SampleIDs: make([]uint64, samples)}, Gradients: true,
			Inputs: []Tensor{{Name: "x", Shape: []int{2 * samples, 8}}}})
	}
	for _, c := range []struct {
		samples int
		square  float64
	}{{16, .95}, {8, .05}, {1, .3}, {16, .7}} {
		r, err := evaluate(c.samples, c.square)
		if err != nil {
			t.Fatal(err)
		}
		if rows := float64(2 * c.samples); math.Abs(r.Loss-c.square) > 1e-6 || r.Metrics[0].Value != rows || r.Metrics[1].Value != rows {
			t.Errorf("%d samples: loss %g and rows %v, want %g and %g", c.samples, r.Loss, r.Metrics, c.square, rows)
		}
	}
	if _, err := evaluate(8, .05); err != nil {
		t.Fatal(err)
	}
	if left := b.F32(RoleInput, "x")[16*8]; left == left {
		t.Errorf("a row of the full batch is left behind a short one: %v", left)
	}
	h.desc.minor = 0 // as of a plugin that does not know of smaller batches
	if _, err := evaluate(16, .95); err != nil {
		t.Error(err)
	}
	_, err = evaluate(8, .05)
	wantError(t, err, Reply, "Evaluate", `"x"`, "[16 8]", "[32 8]", "train.drop_last=true")
}

func TestEvaluateFaults(t *testing.T) {
	tidy(t)
	for _, c := range []struct {
		mode  string
		kind  Kind
		parts []string
	}{
		{"no-gradient", Reply, []string{"Evaluate", "step 3", "gradient of", "not written"}},
		{"error", Returned, []string{"not possible today"}},
		{"write-constant", Crash, []string{"Evaluate", "3 retries", "fault"}},
	} {
		h := open(t, probeOptions(c.mode, t.TempDir()))
		_, err := evaluateOnce(t, h)
		wantError(t, err, c.kind, c.parts...)
	}
}

// A plugin starts also where the folder for temporary files has a long name, as on macOS.
func TestLongTemporaryFolder(t *testing.T) {
	for _, long := range []int{maxSocketPath - belowParent, maxSocketPath - belowParent + 1, 200} {
		parent := t.TempDir()
		dir := filepath.Join(parent, strings.Repeat("x", max(1, long-len(parent)-1)))
		must.Do(t, os.Mkdir(dir, 0o700))
		t.Setenv("TMPDIR", dir)
		o := probeOptions("", "")
		o.Name, o.Config = "mae", map[string]any{"decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2}
		open(t, o)
	}
}
