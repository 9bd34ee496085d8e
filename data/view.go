package data

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/prng"
)

// Crop says which part of an image a view shows.
type Crop uint8

const (
	CropRandomResized Crop = iota // a random box by scale and ratio, resized to the view
	CropCentre                    // the image resized to cover the view and a margin, its centre cut out
	CropSquash                    // the same without regard to the image's aspect
)

// Resampler names the code that scales training images.
type Resampler string

const (
	Pillow   Resampler = "pillow"    // bit for bit what Pillow 9.4 computes
	Pillow13 Resampler = "pillow-13" // and Pillow 13, which evaluation uses
	NFNT     Resampler = "nfnt"      // github.com/nfnt/resize
)

// ViewSpec says how a view of an image is made.
type ViewSpec struct {
	Name          string
	Height, Width int
	Crop          Crop
	// ScaleMin and ScaleMax bound the share of the area that a random box
	// covers; RatioMin and RatioMax its width over its height, both 0
	// meaning 3/4 to 4/3. Attempts is how many boxes are tried before the
	// largest central one is taken, 0 meaning 10.
	ScaleMin, ScaleMax float64
	RatioMin, RatioMax float64
	Attempts           int
	// CropPct is timm's crop_pct, the side of the view over that of the resized
	// image, of CropCentre and CropSquash; 0 means 0.875 and 1. With ShortSide, of
	// CropCentre, the image's short side gets so many pixels instead, as in
	// torchvision's Resize. AsIs shows an image of the view's size as it is.
	CropPct       float64
	ShortSide     int
	AsIs          bool
	Interpolation pixels.Filter
	Resampler     Resampler // "" means Pillow
	// Augmentations are applied in order after the crop; with ColorsFirst
	// all but the flip to the whole image before it.
	Augmentations []Augmentation
	ColorsFirst   bool
	// SameGeometryAs names a view whose box and flip this one shares;
	// SameColors shares the rest of its augmentations and draws too.
	SameGeometryAs string
	SameColors     bool
	// Mean and Std normalise, one number per channel in units of [0,1].
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
	// Factors of a jitter are uniform in [max(0,1-x), 1+x], the hue shift
	// in [-Hue, Hue]; an operation with x = 0 is left out. The order of the
	// operations is random unless FixedOrder.
	Brightness, Contrast, Saturation, Hue float64
	FixedOrder                            bool
	// Sigma of a blur is uniform in [SigmaMin, SigmaMax]. Kernel 0 is
	// Pillow's blur with radius sigma, an odd number torchvision's with as
	// many taps. SigmaPerBatch draws one sigma for a whole batch.
	SigmaMin, SigmaMax float64
	Kernel             int
	SigmaPerBatch      bool
	// Threshold of Solarize; 0 is read as 128.
	Threshold uint8
}

// Box is the part of the source image that a view shows, in pixels of the
// upright source. Random boxes have whole numbers; a central one need not.
type Box struct {
	Top, Left, Height, Width  float64
	Flip                      bool // the view is mirrored left to right
	SourceHeight, SourceWidth int
}

// Fitting says how evaluation brings images to the size of a view. The fields are
// those of ViewSpec.
type Fitting struct {
	Crop          Crop // CropCentre or CropSquash
	CropPct       float64
	ShortSide     int
	AsIs          bool
	Interpolation pixels.Filter
}

// EvalView is the view that evaluation uses: no randomness. It depends on the image
// alone, and equals timm's evaluation transform unless AsIs or ShortSide are set.
func EvalView(name string, h, w int, f Fitting, mean, std []float32) ViewSpec {
	return ViewSpec{Name: name, Height: h, Width: w, Crop: f.Crop, CropPct: f.CropPct, ShortSide: f.ShortSide, AsIs: f.AsIs,
		Interpolation: f.Interpolation, Resampler: Pillow13, Mean: mean, Std: std}
}

