package golden

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Whole is Open for a test of the whole file: at the end of the test, a tensor that nothing has
// read and a setting that nothing has decoded are failures. So a file with an option unknown to the
// test does not pass.
func Whole(t testing.TB, path string) *Case {
	t.Helper()
	c := Open(t, path)
	c.uses.tensors.Clear() // Open has read tensors without a comparison
	t.Cleanup(func() {
		if t.Failed() || t.Skipped() {
			return
		}
		for _, name := range c.Tensors.Names() {
			if _, read := c.uses.tensors.Load(name); !read {
				t.Errorf("%s: no test reads tensor %s", c, name)
			}
		}
		for _, key := range c.unknownKeys(t) {
			t.Errorf("%s: this test does not know the setting %q of the config", c, key)
		}
	})
	return c
}

// Beside marks tensors of official files as irrelevant to this test, such as draws of another
// random generator; "x." stands for all names with that prefix.
func (c *Case) Beside(names ...string) {
	for _, name := range c.Tensors.Names() {
		if slices.ContainsFunc(names, func(n string) bool { return name == n || strings.HasSuffix(n, ".") && strings.HasPrefix(name, n) }) {
			c.uses.tensors.Store(name, true)
		}
	}
}

// Describes marks settings of official files as descriptions without effect.
func (c *Case) Describes(keys ...string) {
	c.uses.mu.Lock()
	defer c.uses.mu.Unlock()
	c.uses.keys = append(c.uses.keys, keys...)
}

// Fixed fails for a setting with another value than the only one that the code under test
// implements.
func (c *Case) Fixed(t testing.TB, want map[string]any) {
	t.Helper()
	var config map[string]json.RawMessage
	c.decodeConfig(t, &config)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		text, err := json.Marshal(want[key])
		if err != nil {
			t.Fatal(err)
		}
		var got, wanted any
		if raw, ok := config[key]; !ok {
			continue
		} else if json.Unmarshal(raw, &got) != nil || json.Unmarshal(text, &wanted) != nil || !reflect.DeepEqual(got, wanted) {
			t.Fatalf("%s: %s is %s; the official code has %s", c, key, raw, text)
		}
		c.Describes(key)
	}
}

// checkZero fails for rows that no gradient of the case has.
func (c *Case) checkZero(t testing.TB, name string, first, end int) {
	t.Helper()
	rows := -1
	if x, ok := c.Tensors.Get("grad." + name); ok && len(x.Shape) > 0 {
		rows = x.Shape[0]
	} else {
		var config struct {
			Tensors []struct {
				Name  string
				Shape []int
			}
		}
		c.decodeConfig(t, &config)
		for _, x := range config.Tensors { // of a case whose weights are computed
			if x.Name == name && len(x.Shape) > 0 {
				rows = x.Shape[0]
			}
		}
	}
	if rows < 0 {
		t.Fatalf("%s: known_zero_grads names %s, of which the file has no gradient", c, name)
	}
	if first < 0 || first >= end || end > rows {
		t.Fatalf("%s: known_zero_grads: rows %d to %d of %s, which has %d", c, first, end, name, rows)
	}
}

// uses records the tensors and settings of a case that a test has read.
type uses struct {
	tensors sync.Map // names as keys
	mu      sync.Mutex
	types   []reflect.Type // destinations of the config
	keys    []string       // settings without effect
}

func (u *uses) add(v any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.types = append(u.types, reflect.TypeOf(v))
}

// unknownKeys lists the settings of the config that no test has decoded.
func (c *Case) unknownKeys(t testing.TB) []string {
	c.uses.mu.Lock()
	defer c.uses.mu.Unlock()
	if len(c.Config) == 0 {
		return nil
	}
	var config any
	c.decodeConfig(t, &config)
	var unknown []string
	for _, key := range unread(config, "", c.uses.types) {
		if !slices.Contains(c.uses.keys, key) {
			unknown = append(unknown, key)
		}
	}
	return unknown
}

// unread lists the keys below a JSON value without a field in any of the types. Keys of the objects
// of a list appear once: cases.method.
func unread(value any, path string, types []reflect.Type) []string {
	var structs, elements []reflect.Type
	for _, t := range types {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch {
		case reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()), t.Kind() == reflect.Map, t.Kind() == reflect.Interface:
			return nil // any key
		case t.Kind() == reflect.Struct:
			structs = append(structs, t)
		case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
			elements = append(elements, t.Elem())
		}
	}
	var keys []string
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			var fields []reflect.Type
			for _, s := range structs {
				if f := field(s, key); f != nil {
					fields = append(fields, f)
				}
			}
			name := strings.TrimPrefix(path+"."+key, ".")
			if len(fields) == 0 {
				keys = append(keys, name)
				continue
			}
			keys = append(keys, unread(v[key], name, fields)...)
		}
	case []any:
		for _, element := range v {
			for _, key := range unread(element, path, elements) {
				if !slices.Contains(keys, key) {
					keys = append(keys, key)
				}
			}
		}
	}
	return keys
}

// field returns the type of the field that encoding/json decodes a key into, the least deeply
// embedded one of that name; nil for none.
func field(s reflect.Type, key string) (found reflect.Type) {
	depth := 0
	for _, f := range reflect.VisibleFields(s) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" || !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if strings.EqualFold(name, key) && (found == nil || len(f.Index) < depth) {
			found, depth = f.Type, len(f.Index)
		}
	}
	return found
}

// Require fails for a result missing from the file, so that every case of a kind compares the same
// results.
func (c *Case) Require(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if !c.Has(name) {
			t.Errorf("%s: the file has no %q", c, name)
		}
	}
}
