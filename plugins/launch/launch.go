// Package launch opens the objective that a configuration names. It alone makes options of the host
// from a configuration.
package launch

import (
	"cmp"
	"context"
	"errors"
	"io"
	"time"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/schema"
)

// Request names an objective and the run that it is opened for.
type Request struct {
	Config  *configs.Config
	Network backbone.Config // backbone that the objective trains

	Batch         int // images of a micro-batch
	TotalSteps    int
	StepsPerEpoch float64 // mean
	Images        int     // in the data set

	Mode      host.Mode // of a built-in objective; "" takes the configuration's
	LogWriter io.Writer // gets the plugin's standard error; may be nil
}

// Open starts the objective and gets its plan. A wrong option is a *configs.Error; other errors are
// those of host.Open.
func Open(ctx context.Context, r Request) (*host.Objective, error) {
	mean, std := r.Config.Data.Normalization()
	o := Program(r.Config.Objective)
	o.Config, o.LogWriter = r.Config.Objective.Options, r.LogWriter
	o.Run = host.Run{Seed: uint64(r.Config.Run.Seed), Batch: r.Batch, Steps: r.TotalSteps, StepsPerEpoch: r.StepsPerEpoch,
		DatasetSize: r.Images, Backbone: program.BackboneInfo(r.Network, mean, std), FixedViews: r.Config.Data.FixedViews()}
	if r.Mode != "" && o.Path == "" {
		o.Mode = r.Mode
	}
	objective, err := host.Open(ctx, o)
	var option *schema.Error
	if errors.As(err, &option) {
		return nil, &configs.Error{Key: configs.OptionsKey + "." + option.Key, Value: option.Value, Problem: option.Text,
			Hint: cmp.Or(option.Remedy, "see vittool plugin info "+r.Config.Objective.Name)}
	}
	return objective, err
}

// Program returns the part of the host's options that names the program: a built-in objective or a
// third-party plugin, with the mode and the deadlines.
func Program(o configs.Objective) host.Options {
	deadline := time.Duration(o.Deadline * float64(time.Second))
	options := host.Options{Name: o.Name, Mode: host.Mode(o.Mode), StartDeadline: deadline, CallDeadline: deadline}
	if o.Plugin != "" {
		options.Name, options.Path, options.Lock = "", o.Plugin, host.LockFile
	}
	return options
}
