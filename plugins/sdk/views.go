package sdk

import (
	"cmp"
	"slices"

	"github.com/vittool/vittool/plugins/plan"
)

// View is an image tensor made from each sample.
type View struct {
	spec *plan.View
	b    *Builder
}

func (v View) name() string {
	if v.spec == nil {
		return ""
	}
	return v.spec.Name
}

// ViewOption changes a view.
type ViewOption func(*plan.View)

// View declares a view. Without options it is the user's crop (data settings), bicubic, at the
// model's image size.
func (b *Builder) View(name string, options ...ViewOption) View {
	v := &plan.View{Name: b.take("view", name)}
	for _, o := range options {
		o(v)
	}
	b.plan.Views = append(b.plan.Views, v)
	return View{v, b}
}

// ViewOptions joins several options into one.
func ViewOptions(options ...ViewOption) ViewOption {
	return func(v *plan.View) {
		for _, o := range options {
			o(v)
		}
	}
}

// RandomResizedCrop cuts a random box that covers low..high of the area, ratio 3/4..4/3.
func RandomResizedCrop(low, high float64) ViewOption {
	return func(v *plan.View) { v.Crop, v.ScaleMin, v.ScaleMax = plan.CropRandomResized, low, high }
}

// CenterCrop resizes the short side to factor times the height and cuts the center out.
func CenterCrop(factor float64) ViewOption {
	return func(v *plan.View) { v.Crop, v.ResizeFactor = plan.CropCenter, factor }
}

// Size sets height and width in pixels instead of the model's image size.
func Size(height, width int) ViewOption {
	return func(v *plan.View) { v.Height, v.Width = height, width }
}

// Resample sets the interpolation.
func Resample(i Interpolation) ViewOption { return func(v *plan.View) { v.Interpolation = i } }

// SameGeometry takes box and flip of another view.
func SameGeometry(other View) ViewOption {
	return func(v *plan.View) { v.SameGeometryAs = other.name() }
}

// SameColors takes the color augmentations of the view given to SameGeometry.
func SameColors() ViewOption { return func(v *plan.View) { v.SameColors = true } }

// ColorsFirst applies all augmentations but the flip to the whole image, before the crop.
func ColorsFirst() ViewOption { return func(v *plan.View) { v.ColorsFirst = true } }

// Attempts sets the number of boxes that a random crop tries before it takes the largest central
// one, instead of 10.
func Attempts(n int) ViewOption { return func(v *plan.View) { v.Attempts = n } }

// BlurKernel makes the blurs that the view has so far convolutions with as many taps, an odd number,
// of zeros around the image, with one sigma for all samples: the blur of SimCLR's official code.
func BlurKernel(taps int) ViewOption {
	return func(v *plan.View) {
		for _, a := range v.Augmentations {
			if a.Kind == plan.GaussianBlur {
				a.Kernel, a.SigmaPerBatch, a.ZeroBorder = taps, true, true
			}
		}
	}
}

// GrayFirst puts the loss of color that the view has so far before all other changes.
func GrayFirst() ViewOption {
	return func(v *plan.View) {
		slices.SortStableFunc(v.Augmentations, func(a, b *plan.Augmentation) int {
			gray := func(a *plan.Augmentation) int {
				if a.Kind == plan.Grayscale {
					return 0
				}
				return 1
			}
			return gray(a) - gray(b)
		})
	}
}

// Normalize sets mean and standard deviation per channel instead of the run's.
func Normalize(mean, std []float64) ViewOption {
	return func(v *plan.View) { v.Mean, v.Std = mean, std }
}

// Augment appends any augmentation.
func Augment(a Augmentation) ViewOption {
	return func(v *plan.View) { v.Augmentations = append(v.Augmentations, &a) }
}

// Flip mirrors horizontally with the given probability.
func Flip(probability float64) ViewOption {
	return Augment(Augmentation{Kind: FlipAugmentation, Probability: probability})
}

// ColorJitter changes brightness, contrast, saturation and hue in random order: factors uniform in
// max(0,1-x)..1+x, the hue shifted by -x..x of the circle, x <= 0.5.
func ColorJitter(probability, brightness, contrast, saturation, hue float64) ViewOption {
	return Augment(Augmentation{Kind: ColorAugmentation, Probability: probability,
		Brightness: brightness, Contrast: contrast, Saturation: saturation, Hue: hue})
}

// Grayscale drops the color.
func Grayscale(probability float64) ViewOption {
	return Augment(Augmentation{Kind: GrayAugmentation, Probability: probability})
}

// GaussianBlur blurs as Pillow does, sigma uniform in low..high.
func GaussianBlur(probability, low, high float64) ViewOption {
	return Augment(Augmentation{Kind: BlurAugmentation, Probability: probability, SigmaMin: low, SigmaMax: high})
}

// Solarize inverts pixels from 128 on.
func Solarize(probability float64) ViewOption {
	return Augment(Augmentation{Kind: SolarAugmentation, Probability: probability})
}

// Height in pixels.
func (v View) Height() int { return cmp.Or(v.spec.Height, v.b.Backbone().Height) }

// Width in pixels.
func (v View) Width() int { return cmp.Or(v.spec.Width, v.b.Backbone().Width) }

// Rows is the number of patches from top to bottom.
func (v View) Rows() int { return v.Height() / max(1, v.b.Backbone().Patch) }

// Cols is the number of patches from left to right.
func (v View) Cols() int { return v.Width() / max(1, v.b.Backbone().Patch) }

// Patches is the number of patches, L.
func (v View) Patches() int { return v.Rows() * v.Cols() }

// Pixels are the normalized pixels, [B,C,H,W].
func (v View) Pixels() Tensor {
	return Tensor{ref: plan.Ref{Of: plan.RefView, Name: v.name()}, dim: v.Width()}
}