func (v *ViewSpec) check(channels int) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("view %q: %s", v.Name, fmt.Sprintf(format, args...))
	}
	const maxSide = 1 << 14
	if v.Height < 1 || v.Width < 1 || v.Height > maxSide || v.Width > maxSide {
		return bad("size %dx%d is not within 1..%d", v.Width, v.Height, maxSide)
	}
	switch v.Crop {
	case CropRandomResized:
		if !(v.ScaleMin > 0 && v.ScaleMin <= v.ScaleMax && v.ScaleMax <= 1) {
			return bad("crop scale %g..%g is not a range within 0..1", v.ScaleMin, v.ScaleMax)
		}
		if !(v.RatioMin > 0 && v.RatioMin <= v.RatioMax && v.RatioMax <= 1e3) {
			return bad("crop ratio %g..%g is not a range above 0", v.RatioMin, v.RatioMax)
		}
	case CropCentre, CropSquash:
		if !(v.CropPct >= 1.0/16 && v.CropPct <= 1) {
			return bad("crop_pct %g is not within 1/16..1", v.CropPct)
		}
		if v.ShortSide != 0 && (v.Crop == CropSquash || v.ShortSide < max(v.Height, v.Width) || v.ShortSide > maxSide) {
			return bad("a short side of %d pixels does not cover a centre of %dx%d", v.ShortSide, v.Width, v.Height)
		}
	default:
		return bad("unknown crop %d", v.Crop)
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
		if !(a.SigmaMin > 0 && a.SigmaMin <= a.SigmaMax && a.SigmaMax <= 1000) {
			return fmt.Errorf("sigma %g..%g is not a range above 0", a.SigmaMin, a.SigmaMax)
		}
		if a.Kernel != 0 && (a.Kernel < 0 || a.Kernel%2 == 0 || a.Kernel > 999) {
			return fmt.Errorf("kernel of %d taps; use an odd number, or 0 for Pillow's blur", a.Kernel)
		}
	default:
		return fmt.Errorf("unknown augmentation")
	}
	return nil
}

// withDefaults fills in what a zero value leaves open.
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

// view is a ViewSpec made ready: its own size and normalisation, and the
// specs that its geometry and its colours come from (its own, or another
// view's).
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

// draws gives the random numbers of one epoch. Each purpose has a stream of
// its own, and each sample a place of its own in the stream, so a number is
// a function of (seed, epoch, view, purpose, sample id) alone.
type draws struct {
	crop, flip *prng.Generator   // of the view that owns the geometry
	augment    []*prng.Generator // of the view that owns the colours
	batch      *prng.Generator   // for what a batch shares, by step
}

// drawsPerSample is the room of a sample in a stream.
const drawsPerSample = 1 << 20

func newDraws(v *view, seed uint64, epoch int) *draws {
	stream := func(spec *ViewSpec, purpose string, k int) *prng.Generator {
		return prng.New(seed, "data", epoch, spec.Name, purpose, k)
	}
	d := &draws{
		crop:  stream(v.geometry, "crop", 0),
		flip:  stream(v.geometry, "flip", 0),
		batch: stream(v.colours, "batch", 0),
	}
	for k := range v.colours.Augmentations {
		d.augment = append(d.augment, stream(v.colours, "augment", k))
	}
	return d
}

// at returns a copy of the stream at the place of a sample.
func at(stream *prng.Generator, id int) prng.Generator {
	r := *stream
	r.SetCounter(uint64(id) * drawsPerSample)
	return r
}

// picture is an image, or as much of it as its views show.
type picture struct {
	pixels.Image
	left, top int // of the part that there is
	w, h      int // of the whole
}

// wholePicture is a picture of which all is there.
func wholePicture(m *pixels.Image) picture { return picture{Image: *m, w: m.W, h: m.H} }

// renderer makes views. One per goroutine.
type renderer struct {
	resizer pixels.Resizer
	blur    pixels.Blur
	out     pixels.Image
	whole   picture    // coloured before the crop
	last    wholeImage // what whole shows
	order   [4]pixels.JitterOp
	rng     prng.Generator // here, not on the stack, because the sampler takes an interface
}

