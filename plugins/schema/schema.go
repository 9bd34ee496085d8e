// Package schema describes the options of an objective and checks values against the description.
// The host uses it before a plugin is opened, so that a wrong key or value is reported with the
// valid ones and nothing has started yet; the SDK uses it again inside the plugin, for hosts that
// do not check.
package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/vittool/vittool/internal/edit"
)

// Option describes one option of an objective.
type Option struct {
	Key          string // lower-case with underscores
	Type         Type
	Default      string   // as JSON, such as 0.75 or "random"
	Min, Max     *float64 // of a number, or of each element of a list; nil: no limit
	ExclusiveMin bool     // Min itself is not valid
	ExclusiveMax bool     // Max itself is not valid
	Choices      []string // valid strings; empty: any
	Help         string   // one line
}

// Type is the type of an option's value, numbered as in the protocol.
type Type int

// Types of options.
const (
	_ Type = iota
	Bool
	Int
	Float
	String
	Ints
	Floats
	Strings
)

// String is the name of the type as people read it.
func (t Type) String() string {
	if t < Bool || t > Strings {
		return strconv.Itoa(int(t))
	}
	return [...]string{"bool", "int", "float", "string", "ints", "floats", "strings"}[t-Bool]
}

// Error is a wrong value of one option, with the valid ones.
type Error struct {
	Key    string // option, without the prefix objective.options
	Value  string // as it was given; "" where none was, or it stands in Text
	Text   string // the fault
	Remedy string // may be empty
}

func (e *Error) Error() string {
	text := fmt.Sprintf("option %q", e.Key)
	if e.Value != "" {
		text += " = " + e.Value
	}
	text += ": " + e.Text
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	return text
}

// fault is a fault of a value with its remedy.
type fault struct{ text, remedy string }

func (f *fault) Error() string { return f.text + "; " + f.remedy }

// wrong is the error of the option of a key whose value has a fault.
func wrong(key, value string, err error) *Error {
	var f *fault
	if errors.As(err, &f) {
		return &Error{key, value, f.text, f.remedy}
	}
	return &Error{Key: key, Text: err.Error()}
}

// Complete checks values against options, fills in the defaults and returns the canonical JSON
// object (keys sorted) that OpenRequest.config_json carries. Numbers may arrive as any Go number,
// as json.Number or as text such as "0.75". The error is an *Error that names the option.
func Complete(options []Option, values map[string]any) ([]byte, error) {
	known := make(map[string]*Option, len(options))
	for i := range options {
		known[options[i].Key] = &options[i]
	}
	out := make(map[string]any, len(options))
	keys := make([]string, 0, len(values))
	for k := range values {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		o, ok := known[k]
		if !ok {
			return nil, &Error{Key: k, Text: edit.NoSuch("option"), Remedy: edit.Suggest(k, keysOf(options))}
		}
		v, err := o.Convert(values[k])
		if err != nil {
			return nil, wrong(k, show(values[k]), err)
		}
		out[k] = v
	}
	for i := range options {
		o := &options[i]
		if _, ok := out[o.Key]; ok {
			continue
		}
		v, err := o.Value()
		if err != nil {
			return nil, wrong(o.Key, o.Default, err)
		}
		out[o.Key] = v
	}
	return json.Marshal(out)
}

// Parse is Complete for a JSON object; empty input means no values.
func Parse(options []Option, config []byte) ([]byte, error) {
	values := map[string]any{}
	if len(bytes.TrimSpace(config)) > 0 {
		d := json.NewDecoder(bytes.NewReader(config))
		d.UseNumber()
		if err := d.Decode(&values); err != nil {
			return nil, fmt.Errorf("options are not a JSON object: %w", err)
		}
		if d.More() {
			return nil, fmt.Errorf("options are not one JSON object: text follows it")
		}
	}
	return Complete(options, values)
}

// Value is the checked default value.
func (o *Option) Value() (any, error) {
	d := json.NewDecoder(strings.NewReader(o.Default))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("the objective's default %q is not JSON: %v", o.Default, err)
	}
	v, err := o.Convert(v)
	if err != nil {
		return nil, fmt.Errorf("the objective's default: %w", err)
	}
	return v, nil
}

