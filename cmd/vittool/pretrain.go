package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tasks"
	"github.com/vittool/vittool/train"
)

// demoPreset is the recipe of a run that is given neither images nor a recipe.
const demoPreset = "demo"

type pretrainOptions struct {
	settings settings
	output   outputOptions
	resume   bool
	accept   bool // another plugin than that of the run so far
}

func newPretrainCommand() *cobra.Command {
	var o pretrainOptions
	cmd := &cobra.Command{
		Use:   "pretrain [key=value ...]",
		Short: "Train a network on images without labels",
		Long: `Train a network on images without labels.

Settings come from, weakest first: defaults, presets and files (--config),
environment variables (VITTOOL_TRAIN_EPOCHS sets train.epochs), flags, and
key=value arguments. "vittool config show --explain" lists them all. Without
--config the preset is the objective's for the size of your images, unless you
name a model, and for the demo's drawn scenes "demo" or the objective's smallest.
One line says which.

The run folder holds the settings, metrics, pictures and checkpoints. Ctrl-C
writes a checkpoint; --resume goes on from the newest one, with the settings of
the folder, to the same weights as an undisturbed run.

eval.data=DIR evaluates the features with labelled images while the run goes on,
as "eval knn --data DIR" does, every eval.every and at the end.`,
		Example: `  # the first run: drawn scenes, no download, about half a minute
  vittool pretrain --objective mae

  # a folder of pictures, with a recipe that is built in
  vittool pretrain --config mae-small-224 --data pictures/ --out runs/pictures

  # the same, changed by flags and by any key
  vittool pretrain --config mae-32 --data cifar10/train --epochs 50 train.warmup_epochs=5

  # go on after Ctrl-C, a crash or a power cut
  vittool pretrain --out runs/pictures --resume`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPretrain(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), o, args)
		},
	}
	o.settings.addFlags(cmd)
	o.output.addFlags(cmd)
	cmd.Flags().BoolVar(&o.resume, "resume", false, "go on with the run in --out from its newest checkpoint")
	cmd.Flags().BoolVar(&o.accept, "accept-plugin-change", false, "with --resume: go on although the plugin's plan or computation has changed")
	return cmd
}

func runPretrain(ctx context.Context, stdout, stderr io.Writer, o pretrainOptions, overrides []string) error {
	return pretrain(ctx, stdout, stderr, o, overrides, func(result *train.Result, data string) error {
		switch {
		case o.output.json:
			return ui.JSON(stdout, result)
		case o.output.quiet:
			_, err := fmt.Fprintln(stdout, result.RunDir)
			return err
		}
		next := ui.NewTable()
		next.Row("next", fmt.Sprintf("%s report %s", programName(), result.RunDir))
		use := fmt.Sprintf("%s embed --from %s --data %s --to features.npy", programName(), result.RunDir, data)
		if isDemo(data) {
			use = fmt.Sprintf("%s eval knn --from %s --data demo:", programName(), result.RunDir)
		}
		next.Row("", use)
		return next.Write(stderr)
	})
}

// programName is this program as a person calls it: `go run` starts it under a name of its own.
func programName() string {
	if strings.Contains(filepath.ToSlash(os.Args[0]), "/go-build") {
		return "go run ./cmd/vittool"
	}
	return filepath.Base(os.Args[0])
}

// isDemo reports whether the images are the demo's drawn scenes.
func isDemo(path string) bool { return strings.HasPrefix(path, "demo:") }

// pretrain runs or resumes a run. then is called with its result, and with the path of its images,
// once it has come to its end.
func pretrain(ctx context.Context, stdout, stderr io.Writer, o pretrainOptions, overrides []string, then func(result *train.Result, data string) error) error {
	r, note, err := o.resolve(overrides)
	if err != nil {
		return err
	}
	if err := checkObjective(ctx, r); err != nil {
		return err
	}
	progress := ui.WithLog(o.output.progress(stderr))
	if note != "" {
		progress.Event(note)
	}
	result, err := train.Pretrain(ctx, r.Config, train.Options{
		Resume:             o.resume,
		AcceptPluginChange: o.accept,
		Progress:           progress,
		AfterCheckpoint:    pictureDrawer(ctx, r.Config),
		OpenEvaluation: func(n train.Trained) (train.Evaluation, error) {
			return tasks.OpenOnlineKNN(n.Config, n.Network, n.Features, n.Device, n.Note)
		},
	})
	progress.Close(err)
	switch {
	case result == nil:
		return err
	case err == nil:
		return then(result, r.Config.Data.Path)
	case o.output.json:
		return errors.Join(err, ui.JSON(stdout, result))
	}
	return err
}

// resolve loads the settings; a resumed run starts from those of its folder.
func (o *pretrainOptions) resolve(overrides []string) (r *configs.Resolved, note string, err error) {
	if o.accept && !o.resume {
		return nil, "", &usageError{"--accept-plugin-change is about a run that goes on", "add --resume, or leave it out"}
	}
	if !o.resume {
		return loadForPretrain(&o.settings, overrides)
	}
	req := o.settings.request(overrides)
	out := lastSetting(req, "run.out")
	if out == "" {
		return nil, "", &usageError{"--resume needs the folder of the run", "for instance --resume --out runs/mae-vit_tiny_patch4_32"}
	}
	if len(req.Configs) == 0 {
		path, err := runs.Settings(out, configs.IsWhole)
		if err != nil {
			return nil, "", err
		}
		if path == "" {
			return nil, "", &configs.Error{Key: "run.out", Value: out, Problem: "holds no run to resume: there is no " + runs.ConfigFile,
				Hint: "start it again with its settings and without --resume, or give the folder of a run with --out"}
		}
		req.Configs = []string{path}
	}
	req.Overrides = append(req.Overrides, "run.out="+out) // the folder may have been moved
	r, err = configs.Load(req)
	return r, "", err
}

// lastSetting is the text that flags and overrides give a key; empty for none.
func lastSetting(req configs.Request, key string) string {
	value := ""
	for _, f := range req.Flags {
		if f.Key == key {
			value = f.Value
		}
	}
	for _, o := range req.Overrides {
		if v, ok := strings.CutPrefix(o, key+"="); ok {
			value = v
		}
	}
	return value
}

// loadForPretrain resolves the settings of a new run, with a recipe that suits its images where
// --config names none. The note says which and why; it may be empty.
func loadForPretrain(s *settings, overrides []string) (r *configs.Resolved, note string, err error) {
	req := s.request(overrides)
	if len(req.Configs) == 0 {
		if note, err = chooseRecipe(&req); err != nil {
			return nil, "", err
		}
	}
	if r, err = configs.Load(req); err == nil && note == "" && (r.Preset != "" || len(req.Configs) == 0) {
		note = recipeNote(r, req.Presets)
	}
	return r, note, err
}
