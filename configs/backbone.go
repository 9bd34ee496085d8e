package configs

import (
	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/backbone/families"
	"github.com/vittool/vittool/internal/edit"
)

// Backbone returns the network that the settings describe; the error is an [*Error]. Position
// embedding and initialization are not settings: the objective's plan states them.
func (c *Config) Backbone() (backbone.Config, error) {
	network, e := c.backbone()
	if e != nil {
		return nil, e
	}
	return network, nil
}

func (c *Config) backbone() (backbone.Config, *Error) {
	known := families.Or(c.Model.Families)
	network, err := known.Variant(c.Model.Name)
	if err != nil {
		return nil, &Error{Key: "model.name", Value: c.Model.Name, Problem: edit.NoSuch("model"), Hint: edit.Suggest(c.Model.Name, known.Variants())}
	}
	h, w := c.Model.Size()
	for _, s := range []struct {
		key, hint string
		settings  backbone.Settings
	}{
		{"model.image_size", "choose a height and a width that the patch size divides", backbone.Settings{Height: h, Width: w}},
		{"data.channels", "", backbone.Settings{Channels: c.Data.Channels}},
		{"model.drop_path", "", backbone.Settings{DropPath: c.Model.DropPath}},
		{"model.layer_scale", "", backbone.Settings{LayerScale: c.Model.LayerScale}},
		{"model.width", "choose a model of that width, or a convolutional one", backbone.Settings{WidthFactor: c.Model.Width}},
		{"model.zero_init_last", "leave it out", backbone.Settings{ZeroInitLast: c.Model.ZeroInitLast}},
	} {
		if network, err = network.With(s.settings); err != nil {
			return nil, &Error{Key: s.key, Problem: err.Error(), Hint: s.hint}
		}
	}
	return network, nil
}
