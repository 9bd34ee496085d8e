package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/objectives"
)

// A Comparison is the same step of training here and in PyTorch, in one of PyTorch's variants.
// Processor time is that of all threads of a side's process; unlike the clock it leaves out
// neighbors on the machine.
type Comparison struct {
	Model     string  `json:"model"`
	Batch     int     `json:"batch"`
	Peer      string  `json:"peer"`
	Threads   int     `json:"threads"`
	Ours      Summary `json:"vittool_seconds"`
	Theirs    Summary `json:"peer_seconds"`
	Ratio     Summary `json:"ratio"` // theirs over ours: how many times faster we are
	OursCPU   Summary `json:"vittool_cpu_seconds"`
	TheirsCPU Summary `json:"peer_cpu_seconds"`
	RatioCPU  Summary `json:"cpu_ratio"`
	Best      bool    `json:"best"` // the peer's variant with the fastest step, which the rest of the machine disturbed least
}

// side is a side of a comparison that notes the processor time of its steps beside.
type side struct {
	name string
	step func(context.Context) (wall, cpu time.Duration, err error)
	cpu  Series
}

func (s *side) Name() string { return s.name }

func (s *side) Step(ctx context.Context) (time.Duration, error) {
	wall, cpu, err := s.step(ctx)
	s.cpu = append(s.cpu, cpu.Seconds())
	return wall, err
}

// Compare runs cfg and variants of the peer in turn. A variant that PyTorch can't compute is left
// out, with a note in the place of its comparison.
func Compare(ctx context.Context, cfg configs.Config, o PyTorchOptions, variants []Variant, warmup, rounds int) (out []Comparison, notes []string, err error) {
	peer, err := StartPyTorch(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, peer.Close()) }()
	t, err := StartTraining(ctx, "vittool", cfg)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	sides := []*side{{name: t.Name(), step: func(ctx context.Context) (time.Duration, time.Duration, error) {
		start := cpuTime()
		wall, err := t.Step(ctx)
		return wall, cpuTime() - start, err
	}}}
	for _, v := range variants {
		name := strings.Join(append([]string{peer.Name()}, v.words()...), ", ")
		if v.Compiled {
			if _, _, err := peer.Step(v); err != nil { // the first step compiles
				notes = append(notes, name+": "+err.Error())
				continue
			}
		}
		sides = append(sides, &side{name: name, step: func(context.Context) (time.Duration, time.Duration, error) { return peer.Step(v) }})
	}
	if len(sides) == 1 {
		return nil, notes, nil
	}
	steppers := make([]Stepper, len(sides))
	for i, s := range sides {
		steppers[i] = s
	}
	wall, err := Interleave(ctx, warmup, rounds, steppers...)
	if err != nil {
		return nil, notes, err
	}
	best := 1
	ours := sides[0].cpu[warmup:]
	for i, s := range sides[1:] {
		theirs := s.cpu[warmup:]
		if wall[1+i].Min() < wall[best].Min() {
			best = 1 + i
		}
		out = append(out, Comparison{Model: o.Model, Batch: o.Batch, Peer: s.name, Threads: peer.Info.Threads,
			Ours: wall[0].Summary(), Theirs: wall[1+i].Summary(), Ratio: wall[1+i].Over(wall[0]).Summary(),
			OursCPU: ours.Summary(), TheirsCPU: theirs.Summary(), RatioCPU: theirs.Over(ours).Summary()})
	}
	out[best-1].Best = true
	return out, notes, nil
}

// pytorch compares the step with PyTorch's: eager, compiled, or both, and for networks of
// convolutions in both layouts of maps.
func (r *Report) pytorch(ctx context.Context, o Options, dev *device.CPU) error {
	peer, err := peerOf(o.Config, dev.Threads())
	if err != nil {
		return err
	}
	var variants []Variant
	for _, compiled := range []bool{false, true} {
		if compiled && !o.Compiled || !compiled && !o.PyTorch {
			continue
		}
		variants = append(variants, Variant{Compiled: compiled})
		if peer.Bank > 0 {
			variants = append(variants, Variant{Compiled: compiled, ChannelsLast: true})
		}
	}
	comparisons, notes, err := Compare(ctx, o.Config, peer, variants, o.Warmup, o.Rounds)
	r.Comparison, r.Notes = append(r.Comparison, comparisons...), append(r.Notes, notes...)
	return err
}

// peerOf is the same step for PyTorch: a masked autoencoder, or a residual network with the
// objective of ResNetPreset, whose step is one pass of one view.
func peerOf(cfg configs.Config, threads int) (PyTorchOptions, error) {
	o := PyTorchOptions{Model: cfg.Model.Name, Batch: cfg.Train.BatchSize, Threads: threads}
	network, err := cfg.Backbone()
	if err != nil {
		return o, err
	}
	if len(network.Info().StageDims) == 0 {
		for i, key := range []string{"decoder_dim", "decoder_depth", "decoder_heads"} {
			if v, ok := cfg.Objective.Options[key].(int); ok {
				o.Decoder[i] = v
			}
		}
		return o, nil
	}
	recipe, err := configs.Load(configs.Request{Presets: objectives.Presets(), Configs: []string{ResNetPreset}})
	if err != nil {
		return o, err
	}
	if name := recipe.Config.Objective.Name; cfg.Objective.Name != name {
		return o, &configs.Error{Key: "objective.name", Value: cfg.Objective.Name, Problem: "the step of a residual network in PyTorch is that of " + name,
			Hint: "take --config " + ResNetPreset}
	}
	if negatives, ok := cfg.Objective.Options["negatives"].(int); !ok || negatives != 0 {
		return o, &configs.Error{Key: "objective.options.negatives", Value: fmt.Sprint(cfg.Objective.Options["negatives"]),
			Problem: "the step of PyTorch has the softmax over all images", Hint: "set objective.options.negatives=0 to compare"}
	}
	height, width := cfg.Model.Size()
	if height != width {
		return o, &configs.Error{Key: "model.image_size", Value: fmt.Sprintf("%dx%d", height, width), Problem: "images of the step of PyTorch are square",
			Hint: "choose one number"}
	}
	o.Image, o.Width = width, cfg.Model.Width
	source, err := data.Open(data.Options{Path: cfg.Data.Path, Channels: cfg.Data.Channels})
	if err != nil {
		return o, err
	}
	defer source.Close()
	o.Bank = source.Len()
	return o, nil
}

// writeComparison writes the variants of one session.
func writeComparison(w io.Writer, list []Comparison) {
	c := list[0]
	fmt.Fprintf(w, "\na step of %s, batch %d, %d threads, %d steps of each in turn (seconds: minimum / median / maximum)\n", c.Model, c.Batch, c.Threads, c.Ratio.Count)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\ttime\ttimes faster\tprocessor time\ttimes less\t\n")
	fmt.Fprintf(t, "vittool\t%s\t\t%s\t\t\n", c.Ours.Format("%.3f"), c.OursCPU.Format("%.3f"))
	for _, c := range list {
		mark := ""
		if c.Best && len(list) > 1 {
			mark = "fastest variant"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Peer, c.Theirs.Format("%.3f"), c.Ratio.Format("%.2f"), c.TheirsCPU.Format("%.3f"), c.RatioCPU.Format("%.2f"), mark)
	}
	t.Flush() // into a strings.Builder, which takes everything
}
