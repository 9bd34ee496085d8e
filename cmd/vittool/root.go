package main

import (
	"github.com/spf13/cobra"
)

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "vittool",
		Short: "Pre-train Vision Transformers by self-supervision",
		Long: `vittool pre-trains Vision Transformers on a folder of images without labels,
evaluates their features, and exports their weights to other tools.

Exit codes: 0 done, 1 failure, 2 usage or configuration, 3 data, 4 plugin,
130 interrupted.`,
		Example: `  # the first run: drawn scenes, no download
  vittool pretrain --objective mae

  # your own pictures, with a recipe that is built in
  vittool pretrain --config mae-small-224 --data pictures/ --out runs/pictures`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(flagError)
	root.CompletionOptions.HiddenDefaultCmd = true
	return group(root,
		newPretrainCommand(),
		newTokenizerCommand(),
		newReconstructCommand(),
		newAttentionCommand(),
		newEvalCommand(),
		newEmbedCommand(),
		newExportCommand(),
		newReportCommand(),
		newDataCommand(),
		newBenchCommand(),
		newConfigCommand(),
		newPluginCommand(),
		newDoctorCommand(),
		newVersionCommand(),
	)
}
