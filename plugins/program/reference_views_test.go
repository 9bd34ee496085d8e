package program_test

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/vit"
)

// officialView is how the official code makes a view.
type officialView struct {
	View          string     `json:"view"`
	Order         []string   `json:"order"`
	Scale         [2]float64 `json:"scale"`
	Size          uint32     `json:"output_size"`
	Interpolation string     `json:"interpolation"`
	Flip          float64    `json:"flip_probability"`
	Jitter        struct {
		Brightness, Contrast, Saturation, Hue, Probability float64
	} `json:"color_jitter"`
	Grayscale float64 `json:"grayscale_probability"`
	Blur      float64 `json:"blur_probability"`
	BlurRule  string  `json:"blur"`
	Solarize  float64 `json:"solarize_probability"`
	Threshold uint32  `json:"solarize_threshold"`
}

// augmentations compares the views of an objective's default plan for 224 pixels with a file, and our random crops with
// its statistics. kinds returns one view of the plan for each of the file's; all that a file tells once must be equal.
func augmentations(t *testing.T, path string, objective sdk.Objective, kinds func(plan *pb.Plan) []*pb.ViewSpec) {
	var file map[string]json.RawMessage
	golden.ReadJSON(t, path, &file)
	var views []officialView
	var normalize struct{ Mean, Std []float64 }
	for key, v := range map[string]any{"views": &views, "normalize": &normalize} {
		if err := json.Unmarshal(file[key], v); err != nil {
			t.Fatalf("%s: %s: %v", path, key, err)
		}
	}
	server, err := sdk.NewServer(objective, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := vit.Variant("vit_tiny_patch16_224")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := server.Open(context.Background(), &pb.OpenRequest{ConfigJson: []byte("{}"), Batch: 1, WorldSize: 1,
		Backbone: program.BackboneInfo(c, normalize.Mean, normalize.Std)})
	if err != nil {
		t.Fatal(err)
	}
	ours := kinds(plan)
	if len(ours) != len(views) || len(views) == 0 {
		t.Fatalf("%s: %d views, the plan has %d kinds of them", path, len(views), len(ours))
	}
	for i, v := range views {
		v.compare(t, ours[i], uint32(c.ImageH))
	}
	compared := 0
	for key, raw := range file {
		if !strings.HasPrefix(key, "crop_statistics") {
			continue
		}
		var crops []cropStatistics
		if err := json.Unmarshal(raw, &crops); err != nil {
			t.Fatalf("%s: %s: %v", path, key, err)
		}
		for _, k := range crops {
			k.compare(t)
			compared++
		}
	}
	if compared == 0 {
		t.Fatalf("%s holds no crop statistics", path)
	}
}

// compare holds a view of the plan against the official one. The crop's scale may be left to the user.
func (v officialView) compare(t *testing.T, view *pb.ViewSpec, model uint32) {
	t.Helper()
	check := func(what string, got, want any) {
		if got != want {
			t.Errorf("%s: %s is %v, the reference has %v", v.View, what, got, want)
		}
	}
	check("crop", view.GetCrop(), pb.ViewSpec_CROP_RANDOM_RESIZED)
	check("interpolation", strings.ToLower(strings.TrimPrefix(view.GetInterpolation().String(), "INTERPOLATION_")), v.Interpolation)
	if view.GetScaleMax() != 0 {
		check("scale", [2]float64{view.GetScaleMin(), view.GetScaleMax()}, v.Scale)
	}
	if v.Size != 0 {
		size := view.GetHeight()
		if size == 0 {
			size = model
		}
		check("size", size, v.Size)
	}
	order := []string{"random_resized_crop"}
	for _, a := range view.GetAugmentations() {
		name, probability := "", 0.0
		switch k := a.GetKind().(type) {
		case *pb.Augmentation_Flip_:
			name, probability = "horizontal_flip", k.Flip.GetProbability()
			check("flip", probability, v.Flip)
		case *pb.Augmentation_ColorJitter_:
			j := k.ColorJitter
			name, probability = "color_jitter", j.GetProbability()
			check("share of jitter", probability, v.Jitter.Probability)
			check("jitter", [4]float64{j.GetBrightness(), j.GetContrast(), j.GetSaturation(), j.GetHue()},
				[4]float64{v.Jitter.Brightness, v.Jitter.Contrast, v.Jitter.Saturation, v.Jitter.Hue})
			check("order of jitter", j.GetFixedOrder(), false)
		case *pb.Augmentation_Grayscale_:
			name, probability = "grayscale", k.Grayscale.GetProbability()
			check("share of gray", probability, v.Grayscale)
		case *pb.Augmentation_GaussianBlur_:
			g := k.GaussianBlur
			name, probability = "gaussian_blur", g.GetProbability()
			check("share of blur", probability, v.Blur)
			check("blur's rule", v.BlurRule, "PIL GaussianBlur radius U(0.1, 2.0)")
			check("blur", [3]float64{g.GetSigmaMin(), g.GetSigmaMax(), float64(g.GetKernel())}, [3]float64{.1, 2, 0})
		case *pb.Augmentation_Solarize_:
			name, probability = "solarize", k.Solarize.GetProbability()
			check("share of solarisation", probability, v.Solarize)
			threshold := k.Solarize.GetThreshold()
			if threshold == 0 {
				threshold = 128
			}
			check("threshold", threshold, v.Threshold)
		}
		if probability > 0 {
			order = append(order, name)
		}
	}
	if want := append(order, "to_0_1", "normalize"); !slices.Equal(want, v.Order) {
		t.Errorf("%s: the order is %v, the reference has %v", v.View, want, v.Order)
	}
}

// cropStatistics describe random crops of one image size.
type cropStatistics struct {
	Width  int         `json:"image_width"`
	Height int         `json:"image_height"`
	Scale  [2]float64  `json:"scale"`
	Ratio  [2]float64  `json:"ratio"`
	Draws  int         `json:"draws"`
	Area   cropSummary `json:"area_fraction"`
	Aspect cropSummary `json:"log_width_over_height"`
	X      cropSummary `json:"centre_x"`
	Y      cropSummary `json:"centre_y"`
}

type cropSummary struct{ Mean, Std, Min, Max, P10, P50, P90 float64 }

func (k cropStatistics) compare(t *testing.T) {
	t.Helper()
	rng := prng.New(1, "augmentation", k.Width, k.Height)
	values := map[string][]float64{}
	for range k.Draws {
		r := pixels.RandomResizedCrop(rng, k.Width, k.Height, 10, k.Scale, k.Ratio)
		w, h := float64(r.W), float64(r.H)
		values["area"] = append(values["area"], w*h/float64(k.Width*k.Height))
		values["aspect"] = append(values["aspect"], math.Log(w/h))
		values["x"] = append(values["x"], (float64(r.Left)+w/2)/float64(k.Width))
		values["y"] = append(values["y"], (float64(r.Top)+h/2)/float64(k.Height))
	}
	for name, s := range map[string]cropSummary{"area": k.Area, "aspect": k.Aspect, "x": k.X, "y": k.Y} {
		got := momentsOf(values[name])
		tolerance := 6 * math.Sqrt2 * s.Std / math.Sqrt(float64(k.Draws))
		if math.Abs(got.mean-s.Mean) > tolerance || math.Abs(got.std-s.Std) > tolerance {
			t.Errorf("crops of %d×%d: %s has mean %.4f and std %.4f, the reference %.4f and %.4f ± %.4f",
				k.Width, k.Height, name, got.mean, got.std, s.Mean, s.Std, tolerance)
		}
		sort.Float64s(values[name])
		for share, want := range map[float64]float64{.1: s.P10, .5: s.P50, .9: s.P90} {
			if v := values[name][int(share*float64(k.Draws))]; math.Abs(v-want) > 2.5*tolerance {
				t.Errorf("crops of %d×%d: the %g quantile of %s is %.4f, of the reference %.4f ± %.4f", k.Width, k.Height, share, name, v, want, 2.5*tolerance)
			}
		}
	}
}
