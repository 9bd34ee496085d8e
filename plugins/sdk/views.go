package sdk

import (
	"fmt"

	"github.com/vittool/vittool/plugins/pb"
)

// View is an image tensor made from each sample.
type View struct {
	spec *pb.ViewSpec
	b    *Builder
}

// ViewOption changes a view.
type ViewOption func(*pb.ViewSpec)

// View declares a view. Without options it is the user's crop (data settings), bicubic, at
// the model's image size.
func (b *Builder) View(name string, options ...ViewOption) View {
	v := &pb.ViewSpec{Name: b.take("view", name)}
	for _, o := range options {
		o(v)
	}
	b.plan.Views = append(b.plan.Views, v)
	return View{v, b}
}

// RandomResizedCrop cuts a random box that covers low..high of the area, ratio 3/4..4/3.
func RandomResizedCrop(low, high float64) ViewOption {
	return func(v *pb.ViewSpec) {
		v.Crop, v.ScaleMin, v.ScaleMax = pb.ViewSpec_CROP_RANDOM_RESIZED, low, high
	}
}

// CenterCrop resizes the short side to factor times the height and cuts the centre out.
func CenterCrop(factor float64) ViewOption {
	return func(v *pb.ViewSpec) { v.Crop, v.ResizeFactor = pb.ViewSpec_CROP_CENTER, factor }
}

// Size sets height and width in pixels instead of the model's image size.
func Size(height, width int) ViewOption {
	return func(v *pb.ViewSpec) { v.Height, v.Width = uint32(height), uint32(width) }
}

// Resample sets the interpolation.
func Resample(i pb.ViewSpec_Interpolation) ViewOption {
	return func(v *pb.ViewSpec) { v.Interpolation = i }
}

// SameGeometry takes box and flip of another view.
func SameGeometry(other View) ViewOption {
	return func(v *pb.ViewSpec) { v.SameGeometryAs = other.spec.GetName() }
}

// SameColors takes the colour augmentations of the view given to SameGeometry.
func SameColors() ViewOption { return func(v *pb.ViewSpec) { v.SameColors = true } }

// Normalize sets mean and standard deviation per channel instead of the run's.
func Normalize(mean, std []float64) ViewOption {
	return func(v *pb.ViewSpec) { v.Mean, v.Std = mean, std }
}

// Augment appends any augmentation.
func Augment(a *pb.Augmentation) ViewOption {
	return func(v *pb.ViewSpec) { v.Augmentations = append(v.Augmentations, a) }
}

// Flip mirrors horizontally with the given probability.
func Flip(probability float64) ViewOption {
	return Augment(&pb.Augmentation{Kind: &pb.Augmentation_Flip_{Flip: &pb.Augmentation_Flip{Probability: probability}}})
}

// ColorJitter changes brightness, contrast, saturation and hue in random order.
func ColorJitter(probability, brightness, contrast, saturation, hue float64) ViewOption {
	return Augment(&pb.Augmentation{Kind: &pb.Augmentation_ColorJitter_{ColorJitter: &pb.Augmentation_ColorJitter{
		Probability: probability, Brightness: brightness, Contrast: contrast, Saturation: saturation, Hue: hue,
	}}})
}

// Grayscale drops the colour.
func Grayscale(probability float64) ViewOption {
	return Augment(&pb.Augmentation{Kind: &pb.Augmentation_Grayscale_{Grayscale: &pb.Augmentation_Grayscale{Probability: probability}}})
}

// GaussianBlur blurs as Pillow does, sigma uniform in low..high.
func GaussianBlur(probability, low, high float64) ViewOption {
	return Augment(&pb.Augmentation{Kind: &pb.Augmentation_GaussianBlur_{GaussianBlur: &pb.Augmentation_GaussianBlur{
		Probability: probability, SigmaMin: low, SigmaMax: high,
	}}})
}

// Solarize inverts pixels from 128 on.
func Solarize(probability float64) ViewOption {
	return Augment(&pb.Augmentation{Kind: &pb.Augmentation_Solarize_{Solarize: &pb.Augmentation_Solarize{Probability: probability}}})
}

