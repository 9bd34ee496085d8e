package programtest

import (
	"encoding/json"
	"math"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/vit"
)

// OfficialView is how the official code makes a view.
type OfficialView struct {
	View          string     `json:"view"`
	Order         []string   `json:"order"`
	Scale         [2]float64 `json:"scale"`
	Size          int        `json:"output_size"`
	Interpolation string     `json:"interpolation"`
	Flip          float64    `json:"flip_probability"`
	Jitter        struct {
		Brightness, Contrast, Saturation, Hue, Probability float64
	} `json:"color_jitter"`
	Grayscale float64 `json:"grayscale_probability"`
	Blur      float64 `json:"blur_probability"`
	BlurRule  string  `json:"blur"`
	Solarize  float64 `json:"solarize_probability"`
	Threshold int     `json:"solarize_threshold"`
}

// Augmentations compares the views of an objective's default plan for 224 pixels with a file, and
// our random crops with its statistics. kinds returns one view of the plan for each of the file's;
// all that a file tells once must be equal.
func Augmentations(t *testing.T, path string, objective sdk.Objective, kinds func(plan *plan.Plan) []*plan.View) {
	var file map[string]json.RawMessage
	golden.ReadJSON(t, path, &file)
	var views []OfficialView
	var normalize struct{ Mean, Std []float64 }
	for key, v := range map[string]any{"views": &views, "normalize": &normalize} {
		if err := json.Unmarshal(file[key], v); err != nil {
			t.Fatalf("%s: %s: %v", path, key, err)
		}
	}
	c := must.Get(vit.Variant("vit_tiny_patch16_224"))(t)
	ours := kinds(Opening{Objective: objective, Network: c, Batch: 1}.Plan(t))
	if len(ours) != len(views) || len(views) == 0 {
		t.Fatalf("%s: %d views, the plan has %d kinds of them", path, len(views), len(ours))
	}
	for i, v := range views {
		v.Compare(t, ours[i])
	}
	compared := 0
	for key, raw := range file {
		if !strings.HasPrefix(key, "crop_statistics") {
			continue
		}
		var crops []CropStatistics
		if err := json.Unmarshal(raw, &crops); err != nil {
			t.Fatalf("%s: %s: %v", path, key, err)
		}
		for _, k := range crops {
			k.Compare(t)
			compared++
		}
	}
	if compared == 0 {
		t.Fatalf("%s holds no crop statistics", path)
	}
}

// Compare holds a view of the plan against the official one. The crop's scale may be left to the
// user.
func (v OfficialView) Compare(t *testing.T, view *plan.View) {
	t.Helper()
	check := func(what string, got, want any) {
		if got != want {
			t.Errorf("%s: %s is %v, the reference has %v", v.View, what, got, want)
		}
	}
	check("crop", view.Crop, plan.CropRandomResized)
	check("interpolation", view.Interpolation.String(), v.Interpolation)
	if view.ScaleMax != 0 {
		check("scale", [2]float64{view.ScaleMin, view.ScaleMax}, v.Scale)
	}
	if v.Size != 0 {
		check("size", view.Height, v.Size)
	}
	order := []string{"random_resized_crop"}
	for _, a := range view.Augmentations {
		name := ""
		switch a.Kind {
		case plan.Flip:
			name = "horizontal_flip"
			check("flip", a.Probability, v.Flip)
		case plan.ColorJitter:
			name = "color_jitter"
			check("share of jitter", a.Probability, v.Jitter.Probability)
			check("jitter", [4]float64{a.Brightness, a.Contrast, a.Saturation, a.Hue},
				[4]float64{v.Jitter.Brightness, v.Jitter.Contrast, v.Jitter.Saturation, v.Jitter.Hue})
			check("order of jitter", a.FixedOrder, false)
		case plan.Grayscale:
			name = "grayscale"
			check("share of gray", a.Probability, v.Grayscale)
		case plan.GaussianBlur:
			name = "gaussian_blur"
			check("share of blur", a.Probability, v.Blur)
			check("blur's rule", v.BlurRule, "PIL GaussianBlur radius U(0.1, 2.0)")
			check("blur", [3]float64{a.SigmaMin, a.SigmaMax, float64(a.Kernel)}, [3]float64{.1, 2, 0})
		case plan.Solarize:
			name = "solarize"
			check("share of solarization", a.Probability, v.Solarize)
			threshold := a.Threshold
			if threshold == 0 {
				threshold = 128
			}
			check("threshold", threshold, v.Threshold)
		}
		if a.Probability > 0 {
			order = append(order, name)
		}
	}
	if want := append(order, "to_0_1", "normalize"); !slices.Equal(want, v.Order) {
		t.Errorf("%s: the order is %v, the reference has %v", v.View, want, v.Order)
	}
}

// CropStatistics describe random crops of one image size.
type CropStatistics struct {
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

// Compare holds our own random crops against the statistics.
func (k CropStatistics) Compare(t *testing.T) {
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
		got := MomentsOf(values[name])
		tolerance := 6 * math.Sqrt2 * s.Std / math.Sqrt(float64(k.Draws))
		if math.Abs(got.Mean-s.Mean) > tolerance || math.Abs(got.Std-s.Std) > tolerance {
			t.Errorf("crops of %d×%d: %s has mean %.4f and std %.4f, the reference %.4f and %.4f ± %.4f",
				k.Width, k.Height, name, got.Mean, got.Std, s.Mean, s.Std, tolerance)
		}
		sort.Float64s(values[name])
		for share, want := range map[float64]float64{.1: s.P10, .5: s.P50, .9: s.P90} {
			if v := values[name][int(share*float64(k.Draws))]; math.Abs(v-want) > 2.5*tolerance {
				t.Errorf("crops of %d×%d: the %g quantile of %s is %.4f, of the reference %.4f ± %.4f", k.Width, k.Height, share, name, v, want, 2.5*tolerance)
			}
		}
	}
}
