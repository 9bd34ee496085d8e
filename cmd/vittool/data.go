package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/data"
)

func newDataCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "data",
		Short:   "Prepare images for training",
		Example: `  vittool data pack --data pictures/ --to pictures.pack --short-side 256`,
	},
		newDataPackCommand(),
	)
}

type packOptions struct {
	data      string
	to        string
	shortSide int
	workers   int
	quiet     bool
	json      bool
}

func newDataPackCommand() *cobra.Command {
	var o packOptions
	cmd := &cobra.Command{
		Use:   "pack [data.key=value ...]",
		Short: "Decode images once, for data that is read many times",
		Long: `Decode all images of a folder, list file or tar shards and write them to a folder
of their own, which every --data takes in place of the original: with the same
sample ids, names and classes, and without the work of decoding.

Without --short-side the pixels are those of the files, so training from the pack
gives the same weights, bit for bit. With it, images whose shorter side is longer
are shortened to it (bicubic, as Pillow does it): the pack becomes smaller and
faster, and other data than the files. Decoded images take more room than files:
width × height × 3 bytes each.

An interrupt keeps the shards that are finished, and the same command goes on from
there.`,
		Example: `  vittool data pack --data pictures/ --to pictures.pack
  vittool data pack --data train/ --to train-256.pack --short-side 256
  vittool pretrain --data train-256.pack --config mae-small-224`,
		RunE: func(cmd *cobra.Command, args []string) error { return runDataPack(cmd, o, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.data, "data", "", "folder of images, list file, tar shards, or demo: [data.path]")
	flags.StringVar(&o.to, "to", "", "folder to write, new or of an interrupted pack")
	flags.IntVar(&o.shortSide, "short-side", 0, "shorten images to this many pixels on their shorter side; 0 leaves them as they are")
	flags.IntVar(&o.workers, "workers", 0, "goroutines that decode images; 0 takes one for each core")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "print errors and the result only")
	jsonFlag(cmd, &o.json)
	return cmd
}

func runDataPack(cmd *cobra.Command, o packOptions, overrides []string) error {
	if o.to == "" {
		return required(cmd, "to", "pictures.pack")
	}
	const maxSide = 1 << 14
	if o.shortSide < 0 || o.shortSide > maxSide {
		return &usageError{fmt.Sprintf("--short-side %d is out of range", o.shortSide), fmt.Sprintf("valid is 1 to %d, or 0", maxSide)}
	}
	if o.workers < 0 {
		return &usageError{"--workers must be at least 0", ""}
	}
	for _, s := range overrides {
		if !strings.HasPrefix(s, "data.") {
			return &usageError{fmt.Sprintf("%s is not a setting of the data", s), "only data.key=value means something here"}
		}
	}
	req := configs.Request{Environ: os.Environ(), Overrides: overrides}
	if o.data != "" {
		req.Flags = append(req.Flags, configs.Setting{Key: "data.path", Value: o.data, Source: "flag --data"})
	}
	resolved, err := configs.Load(req)
	if err != nil {
		return err
	}
	d := resolved.Config.Data
	if resolved.Sources["data.path"] == "" {
		return required(cmd, "data", "pictures/")
	}
	stderr := cmd.ErrOrStderr()
	note := func(message string) {
		if !o.quiet {
			fmt.Fprintln(stderr, message)
		}
	}
	source, err := data.Open(data.Options{Path: d.Path, Channels: d.Channels, MaxPixels: int64(d.MaxPixels), Note: note})
	if err != nil {
		return err
	}
	defer source.Close()
	counter := ui.NewCounter(stderr, !o.quiet && isTerminal(stderr), "packing", source.Len())
	defer counter.Close()
	report, err := data.Pack(cmd.Context(), source, o.to, data.PackOptions{
		ShortSide: o.shortSide, Workers: o.workers, OnError: data.OnError(d.OnError), MaxFailed: d.MaxFailed,
		Progress: counter.Set,
		OnSkip: func(_ int, path string, err error) {
			counter.Clear()
			if !o.quiet {
				leftOut(stderr)(path, err)
			}
		},
	})
	if err != nil {
		return err
	}
	counter.Close()
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), report)
	}
	text := fmt.Sprintf("%s: %d images, %s", o.to, report.Images, ui.Count(float64(report.Bytes), "B"))
	for _, part := range []struct {
		n     int
		label string
	}{{report.Shortened, "shortened"}, {report.Skipped, "that can't be read"}, {report.Resumed, "from an earlier start"}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %d %s", part.n, part.label)
		}
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}
