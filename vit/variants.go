package vit

import (
	"fmt"
	"regexp"
	"sort"
	"strconv"

	"github.com/vittool/vittool/backbone"
)

// size is one row of the table of widths: the published ViT sizes and small ones for 32-pixel
// images.
type size struct {
	name              string
	dim, depth, heads int
	mlpRatio          float64
}

var sizes = []size{
	{"nano", 64, 4, 4, 4},
	{"micro", 128, 6, 4, 4},
	{"tiny", 192, 12, 3, 4},
	{"small", 384, 12, 6, 4},
	{"base", 768, 12, 12, 4},
	{"large", 1024, 24, 16, 4},
	{"huge", 1280, 32, 16, 4},
	{"giant", 1408, 40, 16, 48.0 / 11.0},
	{"gigantic", 1664, 48, 16, 64.0 / 13.0},
}

// imageSizes lists, per patch size, the square images that a name may end in; the first is the
// default of a name that gives none.
var imageSizes = map[int][]int{
	4:  {32, 64},
	8:  {224, 32, 64, 96, 384},
	14: {224, 336, 448, 518},
	16: {224, 96, 256, 384, 448, 512},
	32: {224, 256, 384, 448, 512},
}

var variantName = regexp.MustCompile(`^vit_([a-z]+)_patch([0-9]+)(?:_([0-9]+))?$`)

// Variant returns the config of a model by timm's name, such as vit_base_patch16_224; the image
// size may be left out. The config has a class token, biased qkv and a learned position table. The
// error of an unknown name lists the nearest known ones.
func Variant(name string) (Config, error) {
	if m := variantName.FindStringSubmatch(name); m != nil {
		patch, _ := strconv.Atoi(m[2])
		known := imageSizes[patch]
		image := 0
		if m[3] == "" && len(known) > 0 {
			image = known[0]
		}
		for _, s := range known {
			if m[3] == strconv.Itoa(s) {
				image = s
			}
		}
		for _, s := range sizes {
			if s.name == m[1] && image > 0 {
				return s.config(patch, image), nil
			}
		}
	}
	return Config{}, backbone.Unknown(name, Variants())
}

func (s size) config(patch, image int) Config {
	return Config{
		Name:   fmt.Sprintf("vit_%s_patch%d_%d", s.name, patch, image),
		ImageH: image, ImageW: image, Patch: patch, Channels: 3,
		Dim: s.dim, Depth: s.depth, Heads: s.heads, MLPRatio: s.mlpRatio,
		QKVBias: true, LNEps: 1e-6, PosEmbed: PosLearned, ClassToken: true,
	}.Normalized()
}

// Variants lists all full names that Variant knows, ordered by width, patch and image size.
func Variants() []string {
	patches := make([]int, 0, len(imageSizes))
	for p := range imageSizes {
		patches = append(patches, p)
	}
	sort.Ints(patches)
	var names []string
	for _, s := range sizes {
		for _, p := range patches {
			images := append([]int(nil), imageSizes[p]...)
			sort.Ints(images)
			for _, i := range images {
				names = append(names, fmt.Sprintf("vit_%s_patch%d_%d", s.name, p, i))
			}
		}
	}
	return names
}
