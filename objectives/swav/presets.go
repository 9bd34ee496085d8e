package swav

import (
	"embed"
	"io/fs"
)

//go:embed presets/*.yaml
var presets embed.FS

// Presets are the recipes of this objective, files presets/NAME.yaml.
func (*SwAV) Presets() fs.FS { return presets }
