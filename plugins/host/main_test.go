package host

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/plugintest"
	"github.com/vittool/vittool/plugins/sdk"
)

// TestMain lets the test binary be the plugin: started with the arguments of a built-in it serves
// one, and "misbehave HOW" is a third-party program with that fault.
func TestMain(m *testing.M) {
	if args := os.Args[1:]; len(args) == 2 && args[0] == "misbehave" {
		misbehave(args[1])
		return
	} else if len(args) == 1 && args[0] == "be-a-host" {
		beAHost()
		return
	}
	plugintest.Main(m, ServeArgs, builtin, nil)
}

// builtin adds the test objectives to the real ones.
func builtin(name string) (sdk.Objective, error) {
	switch name {
	case "probe":
		return &probe{Mode: "good"}, nil
	case "square":
		return &square{}, nil
	}
	return objectives.New(name)
}

// probe is an objective with every capability, whose Mode makes it fail in many ways.
type probe struct {
	Mode string `option:"mode" help:"how it behaves"`
	Dir  string `option:"dir" help:"a folder that outlives the process, for counting attempts"`
	run  sdk.Run
}

func (o *probe) Info() sdk.Info {
	return sdk.Info{Name: "probe", Version: "0.1.0", Summary: "a test objective"}
}

func (o *probe) Plan(b *sdk.Builder) error {
	o.run = b.Run()
	switch o.Mode {
	case "hang-open":
		time.Sleep(time.Hour)
	case "panic-open":
		panic("no plan today")
	case "refuse":
		return fmt.Errorf("mode refuse cannot be trained")
	case "exit-open":
		os.Exit(7)
	case "changing-plan":
		if o.first("plan") {
			b.Schedule("only-once", sdk.ConstantSchedule(1))
		}
	}
	view := b.View("image")
	mask := b.KeepMask("mask", view, view.Patches()/2, o.mask)
	target := b.Target("target", view, sdk.F32, 4)
	tokens := b.Student("encoder", view, sdk.DropMasked(mask)).Tokens()
	weight := b.Param("weight", []int{4}, sdk.InitZeros())
	center := b.Buffer(sdk.BufferSpec{Name: "center", Shape: []int{4}})
	scale := b.Schedule("scale", sdk.CosineSchedule(1, 2))
	loss := b.Evaluate([]sdk.EvaluateInput{{Name: "x", Value: tokens, Gradient: true}},
		sdk.Training(weight), sdk.Keeping(center, true), sdk.Reading(target), sdk.ReadingMasks(mask), sdk.ReadingScalars(scale), sdk.Scratch(1000))
	return b.Minimize(loss)
}

// first reports whether an event of this name happens for the first time, over all processes.
func (o *probe) first(event string) bool {
	f, err := os.OpenFile(filepath.Join(o.Dir, event), os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		f.Close()
	}
	return err == nil
}

func (o *probe) mask(c *sdk.MaskCall, i int, keep []int32) {
	if i == 0 {
		switch o.Mode {
		case "die-in-mask":
			if o.first("died") {
				fmt.Fprintln(os.Stderr, "about to die in Mask")
				die()
			}
		case "always-die-in-mask":
			fmt.Fprintln(os.Stderr, "about to die in Mask")
			die()
		case "changing-plan":
			die()
		case "hang-mask":
			if o.first("hung") {
				time.Sleep(time.Hour)
			}
		case "panic-mask":
			panic("bad mask")
		case "print":
			fmt.Println("a line on standard output")
			fmt.Fprintln(os.Stderr, "a line on standard error")
		case "slow-mask":
			time.Sleep(20 * time.Millisecond)
		}
	}
	sdk.RandomKeep(c.RNG(i), 2*len(keep), keep)
	switch o.Mode {
	case "duplicate":
		keep[1] = keep[0]
	case "range":
		keep[1] = 99
	}
}

