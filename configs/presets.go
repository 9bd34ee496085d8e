package configs

import (
	"embed"
	"slices"
	"strings"
)

//go:embed presets/*.yaml
var presetFiles embed.FS

// Preset is a recipe that is built in: settings with their source, cost and
// expected result in the comment at the head of its file.
type Preset struct {
	Name  string
	About string // the head comment, without the comment signs
	YAML  []byte
}

// Presets lists the built-in recipes by name.
func Presets() []Preset {
	var out []Preset
	for _, name := range PresetNames() {
		p, _ := PresetByName(name)
		out = append(out, p)
	}
	return out
}

// PresetNames lists the names of the built-in recipes, sorted.
func PresetNames() []string {
	entries, err := presetFiles.ReadDir("presets")
	if err != nil {
		panic("configs: the presets are not embedded: " + err.Error())
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// PresetByName finds a built-in recipe; the error of an unknown one suggests the nearest.
func PresetByName(name string) (Preset, error) {
	content, ok := presetSource(name)
	if !ok {
		return Preset{}, &Error{Key: "preset", Value: name, Problem: "there is no such preset", Hint: Suggest(name, PresetNames())}
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

func presetSource(name string) ([]byte, bool) {
	if strings.ContainsAny(name, `/\`) {
		return nil, false
	}
	content, err := presetFiles.ReadFile("presets/" + name + ".yaml")
	return content, err == nil
}
