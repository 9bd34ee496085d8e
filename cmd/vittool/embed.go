package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/tasks"
)

type embedOptions struct {
	features featureOptions
	data     string
	to       string

	overwrite bool
}

func newEmbedCommand() *cobra.Command {
	var o embedOptions
	cmd := &cobra.Command{
		Use:   "embed [data.key=value ...]",
		Short: "Write the features of images to a NumPy file",
		Long: `Write one feature vector for each image to FILE.npy, in the order of the names
in FILE.names.txt. Images with classes have their class number in FILE.labels.npy
and the names of the classes in FILE.classes.txt; -1 stands for an image without
a class among others. Files that are there already are replaced with --overwrite
only.`,
		Example: `  vittool embed --from runs/pictures --data pictures/ --to features.npy
  vittool embed --from runs/pictures --data demo: --pool both --to demo.npy
  vittool embed --from runs/pictures --data pictures/ --to features.npy data.max_failed=0.1`,
		RunE: func(cmd *cobra.Command, args []string) error { return runEmbed(cmd, &o, args) },
	}
	o.features.addFlags(cmd)
	cmd.Flags().StringVar(&o.data, "data", "", "folder of images, a single image, list file, or demo:")
	cmd.Flags().StringVar(&o.to, "to", "", "file to write, ending in .npy")
	cmd.Flags().BoolVar(&o.overwrite, "overwrite", false, "replace files of an earlier call")
	return cmd
}

func runEmbed(cmd *cobra.Command, o *embedOptions, overrides []string) error {
	if o.data == "" {
		return required(cmd, "data", "pictures/")
	}
	if err := checkTarget(cmd, o.to, []string{o.features.from.from, o.data}, ".npy", "features.npy", ".labels.npy", ".classes.txt", ".names.txt"); err != nil {
		return err
	}
	if !o.overwrite {
		for _, suffix := range []string{".npy", ".labels.npy", ".classes.txt", ".names.txt"} {
			if file := strings.TrimSuffix(o.to, ".npy") + suffix; fileExists(file) {
				return &usageError{file + " is there already", "name another file with --to, or replace it with --overwrite"}
			}
		}
	}
	x, err := o.features.open(cmd, cmd.ErrOrStderr(), overrides)
	if err != nil {
		return err
	}
	defer x.close()
	src, err := x.images(o.data)
	if err != nil {
		return err
	}
	defer src.Close()
	unlabelled, first := tasks.Unlabelled(src)
	if unlabelled > 0 {
		x.note(fmt.Sprintf("images without a class get the label -1: %d of %d, the first is %s", unlabelled, src.Len(), first))
	}
	f, err := x.features(cmd.Context(), "", src)
	if err != nil {
		return err
	}
	files, err := tasks.WriteFeatures(o.to, f)
	if err != nil {
		return err
	}
	input := newInputResult(x.model, f.Height, f.Width, f.Fitting)
	if o.features.output.json {
		return ui.JSON(cmd.OutOrStdout(), map[string]any{"rows": f.Rows, "dim": f.Dim, "unlabelled": unlabelled, "from": x.model.Path, "files": files, "input": input})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s × %d numbers, with %s\nimages %s; %s\n",
		files[0], imageCount(f.Rows), f.Dim, strings.Join(files[1:], ", "), input.view(), input.norm())
	return err
}
