//go:build unix

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
)

// TestChooseRecipe: images without a recipe get the objective's preset for their size; settings of
// the user are kept.
func TestChooseRecipe(t *testing.T) {
	dir := t.TempDir()
	for side, folder := range map[int]string{40: "small", 500: "large"} {
		mkdir(t, dir, folder)
		for i := range 10 {
			writeTo(t, dir, fmt.Sprintf("%s/%d.png", folder, i), encodePNG(gradient(side+i, side)))
		}
	}
	for _, c := range []struct {
		folder    string
		objective string
		override  string
		preset    string // "" for none
		batch     string // setting of the batch size that is added
	}{
		{"small", "mae", "", "mae-micro-32", "5"},
		{"large", "mae", "", "mae-small-224", "5"},
		{"large", "beit", "", "beit-base-224", "5"},
		{"small", "dino", "train.batch_size=4", "dino-micro-32", ""},
		{"large", "mae", "model.name=vit_tiny_patch4_32", "", ""},
		{"large", "mae", "model.image_size=64", "", ""},
		{"large", "unknown", "", "", ""},
	} {
		req := configs.Request{Presets: builtinPresets(), Overrides: []string{"data.path=" + dir + "/" + c.folder, "objective.name=" + c.objective}}
		if c.override != "" {
			req.Overrides = append(req.Overrides, c.override)
		}
		note, err := chooseRecipe(&req)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if got := strings.Join(req.Configs, " "); got != c.preset || !strings.Contains(note, c.preset) || (note == "") != (c.preset == "") {
			t.Errorf("%+v: preset %q, note %q", c, got, note)
		}
		batch := ""
		for _, f := range req.Flags {
			if f.Key == "train.batch_size" {
				batch = f.Value
			}
		}
		if batch != c.batch || strings.Contains(note, "\n") {
			t.Errorf("%+v: batch size %q, note %q", c, batch, note)
		}
	}
	demo := configs.Request{Presets: builtinPresets()}
	if note, err := chooseRecipe(&demo); err != nil || note != "" || strings.Join(demo.Configs, "") != demoPreset {
		t.Errorf("demo: %v, %q, %v", demo.Configs, note, err)
	}
}
