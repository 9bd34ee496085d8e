package configs

import "github.com/vittool/vittool/vit"

// Backbone returns the network that the settings describe, or what is wrong
// with them as an [*Error]. Position embedding and initialisation are not
// settings: they are the objective's to say.
func (c *Config) Backbone() (vit.Config, error) {
	network, e := c.backbone()
	if e != nil {
		return vit.Config{}, e
	}
	return network, nil
}

func (c *Config) backbone() (vit.Config, *Error) {
	network, err := vit.Variant(c.Model.Name)
	if err != nil {
		hint := "models are named as in timm, for instance vit_tiny_patch4_32 or vit_base_patch16_224"
		if near := Nearest(c.Model.Name, vit.Variants()); near != "" {
			hint = "did you mean " + near + "?"
		}
		return network, &Error{Key: "model.name", Value: c.Model.Name, Problem: "there is no such model", Hint: hint}
	}
	if h, w := c.Model.Size(); h != 0 {
		network = network.WithImage(h, w)
	}
	network.Channels = c.Data.Channels
	network.DropPath = c.Model.DropPath
	network.LayerScale = c.Model.LayerScale
	if err := network.Validate(); err != nil {
		return network, &Error{Key: "model.image_size", Problem: err.Error(), Hint: "choose a height and a width that the patch size divides"}
	}
	return network, nil
}
