package host

import (
	"fmt"
	"strings"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/schema"
)

// Description describes an objective and its options.
type Description struct {
	Name    string // lower-case identifier
	Version string // of the objective
	Summary string // one line
	Paper   string
	License string
	Options []schema.Option // its whole configuration

	Targets   bool // it computes targets itself
	Evaluates bool // it computes a loss itself
}

// describe turns the message of Describe into a checked description.
func describe(d *pb.Description) (*Description, error) {
	if d.Name == "" || strings.ToLower(d.Name) != d.Name || strings.ContainsAny(d.Name, " /\\\t\n") {
		return nil, fmt.Errorf("field name is %q; a name is lower-case without spaces and slashes", d.Name)
	}
	if d.Version == "" {
		return nil, fmt.Errorf("field version is empty")
	}
	out := &Description{Name: d.Name, Version: d.Version, Summary: d.Summary, Paper: d.Paper, License: d.License,
		Targets: d.Targets, Evaluates: d.Evaluates}
	for _, o := range d.Options {
		out.Options = append(out.Options, schema.Option{
			Key: o.Key, Type: schema.Type(o.Type), Default: o.DefaultJson, Min: o.Min, Max: o.Max,
			ExclusiveMin: o.ExclusiveMin, ExclusiveMax: o.ExclusiveMax, Choices: o.Choices, Help: o.Help,
		})
	}
	if err := schema.Check(out.Options); err != nil {
		return nil, fmt.Errorf("field options: %w", err)
	}
	return out, nil
}
