package data_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/tensor"
)

// TestReference replays every case file of the reference folder "augment":
// each output's config entry names an operation that must give the same
// bytes as Pillow and torchvision did.
func TestReference(t *testing.T) {
	for _, path := range golden.Files(t, "augment") {
		t.Run(golden.Name(path), func(t *testing.T) {
			c := golden.Whole(t, path)
			switch c.Meta["objective"] {
			case "augment":
				checkOperations(t, c)
			case "augment_sampling":
				checkSampling(t, c)
			default:
				t.Fatalf("%s: cannot interpret objective %q", path, c.Meta["objective"])
			}
		})
	}
}

// operation is one entry of the config of an augment file.
type operation struct {
	Op            string
	Interpolation string
	Top, Left     int
	Height, Width int
	Size          int
	Short, Crop   int
	Factor        float64
	Order         []int
	OrderMeaning  string `json:"order_meaning"`
	Brightness    float64
	Contrast      float64
	Saturation    float64
	Hue           float64
	Radius        float64
	KernelSize    int `json:"kernel_size"`
	Sigma         float64
	Threshold     int
	Mean, Std     []float32
}

func checkOperations(t *testing.T, c *golden.Case) {
	var ops map[string]json.RawMessage
	strict(t, c.Config, &ops)
	c.ConfigInto(t, &ops)
	parsed := map[string]operation{}
	for name, raw := range ops {
		var op operation
		strict(t, raw, &op)
		parsed[name] = op
	}
	for _, name := range c.Names("out.") {
		op, ok := parsed[name]
		if !ok {
			t.Errorf("%s: no config entry", name)
			continue
		}
		parts := strings.Split(name, ".")
		input := imageOf(t, c, "input."+parts[1])
		var err error
		if c.Tensor(t, name).DType == tensor.F32 {
			err = checkFloats(t, c, name, op, parsed, input)
		} else {
			err = checkBytes(t, c, name, op, parsed, input)
		}
		if err != nil {
			t.Errorf("%s (%s): %v", name, op.Op, err)
		}
	}
	if len(parsed) != len(c.Names("out.")) {
		t.Errorf("%d config entries for %d outputs", len(parsed), len(c.Names("out.")))
	}
}

func (op operation) jitter() pixels.Jitter {
	j := pixels.Jitter{Brightness: op.Brightness, Contrast: op.Contrast, Saturation: op.Saturation, Hue: op.Hue}
	for _, o := range op.Order {
		j.Order = append(j.Order, pixels.JitterOp(o))
	}
	return j
}

