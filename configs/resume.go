package configs

import (
	"fmt"
	"reflect"
)

// Difference is a setting in which two configurations disagree.
type Difference struct {
	Key      string
	Old, New string
}

// ResumeDifferences lists the settings that a resumed run (c) may not change
// from the run as it was started (old), because the weights would differ.
func (c *Config) ResumeDifferences(old *Config) []Difference {
	var out []Difference
	a, b := reflect.ValueOf(old).Elem(), reflect.ValueOf(c).Elem()
	for _, k := range Keys() {
		was, is := formatValue(a.FieldByIndex(k.field)), formatValue(b.FieldByIndex(k.field))
		if !k.ResumeFree && was != is {
			out = append(out, Difference{Key: k.Path, Old: was, New: is})
		}
	}
	if was, is := string(old.optionsText()), string(c.optionsText()); was != is {
		out = append(out, Difference{Key: OptionsKey, Old: was, New: is})
	}
	return out
}

// Result returns a copy in which every setting that changes no bit of the result
// has its default, so that configurations with equal results are equal. The path
// of the images stays: whoever shows them again has to find them.
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

func (c *Config) optionsText() string {
	if len(c.Objective.Options) == 0 {
		return "{}"
	}
	return fmt.Sprint(c.Objective.Options) // fmt sorts the keys of maps
}
