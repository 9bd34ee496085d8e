package configs

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// crossed is a height and a width as people write them.
var crossed = regexp.MustCompile(`^\s*(\d+)\s*[xX×]\s*(\d+)\s*$`)

// fromNode reads the value of a setting from a YAML file. Types are strict: a text where a number
// belongs is an error, not a conversion.
func (k Key) fromNode(n *yaml.Node) (any, error) {
	if k.typ.Kind() == reflect.Slice {
		if n.Kind == yaml.ScalarNode && crossed.MatchString(n.Value) {
			return k.fromText(n.Value)
		}
		items := []*yaml.Node{n}
		if n.Kind == yaml.SequenceNode {
			items = n.Content
		}
		return listOf(k, items, scalarFromNode)
	}
	v, err := scalarFromNode(k.typ, n)
	if err != nil {
		return nil, fmt.Errorf("wants %s: %w", article(k.Type), err)
	}
	return v, nil
}

func scalarFromNode(t reflect.Type, n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		return nil, fmt.Errorf("this is a section")
	case yaml.SequenceNode:
		return nil, fmt.Errorf("this is a list")
	}
	switch t.Kind() {
	case reflect.Int, reflect.Float64:
		if n.Tag == "!!str" {
			return nil, fmt.Errorf("this is text")
		}
	case reflect.String:
		if n.Tag != "!!str" && n.Tag != "!!timestamp" {
			if n.Tag == "!!null" {
				return "", nil
			}
			return nil, fmt.Errorf("put it in quotes if it is meant")
		}
	}
	return scalarFromText(t, n.Value)
}

// fromText reads the value of a setting from the command line or the environment. A list is written
// 0.2,1 or [0.2, 1], one of sizes also 160x224.
func (k Key) fromText(s string) (any, error) {
	if k.typ.Kind() == reflect.Slice {
		inner := strings.TrimSpace(s)
		if strings.HasPrefix(inner, "[") && strings.HasSuffix(inner, "]") {
			inner = inner[1 : len(inner)-1]
		}
		if k.typ.Elem().Kind() == reflect.Int {
			inner = crossed.ReplaceAllString(inner, "$1,$2")
		}
		var items []string
		if strings.TrimSpace(inner) != "" {
			items = strings.Split(inner, ",")
		}
		v, err := listOf(k, items, func(t reflect.Type, item string) (any, error) { return scalarFromText(t, strings.TrimSpace(item)) })
		if err != nil && strings.ContainsAny(inner, "xX×") && k.typ.Elem().Kind() == reflect.Int {
			return nil, fmt.Errorf("%q is no size; write one number for both sides, or height and width as in 160x224", s)
		}
		return v, err
	}
	if k.typ.Kind() != reflect.String {
		s = strings.TrimSpace(s)
	}
	v, err := scalarFromText(k.typ, s)
	if err != nil {
		return nil, fmt.Errorf("wants %s: %w", article(k.Type), err)
	}
	return v, nil
}

// listOf reads the items of a list.
func listOf[T any](k Key, items []T, read func(t reflect.Type, item T) (any, error)) (any, error) {
	out := reflect.MakeSlice(k.typ, 0, len(items))
	for _, item := range items {
		v, err := read(k.typ.Elem(), item)
		if err != nil {
			return nil, fmt.Errorf("wants a %s: %w", k.Type, err)
		}
		out = reflect.Append(out, reflect.ValueOf(v))
	}
	return out.Interface(), nil
}

func scalarFromText(t reflect.Type, s string) (any, error) {
	if t == reflect.TypeFor[Interval]() {
		return ParseInterval(s)
	}
	switch t.Kind() {
	case reflect.String:
		return s, nil
	case reflect.Int:
		n, err := strconv.Atoi(strings.ReplaceAll(s, "_", ""))
		if err != nil {
			if _, ferr := strconv.ParseFloat(s, 64); ferr == nil {
				return nil, fmt.Errorf("%s has a fraction, an exponent or too many digits", s)
			}
			return nil, fmt.Errorf("%q is not a whole number", s)
		}
		return n, nil
	case reflect.Float64:
		f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("%q is not a finite number", s)
		}
		return f, nil
	case reflect.Bool:
		switch strings.ToLower(s) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, fmt.Errorf("%q is neither true nor false", s)
	}
	panic(fmt.Sprintf("configs: no setting may have type %v", t))
}

func article(typ string) string {
	switch typ {
	case "text", "true or false":
		return typ
	case "interval":
		return "an interval"
	}
	return "a " + typ
}

// formatValue writes a value so that fromText reads the same one back.
func formatValue(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case Interval:
		return x.String()
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	case int:
		return strconv.Itoa(x)
	case float64:
		return formatFloat(x)
	case []int:
		parts := make([]string, len(x))
		for i, n := range x {
			parts[i] = strconv.Itoa(n)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []float64:
		parts := make([]string, len(x))
		for i, f := range x {
			parts[i] = formatFloat(f)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	panic(fmt.Sprintf("configs: no setting may have type %v", v.Type()))
}

// formatFloat writes the shortest text that reads back as the same float64.
func formatFloat(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0" // so that YAML readers see a float
	}
	return s
}

// optionFromText reads the value of an objective's option: true, 0.75, "text", [1, 2], as in YAML.
// A value that is not valid YAML is text.
func optionFromText(s string) any {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(s), &n); err == nil && len(n.Content) == 1 {
		if v, err := optionFromNode(n.Content[0]); err == nil && v != nil {
			return v
		}
	}
	return s
}

// optionFromNode turns a YAML value into bool, int, float64, string, []any or map[string]any, keys
// in their own case.
func optionFromNode(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		switch n.Tag {
		case "!!bool":
			return strings.EqualFold(n.Value, "true"), nil
		case "!!int":
			if i, err := strconv.Atoi(strings.ReplaceAll(n.Value, "_", "")); err == nil {
				return i, nil
			}
			return nil, fmt.Errorf("%s is not a decimal whole number of 64 bits", n.Value)
		case "!!float":
			f, err := strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64)
			if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
				return nil, fmt.Errorf("%s is not a finite number", n.Value)
			}
			return f, nil
		case "!!null":
			return nil, nil
		}
		return n.Value, nil
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			v, err := optionFromNode(item)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.MappingNode:
		m := make(map[string]any)
		for i := 0; i+1 < len(n.Content); i += 2 {
			v, err := optionFromNode(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			m[n.Content[i].Value] = v
		}
		return m, nil
	}
	return nil, fmt.Errorf("anchors and aliases are not supported")
}