func checkBytes(t *testing.T, c *golden.Case, name string, op operation, all map[string]operation, m *pixels.Image) error {
	var (
		r         pixels.Resizer
		blur      pixels.Blur
		out       pixels.Image
		tolerance int
		filter    pixels.Filter
	)
	if op.Interpolation != "" {
		f, err := pixels.ParseFilter(op.Interpolation)
		if err != nil {
			return err
		}
		filter = f
	}
	box := pixels.Rect{Top: op.Top, Left: op.Left, H: op.Height, W: op.Width}
	result := m
	switch op.Op {
	case "crop then resize":
		r.Resize(&out, m, box, op.Size, op.Size, filter)
		result = &out
	case "resize whole image":
		r.Resize(&out, m, m.Bounds(), op.Width, op.Height, filter)
		result = &out
	case "resize shorter side then centre crop":
		w, h := pixels.ShortSide(m.W, m.H, op.Short)
		var resized pixels.Image
		r.Resize(&resized, m, m.Bounds(), w, h, filter)
		pixels.Crop(&out, &resized, pixels.CentreCrop(w, h, op.Crop, op.Crop))
		result = &out
	case "horizontal flip":
		pixels.FlipHorizontal(m)
	case "grayscale, 3 equal channels":
		pixels.Gray(m)
	case "brightness":
		pixels.Brightness(m, float32(op.Factor))
	case "contrast":
		pixels.Contrast(m, float32(op.Factor))
	case "saturation":
		pixels.Saturation(m, float32(op.Factor))
	case "hue":
		pixels.Hue(m, op.Factor)
	case "RGB to PIL HSV (channels stored H,S,V)":
		for i := 0; i < len(m.Pix); i += 3 {
			m.Pix[i], m.Pix[i+1], m.Pix[i+2] = pixels.RGBToHSV(m.Pix[i], m.Pix[i+1], m.Pix[i+2])
		}
	case "RGB to HSV to RGB":
		pixels.Hue(m, 0)
	case "colour jitter":
		op.jitter().Apply(m)
	case "PIL GaussianBlur":
		blur.Pillow(m, op.Radius)
	case "torchvision gaussian_blur on a PIL image":
		blur.Torchvision(m, op.KernelSize, op.Sigma)
		tolerance = 1 // float32 ties, see the README of the reference
	case "solarize":
		pixels.Solarize(m, uint8(op.Threshold))
	case "crop+bicubic resize to 64, hflip, jitter0, PIL blur0, solarize 128":
		image := strings.Split(name, ".")[1]
		jitter, ok1 := all["out."+image+".jitter0"]
		blur0, ok2 := all["out."+image+".pilblur0"]
		if !ok1 || !ok2 {
			return fmt.Errorf("the pipeline refers to entries jitter0 and pilblur0 that are missing")
		}
		r.Resize(&out, m, box, 64, 64, pixels.Bicubic)
		pixels.FlipHorizontal(&out)
		jitter.jitter().Apply(&out)
		blur.Pillow(&out, blur0.Radius)
		pixels.Solarize(&out, 128)
		result = &out
	default:
		return fmt.Errorf("operation cannot be interpreted")
	}
	want := imageOf(t, c, name)
	if want.W != result.W || want.H != result.H || want.C != result.C {
		return fmt.Errorf("got %dx%dx%d, want %dx%dx%d", result.W, result.H, result.C, want.W, want.H, want.C)
	}
	bad, first := 0, -1
	for i, v := range result.Pix {
		if d := int(v) - int(want.Pix[i]); d > tolerance || d < -tolerance {
			bad++
			if first < 0 {
				first = i
			}
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d bytes differ, first at %d: got %d, want %d", bad, len(want.Pix), first, result.Pix[first], want.Pix[first])
	}
	return nil
}

func checkFloats(t *testing.T, c *golden.Case, name string, op operation, all map[string]operation, m *pixels.Image) error {
	mean := op.Mean
	corner := 0
	switch op.Op {
	case "ToTensor then Normalize":
	case "as above with SwAV's std, top-left 8x8 corner":
		above, ok := all[strings.Replace(name, "swav_normalize", "to_tensor_normalize", 1)]
		if !ok {
			return fmt.Errorf("refers to an entry to_tensor_normalize that is missing")
		}
		mean, corner = above.Mean, 8
	default:
		return fmt.Errorf("operation cannot be interpreted")
	}
	n, err := pixels.NewNormalizer(mean, op.Std)
	if err != nil {
		return err
	}
	got := make([]float32, m.W*m.H*m.C)
	n.Planes(got, m, false)
	want := c.F32(t, name)
	shape := c.Tensor(t, name).Shape
	h, w := m.H, m.W
	if corner > 0 {
		h, w = corner, corner
	}
	if len(shape) != 3 || shape[0] != m.C || shape[1] != h || shape[2] != w {
		return fmt.Errorf("shape %v, want [%d %d %d]", shape, m.C, h, w)
	}
	for i, v := range want {
		ch, y, x := i/(h*w), i/w%h, i%w
		if g := got[(ch*m.H+y)*m.W+x]; g != v {
			return fmt.Errorf("channel %d row %d column %d: got %v, want %v", ch, y, x, g, v)
		}
	}
	return nil
}

// sampling is one entry of the config of the sampling file.
type sampling struct {
	Height, Width int
	Scale, Ratio  [2]float64
	Draws         int
	Quantiles     []float64
	Fields        string
	Whole         float64 `json:"whole_image_fraction"`
	Fallback      float64 `json:"fallback_box_fraction"`
	FallbackBox   []int   `json:"fallback_box"`
	Note          string
}

func checkSampling(t *testing.T, c *golden.Case) {
	var entries map[string]sampling
	strict(t, c.Config, &entries)
	c.ConfigInto(t, &entries)
	if len(entries) == 0 {
		t.Fatal("no entries in config")
	}
	for name, s := range entries {
		for _, draws := range c.Names("out." + name + ".first") { // of another random generator
			if _, err := strconv.Atoi(strings.TrimPrefix(draws, "out."+name+".first")); err == nil {
				c.Beside(draws)
			}
		}
		rng := rand.New(rand.NewPCG(1, 2))
		draws := map[string][]float64{}
		var area, logAspect []float64
		fallback, whole := 0, 0
		for range s.Draws {
			b := pixels.RandomResizedCrop(rng, s.Width, s.Height, 10, s.Scale, s.Ratio)
			if !b.In(s.Width, s.Height) {
				t.Fatalf("%s: box %v leaves the image", name, b)
			}
			if len(s.FallbackBox) == 4 && (pixels.Rect{Top: s.FallbackBox[0], Left: s.FallbackBox[1], H: s.FallbackBox[2], W: s.FallbackBox[3]}) == b {
				fallback++
			}
			if b.W == s.Width && b.H == s.Height {
				whole++
			}
			a := float64(b.W*b.H) / float64(s.Width*s.Height)
			r := float64(b.W) / float64(b.H)
			area, logAspect = append(area, a), append(logAspect, math.Log(r))
			draws["area"] = append(draws["area"], a)
			draws["aspect"] = append(draws["aspect"], r)
			draws["log_aspect"] = append(draws["log_aspect"], math.Log(r))
			draws["centre_x"] = append(draws["centre_x"], (float64(b.Left)+float64(b.W)/2)/float64(s.Width))
			draws["centre_y"] = append(draws["centre_y"], (float64(b.Top)+float64(b.H)/2)/float64(s.Height))
		}
		n := float64(s.Draws)
		for field, values := range draws {
			want := c.F64(t, "out."+name+"."+field)
			if len(want) != 2+len(s.Quantiles) {
				t.Errorf("%s.%s: %d figures for %d quantiles", name, field, len(want), len(s.Quantiles))
				continue
			}
			mean, std := moments(values)
			// Two independent samples: sqrt(2) times one standard error.
			if limit := 5 * math.Sqrt2 * want[1] / math.Sqrt(n); math.Abs(mean-want[0]) > limit {
				t.Errorf("%s.%s: mean %.5f, reference %.5f, limit %.5f", name, field, mean, want[0], limit)
			}
			// The error of a standard deviation follows from the kurtosis.
			var fourth float64
			for _, v := range values {
				fourth += math.Pow((v-mean)/std, 4) / n
			}
			if limit := 5 * math.Sqrt2 * std * math.Sqrt(math.Max(fourth-1, 0)/(4*n)); math.Abs(std-want[1]) > limit {
				t.Errorf("%s.%s: std %.5f, reference %.5f, limit %.5f", name, field, std, want[1], limit)
			}
			checkQuantiles(t, name+"."+field, values, s.Quantiles, want[2:], 1e-9)
		}
		if want := c.F64(t, "out."+name+".corr_area_logaspect"); len(want) == 1 {
			if got := correlation(area, logAspect); math.Abs(got-want[0]) > 5*math.Sqrt2/math.Sqrt(n) {
				t.Errorf("%s: correlation of area and log aspect %.4f, reference %.4f", name, got, want[0])
			}
		} else {
			t.Errorf("%s: no corr_area_logaspect", name)
		}
		for what, shares := range map[string][2]float64{"fallback box": {float64(fallback) / n, s.Fallback}, "whole image": {float64(whole) / n, s.Whole}} {
			got, want := shares[0], shares[1]
			if limit := 5*math.Sqrt2*math.Sqrt(want*(1-want)/n) + 5/n; math.Abs(got-want) > limit {
				t.Errorf("%s: %s in %g of the draws, reference %g", name, what, got, want)
			}
		}
	}
}

// checkQuantiles sorts values and looks where the reference's quantiles lie
// among them. rounding is how far the reference's figures were rounded.
func checkQuantiles(t *testing.T, name string, values, quantiles, reference []float64, rounding float64) {
	t.Helper()
	sort.Float64s(values)
	n := float64(len(values))
	for i, q := range quantiles {
		// Boxes are integers, so ties form an interval.
		lo := float64(sort.SearchFloat64s(values, reference[i]-rounding)) / n
		hi := float64(sort.SearchFloat64s(values, reference[i]+rounding)) / n
		limit := 5 * math.Sqrt2 * math.Sqrt(q*(1-q)/n)
		if q < lo-limit || q > hi+limit {
			t.Errorf("%s: quantile %g of the reference (%.5f) lies at %.4f..%.4f here", name, q, reference[i], lo, hi)
		}
	}
}

func moments(v []float64) (mean, std float64) {
	for _, x := range v {
		mean += x
	}
	mean /= float64(len(v))
	for _, x := range v {
		std += (x - mean) * (x - mean)
	}
	return mean, math.Sqrt(std / float64(len(v)))
}

func correlation(a, b []float64) float64 {
	ma, sa := moments(a)
	mb, sb := moments(b)
	var sum float64
	for i := range a {
		sum += (a[i] - ma) * (b[i] - mb)
	}
	return sum / float64(len(a)) / sa / sb
}

// strict decodes JSON in which a field that is not understood is an error.
func strict(t *testing.T, raw []byte, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("cannot be interpreted: %v\n%s", err, raw)
	}
}

