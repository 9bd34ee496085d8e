package train

import (
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/plugins/plan"
)

// viewSpecs says how the loader makes the views of a plan, with the run's data settings where the
// plan leaves something open.
func viewSpecs(p *plan.Plan, cfg *configs.Config) []data.ViewSpec {
	mean, std := cfg.Data.Normalization()
	var out []data.ViewSpec
	for _, v := range p.Views {
		spec := data.ViewSpec{
			Name: v.Name, Height: v.Height, Width: v.Width,
			ScaleMin: v.ScaleMin, ScaleMax: v.ScaleMax, RatioMin: v.RatioMin, RatioMax: v.RatioMax,
			Attempts: v.Attempts, Resampler: data.Resampler(cfg.Data.Resampler),
			SameGeometryAs: v.SameGeometryAs, SameColors: v.SameColors,
			ColorsFirst: v.ColorsFirst,
			Mean:        singles(mean), Std: singles(std),
		}
		if f := v.ResizeFactor; f != 0 {
			spec.CropPct = 1 / f
		}
		if len(v.Mean) > 0 {
			spec.Mean = singles(v.Mean)
		}
		if len(v.Std) > 0 {
			spec.Std = singles(v.Std)
		}
		// A plan's own scales are part of its method (DINO's small crops); the user's stand in for
		// the ones it leaves open.
		if spec.ScaleMin == 0 && spec.ScaleMax == 0 {
			spec.ScaleMin, spec.ScaleMax = 0.2, 1
			if s := cfg.Data.CropScale; len(s) == 2 {
				spec.ScaleMin, spec.ScaleMax = s[0], s[1]
			}
		}
		spec.Crop, spec.Interpolation = crops[v.Crop], filters[v.Interpolation]
		for _, a := range v.Augmentations {
			if a.Kind != plan.Flip || cfg.Data.Flip {
				spec.Augmentations = append(spec.Augmentations, augmentationOf(a))
			}
		}
		out = append(out, spec)
	}
	return out
}

var crops = map[plan.Crop]data.Crop{
	plan.CropRandomResized: data.CropRandomResized, plan.CropCenter: data.CropCenter, plan.CropSquash: data.CropSquash,
}

var filters = map[plan.Interpolation]pixels.Filter{
	plan.InterpolationBicubic: pixels.Bicubic, plan.InterpolationBilinear: pixels.Bilinear, plan.InterpolationLanczos: pixels.Lanczos,
	plan.InterpolationBox: pixels.Box, plan.InterpolationNearest: pixels.Nearest,
}

var augmentations = map[plan.AugmentationKind]data.AugmentKind{
	plan.Flip: data.Flip, plan.ColorJitter: data.ColorJitter, plan.Grayscale: data.Grayscale,
	plan.GaussianBlur: data.GaussianBlur, plan.Solarize: data.Solarize,
}

func augmentationOf(a *plan.Augmentation) data.Augmentation {
	return data.Augmentation{
		Kind: augmentations[a.Kind], P: a.Probability, Brightness: a.Brightness, Contrast: a.Contrast, Saturation: a.Saturation, Hue: a.Hue,
		FixedOrder: a.FixedOrder, SigmaMin: a.SigmaMin, SigmaMax: a.SigmaMax, Kernel: a.Kernel, SigmaPerBatch: a.SigmaPerBatch, ZeroBorder: a.ZeroBorder,
		Threshold: uint8(a.Threshold),
	}
}

func singles(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}
