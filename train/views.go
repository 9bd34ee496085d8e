package train

import (
	"fmt"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/plugins/pb"
)

// viewSpecs says how the loader makes the views of a plan, with the run's data
// settings where the plan leaves something open.
func viewSpecs(plan *pb.Plan, cfg *configs.Config, network backbone.Info) ([]data.ViewSpec, error) {
	mean, std := cfg.Data.Normalization()
	var out []data.ViewSpec
	for _, v := range plan.GetViews() {
		spec := data.ViewSpec{
			Name: v.GetName(), Height: int(v.GetHeight()), Width: int(v.GetWidth()),
			ScaleMin: v.GetScaleMin(), ScaleMax: v.GetScaleMax(), RatioMin: v.GetRatioMin(), RatioMax: v.GetRatioMax(),
			Attempts: int(v.GetAttempts()), Resampler: data.Resampler(cfg.Data.Resampler),
			SameGeometryAs: v.GetSameGeometryAs(), SameColors: v.GetSameColors(),
			ColorsFirst: v.GetColorsFirst(),
			Mean:        singles(mean), Std: singles(std),
		}
		if f := v.GetResizeFactor(); f != 0 {
			spec.CropPct = 1 / f
		}
		if spec.Height == 0 {
			spec.Height = network.ImageH
		}
		if spec.Width == 0 {
			spec.Width = network.ImageW
		}
		if len(v.GetMean()) > 0 {
			spec.Mean = singles(v.GetMean())
		}
		if len(v.GetStd()) > 0 {
			spec.Std = singles(v.GetStd())
		}
		// A plan's own scales are part of its method (DINO's small crops); the
		// user's stand in for the ones it leaves open.
		if spec.ScaleMin == 0 && spec.ScaleMax == 0 {
			spec.ScaleMin, spec.ScaleMax = 0.2, 1
			if s := cfg.Data.CropScale; len(s) == 2 {
				spec.ScaleMin, spec.ScaleMax = s[0], s[1]
			}
		}
		var err error
		if spec.Crop, err = cropOf(v.GetCrop()); err != nil {
			return nil, fmt.Errorf("view %s: %w", v.GetName(), err)
		}
		if spec.Interpolation, err = filterOf(v.GetInterpolation()); err != nil {
			return nil, fmt.Errorf("view %s: %w", v.GetName(), err)
		}
		for _, a := range v.GetAugmentations() {
			augmentation, err := augmentationOf(a)
			if err != nil {
				return nil, fmt.Errorf("view %s: %w", v.GetName(), err)
			}
			if augmentation.Kind == data.Flip && !cfg.Data.Flip {
				continue
			}
			spec.Augmentations = append(spec.Augmentations, augmentation)
		}
		out = append(out, spec)
	}
	return out, nil
}

func cropOf(c pb.ViewSpec_Crop) (data.Crop, error) {
	switch c {
	case pb.ViewSpec_CROP_RANDOM_RESIZED:
		return data.CropRandomResized, nil
	case pb.ViewSpec_CROP_CENTER:
		return data.CropCentre, nil
	case pb.ViewSpec_CROP_SQUASH:
		return data.CropSquash, nil
	}
	return 0, fmt.Errorf("crop %v is not known to this version of vittool", c)
}

func filterOf(i pb.ViewSpec_Interpolation) (pixels.Filter, error) {
	switch i {
	case pb.ViewSpec_INTERPOLATION_BICUBIC:
		return pixels.Bicubic, nil
	case pb.ViewSpec_INTERPOLATION_BILINEAR:
		return pixels.Bilinear, nil
	case pb.ViewSpec_INTERPOLATION_LANCZOS:
		return pixels.Lanczos, nil
	case pb.ViewSpec_INTERPOLATION_BOX:
		return pixels.Box, nil
	case pb.ViewSpec_INTERPOLATION_NEAREST:
		return pixels.Nearest, nil
	}
	return 0, fmt.Errorf("interpolation %v is not known to this version of vittool", i)
}

func augmentationOf(a *pb.Augmentation) (data.Augmentation, error) {
	switch k := a.GetKind().(type) {
	case *pb.Augmentation_Flip_:
		return data.Augmentation{Kind: data.Flip, P: k.Flip.GetProbability()}, nil
	case *pb.Augmentation_ColorJitter_:
		j := k.ColorJitter
		return data.Augmentation{Kind: data.ColorJitter, P: j.GetProbability(), Brightness: j.GetBrightness(), Contrast: j.GetContrast(),
			Saturation: j.GetSaturation(), Hue: j.GetHue(), FixedOrder: j.GetFixedOrder()}, nil
	case *pb.Augmentation_Grayscale_:
		return data.Augmentation{Kind: data.Grayscale, P: k.Grayscale.GetProbability()}, nil
	case *pb.Augmentation_GaussianBlur_:
		g := k.GaussianBlur
		return data.Augmentation{Kind: data.GaussianBlur, P: g.GetProbability(), SigmaMin: g.GetSigmaMin(), SigmaMax: g.GetSigmaMax(),
			Kernel: int(g.GetKernel()), SigmaPerBatch: g.GetSigmaPerBatch()}, nil
	case *pb.Augmentation_Solarize_:
		if t := k.Solarize.GetThreshold(); t > 255 {
			return data.Augmentation{}, fmt.Errorf("solarize threshold %d is not within 0..255", t)
		}
		return data.Augmentation{Kind: data.Solarize, P: k.Solarize.GetProbability(), Threshold: uint8(k.Solarize.GetThreshold())}, nil
	}
	return data.Augmentation{}, fmt.Errorf("an augmentation is not known to this version of vittool")
}

func singles(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}
