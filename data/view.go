package data

import (
	"fmt"

	"github.com/vittool/vittool/data/pixels"
)

// Crop is the rule for the part of an image that a view shows.
type Crop uint8

const (
	CropRandomResized Crop = iota // a random box by scale and ratio, resized to the view
	CropCentre                    // the image resized to cover the view and a margin, its centre cut out
	CropSquash                    // the same without regard to the image's aspect
)

// Resampler names the code that scales training images.
type Resampler string

const (
	Pillow   Resampler = "pillow"    // the bits of Pillow 9.4
	Pillow13 Resampler = "pillow-13" // the bits of Pillow 13, for evaluation
	NFNT     Resampler = "nfnt"      // github.com/nfnt/resize
)

// ViewSpec is the recipe of a view.
type ViewSpec struct {
	Name          string
	Height, Width int
	Crop          Crop
	// ScaleMin and ScaleMax bound the share of the area that a random box covers; RatioMin and
	// RatioMax its width over its height, both 0 meaning 3/4 to 4/3. Attempts is how many boxes are
	// tried before the largest central one is taken, 0 meaning 10.
	ScaleMin, ScaleMax float64
	RatioMin, RatioMax float64
	Attempts           int
	// CropPct is timm's crop_pct, the side of the view over that of the resized image, of
	// CropCentre and CropSquash; 0 means 0.875 and 1. With ShortSide, of CropCentre, the image's
	// short side gets so many pixels instead, as in torchvision's Resize. AsIs shows an image of
	// the view's size as it is.
	CropPct       float64
	ShortSide     int
	AsIs          bool
	Interpolation pixels.Filter
	Resampler     Resampler // "" means Pillow
	// Augmentations are applied in order after the crop; with ColorsFirst all but the flip to the
	// whole image before it.
	Augmentations []Augmentation
	ColorsFirst   bool
	// SameGeometryAs names a view whose box and flip this one shares; SameColors shares the rest of
	// its augmentations and draws too.
	SameGeometryAs string
	SameColors     bool
	// Mean and Std normalize, one number per channel in units of [0,1].
	Mean, Std []float32
}

// AugmentKind is an operation on a view.
type AugmentKind uint8

const (
	Flip        AugmentKind = iota // horizontal; part of the geometry
	ColorJitter                    // Brightness, Contrast, Saturation, Hue
	Grayscale
	GaussianBlur // SigmaMin, SigmaMax, Kernel
	Solarize     // Threshold
)

var augmentNames = [...]string{"flip", "color jitter", "grayscale", "gaussian blur", "solarize"}

func (k AugmentKind) String() string {
	if int(k) < len(augmentNames) {
		return augmentNames[k]
	}
	return fmt.Sprintf("AugmentKind(%d)", uint8(k))
}

// Augmentation is applied with probability P, drawn anew for every sample.
type Augmentation struct {
	Kind AugmentKind
	P    float64
	// Factors of a jitter are uniform in [max(0,1-x), 1+x], the hue shift in [-Hue, Hue]; an
	// operation with x = 0 is left out. The order of the operations is random unless FixedOrder.
	Brightness, Contrast, Saturation, Hue float64
	FixedOrder                            bool
	// Sigma of a blur is uniform in [SigmaMin, SigmaMax]. Kernel 0 is Pillow's blur with radius
	// sigma, an odd number torchvision's with as many taps. SigmaPerBatch draws one sigma for a
	// whole batch, ZeroBorder has zeros around the image where torchvision reflects it.
	SigmaMin, SigmaMax float64
	Kernel             int
	SigmaPerBatch      bool
	ZeroBorder         bool // with a kernel
	// Threshold of Solarize; 0 is read as 128.
	Threshold uint8
}

// Box is the part of the source image that a view shows, in pixels of the upright source. Random
// boxes have whole numbers; a central one need not.
type Box struct {
	Top, Left, Height, Width  float64
	Flip                      bool // the view is mirrored left to right
	SourceHeight, SourceWidth int
}

// Fitting is the rule by which evaluation brings images to the size of a view. The fields are those
// of ViewSpec.
type Fitting struct {
	Crop          Crop // CropCentre or CropSquash
	CropPct       float64
	ShortSide     int
	AsIs          bool
	Interpolation pixels.Filter
}

// EvalView is the view that evaluation uses: no randomness. It depends on the image alone, and
// equals timm's evaluation transform unless AsIs or ShortSide are set.
func EvalView(name string, h, w int, f Fitting, mean, std []float32) ViewSpec {
	return ViewSpec{Name: name, Height: h, Width: w, Crop: f.Crop, CropPct: f.CropPct, ShortSide: f.ShortSide, AsIs: f.AsIs,
		Interpolation: f.Interpolation, Resampler: Pillow13, Mean: mean, Std: std}
}

// maxSide bounds the height and the width of a view, in pixels.
const maxSide = 1 << 14

func (v *ViewSpec) check(channels int) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("view %q: %s", v.Name, fmt.Sprintf(format, args...))
	}
	if v.Height < 1 || v.Width < 1 || v.Height > maxSide || v.Width > maxSide {
		return bad("size %dx%d is not within 1..%d", v.Width, v.Height, maxSide)
	}
	if err := v.checkCrop(); err != nil {
		return bad("%v", err)
	}
	if v.Interpolation > pixels.Lanczos {
		return bad("unknown interpolation %v", v.Interpolation)
	}
	if v.Resampler != Pillow && v.Resampler != Pillow13 && v.Resampler != NFNT {
		return bad("unknown resampler %q; valid are %q and %q", v.Resampler, Pillow, NFNT)
	}
	if len(v.Mean) != channels || len(v.Std) != channels {
		return bad("%d means and %d standard deviations for images of %d channels", len(v.Mean), len(v.Std), channels)
	}
	for _, a := range v.Augmentations {
		if err := a.check(channels); err != nil {
			return bad("%v: %v", a.Kind, err)
		}
	}
	return nil
}

