package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/vittool/vittool/internal/edit"
)

// A layer is one origin of settings, each already checked for name and type.
type layer struct {
	values  map[string]any    // path → typed value
	options map[string]any    // the objective's options, in their own case
	sources map[string]string // path → where it was written
}

func newLayer() *layer {
	return &layer{values: map[string]any{}, options: map[string]any{}, sources: map[string]string{}}
}

// setText sets one key from text, as the environment and the command line do.
func (l *layer) setText(path, text, source string) *Error {
	path = strings.TrimSpace(path)
	if option, ok := strings.CutPrefix(path, OptionsKey+"."); ok {
		if option == "" {
			return &Error{Key: path, Source: source, Problem: "names no option", Hint: "write " + OptionsKey + ".NAME=VALUE"}
		}
		l.options[option] = optionFromText(text)
		l.sources[path] = source
		return nil
	}
	k, ok := Lookup(path)
	if !ok {
		return unknownKey(path, source)
	}
	v, err := k.fromText(text)
	if err != nil {
		return &Error{Key: path, Value: text, Source: source, Problem: err.Error(), Hint: k.permitted()}
	}
	l.values[path] = v
	l.sources[path] = source
	return nil
}

// permitted says which values a key takes, as the hint of an error.
func (k Key) permitted() string {
	switch {
	case k.OneOf != nil:
		return "valid are: " + strings.Join(k.OneOf, ", ")
	case k.Range != "":
		return k.valid.Valid()
	}
	return ""
}

// keysOf lists the keys of a section or of a group inside one.
func keysOf(section string) []string {
	var inside []string
	for _, p := range paths() {
		if strings.HasPrefix(p, section+".") {
			inside = append(inside, p)
		}
	}
	return inside
}

func unknownKey(path, source string) *Error {
	e := &Error{Key: path, Source: source, Problem: edit.NoSuch("key")}
	section, _, dotted := strings.Cut(path, ".")
	if i := strings.LastIndexByte(path, '.'); dotted && slices.Contains(sections(), path[:i]) {
		section = path[:i] // a group inside the section
	}
	switch {
	case path == OptionsKey:
		e.Problem = "is a section"
		e.Hint = "write " + OptionsKey + ".NAME=VALUE"
	case slices.Contains(sections(), path):
		e.Problem = "is a section, not a setting"
		e.Hint = "write " + path + ".NAME=VALUE, for instance " + keysOf(path)[0]
	case !dotted && !isLeaf(path) && edit.Nearest(path, sections()) != "":
		e.Problem = edit.NoSuch("section")
		e.Hint = edit.Suggest(path, sections())
	case edit.Nearest(path, paths()) != "":
		e.Hint = edit.Suggest(path, paths())
	case !dotted || !slices.Contains(sections(), section):
		e.Problem = edit.NoSuch("section")
		e.Hint = edit.Suggest(section, sections())
	default:
		e.Hint = "valid are: " + strings.Join(keysOf(section), ", ")
	}
	return e
}

// isLeaf reports whether word is the last part of some key.
func isLeaf(word string) bool {
	return slices.ContainsFunc(paths(), func(p string) bool { return strings.HasSuffix(p, "."+word) })
}

// readYAML reads a file's settings into a layer, and the preset that it names with its top-level
// key preset, if any. name is used in errors.
func readYAML(name string, content []byte) (l *layer, preset string, errs Errors) {
	l = newLayer()
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var doc yaml.Node
	if err := decoder.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return l, "", nil // an empty file changes nothing
		}
		return l, "", Errors{{Source: name, Problem: "is not valid YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}}
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return l, "", Errors{{Source: name, Problem: "holds more than one YAML document", Hint: "keep one"}}
	}
	r := yamlReader{name: name, layer: l}
	if root := doc.Content[0]; root.Kind == yaml.MappingNode {
		r.mapping("", root)
	} else if root.Tag != "!!null" {
		r.fail(root, "", "does not hold settings", "write sections and keys, as `vittool config show` prints them")
	}
	return l, r.preset, r.errs
}

type yamlReader struct {
	name   string
	layer  *layer
	preset string
	errs   Errors
}

func (r *yamlReader) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", r.name, n.Line) }

func (r *yamlReader) fail(n *yaml.Node, key, problem, hint string) {
	r.errs = append(r.errs, &Error{Key: key, Source: r.at(n), Problem: problem, Hint: hint})
}

// mapping reads the keys below prefix ("" or "train.").
func (r *yamlReader) mapping(prefix string, n *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		path := prefix + key.Value
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge":
			r.fail(key, "", "a key must be a plain name", "")
			continue
		case value.Kind == yaml.AliasNode || value.Anchor != "" || key.Anchor != "":
			r.fail(key, path, "anchors and aliases are not supported", "write the value out")
			continue
		}
		if _, twice := r.layer.sources[path]; twice {
			r.fail(key, path, "is set twice", "keep one (the other is "+r.layer.sources[path]+")")
			continue
		}
		switch {
		case path == "preset":
			if value.Kind != yaml.ScalarNode {
				r.fail(value, path, "must be the name of a preset", "for instance preset: demo")
				continue
			}
			r.preset = value.Value
			r.layer.sources[path] = r.at(key)
		case path == OptionsKey:
			r.options(key, value)
		case strings.HasPrefix(path, OptionsKey+"."):
			r.option(strings.TrimPrefix(path, OptionsKey+"."), key, value)
		default:
			r.setting(path, key, value)
		}
	}
}

func (r *yamlReader) setting(path string, key, value *yaml.Node) {
	k, ok := Lookup(path)
	if ok {
		v, err := k.fromNode(value)
		if err != nil {
			text := value.Value
			r.errs = append(r.errs, &Error{Key: path, Value: text, Source: r.at(key), Problem: err.Error(), Hint: k.permitted()})
			return
		}
		r.layer.values[path] = v
		r.layer.sources[path] = r.at(key)
		return
	}
	if slices.Contains(sections(), path) {
		switch {
		case value.Kind == yaml.MappingNode:
			r.mapping(path+".", value)
		case value.Tag != "!!null": // an empty section is fine
			r.fail(value, path, "is a section, not a value", "put its keys on lines of their own, indented")
		}
		return
	}
	r.errs = append(r.errs, unknownKey(path, r.at(key)))
}

func (r *yamlReader) options(key, value *yaml.Node) {
	if value.Tag == "!!null" {
		return
	}
	if value.Kind != yaml.MappingNode {
		r.fail(key, OptionsKey, "is a section, not a value", "put the objective's options on lines of their own, indented")
		return
	}
	for i := 0; i+1 < len(value.Content); i += 2 {
		r.option(value.Content[i].Value, value.Content[i], value.Content[i+1])
	}
}

func (r *yamlReader) option(name string, key, value *yaml.Node) {
	path := OptionsKey + "." + name
	if first, twice := r.layer.sources[path]; twice {
		r.fail(key, path, "is set twice", "keep one (the other is "+first+")")
		return
	}
	v, err := optionFromNode(value)
	if err != nil {
		r.fail(value, path, err.Error(), "")
		return
	}
	r.layer.options[name] = v
	r.layer.sources[path] = r.at(key)
}
