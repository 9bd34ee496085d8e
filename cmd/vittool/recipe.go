package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/data"
)

// surveyed is the number of images whose sizes choose a recipe.
const surveyed = 32

// chooseRecipe adds a preset to a request without any: that of the objective whose image size is
// nearest to the size of the images, and of those the one with the smallest network. The demo's
// drawn scenes have a preset of their own, for the objective that it names. Settings of the user win:
// no preset is chosen for images of the user and a network or a plugin that the user names. The note
// names the choice in one line; it is empty where loadForPretrain says enough.
func chooseRecipe(req *configs.Request) (note string, err error) {
	plain, err := configs.Merge(*req)
	if err != nil {
		return "", err
	}
	c := plain.Config
	if isDemo(c.Data.Path) {
		return "", chooseForDemo(req, plain)
	}
	for _, key := range []string{"model.name", "model.image_size", "objective.plugin"} {
		if plain.Sources[key] != "" {
			return "", nil
		}
	}
	source, err := data.Open(data.Options{Path: c.Data.Path, Channels: c.Data.Channels, MaxPixels: int64(c.Data.MaxPixels)})
	if err != nil {
		return "", nil // training names the fault
	}
	defer source.Close()
	side := shortSide(data.Sizes(source, surveyed))
	best, ok := nearestRecipe(c.Objective.Name, side)
	if side == 0 || !ok {
		return "", nil // training names the unreadable files
	}
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

// chooseForDemo takes the demo's preset or, for an objective with presets of its own, the one of
// these that is nearest to the demo's images, with the images and the cache of the demo.
func chooseForDemo(req *configs.Request, plain *configs.Resolved) error {
	demo, err := configs.Load(configs.Request{Presets: req.Presets, Configs: []string{demoPreset}})
	if err != nil {
		return err
	}
	network, err := demo.Config.Backbone()
	if err != nil {
		return err
	}
	req.Configs = []string{demoPreset}
	name := plain.Config.Objective.Name
	best, ok := nearestRecipe(name, network.Info().ImageH)
	if !ok || name == demo.Config.Objective.Name || plain.Config.Objective.Plugin != "" {
		return nil
	}
	req.Configs = []string{best.name}
	var images []configs.Setting // weaker than the user's flags
	for key, value := range map[string]string{"data.path": demo.Config.Data.Path, "data.cache": strconv.Itoa(demo.Config.Data.Cache)} {
		if plain.Sources[key] == "" {
			images = append(images, configs.Setting{Key: key, Value: value, Source: "preset " + demoPreset})
		}
	}
	req.Flags = append(images, req.Flags...)
	return nil
}

// recipeNote says in one line which recipe the settings of a run have, and which objective it was
// made for if that is another one.
func recipeNote(r *configs.Resolved, presets configs.Presets) string {
	c := r.Config
	rate := fmt.Sprintf("%s at a peak learning rate of %.3g", c.Train.Optimizer, c.Train.PeakLR())
	if r.Preset == "" {
		return fmt.Sprintf("no preset: %s, the default settings and those given; `%s config presets` lists recipes", rate, programName())
	}
	note := "settings of preset " + r.Preset
	made, err := configs.Load(configs.Request{Presets: presets, Configs: []string{r.Preset}})
	switch {
	case err != nil || c.Objective.Plugin == "" && made.Config.Objective.Name == c.Objective.Name:
		return note
	case c.Objective.Plugin != "":
		note += ", made for another objective than your plugin"
	default:
		note += fmt.Sprintf(", made for %s and not for %s", made.Config.Objective.Name, c.Objective.Name)
	}
	return note + ": " + rate + "; --lr and train.KEY=VALUE change it"
}

// nearestRecipe returns the preset of an objective for the image size nearest to side pixels; false
// where it has none.
func nearestRecipe(objective string, side int) (recipe, bool) {
	recipes := recipesOf(objective)
	if len(recipes) == 0 || side == 0 {
		return recipe{}, false
	}
	distance := func(r recipe) float64 { return math.Abs(math.Log(float64(r.image) / float64(side))) }
	return slices.MinFunc(recipes, func(a, b recipe) int {
		return cmp.Or(cmp.Compare(distance(a), distance(b)), cmp.Compare(a.cost, b.cost))
	}), true
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