func (o *probe) Targets(c *sdk.TargetsCall) error {
	if o.Mode == "slow-targets" {
		time.Sleep(50 * time.Millisecond)
	}
	v, err := c.View("image")
	if err != nil {
		return err
	}
	t, err := c.Target("target")
	if err != nil {
		return err
	}
	n := len(v.F32) / len(c.Samples)
	for i := range c.Samples {
		for j := range 4 {
			t.F32[4*i+j] = v.F32[i*n+j] + float32(c.Step)
		}
	}
	return nil
}

// Evaluate: loss = scale * sum((x + sum(weight) - target[0])^2), with gradients; the new center is
// the old one plus one. Half way it may die with garbage written.
func (o *probe) Evaluate(c *sdk.EvaluateCall) (float64, map[string]float64, error) {
	a, err := plugintest.Arrays(plugintest.Named(c.Input, "x"), plugintest.Named(c.InputGradient, "x"),
		plugintest.Named(c.Param, "weight"), plugintest.Named(c.ParamGradient, "weight"), plugintest.Named(c.Target, "target"), plugintest.Named(c.Buffer, "center"))
	if err != nil {
		return 0, nil, err
	}
	x, dx, w, dw, target, center := a[0], a[1], a[2], a[3], a[4], a[5]
	scale, err := c.Scalar("scale")
	if err != nil {
		return 0, nil, err
	}
	if _, err := c.Mask("mask"); err != nil {
		return 0, nil, err
	}
	if scratch, err := c.Scratch(); err != nil || len(scratch) != 1000 {
		return 0, nil, fmt.Errorf("scratch: %d bytes, %v", len(scratch), err)
	}
	switch o.Mode {
	case "write-constant": // the memory is read-only: a segmentation fault
		w[0] = 1
	case "die-in-evaluate":
		if o.first("died") {
			for i := range dx {
				dx[i] = 12345
			}
			die()
		}
	case "no-gradient":
		return 1, nil, nil
	case "error":
		return 0, nil, fmt.Errorf("evaluate is not possible today")
	}
	offset := float64(-target[0])
	for _, v := range w {
		offset += float64(v)
	}
	loss, sum := 0., 0.
	for i, v := range x {
		d := float64(v) + offset
		loss += scale * d * d
		dx[i] = float32(2 * scale * d)
		sum += 2 * scale * d
	}
	for i := range dw {
		dw[i] = float32(sum)
	}
	up, err := c.Update("center")
	if err != nil {
		return 0, nil, err
	}
	for i := range center {
		up.F32[i] = center[i] + 1
	}
	return loss, map[string]float64{"offset": offset}, nil
}

// square has the loss mean(x²) over the class tokens of two views.
type square struct{}

func (*square) Info() sdk.Info {
	return sdk.Info{Name: "square", Version: "0.1.0", Summary: "a test objective"}
}

func (*square) Plan(b *sdk.Builder) error {
	x := b.Student("encoder", b.View("one"), sdk.With(b.View("two"))).Class()
	return b.Minimize(b.Evaluate([]sdk.EvaluateInput{{Name: "x", Value: x, Gradient: true}}))
}

func (*square) Evaluate(c *sdk.EvaluateCall) (float64, map[string]float64, error) {
	loss, err := plugintest.MeanSquare(c)
	if err != nil {
		return 0, nil, err
	}
	x, _ := c.Input("x")
	dx, _ := c.InputGradient("x")
	return loss, map[string]float64{"rows": float64(x.Shape[0]), "gradients": float64(dx.Shape[0])}, nil
}

// die kills its own process with SIGKILL: no handler, no flush.
func die() {
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {}
}

