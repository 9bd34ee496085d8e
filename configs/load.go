package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/viper"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/internal/edit"
	"github.com/vittool/vittool/runs"
)

// EnvPrefix starts the name of every environment variable that sets a key: VITTOOL_TRAIN_BATCH_SIZE
// sets train.batch_size.
const EnvPrefix = "VITTOOL_"

// Request is where the settings of a run are to come from, weakest first: defaults, then Configs in
// order, then Environ, then Flags, then Overrides.
type Request struct {
	Configs   []string  // names of presets, or paths of YAML files
	Environ   []string  // NAME=value, as os.Environ gives them; nil leaves the environment out
	Flags     []Setting // shorthands on the command line
	Overrides []string  // key=value

	Presets  Presets           // that Configs and files name
	Families backbone.Families // that know the model; nil means all of vittool's
}

// Setting is a value for a key, written as text at Source.
type Setting struct {
	Key, Value, Source string
}

// Resolved is a complete, valid configuration, and where each setting that is not a default came
// from.
type Resolved struct {
	Config  *Config
	Preset  string            // the last preset that took part; empty when none did
	Sources map[string]string // key → "preset mae-32:12", "run.yaml:3", "flag --epochs" …
}

// Load merges and checks the settings of a run. The error is of type [Errors] and holds every
// problem found.
func Load(req Request) (*Resolved, error) {
	r, err := Merge(req)
	if err != nil {
		return nil, err
	}
	if errs := r.Config.problems(r.Sources); len(errs) > 0 {
		return nil, errs
	}
	return r, nil
}

// Merge is [Load] without the checks of values and of their relations: its result is for inspection
// and not for a run.
func Merge(req Request) (*Resolved, error) {
	m := newMerger(req.Presets)
	for _, name := range req.Configs {
		m.config(name)
	}
	m.environment(req.Environ)
	flags := newLayer()
	for _, s := range req.Flags {
		if err := flags.setText(s.Key, s.Value, s.Source); err != nil {
			m.errs = append(m.errs, err)
		}
	}
	m.add(flags)
	m.overrides(req.Overrides)
	if len(m.errs) > 0 {
		return nil, m.errs
	}
	cfg, err := m.merged()
	if err != nil {
		return nil, err
	}
	cfg.Model.Families = req.Families
	return &Resolved{Config: cfg, Preset: m.preset, Sources: m.sources}, nil
}

// merger stacks layers in viper, the objective's options beside it: viper lowercases the keys of
// maps, and an option's name is the plugin's to choose.
type merger struct {
	presets Presets
	viper   *viper.Viper
	options map[string]any
	sources map[string]string
	preset  string
	errs    Errors
}

func newMerger(presets Presets) *merger {
	m := &merger{presets: presets, viper: viper.New(), options: map[string]any{}, sources: map[string]string{}}
	defaults := reflect.ValueOf(Default())
	for _, k := range Keys() {
		m.viper.SetDefault(k.Path, defaults.FieldByIndex(k.field).Interface())
	}
	return m
}

// add puts a layer on top of those before it.
func (m *merger) add(l *layer) {
	for _, path := range []string{"objective.name", "objective.plugin"} {
		if value, ok := l.values[path]; ok && value != m.viper.GetString(path) {
			m.dropPresetOptions()
		}
	}
	nested := map[string]any{}
	for path, v := range l.values {
		setNested(nested, path, v)
	}
	if err := m.viper.MergeConfigMap(nested); err != nil {
		m.errs = append(m.errs, &Error{Problem: "the settings can't be merged: " + err.Error()})
	}
	for name, v := range l.options {
		m.setOption(name, v)
	}
	for path, source := range l.sources {
		m.sources[path] = source
	}
}

// setNested sets a.b.c in maps of maps.
func setNested(m map[string]any, path string, v any) {
	for {
		section, rest, ok := strings.Cut(path, ".")
		if !ok {
			m[path] = v
			return
		}
		inner, ok := m[section].(map[string]any)
		if !ok {
			inner = map[string]any{}
			m[section] = inner
		}
		m, path = inner, rest
	}
}

// dropPresetOptions forgets the options that presets gave to another objective. Options that the
// user wrote stay, and are refused if the objective lacks them.
func (m *merger) dropPresetOptions() {
	for name := range m.options {
		path := OptionsKey + "." + name
		if strings.HasPrefix(m.sources[path], "preset ") {
			delete(m.options, name)
			delete(m.sources, path)
		}
	}
}

