package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/configs"
)

func newConfigCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "config",
		Short: "List presets, show and check settings",
		Example: `  vittool config presets
  vittool config show --config mae-32 --explain`,
	},
		newConfigPresetsCommand(),
		newConfigShowCommand(),
		newConfigCheckCommand(),
	)
}

func newConfigPresetsCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "presets [NAME]",
		Short: "List the recipes that are built in, or print one",
		Example: `  vittool config presets
  vittool config presets mae-224`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return oneArg("a preset's name")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				p, err := builtinPresets().Find(args[0])
				if err != nil {
					return err
				}
				return printPresets(cmd.OutOrStdout(), []configs.Preset{p}, asJSON, true)
			}
			return printPresets(cmd.OutOrStdout(), builtinPresets().All(), asJSON, false)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func printPresets(w io.Writer, presets []configs.Preset, asJSON, whole bool) error {
	switch {
	case asJSON:
		type entry struct {
			Name  string `json:"name"`
			About string `json:"about"`
			YAML  string `json:"yaml"`
		}
		list := []entry{}
		for _, p := range presets {
			list = append(list, entry{p.Name, p.About, string(p.YAML)})
		}
		return ui.JSON(w, list)
	case whole:
		_, err := w.Write(presets[0].YAML)
		return err
	}
	table := ui.NewTable("PRESET", "SUMMARY")
	for _, p := range presets {
		title, _, _ := strings.Cut(p.About, "\n")
		table.Row(p.Name, title)
	}
	return table.Write(w)
}

type configShowOptions struct {
	settings settings
	explain  bool
	json     bool
}

func newConfigShowCommand() *cobra.Command {
	var o configShowOptions
	cmd := &cobra.Command{
		Use:   "show [key=value ...]",
		Short: "Print the settings that a run would have",
		Long: `Print the settings that pretrain would have with the same arguments, as YAML
that --config reads back. With --explain each setting comes with its meaning,
permitted values, default and origin.`,
		Example: `  vittool config show --explain
  vittool config show --config mae-32 --data pictures/ train.epochs=10 > run.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error { return runConfigShow(cmd, o, args) },
	}
	o.settings.addFlags(cmd)
	cmd.Flags().BoolVar(&o.explain, "explain", false, "add the meaning and the origin of each setting")
	jsonFlag(cmd, &o.json)
	return cmd
}

func runConfigShow(cmd *cobra.Command, o configShowOptions, overrides []string) error {
	w := cmd.OutOrStdout()
	r, note, err := loadForPretrain(&o.settings, overrides)
	if err != nil {
		return err
	}
	if note != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), note)
	}
	switch {
	case o.json:
		return ui.JSON(w, r.Config.Map())
	case o.explain:
		_, err = w.Write(r.Explain())
	default:
		_, err = w.Write(r.Config.YAML())
	}
	return err
}

func newConfigCheckCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "check FILE|PRESET|RUN [key=value ...]",
		Short: "Check settings without doing any work",
		Example: `  vittool config check run.yaml
  vittool config check mae-32 train.batch_size=512`,
		Args: someArgs("FILE, PRESET or RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := configs.Load(configs.Request{Presets: builtinPresets(), Configs: args[:1], Overrides: args[1:]})
			if err != nil {
				return err
			}
			if err := checkObjective(cmd.Context(), r); err != nil {
				return err
			}
			if err := checkPlan(cmd.Context(), r.Config); err != nil {
				return err
			}
			if asJSON {
				return ui.JSON(cmd.OutOrStdout(), map[string]any{"valid": true, "settings": r.Config.Map()})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: %s with %s on %s\n",
				args[0], r.Config.Objective.Name, r.Config.Model.Name, r.Config.Data.Path)
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
