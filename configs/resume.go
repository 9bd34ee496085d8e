package configs

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Difference is a setting in which two configurations disagree.
type Difference struct {
	Key      string
	Old, New string
	// MaybeFile says that both are text given to an objective, which alone knows whether they name
	// a file. One with the same content may lie elsewhere.
	MaybeFile bool
}

// ResumeDifferences lists the settings that a resumed run (c) may not change from the run as it was
// started (old), because the weights would differ.
func (c *Config) ResumeDifferences(old *Config) []Difference {
	var out []Difference
	a, b := reflect.ValueOf(old).Elem(), reflect.ValueOf(c).Elem()
	for _, k := range Keys() {
		was, is := formatValue(a.FieldByIndex(k.field)), formatValue(b.FieldByIndex(k.field))
		if !k.ResumeFree && was != is {
			out = append(out, Difference{Key: k.Path, Old: was, New: is})
		}
	}
	was, is := old.Objective.Options, c.Objective.Options
	names := slices.AppendSeq(slices.Collect(maps.Keys(was)), maps.Keys(is))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		before, now := optionText(was, name), optionText(is, name)
		if before != now {
			_, text := was[name].(string)
			_, still := is[name].(string)
			out = append(out, Difference{Key: OptionsKey + "." + name, Old: before, New: now, MaybeFile: text && still})
		}
	}
	return out
}

func optionText(options map[string]any, name string) string {
	v, ok := options[name]
	if !ok {
		return "its default"
	}
	return fmt.Sprint(v)
}

// Result returns a copy in which every setting that changes no bit of the result has its default,
// so that configurations with equal results are equal. The path of the images stays: whoever shows
// them again has to find them.
func (c *Config) Result() *Config {
	out, defaults := *c, Default()
	to, from := reflect.ValueOf(&out).Elem(), reflect.ValueOf(defaults)
	for _, k := range Keys() {
		if k.ResumeFree && k.Path != "data.path" {
			to.FieldByIndex(k.field).Set(from.FieldByIndex(k.field))
		}
	}
	return &out
}
