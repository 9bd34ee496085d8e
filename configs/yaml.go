package configs

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/vittool/vittool/backbone/families"
	"go.yaml.in/yaml/v3"
)

// YAML writes every setting. Loading the result gives an equal configuration.
func (c *Config) YAML() []byte { return c.write(nil) }

// Explain is [Config.YAML] with each setting's meaning, permitted values, default and, from
// r.Sources, origin as comments.
func (r *Resolved) Explain() []byte {
	return r.Config.write(func(k Key, value string) []string {
		lines := wrap(k.Doc, 76)
		var facts []string
		if k.OneOf != nil {
			facts = append(facts, "one of "+strings.Join(k.OneOf, ", "))
		} else {
			facts = append(facts, k.Type)
			if k.Range != "" {
				facts = append(facts, k.Range)
			}
		}
		if value != k.Default {
			def := k.Default
			if def == "" {
				def = "empty"
			}
			facts = append(facts, "default "+def)
		}
		if s := r.Sources[k.Path]; s != "" {
			facts = append(facts, "set by "+s)
		}
		return append(lines, "("+strings.Join(facts, "; ")+")")
	})
}

// applies reports whether a setting can have an effect in this run: some are for one optimizer, some
// for networks of stages, and some replace another setting where they are set.
func (c *Config) applies(k Key) bool {
	switch on, value, _ := strings.Cut(k.when, "="); on {
	case "optimizer":
		return c.Train.Optimizer == value
	case "set":
		return false
	case "network":
		network, err := families.Or(c.Model.Families).Variant(c.Model.Name)
		return err != nil || len(network.Info().StageDims) > 0
	}
	return true
}

// write is the one writer: comments (nil: none) gives the lines above a setting.
func (c *Config) write(comments func(k Key, value string) []string) []byte {
	var b bytes.Buffer
	root := reflect.ValueOf(c).Elem()
	section, group := "", ""
	for _, k := range Keys() {
		explained := comments != nil && k.when == "set" // where else would a person read of it
		if !c.applies(k) && !explained && formatValue(root.FieldByIndex(k.field)) == k.Default {
			continue
		}
		s, name, _ := strings.Cut(k.Path, ".")
		if s != section {
			if section == "objective" {
				c.writeOptions(&b)
			}
			if section != "" {
				b.WriteByte('\n')
			}
			section = s
			fmt.Fprintf(&b, "%s:\n", s)
		}
		indent := "  "
		if g, inner, ok := strings.Cut(name, "."); ok {
			if g != group {
				fmt.Fprintf(&b, "  %s:\n", g)
			}
			group, name, indent = g, inner, "    "
		}
		value := root.FieldByIndex(k.field)
		if comments != nil {
			for _, line := range comments(k, formatValue(value)) {
				fmt.Fprintf(&b, "%s# %s\n", indent, line)
			}
		}
		text := formatValue(value)
		if k.typ.Kind() == reflect.String {
			text = quoted(text)
		}
		fmt.Fprintf(&b, "%s%s: %s\n", indent, name, text)
	}
	return b.Bytes()
}

func (c *Config) writeOptions(b *bytes.Buffer) {
	if len(c.Objective.Options) == 0 {
		return
	}
	encoded, err := yaml.Marshal(optionNode(c.Objective.Options))
	if err != nil {
		// Nodes of plain scalars, lists and maps always marshal.
		panic(fmt.Sprintf("configs: options can't be written: %v", err))
	}
	b.WriteString("  options:\n")
	for line := range strings.Lines(string(encoded)) {
		b.WriteString("    " + line)
	}
}

// optionNode builds the node of an option's value by hand, so that a float stays a float and a text
// that looks like a number stays a text.
func optionNode(v any) *yaml.Node {
	scalar := func(tag, text string) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
	}
	switch x := v.(type) {
	case nil:
		return scalar("!!null", "null")
	case bool:
		return scalar("!!bool", fmt.Sprint(x))
	case float64:
		return scalar("!!float", formatFloat(x))
	case float32:
		return scalar("!!float", formatFloat(float64(x)))
	case string:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: x, Style: yaml.DoubleQuotedStyle}
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, item := range x {
			n.Content = append(n.Content, optionNode(item))
		}
		return n
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		names := make([]string, 0, len(x))
		for name := range x {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}
			n.Content = append(n.Content, key, optionNode(x[name]))
		}
		return n
	}
	return scalar("!!int", fmt.Sprint(v))
}

// quoted writes a text as YAML, in quotes when it needs them.
func quoted(s string) string {
	if s == "" {
		return `""`
	}
	encoded, err := yaml.Marshal(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s})
	if err != nil || strings.Count(string(encoded), "\n") > 1 {
		encoded, _ = yaml.Marshal(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle})
	}
	return strings.TrimSuffix(string(encoded), "\n")
}

func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// Map returns the settings as nested maps, for output as JSON.
func (c *Config) Map() map[string]any {
	out := map[string]any{}
	root := reflect.ValueOf(c).Elem()
	for _, k := range Keys() {
		v := root.FieldByIndex(k.field).Interface()
		if i, ok := v.(Interval); ok {
			v = i.String()
		}
		setNested(out, k.Path, v)
	}
	if len(c.Objective.Options) > 0 {
		out["objective"].(map[string]any)["options"] = c.Objective.Options
	}
	return out
}
