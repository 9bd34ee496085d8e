package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/internal/edit"
	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/launch"
	programs "github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/schema"
)

// checkPlan opens the objective for the network of the settings, as a run does, and returns its
// objections. The images are not read: ten steps an epoch are assumed.
func checkPlan(ctx context.Context, cfg *configs.Config) error {
	network, err := cfg.Backbone()
	if err != nil {
		return err
	}
	const steps = 10
	t := cfg.Train
	objective, err := launch.Open(ctx, launch.Request{
		Config: cfg, Network: network, Batch: t.BatchSize, TotalSteps: max(t.Steps, t.Epochs*steps), StepsPerEpoch: steps,
		Images: steps * t.BatchSize * t.Accumulate, Mode: host.Inproc,
	})
	if err != nil {
		return err
	}
	defer objective.Close()
	_, _, err = programs.Configure(network, &objective.Plan().Requirements)
	return err
}

// checkObjective refuses an unknown objective, and options that it doesn't have, before any work
// starts. A third-party plugin is started for a moment and asked; its own name is used unless the
// user gave one.
func checkObjective(ctx context.Context, r *configs.Resolved) error {
	o := &r.Config.Objective
	source := r.Sources["objective.name"]
	ask := launch.Program(*o)
	if o.Plugin == "" {
		if names := objectives.Names(); !slices.Contains(names, o.Name) {
			return &configs.Error{Key: "objective.name", Value: o.Name, Source: source,
				Problem: edit.NoSuch("objective"),
				Hint:    edit.Suggest(o.Name, names) + " (a program of your own is named by objective.plugin)"}
		}
		ask.Mode = host.Inproc
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
		return &configs.Error{Key: key, Value: fmt.Sprint(o.Options[wrong.Key]), Source: r.Sources[key], Problem: wrong.Text, Hint: wrong.Remedy}
	}
	return err
}
