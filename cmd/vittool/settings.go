package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/objectives"
)

// shorthands are the flags that stand for a key of the configuration. Every other key is set by
// key=value.
var shorthands = []struct{ flag, key string }{
	{"objective", "objective.name"},
	{"plugin", "objective.plugin"},
	{"plugin-mode", "objective.mode"},
	{"model", "model.name"},
	{"image-size", "model.image_size"},
	{"data", "data.path"},
	{"workers", "data.workers"},
	{"epochs", "train.epochs"},
	{"steps", "train.steps"},
	{"batch-size", "train.batch_size"},
	{"lr", "train.lr"},
	{"out", "run.out"},
	{"seed", "run.seed"},
	{"threads", "run.threads"},
}

// settings collects the configuration from a command line.
type settings struct {
	configs []string
	flags   []*settingFlag
}

// addFlags defines --config and the shorthands.
func (s *settings) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVarP(&s.configs, "config", "c", nil,
		"preset, YAML file or run folder to take settings from; several add up")
	for _, h := range shorthands {
		key, ok := configs.Lookup(h.key)
		if !ok {
			panic("vittool: flag --" + h.flag + " stands for no key: " + h.key)
		}
		f := &settingFlag{name: h.flag, key: key}
		s.flags = append(s.flags, f)
		flags.Var(f, h.flag, usageOf(key))
	}
}

// usageOf is the help of a flag: the first sentence of the key's documentation.
func usageOf(k configs.Key) string {
	text, _, _ := strings.Cut(k.Doc, ". ")
	text = strings.TrimSuffix(text, ".")
	if k.OneOf != nil {
		text += " (" + strings.Join(k.OneOf, ", ") + ")"
	}
	return fmt.Sprintf("%s [%s]", text, k.Path)
}

// builtinPresets are the recipes of the built-in objectives and those of no objective.
func builtinPresets() configs.Presets { return objectives.Presets() }

// request asks for the configuration; overrides are the key=value arguments.
func (s *settings) request(overrides []string) configs.Request {
	req := configs.Request{Presets: builtinPresets(), Configs: s.configs, Environ: os.Environ(), Overrides: overrides}
	for _, f := range s.flags {
		if f.set {
			req.Flags = append(req.Flags, configs.Setting{Key: f.key.Path, Value: f.value, Source: "flag --" + f.name})
		}
	}
	return req
}

// settingFlag keeps the text of a flag; the configuration reads and checks it.
type settingFlag struct {
	name  string
	key   configs.Key
	value string
	set   bool
}

var _ pflag.Value = (*settingFlag)(nil)

func (f *settingFlag) String() string { return f.value }

func (f *settingFlag) Set(s string) error {
	f.value, f.set = s, true
	return nil
}

func (f *settingFlag) Type() string {
	switch f.key.Type {
	case "text":
		return "text"
	case "whole number", "list of whole numbers":
		return "n"
	}
	return "x"
}
