package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/tasks"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/train"
)

// tokenizerPreset is the recipe of a tokenizer's training that is given none.
const tokenizerPreset = "vq-32"

// tokenizerFile is where a trained tokenizer goes in its run folder.
const tokenizerFile = "tokenizer.safetensors"

func newTokenizerCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "tokenizer",
		Short: "Make the visual tokenizers that some objectives predict",
		Example: `  vittool tokenizer train --data pictures/ --out runs/tokenizer
  vittool pretrain --config beit-micro-32 --data pictures/ objective.options.tokenizer=runs/tokenizer/tokenizer.safetensors`,
	},
		newTokenizerTrainCommand(),
		newTokenizerExportCommand(),
		newTokenizerImportCommand(),
		newTokenizerInfoCommand(),
	)
}

type tokenizerTrainOptions struct {
	pretrain pretrainOptions
	to       string
}

func newTokenizerTrainCommand() *cobra.Command {
	var o tokenizerTrainOptions
	cmd := &cobra.Command{
		Use:   "train [key=value ...]",
		Short: "Train a tokenizer on images without labels",
		Long: `Train a visual tokenizer: an encoder that gives each patch of an image one of a
vocabulary of tokens, and a decoder that makes the image of them. It is a run
like that of any objective, with the same folder, settings, --resume and
pictures; the objectives are vq (the default) and dvae. At the end the tokenizer
alone is written to a file. Without --config the preset ` + tokenizerPreset + ` applies.`,
		Example: `  vittool tokenizer train --data cifar10/train --out runs/tokenizer
  vittool tokenizer train --objective dvae --data pictures/ objective.options.vocabulary=1024
  vittool tokenizer train --out runs/tokenizer --resume`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.to != "" {
				if err := checkTarget(cmd, o.to, nil, ".safetensors", tokenizerFile); err != nil {
					return err
				}
			}
			return runTokenizerTrain(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), o, args)
		},
	}
	o.pretrain.settings.addFlags(cmd)
	o.pretrain.output.addFlags(cmd)
	cmd.Flags().BoolVar(&o.pretrain.resume, "resume", false, "go on with the run in --out from its newest checkpoint")
	cmd.Flags().StringVar(&o.to, "to", "", "file to write, ending in .safetensors; "+tokenizerFile+" in the run folder when left out")
	return cmd
}

func runTokenizerTrain(ctx context.Context, stdout, stderr io.Writer, o tokenizerTrainOptions, overrides []string) error {
	if len(o.pretrain.settings.configs) == 0 && !o.pretrain.resume {
		o.pretrain.settings.configs = []string{tokenizerPreset}
	}
	done := func(result *train.Result, _ string) error {
		if o.to == "" {
			o.to = filepath.Join(result.RunDir, tokenizerFile)
		}
		return exportTokenizer(ctx, stdout, stderr, result.RunDir, o.to, "", o.pretrain.output.json)
	}
	return pretrain(ctx, stdout, stderr, o.pretrain, overrides, done)
}

// exportTokenizer writes the tokenizer of a run and prints its description.
func exportTokenizer(ctx context.Context, stdout, stderr io.Writer, from, to string, mode host.Mode, asJSON bool) error {
	run, err := tasks.OpenRun(from, passedOver(stderr))
	if err != nil {
		return err
	}
	if _, err := run.ExportNetwork(ctx, objectives.TokenizerExport, to, mode, stderr); err != nil {
		return err
	}
	return printTokenizer(stdout, to, asJSON)
}

func newTokenizerExportCommand() *cobra.Command {
	var from, to string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "export",
		Short:   "Write the tokenizer of a run to a file",
		Example: `  vittool tokenizer export --from runs/tokenizer --to tokenizer.safetensors`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return required(cmd, "from", "runs/tokenizer")
			}
			if err := checkTarget(cmd, to, []string{from}, ".safetensors", tokenizerFile); err != nil {
				return err
			}
			return exportTokenizer(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), from, to, "", asJSON)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "run folder or checkpoint")
	cmd.Flags().StringVar(&to, "to", "", "file to write, ending in .safetensors")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newTokenizerImportCommand() *cobra.Command {
	var from, to string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Make a tokenizer of the published encoder of DALL-E",
		Long: `Make a tokenizer file of the encoder that OpenAI published with DALL-E. --from is
its state_dict as safetensors, in the published names: blocks.input.w and .b,
blocks.group_1.block_1.res_path.conv_1.w, and so on to blocks.output.conv.b. In
Python, with the package dall_e installed:

  encoder = torch.load("encoder.pkl", map_location="cpu")
  safetensors.torch.save_file(encoder.state_dict(), "encoder.safetensors")

Its tokens are 8×8 pixels of an image half as large as that of a network with
patches of 16. It has no decoder, so predictions can't be drawn.`,
		Example: `  vittool tokenizer import --from encoder.safetensors --to dalle.safetensors`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return required(cmd, "from", "encoder.safetensors")
			}
			if err := checkTarget(cmd, to, []string{from}, ".safetensors", "dalle.safetensors"); err != nil {
				return err
			}
			if err := importTokenizer(from, to); err != nil {
				return err
			}
			return printTokenizer(cmd.OutOrStdout(), to, asJSON)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "safetensors file of the published weights")
	cmd.Flags().StringVar(&to, "to", "", "file to write, ending in .safetensors")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// importTokenizer copies the published weights, described, to a tokenizer file.
func importTokenizer(from, to string) error {
	file, err := tensor.ReadSafetensors(from)
	if err != nil {
		return err
	}
	shapes := map[string][]int{}
	for _, t := range file.Tensors {
		shapes[t.Name] = t.Shape
	}
	names, meta, err := objectives.ImportTokenizer(shapes)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	var tensors []tensor.Tensor
	for _, name := range names {
		t, _ := file.Get(name) // all of them were found
		data, err := t.Float32s()
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		tensors = append(tensors, tensor.NewF32(name, t.Shape, data))
	}
	return tensor.WriteSafetensors(to, tensors, meta)
}

func newTokenizerInfoCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "info FILE",
		Short:   "Describe a tokenizer file",
		Example: `  vittool tokenizer info runs/tokenizer/` + tokenizerFile,
		Args:    oneArg("a tokenizer file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := tensor.ReadSafetensors(args[0])
			if err == nil {
				err = file.VerifyDigest()
			}
			if err == nil {
				err = printTokenizer(cmd.OutOrStdout(), args[0], asJSON)
			}
			if err != nil {
				return &data.Error{Problem: "this is no whole tokenizer", Hint: "vittool tokenizer train makes one", Err: err}
			}
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// printTokenizer describes a tokenizer file.
func printTokenizer(w io.Writer, path string, asJSON bool) error {
	t, err := objectives.OpenTokenizer(path)
	if err != nil {
		return err
	}
	digest := t.Weights.Meta["digest"]
	if asJSON {
		return ui.JSON(w, map[string]any{"file": path, "tokenizer": t.Config, "mean": t.Mean, "std": t.Std, "digest": digest})
	}
	_, err = fmt.Fprintf(w, "%s: %s tokenizer, %d tokens, %d×%d pixels each, of %d channels with mean %v and deviation %v, digest %.12s…\n",
		path, t.Kind, t.Vocabulary, t.Patch, t.Patch, t.Channels, t.Mean, t.Std, digest)
	return err
}