func imageOf(t *testing.T, c *golden.Case, name string) *pixels.Image {
	t.Helper()
	x := c.Tensor(t, name)
	if len(x.Shape) != 3 {
		t.Fatalf("%s is not an image (H,W,C): its shape is %v", name, x.Shape)
	}
	return &pixels.Image{Pix: bytes.Clone(c.U8(t, name)), H: x.Shape[0], W: x.Shape[1], C: x.Shape[2]}
}

// maeAugmentation is mae/augmentation.json.
type maeAugmentation struct {
	Source    string
	CropRule  string `json:"crop_rule"`
	Normalize struct{ Mean, Std []float32 }
	Views     []struct {
		View          string
		Order         []string
		Scale         [2]float64
		OutputSize    int `json:"output_size"`
		Interpolation string
		Flip          float64 `json:"flip_probability"`
	}
	Crops []struct {
		Width  int `json:"image_width"`
		Height int `json:"image_height"`
		Scale  [2]float64
		Ratio  [2]float64
		Draws  int
		Area   cropFigures `json:"area_fraction"`
		Log    cropFigures `json:"log_width_over_height"`
		X      cropFigures `json:"centre_x"`
		Y      cropFigures `json:"centre_y"`
	} `json:"crop_statistics"`
}

// cropFigures: Min and Max are extremes of one sample, which no other sample
// has to share.
type cropFigures struct{ Mean, Std, Min, Max, P10, P50, P90 float64 }

