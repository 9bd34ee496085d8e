package sdk

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/vittool/vittool/plugins/schema"
)

// optionsOf reads the schema from the struct tags of prototype:
//
//	option  the key, e.g. option:"mask_ratio"; fields without it are not options
//	help    one line, required
//	min, max      smallest and largest valid number
//	above, below  the same, exclusive
//	choices       valid strings, separated by commas
//	length        number of values of a list
//	order         "rising": no value of a list is smaller than the one before it
//
// Field types are bool, int, float64, string and slices of the last three. Options of an embedded
// struct stand in its place. The embedding field may rename some of them, or leave them out at
// their default: keys:"out_dim=dim head_layers=-". A tag of it with the key of one of them, e.g.
// blur:"...", is its help there.
func optionsOf(prototype reflect.Value) ([]schema.Option, error) {
	var out []schema.Option
	err := eachOption(prototype, func(key string, f reflect.StructField, value reflect.Value) error {
		o := schema.Option{Key: key, Help: f.Tag.Get("help"), Type: typeOf(value)}
		if o.Type == 0 {
			return fmt.Errorf("option %q: field %s has type %s; use bool, int, float64, string or a slice of the last three", key, f.Name, f.Type)
		}
		js, err := json.Marshal(value.Interface())
		if err != nil {
			return fmt.Errorf("option %q: default: %w", key, err)
		}
		if o.Default = string(js); o.Default == "null" {
			o.Default = "[]" // a nil slice
		}
		if err := setLimits(&o, f.Tag); err != nil {
			return err
		}
		if s := f.Tag.Get("choices"); s != "" {
			o.Choices = strings.Split(s, ",")
		}
		out = append(out, o)
		return nil
	})
	return out, err
}

// eachOption calls f with every field of the struct v that is an option, and with those of the
// structs embedded in it.
func eachOption(v reflect.Value, f func(key string, field reflect.StructField, value reflect.Value) error) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key, ok := field.Tag.Lookup("option")
		var err error
		switch {
		case !ok && field.Anonymous && field.Type.Kind() == reflect.Struct:
			err = embeddedOptions(field, v.Field(i), f)
		case !ok:
		case !field.IsExported():
			err = fmt.Errorf("option %q: field %s.%s must be exported", key, v.Type(), field.Name)
		default:
			err = f(key, field, v.Field(i))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// embeddedOptions is eachOption for an embedded struct, with the keys and helps of the tag of the
// field that embeds it.
func embeddedOptions(field reflect.StructField, v reflect.Value, f func(key string, field reflect.StructField, value reflect.Value) error) error {
	keys := map[string]string{}
	for _, pair := range strings.Fields(field.Tag.Get("keys")) {
		from, to, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("field %s: tag keys holds %q, which is not of the form old=new", field.Name, pair)
		}
		keys[from] = to
	}
	err := eachOption(v, func(key string, inner reflect.StructField, value reflect.Value) error {
		if to, ok := keys[key]; ok {
			delete(keys, key)
			if key = to; to == "-" {
				return nil
			}
		}
		if help, ok := field.Tag.Lookup(key); ok { // the first of two equal keys counts
			inner.Tag = reflect.StructTag("help:"+strconv.Quote(help)+" ") + inner.Tag
		}
		return f(key, inner, value)
	})
	for from := range keys {
		if err == nil {
			err = fmt.Errorf("field %s: tag keys renames %q, which %s does not have", field.Name, from, v.Type())
		}
	}
	return err
}

func typeOf(v reflect.Value) schema.Type {
	switch v.Interface().(type) {
	case bool:
		return schema.Bool
	case int:
		return schema.Int
	case float64:
		return schema.Float
	case string:
		return schema.String
	case []int:
		return schema.Ints
	case []float64:
		return schema.Floats
	case []string:
		return schema.Strings
	}
	return 0
}

func setLimits(o *schema.Option, tag reflect.StructTag) error {
	for _, limit := range []struct {
		tag       string
		value     **float64
		exclusive *bool
	}{
		{"min", &o.Min, nil}, {"max", &o.Max, nil}, {"above", &o.Min, &o.ExclusiveMin}, {"below", &o.Max, &o.ExclusiveMax},
	} {
		s, ok := tag.Lookup(limit.tag)
		if !ok {
			continue
		}
		x, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return fmt.Errorf("option %q: tag %s:%q is not a number", o.Key, limit.tag, s)
		}
		if *limit.value != nil {
			return fmt.Errorf("option %q: two limits on the same side", o.Key)
		}
		*limit.value = &x
		if limit.exclusive != nil {
			*limit.exclusive = true
		}
	}
	return nil
}

// setOptions fills the option fields of target from a checked JSON object.
func setOptions(target reflect.Value, config []byte) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(config, &values); err != nil {
		return fmt.Errorf("options: %w", err)
	}
	return eachOption(target, func(key string, _ reflect.StructField, field reflect.Value) error {
		field.SetZero() // a slice default must not be written through
		if err := json.Unmarshal(values[key], field.Addr().Interface()); err != nil {
			return fmt.Errorf("option %q: %w", key, err)
		}
		return nil
	})
}

// validate checks the limits that the schema does not know: the lengths and orders of lists, and
// those of a Validator, embedded structs first.
func validate(v reflect.Value) error {
	if err := eachOption(v, func(key string, f reflect.StructField, value reflect.Value) error {
		if err := checkLength(key, f.Tag.Get("length"), value); err != nil {
			return err
		}
		if list, ok := value.Interface().([]float64); ok && f.Tag.Get("order") == "rising" && !slices.IsSorted(list) {
			return fmt.Errorf("%s is [%v, %v]; the smaller share comes first", key, list[0], list[len(list)-1])
		}
		return nil
	}); err != nil {
		return err
	}
	return validateStructs(v)
}

func checkLength(key, length string, value reflect.Value) error {
	if length == "" {
		return nil
	}
	n, err := strconv.Atoi(length)
	if err != nil || value.Kind() != reflect.Slice {
		return fmt.Errorf("option %q: tag length:%q is not for a list, or no number", key, length)
	}
	if value.Len() != n {
		return fmt.Errorf("%s has %d values; it takes %d", key, value.Len(), n)
	}
	return nil
}

// validateStructs calls the Validators among v and the structs embedded in it.
func validateStructs(v reflect.Value) error {
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Anonymous && f.IsExported() && f.Type.Kind() == reflect.Struct {
			if err := validateStructs(v.Field(i)); err != nil {
				return err
			}
		}
	}
	if c, ok := v.Addr().Interface().(Validator); ok {
		return c.Validate()
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
