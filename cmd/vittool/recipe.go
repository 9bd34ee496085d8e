package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/data"
)

// surveyed is the number of images whose sizes choose a recipe.
const surveyed = 32

// chooseRecipe adds a preset to a request without any: the demo's for drawn scenes, otherwise that
// of the objective whose image size is nearest to the size of the images, and of those the one with
// the smallest network. Settings of the user win: no preset is chosen for a network or a plugin that
// the user names. The note says in one line what was chosen; it is empty where nothing was.
func chooseRecipe(req *configs.Request) (note string, err error) {
	plain, err := configs.Merge(*req)
	if err != nil {
		return "", err
	}
	c := plain.Config
	if isDemo(c.Data.Path) {
		req.Configs = []string{demoPreset}
		return "", nil
	}
	for _, key := range []string{"model.name", "model.image_size", "objective.plugin"} {
		if plain.Sources[key] != "" {
			return "", nil
		}
	}
	recipes := recipesOf(c.Objective.Name)
	if len(recipes) == 0 {
		return "", nil
	}
	source, err := data.Open(data.Options{Path: c.Data.Path, Channels: c.Data.Channels, MaxPixels: int64(c.Data.MaxPixels)})
	if err != nil {
		return "", nil // training names the fault
	}
	defer source.Close()
	side := shortSide(data.Sizes(source, surveyed))
	if side == 0 {
		return "", nil // training names the unreadable files
	}
	distance := func(r recipe) float64 { return math.Abs(math.Log(float64(r.image) / float64(side))) }
	best := slices.MinFunc(recipes, func(a, b recipe) int {
		if d := distance(a) - distance(b); d != 0 {
			return int(math.Copysign(1, d))
		}
		return a.cost - b.cost
	})
	req.Configs = []string{best.name}
	note = fmt.Sprintf("preset %s, for images of %d pixels: the short side of yours is %d; --config NAME takes another, `%s config presets` lists them",
		best.name, best.image, side, programName())
	if n := source.Len(); n < best.batch && plain.Sources["train.batch_size"] == "" {
		size := max(1, n/2)
		req.Flags = append(req.Flags, configs.Setting{Key: "train.batch_size", Value: strconv.Itoa(size), Source: "the number of images"})
		note += fmt.Sprintf("; train.batch_size=%d, as there are %d images", size, n)
	}
	return note, nil
}

// recipe is a preset as far as the choice depends on it.
type recipe struct {
	name               string
	image, batch, cost int
}

// recipesOf lists the presets of an objective, by name.
func recipesOf(objective string) []recipe {
	var list []recipe
	presets := builtinPresets()
	for _, name := range presets.Names() {
		if name == demoPreset {
			continue
		}
		r, err := configs.Load(configs.Request{Presets: presets, Configs: []string{name}})
		if err != nil || r.Config.Objective.Name != objective {
			continue
		}
		network, err := r.Config.Backbone()
		if err != nil {
			continue
		}
		i := network.Info()
		list = append(list, recipe{name, min(i.ImageH, i.ImageW), r.Config.Train.BatchSize, i.Dim * i.Dim * i.Depth})
	}
	return list
}

// shortSide is the median of the short sides of images; 0 without any.
func shortSide(sizes [][2]int) int {
	var sides []int
	for _, s := range sizes {
		sides = append(sides, min(s[0], s[1]))
	}
	slices.Sort(sides)
	if len(sides) == 0 {
		return 0
	}
	return sides[len(sides)/2]
}
