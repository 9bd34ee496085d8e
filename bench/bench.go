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

// Options say what is measured.
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
	// Memory, if not empty, is the executable of this program, which is started to
	// measure the peak memory of the training step.
	Memory string
	// Baseline is an earlier report whose kernels must not have been faster; nil:
	// there is none.
	Baseline *Report
	// Event hears what is being measured; nil: nobody does.
	Event func(string)
}

// Preset is the recipe of the step that is measured when nothing else is asked
// for: MAE with ViT-Ti/4 on 32-pixel images, batch 128.
const Preset = "mae-32"

// Overrides are the settings that make a recipe measurable, weaker than what a
// user says: a step is one batch, every step is told of, and the images are drawn
// once, at the size of CIFAR's, and kept. Drawing is the work of the demo and not
// of training; cropping, resizing and the rest are done anew in every step.
func Overrides() []string {
	return []string{"train.accumulate=1", "run.log_every=1", "data.path=demo:?count=512&size=32", "data.cache=256"}
}

// Run measures what o asks for.
func Run(ctx context.Context, o Options) (*Report, error) {
	if (o.PyTorch || o.Compiled) && o.Config.Train.Accumulate != 1 {
		return nil, &configs.Error{Key: "train.accumulate", Value: strconv.Itoa(o.Config.Train.Accumulate), Problem: "a step of PyTorch here is one batch",
			Hint: "set train.accumulate=1 to compare"}
	}
	event := o.Event
	if event == nil {
		event = func(string) {}
	}
	engine, err := device.NewCPU(o.Config.Run.Threads)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	event("measuring the machine's peak")
	r := &Report{Machine: Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: processor(), Cores: runtime.NumCPU(),
		Threads: engine.Threads(), Kernels: engine.Level(), Peak: engine.Peak()}}
	if o.Kernels {
		event("measuring kernels")
		if o.Baseline != nil {
			if err := r.Machine.comparable(o.Baseline.Machine); err != nil {
				return nil, err
			}
		}
		if r.Kernels, err = Kernels(ctx, engine, 7); err != nil {
			return nil, err
		}
		if o.Baseline != nil {
			event("measuring again what seems slower than in the baseline")
			if r.Slower, err = Against(ctx, engine, r.Kernels, o.Baseline); err != nil {
				return nil, err
			}
		}
	}
	if o.Loader {
		event("measuring the loader")
		if r.Loader, err = MeasureLoader(ctx, o.Config, o.Warmup, o.Rounds); err != nil {
			return nil, err
		}
		if r.Loader.NoPeer != "" {
			r.Notes = append(r.Notes, r.Loader.NoPeer)
		}
	}
	if o.Step {
		event("measuring a training step")
		if r.Step, err = MeasureStep(ctx, o.Config, o.Warmup, o.Rounds, engine.PeakNow); err != nil {
			return nil, err
		}
	}
	if o.Boundary {
		event("measuring the plugin boundary")
		if r.Boundary, err = MeasureBoundary(ctx, o.Config, o.Warmup, o.Rounds); err != nil {
			return nil, err
		}
	}
	if o.Attention {
		event("comparing attention with PyTorch")
		r.Attention, err = CompareAttention(ctx, engine, o.Warmup, o.Rounds)
		if errors.Is(err, ErrNoPyTorch) {
			r.Notes = append(r.Notes, err.Error())
		} else if err != nil {
			return nil, err
		}
	}
	if o.Memory != "" {
		event("measuring memory")
		if r.Memory, err = CompareMemory(ctx, o.Memory, o.Config, engine.Threads()); err != nil {
			return nil, err
		}
	}
	for _, compiled := range []bool{false, true} {
		if compiled && !o.Compiled || !compiled && !o.PyTorch {
			continue
		}
		event("comparing with PyTorch")
		c, err := Compare(ctx, o.Config, peerOf(o.Config, engine.Threads(), compiled), o.Warmup, o.Rounds)
		if errors.Is(err, ErrNoPyTorch) {
			r.Notes = append(r.Notes, err.Error())
			break
		}
		if err != nil {
			return nil, err
		}
		r.Comparison = append(r.Comparison, *c)
	}
	return r, nil
}

// peerOf is the same step for PyTorch.
func peerOf(cfg configs.Config, threads int, compiled bool) PyTorchOptions {
	o := PyTorchOptions{Model: cfg.Model.Name, Batch: cfg.Train.BatchSize, Threads: threads, Compiled: compiled}
	for i, key := range []string{"decoder_dim", "decoder_depth", "decoder_heads"} {
		if v, ok := cfg.Objective.Options[key].(int); ok {
			o.Decoder[i] = v
		}
	}
	return o
}

// processor is the name of the CPU, "" where the system does not say.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return ""
}
