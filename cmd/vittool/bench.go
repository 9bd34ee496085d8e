package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/bench"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/internal/edit"
)

// benchParts are the values of --only, the first five by default: torch.compile takes minutes, and
// memory matters for larger networks than the default one.
var benchParts = []string{"kernels", "loader", "step", "boundary", "pytorch", "attention", "memory", "compiled"}

type benchOptions struct {
	settings settings
	only     []string
	warmup   int
	rounds   int
	json     bool
	quiet    bool
	save     string
	against  string
}

func newBenchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench [key=value ...]",
		Short: "Measure the machine, the kernels and a whole training step",
		Long: `Measure, in one run: the peak of the cores, each kernel, reading images, a whole
training step with its data and its objective in a process of its own, the cost of
that process, and the same step in PyTorch and the same images in Pillow and
torchvision where Python with these is installed (VITTOOL_PYTHON names the
interpreter). Sides that are compared take turns.

The images that are read are a few hundred of data.path; for demo: they
are drawn and written as JPEG files, 500×375 pixels and 32×32.

--save keeps the figures in a file. --against compares the kernels with such a
file and fails when one of them is more than a tenth slower, measured in the FMA
peak of its own run; a kernel that seems slower is first measured again.

The step is that of preset ` + bench.Preset + ` unless --config says otherwise. PyTorch has
the step of mae with ViT-Ti/4 and ViT-B/16, and that of instdisc with ResNet-18 and
ResNet-50, in both layouts of maps; the part compiled is the same in torch.compile.`,
		Example: `  vittool bench
  vittool bench --only step,boundary --config mae-micro-32 --rounds 20
  vittool bench --only loader --data photographs/
  vittool bench --only pytorch --config ` + bench.ResNetPreset + ` train.batch_size=256
  vittool bench --only attention
  vittool bench --only memory --config mae-224 train.batch_size=8
  vittool bench --only kernels --save before.json
  vittool bench --only kernels --against before.json`,
		RunE: func(cmd *cobra.Command, args []string) error { return runBench(cmd, o, args) },
	}
	o.settings.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&o.only, "only", benchParts[:5], "parts to measure: "+strings.Join(benchParts, ", "))
	flags.IntVar(&o.warmup, "warmup", 2, "rounds that don't count")
	flags.IntVar(&o.rounds, "rounds", 10, "rounds that count")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "print the result only")
	flags.StringVar(&o.save, "save", "", "write the figures to this file as JSON")
	flags.StringVar(&o.against, "against", "", "compare the kernels with those of a saved file")
	jsonFlag(cmd, &o.json)
	return cmd
}

func runBench(cmd *cobra.Command, o benchOptions, overrides []string) error {
	baseline, err := o.check()
	if err != nil {
		return err
	}
	r, err := configs.Load(o.request(overrides))
	if err != nil {
		return err
	}
	if err := checkObjective(cmd.Context(), r); err != nil {
		return err
	}
	measures := func(part string) bool { return slices.Contains(o.only, part) }
	var program string
	if measures("memory") {
		if program, err = os.Executable(); err != nil {
			return err
		}
	}
	report, err := bench.Run(cmd.Context(), bench.Options{
		Config: *r.Config, Warmup: o.warmup, Rounds: o.rounds,
		Kernels: measures("kernels"), Loader: measures("loader"), Step: measures("step"), Boundary: measures("boundary"),
		PyTorch: measures("pytorch"), Compiled: measures("compiled"), Attention: measures("attention"), Memory: program,
		Baseline: baseline,
		Event: func(message string) {
			if !o.quiet {
				fmt.Fprintln(cmd.ErrOrStderr(), message)
			}
		},
	})
	if err != nil {
		return err
	}
	return o.write(cmd.OutOrStdout(), report)
}

// check refuses flags before any work, and returns the baseline that --against names, if any.
func (o *benchOptions) check() (*bench.Report, error) {
	for _, part := range o.only {
		if !slices.Contains(benchParts, part) {
			return nil, &usageError{fmt.Sprintf("--only %s is not one of its values", part), edit.Suggest(part, benchParts)}
		}
	}
	if o.warmup < 0 || o.rounds < 1 {
		return nil, &usageError{"--warmup must be at least 0 and --rounds at least 1", ""}
	}
	if err := checkNoCheckpoint("save", o.save); o.save != "" && err != nil {
		return nil, err
	}
	if o.against == "" {
		return nil, nil
	}
	if !slices.Contains(o.only, "kernels") {
		return nil, &usageError{"--against compares kernels, which --only leaves out", ""}
	}
	return bench.Load(o.against)
}

// request asks for the settings of the step, with those that make it measurable as the weakest.
func (o *benchOptions) request(overrides []string) configs.Request {
	req := o.settings.request(overrides)
	if len(req.Configs) == 0 {
		req.Configs = []string{bench.Preset}
	}
	var weakest []configs.Setting
	for _, s := range bench.Overrides() {
		key, value, _ := strings.Cut(s, "=")
		weakest = append(weakest, configs.Setting{Key: key, Value: value, Source: "bench"})
	}
	req.Flags = append(weakest, req.Flags...)
	return req
}

// write prints and saves the report; kernels that got slower are an error.
func (o *benchOptions) write(stdout io.Writer, report *bench.Report) error {
	write := report.WriteText
	if o.json {
		write = report.WriteJSON
	}
	if err := write(stdout); err != nil {
		return err
	}
	if o.save != "" {
		if err := report.Save(o.save); err != nil {
			return err
		}
	}
	if len(report.Slower) > 0 {
		return &bench.SlowerError{Kernels: report.Slower}
	}
	return nil
}