func (v *ViewSpec) checkCrop() error {
	switch v.Crop {
	case CropRandomResized:
		if !(v.ScaleMin > 0 && v.ScaleMin <= v.ScaleMax && v.ScaleMax <= 1) {
			return fmt.Errorf("crop scale %g..%g is not a range within 0..1", v.ScaleMin, v.ScaleMax)
		}
		if !(v.RatioMin > 0 && v.RatioMin <= v.RatioMax && v.RatioMax <= 1e3) {
			return fmt.Errorf("crop ratio %g..%g is not a range above 0", v.RatioMin, v.RatioMax)
		}
	case CropCentre, CropSquash:
		if !(v.CropPct >= 1.0/16 && v.CropPct <= 1) {
			return fmt.Errorf("crop_pct %g is not within 1/16..1", v.CropPct)
		}
		if v.ShortSide != 0 && (v.Crop == CropSquash || v.ShortSide < max(v.Height, v.Width) || v.ShortSide > maxSide) {
			return fmt.Errorf("a short side of %d pixels does not cover a centre of %dx%d", v.ShortSide, v.Width, v.Height)
		}
	default:
		return fmt.Errorf("unknown crop %d", v.Crop)
	}
	return nil
}

func (a *Augmentation) check(channels int) error {
	if !(a.P >= 0 && a.P <= 1) {
		return fmt.Errorf("probability %g is not within 0..1", a.P)
	}
	switch a.Kind {
	case Flip, Solarize:
	case Grayscale, ColorJitter:
		if channels != 3 && channels != 1 {
			return fmt.Errorf("needs images of 3 channels, these have %d", channels)
		}
		for _, x := range [...]float64{a.Brightness, a.Contrast, a.Saturation} {
			if !(x >= 0 && x <= 100) {
				return fmt.Errorf("strength %g is not within 0..100", x)
			}
		}
		if !(a.Hue >= 0 && a.Hue <= 0.5) {
			return fmt.Errorf("hue %g is not within 0..0.5", a.Hue)
		}
	case GaussianBlur:
		return a.checkBlur()
	default:
		return fmt.Errorf("unknown augmentation")
	}
	return nil
}

func (a *Augmentation) checkBlur() error {
	if !(a.SigmaMin > 0 && a.SigmaMin <= a.SigmaMax && a.SigmaMax <= 1000) {
		return fmt.Errorf("sigma %g..%g is not a range above 0", a.SigmaMin, a.SigmaMax)
	}
	if a.Kernel != 0 && (a.Kernel < 0 || a.Kernel%2 == 0 || a.Kernel > 999) {
		return fmt.Errorf("kernel of %d taps; use an odd number, or 0 for Pillow's blur", a.Kernel)
	}
	if a.ZeroBorder && a.Kernel == 0 {
		return fmt.Errorf("a blur with zeros around the image has no kernel; use an odd number of taps")
	}
	return nil
}

// withDefaults replaces zero values by the defaults.
func (v ViewSpec) withDefaults() ViewSpec {
	if v.RatioMin == 0 && v.RatioMax == 0 {
		v.RatioMin, v.RatioMax = 3.0/4, 4.0/3
	}
	if v.Attempts == 0 {
		v.Attempts = 10
	}
	if v.CropPct == 0 {
		v.CropPct = 1
		if v.Crop == CropCentre {
			v.CropPct = 0.875
		}
	}
	if v.Resampler == "" {
		v.Resampler = Pillow
	}
	return v
}

// view is a ViewSpec made ready: its own size and normalization, and the specs that its geometry
// and its colours come from (its own, or another view's).
type view struct {
	ViewSpec
	geometry  *ViewSpec
	colours   *ViewSpec
	normalize *pixels.Normalizer
}

// resolveViews checks the specs and follows their references.
func resolveViews(specs []ViewSpec, channels int) ([]view, error) {
	if len(specs) == 0 {
		return nil, fmt.Errorf("no views were asked for")
	}
	views := make([]view, len(specs))
	byName := map[string]*view{}
	for i, s := range specs {
		v := &views[i]
		v.ViewSpec = s.withDefaults()
		if err := v.check(channels); err != nil {
			return nil, err
		}
		if _, double := byName[s.Name]; double || s.Name == "" {
			return nil, fmt.Errorf("view %q: every view needs a name of its own", s.Name)
		}
		byName[s.Name] = v
		n, err := pixels.NewNormalizer(s.Mean, s.Std)
		if err != nil {
			return nil, fmt.Errorf("view %q: %w", s.Name, err)
		}
		v.normalize = n
	}
	for i := range views {
		v := &views[i]
		v.geometry, v.colours = &v.ViewSpec, &v.ViewSpec
		if v.SameGeometryAs == "" {
			if v.SameColors {
				return nil, fmt.Errorf("view %q: shares colours but names no view to share them with", v.Name)
			}
			continue
		}
		other, ok := byName[v.SameGeometryAs]
		if !ok || other.SameGeometryAs != "" {
			return nil, fmt.Errorf("view %q: same geometry as %q, which is not a view with a geometry of its own", v.Name, v.SameGeometryAs)
		}
		v.geometry = &other.ViewSpec
		if v.SameColors {
			v.colours = &other.ViewSpec
		}
	}
	return views, nil
}
