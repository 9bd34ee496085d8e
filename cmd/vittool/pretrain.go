package main

import (
	"strings"

	"github.com/vittool/vittool/configs"
)

// demoPreset is the recipe of a run that is given neither images nor a recipe.
const demoPreset = "demo"

// loadForPretrain resolves the settings of a pre-training run: those of the demo
// when there is no --config and the images are the demo's.
func loadForPretrain(s *settings, overrides []string) (*configs.Resolved, error) {
	req := s.request(overrides)
	plain, err := configs.Load(req)
	if err == nil && len(req.Configs) == 0 && strings.HasPrefix(plain.Config.Data.Path, "demo:") {
		req.Configs = []string{demoPreset}
		return configs.Load(req)
	}
	return plain, err
}
