package configs

import (
	"embed"
	"io/fs"
	"slices"
	"strings"

	"github.com/vittool/vittool/internal/edit"
)

//go:embed presets/*.yaml
var ownPresets embed.FS

// Preset is a recipe that is built in: settings with their source, cost and expected result in the
// comment at the head of its file.
type Preset struct {
	Name  string
	About string // the head comment, without the comment signs
	YAML  []byte
}

// Presets are file systems with recipes, each a file presets/NAME.yaml, such as those that the
// objectives embed. The recipes of this package, which belong to no objective, are always among
// them.
type Presets []fs.FS

// All lists the recipes by name.
func (s Presets) All() []Preset {
	var out []Preset
	for _, name := range s.Names() {
		p, _ := s.Find(name)
		out = append(out, p)
	}
	return out
}

// Names lists the names of the recipes, sorted.
func (s Presets) Names() []string {
	var names []string
	for _, files := range s.sources() {
		found, err := fs.Glob(files, "presets/*.yaml")
		if err != nil {
			panic("configs: the pattern of preset files: " + err.Error())
		}
		for _, path := range found {
			names = append(names, strings.TrimSuffix(strings.TrimPrefix(path, "presets/"), ".yaml"))
		}
	}
	slices.Sort(names)
	return names
}

// Find returns a recipe by its name; the error of an unknown one suggests the nearest.
func (s Presets) Find(name string) (Preset, error) {
	content, ok := s.read(name)
	if !ok {
		return Preset{}, s.unknown(name, "")
	}
	var about []string
	for line := range strings.Lines(string(content)) {
		text, comment := strings.CutPrefix(strings.TrimRight(line, "\n"), "#")
		if !comment {
			break
		}
		about = append(about, strings.TrimPrefix(text, " "))
	}
	return Preset{Name: name, About: strings.Join(about, "\n"), YAML: content}, nil
}

// unknown is the error of a name, written at source, that no recipe has.
func (s Presets) unknown(name, source string) *Error {
	return &Error{Source: source, Key: "preset", Value: name, Problem: edit.NoSuch("preset"), Hint: edit.Suggest(name, s.Names())}
}

// read returns the text of a recipe, false where there is none of this name.
func (s Presets) read(name string) ([]byte, bool) {
	if strings.ContainsAny(name, `/\`) {
		return nil, false
	}
	for _, files := range s.sources() {
		if content, err := fs.ReadFile(files, "presets/"+name+".yaml"); err == nil {
			return content, true
		}
	}
	return nil, false
}

func (s Presets) sources() []fs.FS { return append([]fs.FS{ownPresets}, s...) }
