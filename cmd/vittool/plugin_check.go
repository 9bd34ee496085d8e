package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/cmd/vittool/ui"
	conformance "github.com/vittool/vittool/plugins/check"
	"github.com/vittool/vittool/plugins/host"
)

func newPluginCheckCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "check NAME|PATH [option=value ...]",
		Short: "Check that an objective keeps the contract",
		Long: `Start an objective several times, for several networks, and check that it keeps the
contract: its description and plan are valid, plan and masks depend on their inputs alone,
wrong options are refused, its program compiles and gives a finite loss and finite gradients
on random images.`,
		Example: `  vittool plugin check mae
  vittool plugin check ./simmim
  vittool plugin check beit tokenizer=runs/tokenizer/tokenizer.safetensors`,
		Args: someArgs("an objective's name or a plugin's path"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPluginCheck(cmd.Context(), cmd.OutOrStdout(), args[0], args[1:], asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func runPluginCheck(ctx context.Context, w io.Writer, arg string, options []string, asJSON bool) error {
	o, _, err := programOf(arg)
	if err != nil {
		return err
	}
	o.Config = map[string]any{}
	for _, text := range options {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return &usageError{fmt.Sprintf("%q is no option=value", text), "the options of an objective: vittool plugin info " + arg}
		}
		var v any
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			v = value // words need no quotes
		}
		o.Config[key] = v
	}
	rows := []check{}
	failed := 0
	for _, r := range conformance.Run(ctx, o) {
		c := check{Name: r.Name, State: stateOK, Found: r.Note}
		if r.Err != nil {
			failed++
			c.State, c.Found = stateFail, r.Err.Error()
		} else if c.Found == "" {
			c.Found = r.Took.Round(time.Millisecond).String()
		}
		rows = append(rows, c)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if asJSON {
		err = ui.JSON(w, rows)
	} else {
		err = writeChecks(w, rows)
	}
	if err != nil || failed == 0 {
		return err
	}
	return &host.PluginError{Plugin: arg, Kind: host.Reply, Text: fmt.Sprintf("%d of %d checks failed, see above", failed, len(rows))}
}
