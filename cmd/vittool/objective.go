package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/schema"
)

// checkObjective refuses an unknown objective, and options that a built-in one
// doesn't have, before any work starts. The options of a third-party plugin are
// checked when it is started.
func checkObjective(ctx context.Context, r *configs.Resolved) error {
	o := r.Config.Objective
	if o.Plugin != "" {
		return nil
	}
	if names := objectives.Names(); !slices.Contains(names, o.Name) {
		return &configs.Error{Key: "objective.name", Value: o.Name, Source: r.Sources["objective.name"],
			Problem: "there is no such objective",
			Hint:    configs.Suggest(o.Name, names) + " (a program of your own is named by objective.plugin)"}
	}
	described, err := host.Describe(ctx, host.Options{Name: o.Name, Mode: host.Inproc})
	if err != nil {
		return err
	}
	_, err = schema.Complete(described.Options, o.Options)
	var wrong *schema.Error
	if errors.As(err, &wrong) {
		key := configs.OptionsKey + "." + wrong.Key
		return &configs.Error{Key: key, Value: fmt.Sprint(o.Options[wrong.Key]), Source: r.Sources[key], Problem: wrong.Text}
	}
	return err
}