// misbehave is a program that is no proper plugin.
func misbehave(how string) {
	lines := map[string]string{
		"noise": "Hello! Loading the model ...", "version": "1|99|unix|/nonexistent|grpc|", "core": "7|1|unix|/nonexistent|grpc|",
		"netrpc": "1|1|unix|/nonexistent|netrpc|", "tcp": "1|1|tcp|127.0.0.1:1|grpc|", "empty-line": "",
		"version-x": "1|x|unix|/nonexistent|grpc|", "no-listener": "1|1|unix|/nonexistent|grpc|",
	}
	switch how {
	case "exit":
		fmt.Fprintln(os.Stderr, "libmissing.so: cannot open shared object file")
		os.Exit(3)
	case "killed":
		die()
	case "good":
		sdk.Serve(&probe{Mode: "good"})
	case "huge":
		sdk.Serve(&huge{})
	case "hang":
		time.Sleep(time.Minute)
	default:
		if line, ok := lines[how]; ok {
			fmt.Println(line)
			time.Sleep(time.Minute)
		}
	}
}

// huge answers Mask with a message over the limit.
type huge struct{}

func (*huge) Info() sdk.Info { return sdk.Info{Name: "huge", Version: "1.0.0"} }
func (*huge) Plan(b *sdk.Builder) error {
	view := b.View("image")
	b.Indices("many", view, 1<<23, 1<<30, func(c *sdk.MaskCall, i int, out []int32) {
		for j := range out {
			out[j] = 1<<30 - 1
		}
	})
	return b.Minimize(b.Mean(b.Student("encoder", view).Tokens()))
}

// beAHost opens an objective, prints the plugin's process id and waits to be killed.
func beAHost() {
	o, err := Open(context.Background(), probeOptions("slow-mask", os.Getenv("PROBE_DIR")))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("plugin", o.PID())
	for step := uint64(0); ; step++ {
		if _, err := o.Mask(context.Background(), maskRequest(step, 4)); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
}

func backbone() plan.Backbone {
	return plan.Backbone{Name: "vit_test", Family: "vit", Dim: 8, Depth: 2, Heads: 2, Patch: 4, Height: 16, Width: 16,
		Channels: 3, PrefixTokens: 1, LayerNormEps: 1e-6}
}

func probeOptions(mode, dir string) Options {
	return Options{
		Name: "probe", Builtin: builtin, Config: map[string]any{"mode": mode, "dir": dir},
		Run:          Run{Seed: 1, Batch: 4, Steps: 100, StepsPerEpoch: 10, DatasetSize: 40, Backbone: backbone()},
		CallDeadline: 20 * time.Second,
	}
}

func maskRequest(step uint64, samples int) *plan.MaskRequest {
	r := &plan.MaskRequest{MicroBatch: step, Seed: 1}
	for i := range samples {
		r.SampleIDs = append(r.SampleIDs, step*uint64(samples)+uint64(i))
	}
	return r
}

func sameMasks(a, b []plan.MaskSet) bool {
	return slices.EqualFunc(a, b, func(x, y plan.MaskSet) bool {
		return x.Name == y.Name && slices.Equal(x.Values, y.Values) && bytes.Equal(x.Bitmap, y.Bitmap)
	})
}

// syncBuffer is a log that several goroutines may write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// tidy gives the test a temporary folder of its own for sockets and checks in the end that nothing
// is left in it.
func tidy(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "vt") // short: a unix socket's path has at most 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left in the temporary folder: %v, %v", left, err)
		}
		os.RemoveAll(dir)
	})
}

func open(t *testing.T, o Options) *Objective {
	t.Helper()
	h := must.Get(Open(context.Background(), o))(t)
	t.Cleanup(func() { h.Close() })
	return h
}

func wantError(t *testing.T, err error, kind Kind, parts ...string) {
	t.Helper()
	pe, ok := err.(*PluginError)
	if !ok {
		t.Fatalf("error %T %v, want a *PluginError", err, err)
	}
	if pe.Kind != kind {
		t.Errorf("kind %v, want %v: %v", pe.Kind, kind, err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("message without %q:\n%v", p, err)
		}
	}
}

func bitsEqual(a, b []float32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return false
		}
	}
	return true
}
