package sdk

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/vittool/vittool/plugins/pb"
)

// optionsOf reads the schema from the struct tags of prototype:
//
//	option  the key, e.g. option:"mask_ratio"; fields without it are not options
//	help    one line, required
//	min, max      smallest and largest valid number
//	above, below  the same, exclusive
//	choices       valid strings, separated by commas
//
// Field types are bool, int, float64, string and slices of the last three.
func optionsOf(prototype reflect.Value) ([]*pb.Option, error) {
	t := prototype.Type()
	var out []*pb.Option
	for i := range t.NumField() {
		f := t.Field(i)
		key, ok := f.Tag.Lookup("option")
		if !ok {
			continue
		}
		if !f.IsExported() {
			return nil, fmt.Errorf("option %q: field %s.%s must be exported", key, t, f.Name)
		}
		o := &pb.Option{Key: key, Help: f.Tag.Get("help")}
		value := prototype.Field(i)
		switch value.Interface().(type) {
		case bool:
			o.Type = pb.Option_TYPE_BOOL
		case int:
			o.Type = pb.Option_TYPE_INT
		case float64:
			o.Type = pb.Option_TYPE_FLOAT
		case string:
			o.Type = pb.Option_TYPE_STRING
		case []int:
			o.Type = pb.Option_TYPE_INTS
		case []float64:
			o.Type = pb.Option_TYPE_FLOATS
		case []string:
			o.Type = pb.Option_TYPE_STRINGS
		default:
			return nil, fmt.Errorf("option %q: field %s.%s has type %s; use bool, int, float64, string or a slice of the last three", key, t, f.Name, f.Type)
		}
		js, err := json.Marshal(value.Interface())
		if err != nil {
			return nil, fmt.Errorf("option %q: default: %w", key, err)
		}
		if o.DefaultJson = string(js); o.DefaultJson == "null" {
			o.DefaultJson = "[]" // a nil slice
		}
		for _, limit := range []struct {
			tag       string
			value     **float64
			exclusive *bool
		}{
			{"min", &o.Min, nil}, {"max", &o.Max, nil}, {"above", &o.Min, &o.ExclusiveMin}, {"below", &o.Max, &o.ExclusiveMax},
		} {
			s, ok := f.Tag.Lookup(limit.tag)
			if !ok {
				continue
			}
			x, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return nil, fmt.Errorf("option %q: tag %s:%q is not a number", key, limit.tag, s)
			}
			if *limit.value != nil {
				return nil, fmt.Errorf("option %q: two limits on the same side", key)
			}
			*limit.value = proto.Float64(x)
			if limit.exclusive != nil {
				*limit.exclusive = true
			}
		}
		if s := f.Tag.Get("choices"); s != "" {
			o.Choices = strings.Split(s, ",")
		}
		out = append(out, o)
	}
	return out, nil
}

// setOptions fills the option fields of target from a checked JSON object.
func setOptions(target reflect.Value, config []byte) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(config, &values); err != nil {
		return fmt.Errorf("options: %w", err)
	}
	t := target.Type()
	for i := range t.NumField() {
		key, ok := t.Field(i).Tag.Lookup("option")
		if !ok {
			continue
		}
		field := target.Field(i)
		field.SetZero() // a slice default must not be written through
		if err := json.Unmarshal(values[key], field.Addr().Interface()); err != nil {
			return fmt.Errorf("option %q: %w", key, err)
		}
	}
	return nil
}

// fresh copies the prototype behind o into a new struct of its type.
func fresh(o Objective) (Objective, reflect.Value, error) {
	v := reflect.ValueOf(o)
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil, reflect.Value{}, fmt.Errorf("an objective is a struct or a pointer to one, not %T", o)
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.Interface().(Objective), p.Elem(), nil
}
