package bench

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
)

// Options select the measurements.
type Options struct {
	Config   configs.Config // the training step
	Warmup   int            // rounds that are not counted
	Rounds   int            // rounds that are
	Kernels  bool
	Loader   bool // reading images, and the same in Pillow and torchvision
	Step     bool
	Boundary bool
	PyTorch  bool // compare with PyTorch, eager
	Compiled bool // and with torch.compile
	// Attention compares attention alone with PyTorch's.
	Attention bool
	// Memory, if not empty, is the executable of this program, which is started to measure the peak
	// memory of the training step.
	Memory string
	// Baseline is an earlier report whose kernels must not have been faster; nil: there is none.
	Baseline *Report
	// Event is called with the name of each measurement before it starts; may be nil.
	Event func(string)
}

// Preset is the recipe of the measured step without --config: MAE with ViT-Ti/4 on 32-pixel images,
// batch 128.
const Preset = "mae-32"

// ResNetPreset is the recipe to compare residual networks with.
const ResNetPreset = "instdisc-resnet18-32"

// Overrides are the settings that make a recipe measurable, weaker than those of the command line:
// a step is one batch, every step is reported, and the images are drawn once, at the size of
// CIFAR's, and kept. Drawing is the work of the demo and not of training; cropping, resizing and
// the rest are done anew in every step.
func Overrides() []string {
	return []string{"train.accumulate=1", "run.log_every=1", "data.path=demo:?count=512&size=32", "data.cache=256"}
}

// Run takes the selected measurements in the order of the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	if (o.PyTorch || o.Compiled) && o.Config.Train.Accumulate != 1 {
		return nil, &configs.Error{Key: "train.accumulate", Value: strconv.Itoa(o.Config.Train.Accumulate), Problem: "a step of PyTorch here is one batch",
			Hint: "set train.accumulate=1 to compare"}
	}
	if o.Event == nil {
		o.Event = func(string) {}
	}
	dev, err := device.NewCPU(o.Config.Run.Threads)
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	o.Event("measuring the machine's peak")
	r := &Report{Machine: Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: procField("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(),
		Threads: dev.Threads(), Kernels: dev.Level(), Peak: dev.Peak()}}
	for _, part := range []struct {
		wanted  bool
		event   string
		measure func() error
	}{
		{o.Kernels, "measuring kernels", func() error { return r.kernels(ctx, o, dev) }},
		{o.Loader, "measuring the loader", func() error { return r.loader(ctx, o) }},
		{o.Step, "measuring a training step", func() (err error) {
			r.Step, err = MeasureStep(ctx, o.Config, o.Warmup, o.Rounds, dev.PeakNow)
			return err
		}},
		{o.Boundary, "measuring the plugin boundary", func() (err error) {
			r.Boundary, err = MeasureBoundary(ctx, o.Config, o.Warmup, o.Rounds)
			return err
		}},
		{o.Attention, "comparing attention with PyTorch", func() (err error) {
			r.Attention, err = CompareAttention(ctx, dev, o.Warmup, o.Rounds)
			return err
		}},
		{o.Memory != "", "measuring memory", func() (err error) {
			r.Memory, err = CompareMemory(ctx, o.Memory, o.Config, dev.Threads())
			return err
		}},
		{o.PyTorch || o.Compiled, "comparing with PyTorch", func() error { return r.pytorch(ctx, o, dev) }},
	} {
		if !part.wanted {
			continue
		}
		o.Event(part.event)
		if err := part.measure(); errors.Is(err, ErrNoPyTorch) {
			r.Notes = append(r.Notes, err.Error())
		} else if err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Report) kernels(ctx context.Context, o Options, dev *device.CPU) (err error) {
	if o.Baseline != nil {
		if err := r.Machine.comparable(o.Baseline.Machine); err != nil {
			return err
		}
	}
	if r.Kernels, err = Kernels(ctx, dev, 7); err != nil || o.Baseline == nil {
		return err
	}
	o.Event("measuring kernels again that seem slower than in the baseline")
	r.Slower, err = Against(ctx, dev, r.Kernels, o.Baseline)
	return err
}

func (r *Report) loader(ctx context.Context, o Options) (err error) {
	if r.Loader, err = MeasureLoader(ctx, o.Config, o.Warmup, o.Rounds); err != nil {
		return err
	}
	if r.Loader.NoPeer != "" {
		r.Notes = append(r.Notes, r.Loader.NoPeer)
	}
	return nil
}

// procField returns the text behind a name at the beginning of a line of a file in /proc; "" where
// there is none.
func procField(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(strings.TrimLeft(text, "\t :"))
		}
	}
	return ""
}