// TestReferenceRecipe holds the crops that MAE's view draws through a loader
// against the statistics of the original code.
func TestReferenceRecipe(t *testing.T) {
	path, ok := golden.File(t, "mae", "augmentation.json")
	if !ok {
		return
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Run(golden.Name(path), func(t *testing.T) {
		var a maeAugmentation
		strict(t, raw, &a)
		for _, v := range a.Views {
			if _, err := pixels.ParseFilter(v.Interpolation); err != nil || !slices.Equal(v.Order, []string{"random_resized_crop", "horizontal_flip", "to_0_1", "normalize"}) {
				t.Fatalf("view %s cannot be interpreted: %v %v", v.View, v.Order, err)
			}
			for _, crop := range a.Crops {
				// Drawn as one pixel: only the geometry counts here.
				spec := data.ViewSpec{Name: v.View, Height: 1, Width: 1, ScaleMin: v.Scale[0], ScaleMax: v.Scale[1],
					RatioMin: crop.Ratio[0], RatioMax: crop.Ratio[1], Interpolation: pixels.Nearest, Mean: a.Normalize.Mean, Std: a.Normalize.Std,
					Augmentations: []data.Augmentation{{Kind: data.Flip, P: v.Flip}}}
				if crop.Scale != v.Scale {
					t.Fatalf("crop statistics for scale %v, view for %v", crop.Scale, v.Scale)
				}
				checkCrops(t, spec, crop.Width, crop.Height, crop.Draws, map[string]cropFigures{
					"area": crop.Area, "log aspect": crop.Log, "centre x": crop.X, "centre y": crop.Y}, v.Flip)
			}
		}
	})
}

func checkCrops(t *testing.T, spec data.ViewSpec, w, h, draws int, want map[string]cropFigures, flip float64) {
	l, err := data.NewLoader(blank{pixels.New(w, h, 3), draws}, data.LoaderOptions{Views: []data.ViewSpec{spec}, BatchSize: draws, Shuffle: true, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b, err := l.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]float64{}
	flips := 0.0
	for _, g := range b.Geometry[0] {
		got["area"] = append(got["area"], g.Width*g.Height/float64(w*h))
		got["log aspect"] = append(got["log aspect"], math.Log(g.Width/g.Height))
		got["centre x"] = append(got["centre x"], (g.Left+g.Width/2)/float64(w))
		got["centre y"] = append(got["centre y"], (g.Top+g.Height/2)/float64(h))
		if g.Flip {
			flips++
		}
	}
	n := float64(draws)
	if share := flips / n; math.Abs(share-flip) > 5*math.Sqrt(flip*(1-flip)/n) {
		t.Errorf("%dx%d: %.3f of the views are mirrored, want %.3f", w, h, share, flip)
	}
	for name, figures := range want {
		values := got[name]
		mean, std := moments(values)
		if limit := 5 * math.Sqrt2 * figures.Std / math.Sqrt(n); math.Abs(mean-figures.Mean) > limit {
			t.Errorf("%dx%d %s: mean %.4f, reference %.4f, limit %.4f", w, h, name, mean, figures.Mean, limit)
		}
		if math.Abs(std-figures.Std) > 5*math.Sqrt2*figures.Std/math.Sqrt(n) {
			t.Errorf("%dx%d %s: std %.4f, reference %.4f", w, h, name, std, figures.Std)
		}
		checkQuantiles(t, name, values, []float64{.1, .5, .9}, []float64{figures.P10, figures.P50, figures.P90}, 1e-5)
	}
}

// blank is a source of n times the same image.
type blank struct {
	image *pixels.Image
	n     int
}

func (b blank) Len() int                         { return b.n }
func (b blank) Name(int) string                  { return "blank" }
func (b blank) Class(int) int                    { return -1 }
func (b blank) Classes() []string                { return nil }
func (b blank) Fingerprint() string              { return "blank" }
func (b blank) Channels() int                    { return b.image.C }
func (b blank) Close() error                     { return nil }
func (b blank) Image(int) (*pixels.Image, error) { return b.image, nil }
