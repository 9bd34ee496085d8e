package data_test

import (
	"math"
	"os"
	"slices"
	"testing"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
)

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

// cropFigures: Min and Max are extremes of one sample, which no other sample has to share.
type cropFigures struct{ Mean, Std, Min, Max, P10, P50, P90 float64 }

// TestReferenceRecipe holds the crops that MAE's view draws through a loader against the statistics
// of the original code.
func TestReferenceRecipe(t *testing.T) {
	path, ok := golden.File(t, "mae", "augmentation.json")
	if !ok {
		return
	}
	raw := must.Get(os.ReadFile(path))(t)
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
					"area": crop.Area, "log aspect": crop.Log, "center x": crop.X, "center y": crop.Y}, v.Flip)
			}
		}
	})
}

func checkCrops(t *testing.T, spec data.ViewSpec, w, h, draws int, want map[string]cropFigures, flip float64) {
	l := newLoader(t, blank{pixels.New(w, h, 3), draws}, data.LoaderOptions{Views: []data.ViewSpec{spec}, BatchSize: draws, Shuffle: true, Seed: 1})
	b := next(t, l)
	got := map[string][]float64{}
	flips := 0.0
	for _, g := range b.Geometry[0] {
		got["area"] = append(got["area"], g.Width*g.Height/float64(w*h))
		got["log aspect"] = append(got["log aspect"], math.Log(g.Width/g.Height))
		got["center x"] = append(got["center x"], (g.Left+g.Width/2)/float64(w))
		got["center y"] = append(got["center y"], (g.Top+g.Height/2)/float64(h))
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
