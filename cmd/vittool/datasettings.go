package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/vittool/vittool/configs"
)

// evaluationKeys are the settings of the data that mean something where images are only looked at;
// the others say how a run trains on them.
var evaluationKeys = []string{"data.workers", "data.on_error", "data.max_failed", "data.max_pixels"}

// dataSettings reads the data.key=value arguments of a command that is no run, of which it takes
// the keys named.
func dataSettings(overrides, keys []string) (configs.Data, error) {
	for _, s := range overrides {
		if key, _, ok := strings.Cut(s, "="); !ok || !slices.Contains(keys, key) {
			return configs.Data{}, &usageError{fmt.Sprintf("%s is not a setting of this command", s), "key=value may set " + strings.Join(keys, ", ")}
		}
	}
	r, err := configs.Load(configs.Request{Environ: os.Environ(), Overrides: overrides})
	if err != nil {
		return configs.Data{}, err
	}
	return r.Config.Data, nil
}
