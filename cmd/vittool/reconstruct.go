package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tasks"
	"github.com/vittool/vittool/tasks/pictures"
)

type reconstructOptions struct {
	from    string
	data    string
	to      string
	count   int
	seed    int
	threads int
	// statistics of normalized patches
	statistics string
	json       bool
}

func newReconstructCommand() *cobra.Command {
	var o reconstructOptions
	cmd := &cobra.Command{
		Use:   "reconstruct",
		Short: "Draw a network's predictions of masked parts of images",
		Long: `Draw images as the objective of a run shows them to its network: a row for each
with the input, the visible part, the prediction, and both together. It needs a
checkpoint of the run: an exported backbone has no decoder.

Some networks predict patches of normalized brightness and contrast. Those of a masked
patch are estimated from the visible patches near it. With --patch-statistics original
they come from the masked patch itself, as in MAE's own demo: even an untrained network
then draws a likeness of the image.`,
		Example: `  vittool reconstruct --from runs/pictures --to reconstruction.png
  vittool reconstruct --from runs/pictures --data holiday/ --count 16 --seed 3 --to holiday.png`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runReconstruct(cmd, o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.from, "from", "", "run folder or checkpoint")
	flags.StringVar(&o.data, "data", "", "folder of images, a single image, list file, or demo:; the run's own images when left out")
	flags.StringVar(&o.to, "to", "", "PNG file to write")
	flags.IntVar(&o.count, "count", 8, "images, spread evenly over the data")
	flags.IntVar(&o.seed, "seed", 0, "seed of the choice of masked parts")
	flags.StringVar(&o.statistics, "patch-statistics", string(tasks.VisibleStatistics), "brightness and contrast of predicted patches: visible (estimated from visible patches) or original (taken from the masked ones)")
	flags.IntVar(&o.threads, "threads", 0, "threads of the kernels; 0 takes every core")
	jsonFlag(cmd, &o.json)
	return cmd
}

func runReconstruct(cmd *cobra.Command, o reconstructOptions) error {
	switch {
	case o.from == "":
		return required(cmd, "from", "runs/pictures")
	case o.count < 1 || o.count > 1000 || o.seed < 0 || o.threads < 0:
		return &usageError{"--count must be 1 to 1000, --seed and --threads at least 0", ""}
	}
	if !slices.Contains([]tasks.PatchStatistics{tasks.VisibleStatistics, tasks.OriginalStatistics}, tasks.PatchStatistics(o.statistics)) {
		return &usageError{fmt.Sprintf("--patch-statistics %s is not one of its values", o.statistics), "valid are visible and original"}
	}
	if err := checkTarget(cmd, o.to, []string{o.from, o.data}, ".png", "reconstruction.png"); err != nil {
		return err
	}
	stderr := cmd.ErrOrStderr()
	run, err := tasks.OpenRun(o.from, passedOver(stderr))
	if err != nil {
		return err
	}
	if o.data != "" {
		run.Config.Data.Path = o.data
	}
	dev, err := newDevice(o.threads)
	if err != nil {
		return err
	}
	defer dev.Close()
	results, err := reconstruct(cmd.Context(), run, dev, tasks.ReconstructOptions{
		Count: o.count, Seed: uint64(o.seed), Statistics: tasks.PatchStatistics(o.statistics),
		OnSkip: leftOut(stderr),
	})
	if err != nil {
		return err
	}
	var written []writtenPicture
	for i, r := range results {
		path := o.to
		if i > 0 { // an objective may predict several
			path = strings.TrimSuffix(o.to, ".png") + "-" + r.Name + ".png"
		}
		if err := pictures.WritePNG(path, r.Grid); err != nil {
			return err
		}
		written = append(written, newWrittenPicture(path, r))
	}
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), written)
	}
	for _, w := range written {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s after step %d, %s\nimages %s; %s\n", w.File, w.Name, run.Step, w.errors(), w.Input.view(), w.Input.norm()); err != nil {
			return err
		}
	}
	return nil
}

// writtenPicture is the result for one picture.
type writtenPicture struct {
	Name      string  `json:"name"`
	File      string  `json:"file"`
	Error     float64 `json:"error"`
	ErrorUnit string  `json:"error_unit"`
	// FlatError is the error of the statistics alone; it and Statistics are those of normalized
	// patches.
	FlatError  *float64    `json:"flat_error,omitempty"`
	Statistics string      `json:"patch_statistics,omitempty"`
	Input      inputResult `json:"input"`
}

func newWrittenPicture(path string, r tasks.Reconstruction) writtenPicture {
	w := writtenPicture{Name: r.Name, File: path, Error: r.Error, ErrorUnit: "root mean square over all pixels, in levels of 0 to 255",
		Input: inputResultOf(r.Normalization, r.Height, r.Width, r.Fitting)}
	if r.Masked {
		w.ErrorUnit = "root mean square over masked pixels, in levels of 0 to 255"
	}
	if !math.IsNaN(r.FlatError) {
		w.FlatError, w.Statistics = &r.FlatError, string(r.Statistics)
	}
	return w
}

func (w *writtenPicture) errors() string {
	text := fmt.Sprintf("error %.1f (%s)", w.Error, w.ErrorUnit)
	if w.FlatError != nil {
		text += fmt.Sprintf("; flat patches with %s statistics: %.1f", w.Statistics, *w.FlatError)
	}
	return text
}

// reconstruct draws images of the run's data.
func reconstruct(ctx context.Context, run *tasks.Run, dev *device.CPU, o tasks.ReconstructOptions) ([]tasks.Reconstruction, error) {
	d := run.Config.Data
	src, err := tasks.OpenImages(data.Options{Path: d.Path, Channels: d.Channels, MaxPixels: int64(d.MaxPixels)})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	o.Images = src
	return run.Reconstruct(ctx, dev, o)
}

// pictureDrawer draws the pictures of a run in progress: the loss curve and, for objectives that
// predict images, predictions.
func pictureDrawer(ctx context.Context, cfg *configs.Config) func(runDir string, step int) error {
	return func(runDir string, step int) error {
		if _, err := drawCurve(runDir); err != nil {
			return fmt.Errorf("draw loss curve: %w", err)
		}
		run, err := tasks.OpenRun(runDir, nil)
		if err != nil {
			return err
		}
		dev, err := device.NewCPU(cfg.Run.Threads)
		if err != nil {
			return err
		}
		defer dev.Close()
		// A second process would only be started to be stopped again.
		results, err := reconstruct(ctx, run, dev, tasks.ReconstructOptions{Mode: host.Inproc})
		if errors.Is(err, tasks.ErrNoPicture) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, r := range results {
			path := filepath.Join(runDir, runs.PicturesDir, fmt.Sprintf("%s-%08d.png", r.Name, step))
			if err := pictures.WritePNG(path, r.Grid); err != nil {
				return err
			}
		}
		return nil
	}
}