// shown returns the box of a w x h image that a view is made of. id chooses
// the random numbers.
func (r *renderer) shown(v *view, d *draws, w, h, id int) pixels.Rect {
	g := v.geometry
	if g.Crop != CropRandomResized {
		return pixels.Rect{W: w, H: h}
	}
	r.rng = at(d.crop, id)
	return pixels.RandomResizedCrop(&r.rng, w, h, g.Attempts, [2]float64{g.ScaleMin, g.ScaleMax}, [2]float64{g.RatioMin, g.RatioMax})
}

// read returns the box of a w x h image that a view needs: all of it where
// colours come first, for some of them depend on the mean of the image.
func (r *renderer) read(v *view, d *draws, w, h, id int) pixels.Rect {
	switch {
	case v.coloursFirst():
		return pixels.Rect{W: w, H: h}
	case v.geometry.Crop != CropRandomResized && v.Resampler != NFNT:
		ow, oh, c := v.scaled(w, h)
		return pixels.Source(w, h, ow, oh, c, v.Interpolation)
	}
	return r.shown(v, d, w, h, id)
}

// scaled returns the size to which what a view shows of a w x h image is scaled, and
// the box of it that the view cuts out.
func (v *view) scaled(w, h int) (ow, oh int, c pixels.Rect) {
	ow, oh = v.Width, v.Height
	if v.geometry.Crop != CropRandomResized {
		ow, oh = v.geometry.fitted(w, h, v.Width, v.Height)
	}
	return ow, oh, pixels.CentreCrop(ow, oh, v.Width, v.Height)
}

// coloursFirst reports whether the image is coloured before the crop.
func (v *view) coloursFirst() bool {
	return v.colours.ColorsFirst && len(v.colours.Augmentations) > 0
}

// render writes a view of p as dst (C, H, W) and returns the part of the image
// that it shows. id chooses the random numbers, step those of the batch.
func (r *renderer) render(dst []float32, v *view, d *draws, p *picture, id, step int) Box {
	if v.coloursFirst() {
		p = r.coloured(v, d, p, id, step)
	}
	box := r.place(v, r.shown(v, d, p.w, p.h, id), p)
	for _, a := range v.geometry.Augmentations {
		if a.Kind == Flip {
			rng := at(d.flip, id)
			box.Flip = rng.Float64() < a.P
		}
	}
	if !v.coloursFirst() {
		r.colour(&r.out, v, d, id, step)
	}
	v.normalize.Planes(dst, &r.out, box.Flip)
	return box
}

// colour applies the augmentations but the flip to m.
func (r *renderer) colour(m *pixels.Image, v *view, d *draws, id, step int) {
	for k := range v.colours.Augmentations {
		r.augment(m, &v.colours.Augmentations[k], at(d.augment[k], id), d.batch, step)
	}
}

// coloured returns a copy of the whole image p with the augmentations of v.
// Views that share colours follow each other, and share the copy.
func (r *renderer) coloured(v *view, d *draws, p *picture, id, step int) *picture {
	of := wholeImage{p, v.colours, id, step}
	if r.last != of {
		pixels.Crop(&r.whole.Image, &p.Image, p.Bounds())
		r.whole.w, r.whole.h = p.w, p.h
		r.colour(&r.whole.Image, v, d, id, step)
		r.last = of
	}
	return &r.whole
}

// wholeImage says what a coloured copy was made of.
type wholeImage struct {
	image    *picture
	colours  *ViewSpec
	id, step int
}

