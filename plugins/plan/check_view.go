package plan

import (
	"errors"
	"fmt"
	"math"

	"github.com/vittool/vittool/internal/edit"
)

// Limits of views and of their augmentations. The loader has the same ones (data.ViewSpec), as a
// guard against mistakes in this program; a test in package train compares the two.
var (
	pixelRange       = edit.Between(1, maxPixels)
	scaleRange       = edit.Range{Min: 0, Max: 1, Above: true}    // shares of the area
	ratioRange       = edit.Range{Min: 0, Max: 1000, Above: true} // of width over height
	resizeRange      = edit.Between(1, 16)                        // of CropCenter and CropSquash
	stdRange         = edit.Range{Min: 0, Max: math.MaxFloat32, Above: true}
	meanRange        = edit.Between(-math.MaxFloat32, math.MaxFloat32)
	probabilityRange = edit.Between(0, 1)
	strengthRange    = edit.Between(0, 100)
	hueRange         = edit.Between(0, .5) // half of the circle
	sigmaRange       = edit.Range{Min: 0, Max: 1000, Above: true}
	kernelRange      = edit.Between(1, 999)
	thresholdRange   = edit.Between(0, 255)
)

// numbered is a number with its place and its range.
type numbered struct {
	place string
	x     float64
	valid edit.Range
}

// inRange refuses the first number that is out of its range.
func inRange(all ...numbered) error {
	for _, n := range all {
		if err := n.valid.Check(n.place, n.x); err != nil {
			return err
		}
	}
	return nil
}

// ordered refuses an interval that lies outside of the range or ends before it begins.
func ordered(place string, low, high float64, valid edit.Range) error {
	if err := inRange(numbered{place + "_min", low, valid}, numbered{place + "_max", high, valid}); err != nil {
		return err
	}
	if low > high {
		return fmt.Errorf("%s_min = %v is above %[1]s_max = %[3]v; give the smaller number first", place, low, high)
	}
	return nil
}

// view checks a view that was declared.
func (c *checker) view(v *View) error {
	err := inRange(numbered{"field height", float64(v.Height), pixelRange}, numbered{"field width", float64(v.Width), pixelRange})
	if err == nil && (v.ScaleMin != 0 || v.ScaleMax != 0) {
		err = ordered("field scale", v.ScaleMin, v.ScaleMax, scaleRange)
	}
	if err == nil && (v.RatioMin != 0 || v.RatioMax != 0) {
		err = ordered("field ratio", v.RatioMin, v.RatioMax, ratioRange)
	}
	if err == nil && v.ResizeFactor != 0 {
		err = resizeRange.Check("field resize_factor", v.ResizeFactor)
	}
	if err == nil {
		err = c.normalization(v)
	}
	if err == nil {
		err = c.sharing(v)
	}
	if err != nil {
		return err
	}
	for i, a := range v.Augmentations {
		err := a.Check()
		if n := c.backbone.Channels; err == nil && (a.Kind == ColorJitter || a.Kind == Grayscale) && n != 1 && n != 3 {
			err = fmt.Errorf("%v changes colors, and the images have %d channels; leave it out", a.Kind, n)
		}
		if err != nil {
			return fmt.Errorf("augmentation %d: %w", i, err)
		}
	}
	return nil
}

// normalization refuses means and standard deviations that 32-bit floats can't be normalized with.
func (c *checker) normalization(v *View) error {
	for _, list := range []struct {
		field  string
		values []float64
		valid  edit.Range
	}{{"mean", v.Mean, meanRange}, {"std", v.Std, stdRange}} {
		if n := len(list.values); n > 0 && n != c.backbone.Channels {
			return fmt.Errorf("field %s has %d values, and the images have %d channels; give one for each channel, or none", list.field, n, c.backbone.Channels)
		}
		for i, x := range list.values {
			if !list.valid.Holds(float64(float32(x))) {
				return fmt.Errorf("field %s[%d] = %v: %s; %s", list.field, i, x, edit.OutOfRange, list.valid.Valid())
			}
		}
	}
	return nil
}

// sharing refuses colors or geometry of a view that has none of its own.
func (c *checker) sharing(v *View) error {
	if v.SameGeometryAs == "" {
		if v.SameColors {
			return errors.New("field same_colors is set, and same_geometry_as names no view; name the view whose colors it shares")
		}
		return nil
	}
	if of := c.View(v.SameGeometryAs).SameGeometryAs; of != "" {
		return fmt.Errorf("field same_geometry_as names the view %q, which shares the geometry of %q itself; name %[2]q", v.SameGeometryAs, of)
	}
	return nil
}

// Check refuses strengths and probabilities that no augmentation has.
func (a *Augmentation) Check() error {
	if a.Kind == 0 {
		return errors.New("its kind is missing or unknown to this vittool; use a newer vittool, or give a kind")
	}
	if err := a.check(); err != nil {
		return fmt.Errorf("%v: %w", a.Kind, err)
	}
	return nil
}

func (a *Augmentation) check() error {
	if err := probabilityRange.Check("probability", a.Probability); err != nil {
		return err
	}
	switch a.Kind {
	case ColorJitter:
		return inRange(numbered{"brightness", a.Brightness, strengthRange}, numbered{"contrast", a.Contrast, strengthRange},
			numbered{"saturation", a.Saturation, strengthRange}, numbered{"hue", a.Hue, hueRange})
	case GaussianBlur:
		if err := ordered("sigma", a.SigmaMin, a.SigmaMax, sigmaRange); err != nil {
			return err
		}
		switch {
		case a.Kernel != 0 && (!kernelRange.Holds(float64(a.Kernel)) || a.Kernel%2 == 0):
			return fmt.Errorf("kernel = %d: %s; valid is an odd number of %v, or 0 for Pillow's blur", a.Kernel, edit.OutOfRange, kernelRange)
		case a.ZeroBorder && a.Kernel == 0:
			return errors.New("zero_border is set and kernel = 0; give an odd kernel with it")
		}
	case Solarize:
		return thresholdRange.Check("threshold", float64(a.Threshold))
	}
	return nil
}
