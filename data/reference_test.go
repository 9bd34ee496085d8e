package data_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/vittool/vittool/data/pixels"
)

// TestReference replays every case file of the reference folder "augment":
// each output's config entry names an operation that must give the same
// bytes as Pillow and torchvision did.
func TestReference(t *testing.T) {
	files := referenceFiles(t, "augment")
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".safetensors")
		t.Run("augment/"+name, func(t *testing.T) {
			c := readCase(t, path)
			switch c.meta["objective"] {
			case "augment":
				checkOperations(t, c)
			case "augment_sampling":
				checkSampling(t, c)
			default:
				t.Fatalf("%s: cannot interpret objective %q", path, c.meta["objective"])
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

func checkOperations(t *testing.T, c *referenceCase) {
	var ops map[string]json.RawMessage
	c.config(t, &ops)
	parsed := map[string]operation{}
	for name, raw := range ops {
		var op operation
		strict := json.NewDecoder(strings.NewReader(string(raw)))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&op); err != nil {
			t.Fatalf("%s: config entry cannot be interpreted: %v", name, err)
		}
		parsed[name] = op
	}
	for _, name := range c.names("out.") {
		op, ok := parsed[name]
		if !ok {
			t.Errorf("%s: no config entry", name)
			continue
		}
		parts := strings.Split(name, ".")
		input := c.image(t, "input."+parts[1])
		var err error
		if c.tensors[name].dtype == "F32" {
			err = checkFloats(c, name, op, parsed, input)
		} else {
			err = checkBytes(t, c, name, op, parsed, input)
		}
		if err != nil {
			t.Errorf("%s (%s): %v", name, op.Op, err)
		}
	}
	if len(parsed) != len(c.names("out.")) {
		t.Errorf("%d config entries for %d outputs", len(parsed), len(c.names("out.")))
	}
}

func (op operation) jitter() pixels.Jitter {
	j := pixels.Jitter{Brightness: op.Brightness, Contrast: op.Contrast, Saturation: op.Saturation, Hue: op.Hue}
	for _, o := range op.Order {
		j.Order = append(j.Order, pixels.JitterOp(o))
	}
	return j
}

func checkBytes(t *testing.T, c *referenceCase, name string, op operation, all map[string]operation, m *pixels.Image) error {
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
	want := c.image(t, name)
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

func checkFloats(c *referenceCase, name string, op operation, all map[string]operation, m *pixels.Image) error {
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
	want := c.floats(name)
	shape := c.tensors[name].shape
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

func checkSampling(t *testing.T, c *referenceCase) {
	var entries map[string]sampling
	c.config(t, &entries)
	if len(entries) == 0 {
		t.Fatal("no entries in config")
	}
	for name, s := range entries {
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
			want := c.floats64("out." + name + "." + field)
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
			sort.Float64s(values)
			for i, q := range s.Quantiles {
				// The share of our draws at or below the reference's
				// quantile; boxes are integers, so ties form an interval.
				ref := want[2+i]
				lo := float64(sort.SearchFloat64s(values, ref-1e-9)) / n
				hi := float64(sort.SearchFloat64s(values, ref+1e-9)) / n
				limit := 5 * math.Sqrt2 * math.Sqrt(q*(1-q)/n)
				if q < lo-limit || q > hi+limit {
					t.Errorf("%s.%s: quantile %g of the reference (%.5f) lies at %.4f..%.4f here", name, field, q, ref, lo, hi)
				}
			}
		}
		if want := c.floats64("out." + name + ".corr_area_logaspect"); len(want) == 1 {
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

// referenceFiles lists the case files of one kind: from $VITTOOL_REFERENCE,
// else the shared folder, else the copies in the repository.
func referenceFiles(t *testing.T, kind string) []string {
	t.Helper()
	root := os.Getenv("VITTOOL_REFERENCE")
	if root == "" {
		shared := os.Getenv("VITTOOL_SHARED")
		if shared == "" {
			shared = filepath.Join("..", "..", "shared")
		}
		root = filepath.Join(shared, "reference")
		if _, err := os.Stat(root); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("the reference folder is missing: %v", err)
			}
			root = filepath.Join("..", "testdata", "reference")
		}
	}
	files, err := filepath.Glob(filepath.Join(root, kind, "*.safetensors"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files in %s: %v", filepath.Join(root, kind), err)
	}
	return files
}

type referenceTensor struct {
	dtype string
	shape []int
	data  []byte
}

type referenceCase struct {
	meta    map[string]string
	tensors map[string]referenceTensor
}

func readCase(t *testing.T, path string) *referenceCase {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(b)
	var header map[string]json.RawMessage
	if err := json.Unmarshal(b[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	c := &referenceCase{tensors: map[string]referenceTensor{}}
	for name, raw := range header {
		if name == "__metadata__" {
			if err := json.Unmarshal(raw, &c.meta); err != nil {
				t.Fatal(err)
			}
			continue
		}
		var e struct {
			Dtype   string
			Shape   []int
			Offsets [2]int `json:"data_offsets"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		body := b[8+n:]
		c.tensors[name] = referenceTensor{e.Dtype, e.Shape, body[e.Offsets[0]:e.Offsets[1]]}
	}
	return c
}

func (c *referenceCase) config(t *testing.T, v any) {
	t.Helper()
	strict := json.NewDecoder(strings.NewReader(c.meta["config"]))
	strict.DisallowUnknownFields()
	if err := strict.Decode(v); err != nil {
		t.Fatalf("config cannot be interpreted: %v", err)
	}
}

func (c *referenceCase) names(prefix string) []string {
	var names []string
	for n := range c.tensors {
		if strings.HasPrefix(n, prefix) {
			names = append(names, n)
		}
	}
	sort.Strings(names)
	return names
}

func (c *referenceCase) image(t *testing.T, name string) *pixels.Image {
	t.Helper()
	e, ok := c.tensors[name]
	if !ok || e.dtype != "U8" || len(e.shape) != 3 {
		t.Fatalf("%s is not an image tensor (H,W,C): %v %v", name, e.dtype, e.shape)
	}
	return &pixels.Image{Pix: append([]uint8(nil), e.data...), H: e.shape[0], W: e.shape[1], C: e.shape[2]}
}

func (c *referenceCase) floats(name string) []float32 {
	e := c.tensors[name]
	out := make([]float32, len(e.data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(e.data[4*i:]))
	}
	return out
}

func (c *referenceCase) floats64(name string) []float64 {
	e := c.tensors[name]
	out := make([]float64, len(e.data)/8)
	for i := range out {
		out[i] = math.Float64frombits(binary.LittleEndian.Uint64(e.data[8*i:]))
	}
	return out
}