// place scales the shown box of the image to r.out. Mirroring is left to the
// last step, where it is free: every augmentation commutes with it.
func (r *renderer) place(v *view, shown pixels.Rect, p *picture) Box {
	box := Box{Top: float64(shown.Top), Left: float64(shown.Left), Height: float64(shown.H), Width: float64(shown.W), SourceHeight: p.h, SourceWidth: p.w}
	part := shown
	part.Left, part.Top = part.Left-p.left, part.Top-p.top
	w, h, c := v.scaled(p.w, p.h)
	r.resize(&p.Image, part, w, h, c, v)
	if c.W == w && c.H == h {
		return box
	}
	sx, sy := float64(p.w)/float64(w), float64(p.h)/float64(h)
	box.Top, box.Left, box.Height, box.Width = float64(c.Top)*sy, float64(c.Left)*sx, float64(c.H)*sy, float64(c.W)*sx
	return box
}

// fitted returns the size to which a w x h image is scaled before the centre of
// vw x vh is cut out: torchvision's where ShortSide is set, and otherwise timm's.
func (v *ViewSpec) fitted(w, h, vw, vh int) (ow, oh int) {
	if v.AsIs && w == vw && h == vh {
		return w, h
	}
	if v.ShortSide > 0 {
		return pixels.ShortSide(w, h, v.ShortSide)
	}
	tw, th := int(float64(vw)/v.CropPct), int(float64(vh)/v.CropPct)
	switch {
	case v.Crop == CropSquash:
		return tw, th
	case tw == th:
		return pixels.ShortSide(w, h, tw)
	}
	ratio := min(float64(w)/float64(tw), float64(h)/float64(th))
	return int(math.RoundToEven(float64(w) / ratio)), int(math.RoundToEven(float64(h) / ratio))
}

// resize writes to r.out the box c of a box of src that is scaled to w x h. No
// more is computed than is shown.
func (r *renderer) resize(src *pixels.Image, box pixels.Rect, w, h int, c pixels.Rect, v *view) {
	if v.Resampler == NFNT {
		resizeNFNT(&r.out, src, box, w, h, c, v.Interpolation)
		return
	}
	r.resizer.ShorterFirst = v.Resampler == Pillow13
	r.resizer.Part(&r.out, src, box, w, h, c, v.Interpolation)
}

func (r *renderer) augment(m *pixels.Image, a *Augmentation, rng prng.Generator, batch *prng.Generator, step int) {
	if a.Kind == Flip || rng.Float64() >= a.P {
		return
	}
	switch a.Kind {
	case ColorJitter:
		r.jitter(a, &rng).Apply(m)
	case Grayscale:
		pixels.Gray(m)
	case GaussianBlur:
		if a.SigmaPerBatch {
			rng = at(batch, step)
		}
		sigma := a.SigmaMin + float64((a.SigmaMax-a.SigmaMin)*rng.Float64())
		if a.Kernel == 0 {
			r.blur.Pillow(m, sigma)
		} else {
			r.blur.Torchvision(m, a.Kernel, sigma)
		}
	case Solarize:
		t := a.Threshold
		if t == 0 {
			t = 128
		}
		pixels.Solarize(m, t)
	}
}

// jitter draws the factors and the order of a colour jitter.
func (r *renderer) jitter(a *Augmentation, rng *prng.Generator) pixels.Jitter {
	factor := func(x float64) float64 {
		lo := max(0, 1-x)
		return lo + float64((1+x-lo)*rng.Float64())
	}
	r.order = [4]pixels.JitterOp{pixels.JitterBrightness, pixels.JitterContrast, pixels.JitterSaturation, pixels.JitterHue}
	if !a.FixedOrder {
		for i := 3; i > 0; i-- {
			j := rng.IntN(i + 1)
			r.order[i], r.order[j] = r.order[j], r.order[i]
		}
	}
	strength := [4]float64{a.Brightness, a.Contrast, a.Saturation, a.Hue}
	order := r.order[:0]
	for _, op := range r.order {
		if strength[op] > 0 {
			order = append(order, op)
		}
	}
	return pixels.Jitter{
		Order:      order,
		Brightness: factor(a.Brightness), Contrast: factor(a.Contrast), Saturation: factor(a.Saturation),
		Hue: float64(a.Hue * (2*rng.Float64() - 1)),
	}
}
