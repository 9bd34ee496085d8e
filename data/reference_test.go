package data_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/tensor"
)

// TestReference replays every case file of the reference folder "augment": each output's config
// entry names an operation that must give the same bytes as Pillow and torchvision did.
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
	jitterFactors
	Radius     float64
	KernelSize int `json:"kernel_size"`
	Sigma      float64
	Threshold  int
	Mean, Std  []float32
}

// jitterFactors are the factors of a color jitter and the order of its operations.
type jitterFactors struct {
	Order        []int
	OrderMeaning string `json:"order_meaning"`
	Brightness   float64
	Contrast     float64
	Saturation   float64
	Hue          float64
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

func (op jitterFactors) jitter() pixels.Jitter {
	j := pixels.Jitter{Brightness: op.Brightness, Contrast: op.Contrast, Saturation: op.Saturation, Hue: op.Hue}
	for _, o := range op.Order {
		j.Order = append(j.Order, pixels.JitterOp(o))
	}
	return j
}

// byteCase is an operation on one image of an augment file.
type byteCase struct {
	operation
	name   string
	all    map[string]operation
	in     *pixels.Image
	filter pixels.Filter
	box    pixels.Rect
}

// inPlace are the operations that change their input.
var inPlace = map[string]func(c byteCase){
	"horizontal flip":             func(c byteCase) { mirror(c.in) },
	"grayscale, 3 equal channels": func(c byteCase) { pixels.Gray(c.in) },
	"brightness":                  func(c byteCase) { pixels.Brightness(c.in, float32(c.Factor)) },
	"contrast":                    func(c byteCase) { pixels.Contrast(c.in, float32(c.Factor)) },
	"saturation":                  func(c byteCase) { pixels.Saturation(c.in, float32(c.Factor)) },
	"hue":                         func(c byteCase) { pixels.Hue(c.in, c.Factor) },
	"RGB to PIL HSV (channels stored H,S,V)": func(c byteCase) {
		for p := c.in.Pix; len(p) > 0; p = p[3:] {
			p[0], p[1], p[2] = pixels.RGBToHSV(p[0], p[1], p[2])
		}
	},
	"RGB to HSV to RGB": func(c byteCase) { pixels.Hue(c.in, 0) },
	"colour jitter":     func(c byteCase) { c.jitter().Apply(c.in) },
	"PIL GaussianBlur":  func(c byteCase) { new(pixels.Blur).Pillow(c.in, c.Radius) },
	torchvisionBlur:     func(c byteCase) { new(pixels.Blur).Torchvision(c.in, c.KernelSize, c.Sigma) },
	"solarize":          func(c byteCase) { pixels.Solarize(c.in, uint8(c.Threshold)) },
}

// torchvisionBlur differs from the reference by 1 in float32 ties, see its README.
const torchvisionBlur = "torchvision gaussian_blur on a PIL image"

// toImage are the operations with a result of another size.
var toImage = map[string]func(c byteCase, out *pixels.Image) error{
	"crop then resize": func(c byteCase, out *pixels.Image) error {
		new(pixels.Resizer).Resize(out, c.in, c.box, c.Size, c.Size, c.filter)
		return nil
	},
	"resize whole image": func(c byteCase, out *pixels.Image) error {
		new(pixels.Resizer).Resize(out, c.in, c.in.Bounds(), c.Width, c.Height, c.filter)
		return nil
	},
	"resize shorter side then centre crop": func(c byteCase, out *pixels.Image) error {
		w, h := pixels.ShortSide(c.in.W, c.in.H, c.Short)
		var resized pixels.Image
		new(pixels.Resizer).Resize(&resized, c.in, c.in.Bounds(), w, h, c.filter)
		pixels.Crop(out, &resized, pixels.CenterCrop(w, h, c.Crop, c.Crop))
		return nil
	},
	"crop+bicubic resize to 64, hflip, jitter0, PIL blur0, solarize 128": func(c byteCase, out *pixels.Image) error {
		image := strings.Split(c.name, ".")[1]
		jitter, ok1 := c.all["out."+image+".jitter0"]
		blur, ok2 := c.all["out."+image+".pilblur0"]
		if !ok1 || !ok2 {
			return fmt.Errorf("the pipeline refers to entries jitter0 and pilblur0 that are missing")
		}
		new(pixels.Resizer).Resize(out, c.in, c.box, 64, 64, pixels.Bicubic)
		mirror(out)
		jitter.jitter().Apply(out)
		new(pixels.Blur).Pillow(out, blur.Radius)
		pixels.Solarize(out, 128)
		return nil
	},
}

// apply returns the result of the operation.
func (c byteCase) apply() (out *pixels.Image, err error) {
	if c.Interpolation != "" {
		if c.filter, err = pixels.ParseFilter(c.Interpolation); err != nil {
			return nil, err
		}
	}
	c.box = pixels.Rect{Top: c.Top, Left: c.Left, H: c.Height, W: c.Width}
	if f, ok := toImage[c.Op]; ok {
		out = &pixels.Image{}
		return out, f(c, out)
	}
	f, ok := inPlace[c.Op]
	if !ok {
		return nil, fmt.Errorf("operation cannot be interpreted")
	}
	f(c)
	return c.in, nil
}

func checkBytes(t *testing.T, c *golden.Case, name string, op operation, all map[string]operation, m *pixels.Image) error {
	result, err := byteCase{operation: op, name: name, all: all, in: m}.apply()
	if err != nil {
		return err
	}
	want := imageOf(t, c, name)
	if want.W != result.W || want.H != result.H || want.C != result.C {
		return fmt.Errorf("got %dx%dx%d, want %dx%dx%d", result.W, result.H, result.C, want.W, want.H, want.C)
	}
	tolerance := 0
	if op.Op == torchvisionBlur {
		tolerance = 1
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

// checkQuantiles sorts values and looks where the reference's quantiles lie among them. rounding is
// how far the reference's figures were rounded.
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

// mirror turns an image left to right in place.
func mirror(m *pixels.Image) {
	for y := range m.H {
		row := m.Row(y)
		for i, j := 0, len(row)-m.C; i < j; i, j = i+m.C, j-m.C {
			for k := range m.C {
				row[i+k], row[j+k] = row[j+k], row[i+k]
			}
		}
	}
}
