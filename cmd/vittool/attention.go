package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/tasks"
	"github.com/vittool/vittool/tasks/pictures"
)

type attentionOptions struct {
	from    fromOptions
	data    string
	to      string
	count   int
	block   int
	view    viewOptions
	mass    float64
	threads int
	json    bool
}

func newAttentionCommand() *cobra.Command {
	var o attentionOptions
	cmd := &cobra.Command{
		Use:   "attention",
		Short: "Draw the attention of the heads of a network",
		Long: `Draw the attention of each head of a block on images: a row for each image with
the input, the mean over the heads, and every head. It is the class token's
attention on the patches or, in a network without one, the mean of all patches'.`,
		Example: `  vittool attention --from runs/pictures --data holiday/ --to attention.png
  vittool attention --from backbone.safetensors --data cat.jpg --image-size 480 --mass 0.6 --to cat.png`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAttention(cmd, o) },
	}
	o.from.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.data, "data", "", "folder of images, a single image, list file, or demo:")
	flags.StringVar(&o.to, "to", "", "PNG file to write")
	flags.IntVar(&o.count, "count", 8, "images, spread evenly over the data")
	flags.IntVar(&o.block, "block", -1, "transformer block, from 0; negative ones count from the end")
	o.view.addFlags(cmd)
	flags.Float64Var(&o.mass, "mass", 0, "cut out the patches with this share of the attention instead of colouring all; 0 colours")
	flags.IntVar(&o.threads, "threads", 0, "threads of the kernels; 0 takes every core")
	jsonFlag(cmd, &o.json)
	return cmd
}

func runAttention(cmd *cobra.Command, o attentionOptions) error {
	switch {
	case o.from.from == "":
		return required(cmd, "from", "runs/pictures")
	case o.data == "":
		return required(cmd, "data", "pictures/")
	case o.count < 1 || o.count > 1000 || o.threads < 0:
		return &usageError{"--count must be 1 to 1000, --threads at least 0", ""}
	case !(o.mass >= 0 && o.mass < 1):
		return &usageError{fmt.Sprintf("--mass %g is out of range", o.mass), "valid is 0 to below 1, for instance 0.6"}
	}
	if err := o.view.check(); err != nil {
		return err
	}
	if err := checkTarget(cmd, o.to, []string{o.from.from, o.data}, ".png", "attention.png"); err != nil {
		return err
	}
	m, err := o.from.load(cmd, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if m.Info.Heads == 0 {
		return &usageError{m.Info.Name + " has no attention", "take weights of a Vision Transformer"}
	}
	if _, err := m.ResolveBlock(o.block); err != nil {
		return &usageError{"--block: " + err.Error(), ""}
	}
	fitting, err := o.view.fitting(m)
	if err != nil {
		return err
	}
	dev, err := newDevice(o.threads)
	if err != nil {
		return err
	}
	defer dev.Close()
	src, err := tasks.OpenImages(data.Options{Path: o.data, Channels: m.Info.Channels})
	if err != nil {
		return err
	}
	defer src.Close()
	maps, err := m.Attention(cmd.Context(), dev, tasks.AttentionOptions{
		Images: src, Count: o.count, Height: o.view.size.height, Width: o.view.size.width, Fitting: fitting, Block: o.block, Mass: o.mass,
		OnSkip: leftOut(cmd.ErrOrStderr()),
	})
	if err != nil {
		return err
	}
	if err := pictures.WritePNG(o.to, maps.Grid); err != nil {
		return err
	}
	input := newInputResult(m, maps.Rows*m.Info.Patch, maps.Cols*m.Info.Patch, maps.Fitting)
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), map[string]any{"file": o.to, "images": len(maps.Names), "heads": maps.Heads, "rows": maps.Rows, "cols": maps.Cols, "input": input})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %d heads on %d×%d patches, of %s\nimages %s; %s\n",
		o.to, imageCount(len(maps.Names)), maps.Heads, maps.Rows, maps.Cols, m.Path, input.view(), input.norm())
	return err
}
