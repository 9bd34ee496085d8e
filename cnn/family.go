package cnn

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/tensor"
)

// Family is the family of residual networks; see [backbone.Family].
type Family struct{}

// Name is cnn.
func (Family) Name() string { return "cnn" }

// Variants lists all names; see [Variants].
func (Family) Variants() []string { return Variants() }

// Variant returns a model by its name; see [Variant].
func (Family) Variant(name string) (backbone.Config, error) { return Variant(name) }

// Decode reads a [Config] from JSON and checks it.
func (Family) Decode(text []byte) (backbone.Config, error) {
	var c Config
	if err := backbone.DecodeStrict(text, &c); err != nil {
		return nil, err
	}
	c = c.Normalized()
	return c, c.Validate()
}

// Landmark is the first convolution of the first block. The stem's would not do: conv1.weight also
// ends the names of those inside blocks.
func (Family) Landmark() string { return "layer1.0.conv1.weight" }

// Recognize names the variants of which a file has every tensor in its shape, and no more blocks.
func (Family) Recognize(shape func(name string) (tensor.Shape, bool)) []string {
	matches := func(name string) bool {
		c, err := Variant(name)
		if err != nil {
			return false
		}
		for stage, blocks := range c.Layers {
			if _, deeper := shape(fmt.Sprintf("layer%d.%d.conv1.weight", stage+1, blocks)); deeper {
				return false
			}
		}
		return backbone.Holds(shape, c.Weights())
	}
	return slices.DeleteFunc(Variants(), func(name string) bool { return !matches(name) })
}

// Samples are a small network and a common one, and a small one for gray images that are not
// square, whose sides the total stride does not divide.
func (Family) Samples() []backbone.Config {
	sample := func(name string, stem Stem, block BlockKind, layers [stages]int, width, h, w, channels int) backbone.Config {
		return Config{Name: name, ImageH: h, ImageW: w, Channels: channels, Stem: stem, Block: block, Layers: layers, Width: width}.Normalized()
	}
	return []backbone.Config{
		sample("resnet_micro_cifar", CIFAR, Basic, [stages]int{1, 1, 1, 1}, 8, 32, 32, 3),
		sample("resnet50", ImageNet, Bottleneck, [stages]int{3, 4, 6, 3}, publishedWidth, 224, 224, 3),
		sample("resnet_gray", ImageNet, Bottleneck, [stages]int{1, 1, 1, 1}, 4, 50, 76, 1),
	}
}

// Info returns name and sizes; see [backbone.Info].
func (c Config) Info() backbone.Info {
	c = c.Normalized()
	dims := c.dims()
	return backbone.Info{
		Name: c.Name, Family: Family{}.Name(), ImageH: c.ImageH, ImageW: c.ImageW, Channels: c.Channels, Patch: c.stride(),
		Dim: dims[stages-1], Depth: stages, StageDims: dims,
	}
}

// With returns the config with a user's settings; see [backbone.Config].
func (c Config) With(s backbone.Settings) (backbone.Config, error) {
	if s.LayerScale != 0 {
		return nil, fmt.Errorf("%s has no layer scale", c.Name)
	}
	c.ImageH, c.ImageW, c.Channels = cmp.Or(s.Height, c.ImageH), cmp.Or(s.Width, c.ImageW), cmp.Or(s.Channels, c.Channels)
	c.DropPath = cmp.Or(s.DropPath, c.DropPath)
	if s.WidthFactor != 0 {
		c = c.widened(s.WidthFactor)
	}
	c.ZeroInitLast = c.ZeroInitLast || s.ZeroInitLast
	return c, c.Validate()
}

// Require returns the config with a plan's requirements; see [backbone.Config]. Parts of
// transformers are refused.
func (c Config) Require(r backbone.Requirements) (backbone.Config, error) {
	lacks := func(part string) error { return fmt.Errorf("%s has no %s, which the objective requires", c.Name, part) }
	switch {
	case r.Positions != "" && r.Positions != backbone.None:
		return nil, lacks("position table")
	case r.ClassToken == backbone.Required:
		return nil, lacks("class token")
	case r.Relative != "" && r.Relative != backbone.None:
		return nil, lacks("relative position bias")
	case r.LayerScale != 0:
		return nil, lacks("layer scale")
	case r.SplitQVBias:
		return nil, lacks("attention with a split bias")
	}
	if c.DropPath == 0 {
		c.DropPath = r.DropPath
	}
	return c, c.Validate()
}

// Beside reports whether a tensor stands next to the network in files of other tools: the
// classifier, the number of batches that a batch norm has counted, and names without any of the
// parts of residual networks.
func (c Config) Beside(name string) bool {
	return strings.HasPrefix(name, "fc.") || strings.HasSuffix(name, ".num_batches_tracked") || !backbone.Within(name, parts)
}

// parts are words in the names of a residual network's modules, also of kinds that are not built
// here.
var parts = []string{"conv", "bn", "norm", "layer", "layers", "stage", "stages", "block", "blocks", "stem", "downsample", "maxpool", "act"}
