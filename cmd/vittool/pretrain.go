package main

import (
	"os"
	"strings"

	"github.com/vittool/vittool/configs"
)

// demoPreset is the recipe of a run that is given no data and no recipe.
const demoPreset = "demo"

// loadForPretrain resolves the settings of a pre-training run: those of the demo
// when neither --config nor data are given.
func loadForPretrain(s *settings, overrides []string) (*configs.Resolved, error) {
	req := s.request(overrides)
	if len(req.Configs) == 0 && !namesData(req) {
		req.Configs = []string{demoPreset}
	}
	return configs.Load(req)
}

// namesData reports whether the request sets data.path anywhere but in a config.
func namesData(req configs.Request) bool {
	for _, f := range req.Flags {
		if f.Key == "data.path" {
			return true
		}
	}
	for _, o := range req.Overrides {
		if strings.HasPrefix(o, "data.path=") {
			return true
		}
	}
	_, set := os.LookupEnv(configs.EnvPrefix + "DATA_PATH")
	return set
}
