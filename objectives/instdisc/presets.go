package instdisc

import (
	"embed"
	"io/fs"
)

//go:embed presets/*.yaml
var presets embed.FS

// Presets are the recipes of this objective, files presets/NAME.yaml.
func (*InstDisc) Presets() fs.FS { return presets }
