package configs

import (
	"cmp"
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vittool/vittool/internal/edit"
)

// OptionsKey is the section whose keys belong to the objective and are checked against the
// objective's own schema instead of this package's.
const OptionsKey = "objective.options"

// Key describes one setting.
type Key struct {
	Path    string   // section.name
	Type    string   // text, number, whole number, true or false, list of numbers, list of whole numbers, interval
	Doc     string   // the doc comment of the field
	Default string   // as it is written in YAML
	OneOf   []string // permitted values of a text; nil permits any
	Range   string   // permitted values of a number, for instance "0 to 1"; empty permits any

	// ResumeFree marks a setting that may change when a run is resumed: it doesn't change the
	// weights that come out.
	ResumeFree bool

	when    string // condition under which the key has an effect, as of Config.applies; empty for any run
	field   []int  // index for reflect's FieldByIndex
	typ     reflect.Type
	valid   edit.Range
	lengths []int // permitted lengths of a list; nil permits any
}

//go:embed config.go
var configSource string

// Keys returns every setting in the order of the struct, except the objective's options, which the
// objective declares.
var Keys = sync.OnceValue(func() []Key {
	docs := fieldDocs()
	defaults := reflect.ValueOf(Default())
	var keys []Key
	var walk func(prefix, when string, t reflect.Type, index []int)
	walk = func(prefix, when string, t reflect.Type, index []int) {
		for i := range t.NumField() {
			f, at := t.Field(i), append(slices.Clone(index), i)
			name := f.Tag.Get("mapstructure")
			switch {
			case name == "-":
			case f.Anonymous: // a group without a name in keys
				walk(prefix, when, f.Type, at)
			case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Interval]():
				walk(prefix+name+".", f.Tag.Get("when"), f.Type, at)
			default:
				k := newKey(prefix, t.Name(), f, docs)
				k.field, k.when, k.Default = at, cmp.Or(f.Tag.Get("when"), when), formatValue(defaults.FieldByIndex(at))
				keys = append(keys, k)
			}
		}
	}
	walk("", "", reflect.TypeFor[Config](), nil)
	return keys
})

// newKey describes a field of the struct named owner.
func newKey(prefix, owner string, f reflect.StructField, docs map[string]string) Key {
	k := Key{
		Path:       prefix + f.Tag.Get("mapstructure"),
		Type:       typeName(f.Type),
		Doc:        docs[owner+"."+f.Name],
		ResumeFree: f.Tag.Get("resume") == "free",
		typ:        f.Type,
		valid:      edit.Between(math.Inf(-1), math.Inf(1)),
	}
	if s := f.Tag.Get("oneof"); s != "" {
		k.OneOf = strings.Fields(s)
	}
	if low, high, ok := strings.Cut(f.Tag.Get("range"), " "); ok {
		k.valid.Min, _ = strconv.ParseFloat(low, 64)
		k.valid.Max, _ = strconv.ParseFloat(high, 64)
		k.Range = k.valid.String()
	}
	for _, n := range strings.Fields(f.Tag.Get("lengths")) {
		if n != "*" {
			length, _ := strconv.Atoi(n)
			k.lengths = append(k.lengths, length)
		}
	}
	return k
}

// Lookup finds a setting by its path.
func Lookup(path string) (Key, bool) {
	k, ok := keyIndex()[path]
	return k, ok
}

var keyIndex = sync.OnceValue(func() map[string]Key {
	index := make(map[string]Key)
	for _, k := range Keys() {
		index[k.Path] = k
	}
	return index
})

// paths lists the path of every setting, for suggestions.
var paths = sync.OnceValue(func() []string {
	var out []string
	for _, k := range Keys() {
		out = append(out, k.Path)
	}
	return append(out, OptionsKey)
})

// sections lists the sections in order, then the groups of settings inside them.
var sections = sync.OnceValue(func() []string {
	var out []string
	root := reflect.TypeFor[Config]()
	for i := range root.NumField() {
		out = append(out, root.Field(i).Tag.Get("mapstructure"))
	}
	for _, k := range Keys() {
		if group := k.Path[:strings.LastIndexByte(k.Path, '.')]; !slices.Contains(out, group) {
			out = append(out, group)
		}
	}
	return out
})

// environmentPaths finds the setting of an environment variable's name after the prefix, in lower
// case: its dots are underscores there.
var environmentPaths = sync.OnceValue(func() map[string]string {
	index := make(map[string]string)
	for _, k := range Keys() {
		index[strings.ReplaceAll(k.Path, ".", "_")] = k.Path
	}
	return index
})

// fieldDocs reads the doc comments of config.go, keyed "Struct.Field", so that help texts can't
// drift from the code.
func fieldDocs() map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", configSource, parser.ParseComments)
	if err != nil {
		panic(fmt.Sprintf("configs: embedded config.go does not parse: %v", err)) // it compiled, so it parses
	}
	docs := make(map[string]string)
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range gen.Specs {
			typ, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			s, ok := typ.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range s.Fields.List {
				for _, name := range f.Names {
					docs[typ.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
				}
			}
		}
	}
	return docs
}

func typeName(t reflect.Type) string {
	if t == reflect.TypeFor[Interval]() {
		return "interval"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Int:
		return "whole number"
	case reflect.Float64:
		return "number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "list of " + typeName(t.Elem()) + "s"
	}
	panic(fmt.Sprintf("configs: no setting may have type %v", t))
}