// setOption replaces an option; letter case in names does not count.
func (m *merger) setOption(name string, value any) {
	for other := range m.options {
		if other != name && strings.EqualFold(other, name) {
			delete(m.options, other)
			delete(m.sources, OptionsKey+"."+other)
		}
	}
	m.options[name] = value
}

// config adds a preset, a file, or the config.yaml of a run folder.
func (m *merger) config(name string) {
	if _, ok := m.presets.read(name); ok {
		m.addPreset(name, "")
		return
	}
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		name = filepath.Join(name, runs.ConfigFile)
		_, err = os.Stat(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		hint := edit.Suggest(name, m.presets.Names())
		if strings.ContainsAny(name, `/\.`) {
			hint = "check the path; presets are: " + strings.Join(m.presets.Names(), ", ")
		}
		m.errs = append(m.errs, &Error{Source: name, Problem: "is neither a preset nor a file", Hint: hint})
		return
	}
	content, err := readLimited(name)
	if err != nil {
		m.errs = append(m.errs, &Error{Source: name, Problem: "can't be read: " + err.Error()})
		return
	}
	l, preset, errs := readYAML(name, content)
	m.errs = append(m.errs, errs...)
	if preset != "" {
		m.addPreset(preset, l.sources["preset"])
		delete(l.sources, "preset")
	}
	m.add(l)
}

// readLimited reads a file that is small if it is a configuration at all.
func readLimited(name string) ([]byte, error) {
	const limit = 1 << 20
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && len(content) > limit {
		err = fmt.Errorf("it is larger than %d bytes, and so no configuration", limit)
	}
	return content, err
}

func (m *merger) addPreset(name, source string) {
	content, ok := m.presets.read(name)
	if !ok {
		m.errs = append(m.errs, m.presets.unknown(name, source))
		return
	}
	l, _, errs := readYAML("preset "+name, content)
	m.errs = append(m.errs, errs...)
	m.preset = name
	m.add(l)
}

// environment adds the variables whose names start with VITTOOL_ and a section. Others, such as
// VITTOOL_KERNELS, are no settings of a run.
func (m *merger) environment(environ []string) {
	l := newLayer()
	for _, entry := range environ {
		variable, value, _ := strings.Cut(entry, "=")
		rest, ok := strings.CutPrefix(variable, EnvPrefix)
		if !ok {
			continue
		}
		section, name, ok := strings.Cut(strings.ToLower(rest), "_")
		if !ok || !slices.Contains(sections(), section) {
			continue
		}
		path := section + "." + name
		if option, ok := strings.CutPrefix(path, "objective.options_"); ok {
			path = OptionsKey + "." + option
		} else if known := environmentPaths()[section+"_"+name]; known != "" {
			path = known
		}
		if err := l.setText(path, value, "environment "+variable); err != nil {
			m.errs = append(m.errs, err)
		}
	}
	m.add(l)
}

// overrides adds the key=value arguments at the end of a command line.
func (m *merger) overrides(args []string) {
	l := newLayer()
	for _, arg := range args {
		path, value, ok := strings.Cut(arg, "=")
		if !ok {
			m.errs = append(m.errs, &Error{Source: "argument " + arg, Problem: "is not of the form key=value", Hint: overrideHint(arg)})
			continue
		}
		if err := l.setText(path, value, "argument "+arg); err != nil {
			m.errs = append(m.errs, err)
		}
	}
	m.add(l)
}

func overrideHint(arg string) string {
	if n := edit.Nearest(arg, paths()); n != "" {
		return "did you mean " + n + "=VALUE?"
	}
	return "for instance train.epochs=20"
}

// merged reads the typed struct back from viper. The layers have been checked key by key;
// UnmarshalExact holds viper to the same strictness.
func (m *merger) merged() (*Config, error) {
	cfg := new(Config)
	if err := m.viper.UnmarshalExact(cfg); err != nil {
		return nil, Errors{{Problem: "the settings don't fit together: " + err.Error()}}
	}
	cfg.Objective.Options = m.options
	cfg.tidy()
	return cfg, nil
}

// tidy makes equal configurations equal in memory: empty lists and maps are nil.
func (c *Config) tidy() {
	v := reflect.ValueOf(c).Elem()
	for _, k := range Keys() {
		if f := v.FieldByIndex(k.field); f.Kind() == reflect.Slice && f.Len() == 0 {
			f.SetZero()
		}
	}
	if len(c.Objective.Options) == 0 {
		c.Objective.Options = nil
	}
}