// Height in pixels.
func (v View) Height() int { return orDefault(v.spec.GetHeight(), v.b.Backbone().GetImageH()) }

// Width in pixels.
func (v View) Width() int { return orDefault(v.spec.GetWidth(), v.b.Backbone().GetImageW()) }

// Rows and Cols are the grid of patches.
func (v View) Rows() int { return v.Height() / max(1, int(v.b.Backbone().GetPatch())) }

// Cols of the grid of patches.
func (v View) Cols() int { return v.Width() / max(1, int(v.b.Backbone().GetPatch())) }

// Patches is the number of patches, L.
func (v View) Patches() int { return v.Rows() * v.Cols() }

// Pixels are the normalised pixels, [B,C,H,W].
func (v View) Pixels() Tensor {
	return Tensor{ref: &pb.Ref{Of: &pb.Ref_View{View: v.spec.GetName()}}, dim: v.Width()}
}

func orDefault(a, b uint32) int {
	if a != 0 {
		return int(a)
	}
	return int(b)
}

// KeepMask declares a keep list: sample writes which length patches of row i stay, in the
// order in which they enter the network.
func (b *Builder) KeepMask(name string, view View, length int, sample func(c *MaskCall, i int, keep []int32)) Mask {
	if length < 1 || length > view.Patches() {
		b.Failf("mask %q keeps %d of %d patches; at least one must stay and no more than there are", name, length, view.Patches())
	}
	m := b.mask(&pb.MaskSpec{Name: name, View: view.spec.GetName(), Kind: pb.MaskSpec_KIND_KEEP, Length: uint32(max(length, 0))},
		&sampler{ints: sample})
	m.view, m.cells = view, view.Patches()
	return m
}

// BitMask declares a bitmap over the view's grid of patches, row by row: sample writes 1
// where the patch of row i is hidden. removed arrives zeroed.
func (b *Builder) BitMask(name string, view View, sample func(c *MaskCall, i int, removed []byte)) Mask {
	m := b.mask(&pb.MaskSpec{Name: name, View: view.spec.GetName(), Kind: pb.MaskSpec_KIND_BITMAP,
		Rows: uint32(view.Rows()), Cols: uint32(view.Cols())}, &sampler{bits: sample})
	m.view, m.cells = view, view.Patches()
	return m
}

// Indices declares length integers in 0..limit-1 per sample, e.g. the negatives drawn from a bank.
func (b *Builder) Indices(name string, view View, length int, limit uint64, sample func(c *MaskCall, i int, out []int32)) Mask {
	return b.mask(&pb.MaskSpec{Name: name, View: view.spec.GetName(), Kind: pb.MaskSpec_KIND_INDICES,
		Length: uint32(max(length, 0)), Limit: limit}, &sampler{ints: sample})
}

// Corruption declares up to length rectangles per sample that are painted over.
func (b *Builder) Corruption(name string, view View, length int, sample func(c *MaskCall, i int) []Rect) Mask {
	m := b.mask(&pb.MaskSpec{Name: name, View: view.spec.GetName(), Kind: pb.MaskSpec_KIND_CORRUPTION, Length: uint32(max(length, 0))},
		&sampler{ints: func(c *MaskCall, i int, out []int32) {
			rects := sample(c, i)
			if len(rects) > length {
				panic(fmt.Sprintf("%d rectangles for a mask declared with at most %d", len(rects), length))
			}
			packRects(rects, out)
		}})
	m.view = view
	return m
}

func (b *Builder) mask(spec *pb.MaskSpec, s *sampler) Mask {
	spec.Name = b.take("mask", spec.Name)
	s.spec = spec
	b.plan.Masks = append(b.plan.Masks, spec)
	b.samplers = append(b.samplers, s)
	return Mask{spec: spec}
}

// ColorsFirst applies all augmentations but the flip to the whole image, before the crop.
func ColorsFirst() ViewOption { return func(v *pb.ViewSpec) { v.ColorsFirst = true } }
