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

func (c *Config) optionsText() string {
	if len(c.Objective.Options) == 0 {
		return "{}"
	}
	return fmt.Sprint(c.Objective.Options) // fmt sorts the keys of maps
}
