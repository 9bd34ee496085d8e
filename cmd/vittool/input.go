package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/tasks"
)

// sizeFlag is a height and a width in pixels, written 224 or 160x224; zeros stand for the model's.
type sizeFlag struct{ height, width int }

func (s *sizeFlag) String() string {
	switch {
	case s.height == s.width && s.height == 0:
		return "0"
	case s.height == s.width:
		return strconv.Itoa(s.height)
	}
	return fmt.Sprintf("%dx%d", s.height, s.width)
}

func (s *sizeFlag) Set(text string) error {
	high, wide, two := strings.Cut(strings.ReplaceAll(strings.ToLower(text), "×", "x"), "x")
	if !two {
		wide = high
	}
	h, err := strconv.Atoi(strings.TrimSpace(high))
	w, wideErr := strconv.Atoi(strings.TrimSpace(wide))
	if err != nil || wideErr != nil || h < 0 || w < 0 || (h == 0) != (w == 0) {
		return fmt.Errorf("%q is no size; write 224, or height and width as in 160x224", text)
	}
	s.height, s.width = h, w
	return nil
}

func (s *sizeFlag) Type() string { return "n|HxW" }

// viewOptions are the flags of every command that brings images to a network's size.
type viewOptions struct {
	size    sizeFlag
	cropPct float64
	resize  int
	factor  float64 // of an older flag, the inverse of cropPct
}

func (o *viewOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var(&o.size, "image-size", "height and width that images are brought to, 224 or 160x224; 0 takes the model's")
	flags.Float64Var(&o.cropPct, "crop-pct", 0, "resize every image to --image-size over this share (timm's crop_pct) before the center is cut out; 0 takes the value of the weights or else 0.875, and images of that size as they are where the network was trained here")
	flags.IntVar(&o.resize, "resize", 0, "resize the short side of every image to this many pixels before the center is cut out, as torchvision's Resize and CenterCrop; 0 does as --crop-pct says")
	flags.Float64Var(&o.factor, "resize-factor", 0, "the inverse of --crop-pct")
	if err := flags.MarkDeprecated("resize-factor", "use --crop-pct"); err != nil {
		panic(err)
	}
}

// check refuses values before any image is read.
func (o *viewOptions) check() error {
	const maxSide = 1 << 14
	switch {
	case o.factor != 0 && !(o.factor >= 1 && o.factor <= 16):
		return &usageError{fmt.Sprintf("--resize-factor %g is out of range", o.factor), "valid is 1 to 16, or 0"}
	case o.cropPct != 0 && !(o.cropPct >= 1.0/16 && o.cropPct <= 1):
		return &usageError{fmt.Sprintf("--crop-pct %g is out of range", o.cropPct), "valid is 0.0625 to 1, or 0"}
	case o.resize < 0 || o.resize > maxSide:
		return &usageError{fmt.Sprintf("--resize %d is out of range", o.resize), fmt.Sprintf("valid is 1 to %d, or 0", maxSide)}
	case o.resize != 0 && (o.cropPct != 0 || o.factor != 0), o.cropPct != 0 && o.factor != 0:
		return &usageError{"--crop-pct and --resize say the same thing in two ways", "give one of them"}
	}
	return nil
}

// fitting is the one that the flags ask for, nil where they leave it to the model. It refuses a
// size that the model can't be run at.
func (o *viewOptions) fitting(m *tasks.Model) (*data.Fitting, error) {
	h, w := o.size.height, o.size.width
	if h != 0 {
		if err := m.Config.CheckImage(h, w); err != nil {
			return nil, &usageError{err.Error(), "choose another --image-size, or leave it out"}
		}
	} else {
		h, w = m.Info.ImageH, m.Info.ImageW
	}
	f := data.Fitting{Crop: data.CropCenter, CropPct: o.cropPct, Interpolation: pixels.Bicubic}
	if m.Input.Fitting != (data.Fitting{}) {
		f.Interpolation = m.Input.Fitting.Interpolation
	}
	switch {
	case o.resize != 0 && o.resize < max(h, w):
		return nil, &usageError{fmt.Sprintf("--resize %d does not cover images of %dx%d", o.resize, h, w), fmt.Sprintf("give %d or more", max(h, w))}
	case o.resize != 0:
		f.ShortSide = o.resize
	case o.factor != 0:
		f.CropPct = 1 / o.factor
	case o.cropPct == 0:
		return nil, nil
	}
	return &f, nil
}