// Check reports declarations that no value can satisfy: bad keys, duplicates, unusable defaults.
func Check(options []Option) error {
	seen := map[string]bool{}
	for _, o := range options {
		if !validKey(o.Key) {
			return &Error{Key: o.Key, Text: "a key is lower-case letters, digits and underscores, starting with a letter"}
		}
		if seen[o.Key] {
			return &Error{Key: o.Key, Text: "declared twice"}
		}
		seen[o.Key] = true
		if _, err := o.Value(); err != nil {
			return wrong(o.Key, o.Default, err)
		}
		if o.Help == "" {
			return &Error{Key: o.Key, Text: "has no help text"}
		}
	}
	return nil
}

func validKey(k string) bool {
	for i, c := range k {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '_')) {
			return false
		}
	}
	return k != ""
}

// Convert turns v into the Go value of the option's type: bool, int64, float64, string, []int64,
// []float64 or []string, within the declared range and choices.
func (o *Option) Convert(v any) (any, error) {
	switch o.Type {
	case Bool:
		switch b := v.(type) {
		case bool:
			return b, nil
		case string:
			if b == "true" || b == "false" {
				return b == "true", nil
			}
		}
		return nil, fmt.Errorf("%s is not true or false", show(v))
	case Int:
		return integer(o, v)
	case Float:
		return number(o, v)
	case String:
		return text(o, v)
	case Ints:
		return list(o, v, integer)
	case Floats:
		return list(o, v, number)
	case Strings:
		return list(o, v, text)
	}
	return nil, fmt.Errorf("the objective declares an unknown type %v", o.Type)
}

func list[T any](o *Option, v any, one func(*Option, any) (T, error)) ([]T, error) {
	var items []any
	switch l := v.(type) {
	case []any:
		items = l
	case []int:
		for _, x := range l {
			items = append(items, x)
		}
	case []int64:
		for _, x := range l {
			items = append(items, x)
		}
	case []float64:
		for _, x := range l {
			items = append(items, x)
		}
	case []string:
		for _, x := range l {
			items = append(items, x)
		}
	default:
		return nil, fmt.Errorf("%s is not a list", show(v))
	}
	out := make([]T, 0, len(items))
	for i, x := range items {
		y, err := one(o, x)
		if err != nil {
			var f *fault
			if errors.As(err, &f) {
				return nil, &fault{fmt.Sprintf("element %d (%s) %s", i, show(x), f.text), f.remedy}
			}
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		out = append(out, y)
	}
	return out, nil
}

func asFloat(v any) (float64, bool) {
	switch x := v.(type) {
	case int:
		return float64(x), true
	case int32:
		return float64(x), true
	case int64:
		return float64(x), true
	case uint64:
		return float64(x), true
	case float32:
		return float64(x), true
	case float64:
		return x, true
	case json.Number:
		f, err := x.Float64()
		return f, err == nil
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(x), 64)
		return f, err == nil
	}
	return 0, false
}

func integer(o *Option, v any) (int64, error) {
	f, ok := asFloat(v)
	if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, fmt.Errorf("%s is not a whole number", show(v))
	}
	return int64(f), within(o, f)
}

func number(o *Option, v any) (float64, error) {
	f, ok := asFloat(v)
	if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%s is not a number", show(v))
	}
	return f, within(o, f)
}

func text(o *Option, v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%s is not text", show(v))
	}
	if len(o.Choices) == 0 {
		return s, nil
	}
	for _, c := range o.Choices {
		if c == s {
			return s, nil
		}
	}
	return "", &fault{"is not one of its values", edit.Suggest(s, o.Choices)}
}

func within(o *Option, f float64) error {
	if r := o.limits(); !r.Holds(f) {
		return &fault{edit.OutOfRange, r.Valid()}
	}
	return nil
}

// limits are the permitted numbers of the option.
func (o *Option) limits() edit.Range {
	r := edit.Range{Min: math.Inf(-1), Max: math.Inf(1), Above: o.ExclusiveMin, Below: o.ExclusiveMax}
	if o.Min != nil {
		r.Min = *o.Min
	}
	if o.Max != nil {
		r.Max = *o.Max
	}
	return r
}

// Range writes the valid numbers or texts for people, such as "above 0 to 1"; "" when any is valid.
func (o *Option) Range() string {
	if s := o.limits().String(); s != "" {
		return s
	}
	return strings.Join(o.Choices, ", ")
}

func show(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(s)
	}
	return fmt.Sprint(v)
}

// keysOf lists the keys of the options in order.
func keysOf(options []Option) []string {
	names := make([]string, 0, len(options))
	for _, o := range options {
		names = append(names, o.Key)
	}
	sort.Strings(names)
	return names
}
