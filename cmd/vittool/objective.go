package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/schema"
)

// checkObjective refuses an unknown objective, and options that it doesn't have,
// before any work starts. A third-party plugin is started for a moment and asked;
// unless the user named it, it is called what it calls itself.
func checkObjective(ctx context.Context, r *configs.Resolved) error {
	o := &r.Config.Objective
	source := r.Sources["objective.name"]
	ask := host.Options{Name: o.Name, Mode: host.Inproc}
	if names := objectives.Names(); o.Plugin == "" && !slices.Contains(names, o.Name) {
		return &configs.Error{Key: "objective.name", Value: o.Name, Source: source,
			Problem: "there is no such objective",
			Hint:    configs.Suggest(o.Name, names) + " (a program of your own is named by objective.plugin)"}
	}
	if o.Plugin != "" {
		deadline := time.Duration(o.Deadline * float64(time.Second))
		ask = host.Options{Path: o.Plugin, Lock: host.LockFile, StartDeadline: deadline, CallDeadline: deadline}
	}
	described, err := host.Describe(ctx, ask)
	if err != nil {
		return err
	}
	if described.Name != o.Name {
		if source != "" && !strings.HasPrefix(source, "preset ") {
			return &configs.Error{Key: "objective.name", Value: o.Name, Source: source,
				Problem: fmt.Sprintf("%s calls itself %s", o.Plugin, described.Name), Hint: "leave the name out, or name another plugin"}
		}
		o.Name = described.Name
	}
	_, err = schema.Complete(described.Options, o.Options)
	var wrong *schema.Error
	if errors.As(err, &wrong) {
		key := configs.OptionsKey + "." + wrong.Key
		return &configs.Error{Key: key, Value: fmt.Sprint(o.Options[wrong.Key]), Source: r.Sources[key], Problem: wrong.Text}
	}
	return err
}
