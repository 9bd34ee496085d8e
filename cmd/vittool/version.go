package main

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/runs"
)

func newVersionCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of vittool and of its build",
		Example: "  vittool version --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := version()
			if err != nil {
				return err
			}
			if asJSON {
				return ui.JSON(cmd.OutOrStdout(), v)
			}
			revision := v.Revision
			if revision == "" {
				revision = "not recorded"
			}
			if v.Modified {
				revision += " with changes"
			}
			table := ui.NewTable()
			table.Row("vittool", v.Version)
			table.Row("revision", revision)
			table.Row("go", v.Go)
			table.Row("platform", v.Platform)
			table.Row("kernels", v.Kernels)
			return table.Write(cmd.OutOrStdout())
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// versionInfo is the output of `vittool version`.
type versionInfo struct {
	runs.BuildInfo
	Platform string `json:"platform"`
	Kernels  string `json:"kernels"` // level in use: generic, avx2 or avx512
}

func version() (versionInfo, error) {
	dev, err := newDevice(1)
	if err != nil {
		return versionInfo{}, err
	}
	defer dev.Close()
	return versionInfo{runs.Build(), runtime.GOOS + "/" + runtime.GOARCH, dev.Level()}, nil
}
