package sdk

import "github.com/vittool/vittool/plugins/plan"

// Colors are options of random changes of color, to be embedded in an objective.
type Colors struct {
	Jitter      []float64 `option:"color_jitter" min:"0" length:"4" help:"strength of changes of brightness, contrast, saturation and hue (at most 0.5)"`
	JitterShare float64   `option:"color_jitter_probability" min:"0" max:"1" help:"share of the crops whose colors change"`
	Gray        float64   `option:"grayscale" min:"0" max:"1" help:"share of the crops that lose their colors"`
}

// BYOLColors are the values of Grill et al., "Bootstrap Your Own Latent" (2020), which DINO, MoCo
// v3 and SiT share.
func BYOLColors() Colors {
	return Colors{Jitter: []float64{0.4, 0.4, 0.2, 0.1}, JitterShare: 0.8, Gray: 0.2}
}

// Validate implements Validator.
func (o Colors) Validate() error {
	jitter := plan.Augmentation{Kind: plan.ColorJitter, Brightness: o.Jitter[0], Contrast: o.Jitter[1], Saturation: o.Jitter[2], Hue: o.Jitter[3]}
	return jitter.Check()
}

// Recolor changes the colors of a view.
func (o Colors) Recolor() ViewOption {
	return ViewOptions(ColorJitter(o.JitterShare, o.Jitter[0], o.Jitter[1], o.Jitter[2], o.Jitter[3]), Grayscale(o.Gray))
}

// TwoCrops are options of two random crops of each image, to be embedded in an objective.
type TwoCrops struct {
	CropSize  int       `option:"crop_size" min:"0" help:"side of the crops in pixels; 0: the image size of the model"`
	CropScale []float64 `option:"crop_scale" above:"0" max:"1" length:"2" order:"rising" help:"smallest and largest share of the image that a crop covers"`
	Colors
	Blur     []float64 `option:"blur" min:"0" max:"1" length:"2" help:"share of the first and of the second crops that are blurred"`
	Solarize []float64 `option:"solarize" min:"0" max:"1" length:"2" help:"share of the first and of the second crops that are solarized"`
}

// BYOLCrops are crops that cover smallest..largest of the image, in the colors of BYOL: the first
// is always blurred, the second seldom, and sometimes solarized.
func BYOLCrops(smallest, largest float64) TwoCrops {
	return TwoCrops{CropScale: []float64{smallest, largest}, Colors: BYOLColors(), Blur: []float64{1, 0.1}, Solarize: []float64{0, 0.2}}
}

// Crop cuts out and colors crop i, 0 or 1. A flip is the objective's own.
func (o TwoCrops) Crop(b *Builder, i int) ViewOption {
	options := []ViewOption{RandomResizedCrop(o.CropScale[0], o.CropScale[1]), o.Recolor()}
	if o.Blur[i] > 0 {
		options = append(options, GaussianBlur(o.Blur[i], .1, 2))
	}
	if o.Solarize[i] > 0 {
		options = append(options, Solarize(o.Solarize[i]))
	}
	if o.CropSize > 0 {
		b.WholePatches("crop_size", o.CropSize)
		options = append(options, Size(o.CropSize, o.CropSize))
	}
	return ViewOptions(options...)
}

// WholePatches refuses a side in pixels, the value of option key, that patches do not fill. A
// network of maps takes any side.
func (b *Builder) WholePatches(key string, side int) {
	if patch := max(1, b.Backbone().Patch); b.Backbone().Tokens() && side%patch != 0 {
		b.Failf("%s %d is no multiple of the patch size %d", key, side, patch)
	}
}

// CosineTeacher is the option of a teacher that moves ever more slowly, to be embedded in
// an objective.
type CosineTeacher struct {
	Momentum float64 `option:"teacher_momentum" min:"0" max:"1" help:"share of the old teacher in the new one at the start; a cosine takes it to 1"`
}

// Average asks for the teacher; it follows after each step.
func (o CosineTeacher) Average(b *Builder) {
	b.Teacher(b.Schedule("teacher_momentum", CosineSchedule(o.Momentum, 1)), AfterStep)
}
