package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/tasks"
	"github.com/vittool/vittool/train"
)

// featureOptions are the flags of every command that computes features.
type featureOptions struct {
	from        fromOptions
	pool        string
	blocks      []int
	batchSize   int
	workers     int
	threads     int
	view        viewOptions
	failOnError bool
	output      outputOptions
}

func (o *featureOptions) addFlags(cmd *cobra.Command) {
	o.from.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.pool, "pool", "", fmt.Sprintf("tokens that a feature is made of, %s; empty takes those that the run's objective recommends, or else %s", poolNames(), tasks.PoolMean))
	flags.IntSliceVar(&o.blocks, "blocks", nil, "blocks of a transformer whose tokens, or stages of a residual network whose maps, make the feature, side by side: 0 is the first, -1 the last (for instance -4,-3,-2,-1); none takes the last, and of eval linear as many of the last as the run's objective recommends")
	flags.IntVar(&o.batchSize, "batch-size", 64, "images at a time; the features don't depend on it")
	flags.IntVar(&o.workers, "workers", 0, "goroutines that decode images; 0 takes one for each core")
	flags.IntVar(&o.threads, "threads", 0, "threads of the kernels; 0 takes every core")
	o.view.addFlags(cmd)
	flags.BoolVar(&o.failOnError, "fail-on-error", false, "stop at the first image that can't be read instead of leaving it out")
	o.output.addFlags(cmd)
}

func poolNames() string {
	var names []string
	for _, p := range tasks.Pools() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// check refuses values before any image is read.
func (o *featureOptions) check() error {
	switch {
	case o.pool != "" && !slices.Contains(tasks.Pools(), tasks.Pool(o.pool)):
		return &usageError{fmt.Sprintf("--pool %s is not one of its values", o.pool), "valid are: " + poolNames()}
	case o.batchSize < 1 || o.workers < 0 || o.threads < 0:
		return &usageError{"--batch-size must be at least 1; --workers and --threads at least 0", ""}
	}
	return o.view.check()
}

// extractor computes features of folders with one model.
type extractor struct {
	model   *tasks.Model
	data    configs.Data
	blocks  []int         // counted from either end; none: the last
	fitting *data.Fitting // nil: as the model wants it
	device  *device.CPU
	options *featureOptions
	stderr  io.Writer
}

// open loads the model; the caller closes the extractor.
func (o *featureOptions) open(cmd *cobra.Command, stderr io.Writer, overrides []string) (*extractor, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	d, err := dataSettings(overrides, evaluationKeys)
	if err != nil {
		return nil, err
	}
	if o.failOnError {
		d.OnError = string(data.Fail)
	}
	if o.workers > 0 {
		d.Workers = o.workers
	}
	m, err := o.from.load(cmd, stderr)
	if err != nil {
		return nil, err
	}
	fitting, err := o.view.fitting(m)
	if err != nil {
		return nil, err
	}
	if _, err := m.ResolveBlocks(o.blocks); err != nil {
		return nil, &usageError{"--blocks: " + err.Error(), ""}
	}
	if pool := tasks.Pool(o.pool); pool != "" && pool != tasks.PoolMean && m.Info.PrefixTokens == 0 {
		return nil, &usageError{fmt.Sprintf("--pool %s: %s has no class token", pool, m.Info.Name), fmt.Sprintf("take --pool %s", tasks.PoolMean)}
	}
	dev, err := newDevice(o.threads)
	if err != nil {
		return nil, err
	}
	return &extractor{m, d, o.blocks, fitting, dev, o, stderr}, nil
}

func (x *extractor) close() { x.device.Close() }

// newDevice starts the kernels; a level that was forced and is not there is a matter of usage.
func newDevice(threads int) (*device.CPU, error) {
	dev, err := device.NewCPU(threads)
	if err != nil {
		return nil, &usageError{err.Error(), ""}
	}
	if bytes := train.MemoryBound(); bytes > 0 { // Go ends a process without memory and gives no reason
		dev.Budget = &device.Budget{Limit: bytes}
	}
	return dev, nil
}

// images opens those at path.
func (x *extractor) images(path string) (data.Source, error) {
	o := x.source()
	o.Path = path
	return tasks.OpenImages(o)
}

// source says how images are opened.
func (x *extractor) source() data.Options {
	return data.Options{Channels: x.model.Info.Channels, MaxPixels: int64(x.data.MaxPixels), Note: x.note}
}

// note reports images that are left out on purpose.
func (x *extractor) note(message string) {
	if !x.options.output.quiet {
		fmt.Fprintln(x.stderr, message)
	}
}

// features computes the features of images; label names the images on screen.
func (x *extractor) features(ctx context.Context, label string, src data.Source) (*tasks.Features, error) {
	counter := ui.NewCounter(x.stderr, isTerminal(x.stderr) && !x.options.output.quiet, label+" images", src.Len())
	defer counter.Close()
	return x.model.Extract(ctx, x.device, src, tasks.ExtractOptions{
		Pool: tasks.Pool(x.options.pool), Blocks: x.blocks,
		Height: x.options.view.size.height, Width: x.options.view.size.width, Fitting: x.fitting,
		BatchSize: x.options.batchSize,
		Workers:   x.data.Workers,
		OnError:   data.OnError(x.data.OnError), MaxFailed: x.data.MaxFailed,
		Progress: func(done, _ int) { counter.Set(done) },
		OnSkip: func(name string, err error) {
			counter.Clear()
			leftOut(x.stderr)(name, err)
		},
	})
}

// splitOptions say which images a probe learns from and is tested on.
type splitOptions struct {
	data, train, test string
	limit             int
}

func (o *splitOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.data, "data", "", "folder with subfolders train and test (or val), or demo:")
	cmd.Flags().StringVar(&o.train, "train", "", "labelled images to learn from, instead of --data")
	cmd.Flags().IntVar(&o.limit, "limit", 0, "images of each of the two sets at most, the same ones each time and of each class in proportion, as eval.limit of pretrain; 0 takes all")
	cmd.Flags().StringVar(&o.test, "test", "", "labelled images to test on, instead of --data")
}

// paths returns the two sources.
func (o *splitOptions) paths(cmd *cobra.Command) (train, test string, err error) {
	switch {
	case o.limit < 0:
		return "", "", &usageError{fmt.Sprintf("--limit %d is out of range", o.limit), "valid is at least 0"}
	case o.data == "" && o.train != "" && o.test != "":
		return o.train, o.test, nil
	case o.data == "" || o.train != "" || o.test != "":
		return "", "", &usageError{cmd.CommandPath() + " needs either --data or both --train and --test",
			"for instance --data cifar10, a folder that holds train and test"}
	}
	train, test, err = tasks.SplitPaths(o.data)
	var scenes *configs.Error
	var folder *data.Error
	switch {
	case errors.As(err, &folder) && folder.Err != nil:
		folder.Hint = "check --data"
	case folder != nil:
		folder.Hint = "name the two with --train and --test"
	case errors.As(err, &scenes):
		return "", "", &usageError{"--data " + o.data + " " + scenes.Problem,
			"take --data demo:, or name two, for instance --train '" + o.data + "' --test '" + tasks.DemoTest + "'"}
	}
	return train, test, err
}

// imageCount is a number of images in words.
func imageCount(n int) string {
	if n == 1 {
		return "1 image"
	}
	return fmt.Sprintf("%d images", n)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
