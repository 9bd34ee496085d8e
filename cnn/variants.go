package cnn

import "github.com/vittool/vittool/backbone"

// kinds is the table of published networks.
var kinds = []struct {
	name   string
	block  BlockKind
	layers [stages]int
	inner  int
}{
	{"resnet18", Basic, [stages]int{2, 2, 2, 2}, 1},
	{"resnet34", Basic, [stages]int{3, 4, 6, 3}, 1},
	{"resnet50", Bottleneck, [stages]int{3, 4, 6, 3}, 1},
	{"resnet101", Bottleneck, [stages]int{3, 4, 23, 3}, 1},
	{"resnet152", Bottleneck, [stages]int{3, 8, 36, 3}, 1},
	{"wide_resnet50_2", Bottleneck, [stages]int{3, 4, 6, 3}, 2},
	{"wide_resnet101_2", Bottleneck, [stages]int{3, 4, 23, 3}, 2},
}

// stems are the stems by the end of a variant's name, with the sides of images in pixels that they
// are made for.
var stems = []struct {
	suffix string
	stem   Stem
	image  int
}{
	{"", ImageNet, 224},
	{"_cifar", CIFAR, 32},
}

// publishedWidth is the channels of the stem of all published networks.
const publishedWidth = 64

// Variant returns the config of a network by the name of torchvision and timm, such as resnet50, or
// with the stem for small images as resnet18_cifar. The error of an unknown name lists the nearest
// known ones.
func Variant(name string) (Config, error) {
	for _, k := range kinds {
		for _, s := range stems {
			if name == k.name+s.suffix {
				return Config{
					Name: name, ImageH: s.image, ImageW: s.image, Channels: 3, Stem: s.stem,
					Block: k.block, Layers: k.layers, Width: publishedWidth, Inner: k.inner,
				}, nil
			}
		}
	}
	return Config{}, backbone.Unknown(name, Variants())
}

// Variants lists all names that Variant knows, those of ImageNet's stem first.
func Variants() []string {
	var names []string
	for _, s := range stems {
		for _, k := range kinds {
			names = append(names, k.name+s.suffix)
		}
	}
	return names
}
