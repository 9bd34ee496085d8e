package simclr

import (
	"embed"
	"io/fs"
)

//go:embed presets/*.yaml
var presets embed.FS

// Presets are the recipes of this objective, files presets/NAME.yaml.
func (*SimCLR) Presets() fs.FS { return presets }
