package configs

import (
	"bytes"

	"github.com/vittool/vittool/backbone"
)

// Parse reads one complete configuration from its text, as [Config.YAML] wrote it into a
// checkpoint's metadata; name stands in errors. Settings that the text leaves out have their
// defaults; neither the environment nor a preset takes part. families are those that know the
// model; without any, all of vittool's.
func Parse(name string, content []byte, families ...backbone.Family) (*Config, error) {
	l, preset, errs := readYAML(name, content)
	if preset != "" {
		errs = append(errs, &Error{Key: "preset", Value: preset, Source: name, Problem: "complete settings name no preset"})
	}
	if len(errs) > 0 {
		return nil, errs
	}
	m := newMerger(nil)
	m.add(l)
	if len(m.errs) > 0 {
		return nil, m.errs
	}
	cfg, err := m.merged()
	if err != nil {
		return nil, err
	}
	cfg.Model.Families = families
	if errs := cfg.problems(m.sources); len(errs) > 0 {
		return nil, errs
	}
	return cfg, nil
}

// IsWhole reports whether content is all of a file that [Config.YAML] wrote: no part of it is, as a
// process killed while it wrote may leave.
func IsWhole(name string, content []byte) bool {
	cfg, err := Parse(name, content)
	return err == nil && bytes.Equal(cfg.YAML(), content)
}
