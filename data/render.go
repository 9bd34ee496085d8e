package data

import (
	"math"

	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/prng"
)

// draws gives the random numbers of one epoch. Each purpose has a stream of its own, and each
// sample a place of its own in the stream, so a number is a function of (seed, epoch, view,
// purpose, sample id) alone.
type draws struct {
	crop, flip *prng.Generator   // of the view that owns the geometry
	augment    []*prng.Generator // of the view that owns the colours
	batch      *prng.Generator   // for draws that a batch shares, by step
}

// drawsPerSample is the number of draws of a sample in a stream.
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

// picture is an image, or the part of it that its views show.
type picture struct {
	pixels.Image
	left, top int // of the part in memory
	w, h      int // of the whole
}

// wholePicture is a picture that is wholly in memory.
func wholePicture(m *pixels.Image) picture { return picture{Image: *m, w: m.W, h: m.H} }

// renderer makes views. One per goroutine.
type renderer struct {
	resizer pixels.Resizer
	blur    pixels.Blur
	out     pixels.Image
	whole   picture    // coloured before the crop
	last    wholeImage // the origin of whole
	order   [4]pixels.JitterOp
	rng     prng.Generator // here, not on the stack, because the sampler takes an interface
}

// shownBox returns the box of a w x h image that a view is made of. id chooses the random numbers.
func (r *renderer) shownBox(v *view, d *draws, w, h, id int) pixels.Rect {
	g := v.geometry
	if g.Crop != CropRandomResized {
		return pixels.Rect{W: w, H: h}
	}
	r.rng = at(d.crop, id)
	return pixels.RandomResizedCrop(&r.rng, w, h, g.Attempts, [2]float64{g.ScaleMin, g.ScaleMax}, [2]float64{g.RatioMin, g.RatioMax})
}

// neededBox returns the box of a w x h image that a view needs: all of it where colours come first, for
// some of them depend on the mean of the image.
func (r *renderer) neededBox(v *view, d *draws, w, h, id int) pixels.Rect {
	switch {
	case v.coloursFirst():
		return pixels.Rect{W: w, H: h}
	case v.geometry.Crop != CropRandomResized && v.Resampler != NFNT:
		ow, oh, c := v.scaled(w, h)
		return pixels.Source(w, h, ow, oh, c, v.Interpolation)
	}
	return r.shownBox(v, d, w, h, id)
}

// scaled returns the size to which the shown part of a w x h image is scaled, and the box of the
// result that the view cuts out.
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

// render writes a view of p as dst (C, H, W) and returns the part of the image that it shows. id
// chooses the random numbers, step those of the batch.
func (r *renderer) render(dst []float32, v *view, d *draws, p *picture, id, step int) Box {
	if v.coloursFirst() {
		p = r.coloured(v, d, p, id, step)
	}
	box := r.cropAndScale(v, r.shownBox(v, d, p.w, p.h, id), p)
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

// coloured returns a copy of the whole image p with the augmentations of v. Views that share
// colours follow each other, and share the copy.
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

// wholeImage is the origin of a coloured copy.
type wholeImage struct {
	image    *picture
	colours  *ViewSpec
	id, step int
}

// cropAndScale scales the shown box of the image to r.out. Mirroring is left to the last step, where it is
// free: every augmentation commutes with it.
func (r *renderer) cropAndScale(v *view, shown pixels.Rect, p *picture) Box {
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

// fitted returns the size to which a w x h image is scaled before the centre of vw x vh is cut out:
// torchvision's where ShortSide is set, and otherwise timm's.
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

// resize writes to r.out the box c of a box of src that is scaled to w x h. No more is computed
// than is shown.
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
		switch {
		case a.Kernel == 0:
			r.blur.Pillow(m, sigma)
		case a.ZeroBorder:
			r.blur.ZeroBorder(m, a.Kernel, sigma)
		default:
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
