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
}

// TestRecipeOfDemo: on drawn scenes each objective with a preset trains with its own settings and
// the demo's images; where the recipe was made for another objective, the note says so.
func TestRecipeOfDemo(t *testing.T) {
	for _, c := range []struct {
		args   string
		preset string // "" for none
		note   string // part of it
	}{
		{"", "demo", "settings of preset demo"},
		{"objective.name=dino", "dino-micro-32", "settings of preset dino-micro-32"},
		{"objective.name=beit", "beit-micro-32", "settings of preset beit-micro-32"},
		{"objective.name=sit", "sit-micro-32", "settings of preset sit-micro-32"},
		{"objective.name=mocov3", "mocov3-micro-32", "settings of preset mocov3-micro-32"},
		{"objective.name=vq", "vq-32", "settings of preset vq-32"},
		{"objective.name=dvae", "demo", "preset demo, made for mae and not for dvae: adamw at a peak learning rate of 0.004"},
		{"objective.plugin=./simmim", "demo", "preset demo, made for another objective than your plugin: adamw at a peak learning rate of 0.004"},
		{"objective.name=dino data.path=x model.name=vit_tiny_patch4_32 train.lr=0.5", "", "no preset: adamw at a peak learning rate of 0.5"},
	} {
		r, note, err := loadForPretrain(&settings{}, strings.Fields(c.args))
		if err != nil {
			t.Errorf("%s: %v", c.args, err)
			continue
		}
		exact := c.preset == "" || strings.Contains(c.note, ", made for") || note == c.note
		if r.Preset != c.preset || !strings.Contains(note, c.note) || !exact {
			t.Errorf("%q: preset %q, note %q", c.args, r.Preset, note)
		}
		if d := r.Config.Data; c.preset != "" && (d.Path != "demo:?count=1000&size=32" || d.Cache != 64) {
			t.Errorf("%q: images %s with a cache of %d", c.args, d.Path, d.Cache)
		}
	}
	r, _, err := loadForPretrain(&settings{}, []string{"objective.name=dino", "data.path=demo:?count=50", "data.cache=1"})
	if err != nil || r.Config.Data.Path != "demo:?count=50" || r.Config.Data.Cache != 1 {
		t.Errorf("images of the user: %v, %v", r, err)
	}
}