// inputResult is the part of a result on the input of the network.
type inputResult struct {
	Height        int       `json:"height"`
	Width         int       `json:"width"`
	Crop          string    `json:"crop"`               // center or squash
	CropPct       float64   `json:"crop_pct,omitempty"` // of timm
	Resize        int       `json:"resize,omitempty"`   // short side, of torchvision
	AsIs          bool      `json:"same_size_as_is"`    // images of this size were not resized
	Interpolation string    `json:"interpolation"`
	Mean          []float64 `json:"mean"`
	Std           []float64 `json:"std"`
	Normalization string    `json:"normalization"` // where mean and deviation come from
}

func newInputResult(m *tasks.Model, h, w int, f data.Fitting) inputResult {
	return inputResultOf(tasks.Normalization{Name: m.Input.Normalization, Mean: m.Mean, Std: m.Std}, h, w, f)
}

// inputResultOf describes images of h×w pixels. The name of n is its source.
func inputResultOf(n tasks.Normalization, h, w int, f data.Fitting) inputResult {
	r := inputResult{Height: h, Width: w, Crop: "center", CropPct: f.CropPct, Resize: f.ShortSide, AsIs: f.AsIs,
		Interpolation: f.Interpolation.String(), Mean: n.Mean, Std: n.Std, Normalization: n.Name}
	if f.Crop == data.CropSquash {
		r.Crop = "squash"
	}
	if f.ShortSide > 0 {
		r.CropPct = 0
	}
	return r
}

// view says how images were brought to their size.
func (r *inputResult) view() string {
	text := fmt.Sprintf("%d×%d, ", r.Height, r.Width)
	switch {
	case r.Resize > 0:
		text += fmt.Sprintf("center of a short side of %d", r.Resize)
	default:
		text += fmt.Sprintf("%s with crop_pct %.4g", r.Crop, r.CropPct)
	}
	if text += ", " + r.Interpolation; r.AsIs {
		text += "; images of that size as they are"
	}
	return text
}

// norm says how colors became numbers.
func (r *inputResult) norm() string {
	return fmt.Sprintf("mean %.4g, deviation %.4g, %s", r.Mean, r.Std, r.Normalization)
}

// normOptions are the flags for the normalization of weights whose file does not state it.
type normOptions struct {
	name      string
	mean, std []float64
}

func (o *normOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.name, "norm", "", fmt.Sprintf("normalization of the images, %s; empty takes that of the weights or of timm's config.json beside them, or else imagenet", normNames()))
	flags.Float64SliceVar(&o.mean, "mean", nil, "mean of each channel on the scale 0 to 1, instead of --norm")
	flags.Float64SliceVar(&o.std, "std", nil, "standard deviation of each channel, with --mean")
}

func normNames() string {
	var names []string
	for _, n := range tasks.Normalizations() {
		names = append(names, n.Name)
	}
	return strings.Join(names, ", ")
}

// values are mean and deviation as asked for, nil where nothing was.
func (o *normOptions) values() (mean, std []float64, err error) {
	if o.name == "" {
		if len(o.mean) != len(o.std) {
			return nil, nil, &usageError{fmt.Sprintf("--mean has %d numbers and --std has %d", len(o.mean), len(o.std)), "give both, one number for each channel"}
		}
		if err := tasks.CheckNormalization(o.mean, o.std); err != nil {
			return nil, nil, &usageError{"--" + err.Error(), tasks.DivideHint}
		}
		return o.mean, o.std, nil
	}
	if len(o.mean) > 0 || len(o.std) > 0 {
		return nil, nil, &usageError{"--norm stands for --mean and --std", "give either"}
	}
	for _, n := range tasks.Normalizations() {
		if n.Name == o.name {
			return n.Mean, n.Std, nil
		}
	}
	return nil, nil, &usageError{fmt.Sprintf("--norm %s is not one of its values", o.name), "valid are: " + normNames()}
}
