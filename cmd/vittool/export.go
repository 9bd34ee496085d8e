package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/tasks"
)

type exportOptions struct {
	from fromOptions
	to   string
	json bool
}

func newExportCommand() *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the backbone alone, in timm's names, as safetensors",
		Long: `Write the backbone of a run or checkpoint, without heads and optimizer, to a
safetensors file. Tensors have timm's names; where the network has one of timm's
sizes and names (vit_tiny_patch16_224, vit_base_patch16_224 …),
timm.create_model(NAME, num_classes=0) loads it. Networks that timm has no name
for, such as vit_micro_patch4_32 and vit_tiny_patch4_32, are built by timm's class:

  timm.models.vision_transformer.VisionTransformer(img_size=32, patch_size=4,
      embed_dim=192, depth=12, num_heads=3, num_classes=0)

and those of BEiT, with relative positions and layer scale, by another:

  timm.models.beit.Beit(img_size=32, patch_size=4, embed_dim=128, depth=6, num_heads=4,
      num_classes=0, global_pool='token', use_abs_pos_emb=False,
      use_shared_rel_pos_bias=True, init_values=0.1)

with the sizes of the network, which the file's metadata holds, and, for
rel_pos=per_block, use_rel_pos_bias=True. safetensors.torch.load_file reads the
tensors for load_state_dict.

Residual networks have the names of torchvision and timm, running statistics
included: timm.create_model('resnet50', num_classes=0), or
torchvision.models.resnet50() with fc replaced by torch.nn.Identity(), loads one
of ImageNet's stem and model.width=1. For another stem replace conv1 and leave
maxpool out.`,
		Example: `  vittool export --from runs/pictures --to backbone.safetensors
  vittool export --from runs/pictures/checkpoints/step-00000500.safetensors --to early.safetensors`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runExport(cmd, cmd.OutOrStdout(), cmd.ErrOrStderr(), o)
		},
	}
	o.from.addFlags(cmd)
	cmd.Flags().StringVar(&o.to, "to", "", "file to write, ending in .safetensors")
	jsonFlag(cmd, &o.json)
	return cmd
}

func runExport(cmd *cobra.Command, stdout, stderr io.Writer, o exportOptions) error {
	if err := checkTarget(cmd, o.to, []string{o.from.from}, ".safetensors", "backbone.safetensors"); err != nil {
		return err
	}
	m, err := o.from.load(cmd, stderr)
	if err != nil {
		return err
	}
	if err := m.Export(o.to); err != nil {
		return err
	}
	weights := slices.Concat(m.Backbone.Parameters(), m.Backbone.Buffers())
	numbers := 0
	for _, w := range weights {
		numbers += w.Shape.Size()
	}
	if o.json {
		return ui.JSON(stdout, map[string]any{
			"from": m.Path, "to": o.to, "model": m.Info.Name, "tensors": len(weights), "parameters": numbers, "step": m.Step,
			"mean": m.Mean, "std": m.Std, "normalization": m.Input.Normalization,
		})
	}
	input := newInputResult(m, m.Info.ImageH, m.Info.ImageW, m.Input.Fitting)
	_, err = fmt.Fprintf(stdout, "%s: %s, %d tensors, %s parameters, from %s\nimages %s; %s\n",
		o.to, m.Info.Name, len(weights), ui.Count(float64(numbers), ""), m.Path, input.view(), input.norm())
	return err
}

// fromOptions say which weights a command reads.
type fromOptions struct {
	from    string
	model   string
	teacher bool
	norm    normOptions
}

func (o *fromOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.from, "from", "", "run folder, checkpoint, or safetensors file with timm's names")
	cmd.Flags().StringVar(&o.model, "model", "", "architecture of a file that does not say it, for instance vit_base_patch16_224")
	cmd.Flags().BoolVar(&o.teacher, "teacher", false, "take the teacher, or with --teacher=false the trained network, instead of the one that the run's objective recommends")
	o.norm.addFlags(cmd)
}

func (o *fromOptions) load(cmd *cobra.Command, stderr io.Writer) (*tasks.Model, error) {
	if o.from == "" {
		return nil, required(cmd, "from", "runs/pictures")
	}
	network := tasks.NetworkRecommended
	if cmd.Flags().Changed("teacher") {
		network = tasks.NetworkStudent
		if o.teacher {
			network = tasks.NetworkTeacher
		}
	}
	mean, std, err := o.norm.values()
	if err != nil {
		return nil, err
	}
	m, err := tasks.LoadModel(o.from, tasks.LoadOptions{Model: o.model, Network: network, Mean: mean, Std: std, Report: passedOver(stderr)})
	if err != nil {
		return nil, err
	}
	if quiet := cmd.Flags().Lookup("quiet"); quiet == nil || quiet.Value.String() != "true" {
		for _, note := range m.Notes() {
			fmt.Fprintln(stderr, note)
		}
	}
	return m, nil
}
