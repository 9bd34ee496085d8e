package program_test

import (
	"context"
	"math"
	"sort"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/mae"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/vit"
)

// initStats is a file of statistics over several seeds.
type initStats struct {
	Config caseConfig `json:"config"`
	Seeds  int        `json:"seeds_pooled"`
	Params []struct {
		Name      string   `json:"name"`
		Shape     []int    `json:"shape"`
		Trainable bool     `json:"trainable"`
		Mean      float64  `json:"mean"`
		Std       float64  `json:"std"`
		Min       float64  `json:"min"`
		Max       float64  `json:"max"`
		Kurtosis  *float64 `json:"kurtosis"`
	} `json:"params"`
}

// initStatistics compares the initial weights of as many seeds as the reference pooled.
func initStatistics(t *testing.T, path string) {
	var stats initStats
	golden.ReadJSON(t, path, &stats)
	compareInit(t, path, stats, func(channels int, seed uint64) func(name string) *core.Parameter {
		store := core.NewStore()
		if stats.Config.DecDim == 0 {
			b, err := vit.New(store, "", stats.Config.vit(channels, vit.PosLearned), vit.SchemeDINO, seed)
			if err != nil {
				t.Fatal(err)
			}
			return b.Weight
		}
		cfg := stats.Config
		cfg.Batch = 1
		return newMAE(t, cfg, channels, seed).parameter
	})
}

// compareInit compares pooled statistics; find makes a model and says where its parameters are.
func compareInit(t *testing.T, path string, stats initStats, find func(channels int, seed uint64) func(name string) *core.Parameter) {
	t.Helper()
	if len(stats.Params) == 0 || stats.Seeds == 0 {
		t.Fatalf("%s holds no statistics", path)
	}
	channels := 0
	for _, p := range stats.Params {
		if p.Name == "patch_embed.proj.weight" {
			channels = p.Shape[1]
		}
	}
	pooled := map[string][]float64{}
	for seed := range stats.Seeds {
		weight := find(channels, uint64(seed))
		for _, p := range stats.Params {
			w := weight(p.Name)
			if w == nil {
				t.Fatalf("the model has no parameter %s", p.Name)
			}
			if !w.Shape.Equal(p.Shape) || w.Frozen == p.Trainable {
				t.Fatalf("%s is %v, frozen %v; the reference has %v, trainable %v", p.Name, w.Shape, w.Frozen, p.Shape, p.Trainable)
			}
			pooled[p.Name] = append(pooled[p.Name], wide(w.Data)...)
		}
	}
	for _, p := range stats.Params {
		compareMoments(t, p.Name, pooled[p.Name], moments{p.Mean, p.Std, p.Min, p.Max, p.Kurtosis})
	}
}

// moments describe a sample; kurtosis is nil for constants.
type moments struct {
	mean, std, min, max float64
	kurtosis            *float64
}

func momentsOf(v []float64) moments {
	m := moments{min: math.Inf(1), max: math.Inf(-1)}
	n := float64(len(v))
	for _, x := range v {
		m.mean += x / n
		m.min, m.max = min(m.min, x), max(m.max, x)
	}
	var second, fourth float64
	for _, x := range v {
		d := (x - m.mean) * (x - m.mean)
		second += d / n
		fourth += d * d / n
	}
	m.std = math.Sqrt(second)
	if second > 0 {
		k := fourth / (second * second)
		m.kurtosis = &k
	}
	return m
}

// compareMoments allows six standard errors of the difference of two samples of this size; constants must be equal.
func compareMoments(t *testing.T, name string, sample []float64, want moments) {
	t.Helper()
	got, n := momentsOf(sample), float64(len(sample))
	if want.kurtosis == nil {
		if got.std > 1e-9 || math.Abs(got.mean-want.mean) > 1e-7*math.Abs(want.mean) {
			t.Errorf("%s: mean %g, std %g; the reference is constant %g", name, got.mean, got.std, want.mean)
		}
		return
	}
	k, errors := *want.kurtosis, 6*math.Sqrt2
	check := func(what string, got, want, tolerance float64) {
		if math.IsNaN(got) || math.Abs(got-want) > tolerance {
			t.Errorf("%s: %s is %.6g, the reference has %.6g ± %.2g", name, what, got, want, tolerance)
		}
	}
	check("mean", got.mean, want.mean, errors*want.std/math.Sqrt(n)+1e-5*want.std)
	check("std", got.std, want.std, errors*want.std*math.Sqrt((k-1)/(4*n))+1e-4*want.std)
	if got.kurtosis == nil {
		t.Errorf("%s: all values are equal; the reference has std %g", name, want.std)
		return
	}
	check("kurtosis", *got.kurtosis, k, errors*math.Sqrt(24/n)+.002)
	// The range of a bounded distribution is sharp; the extremes of a normal one scatter.
	spread := 1.2 * want.std
	if k < 2.1 {
		spread = want.std * (.002 + 30/n)
	}
	check("minimum", got.min, want.min, spread)
	check("maximum", got.max, want.max, spread)
}

// TestSchemes holds the other initialisations against the backbones of their methods' statistics, where these lie in
// the reference folder.
func TestSchemes(t *testing.T) {
	for _, tc := range []struct {
		folder, prefix string
		scheme         vit.Scheme
		change         func(*vit.Config)
	}{
		{"dino", "backbone.", vit.SchemeDINO, func(*vit.Config) {}},
		{"mocov3", "base_encoder.", vit.SchemeMoCoV3, func(c *vit.Config) { c.PosEmbed = vit.PosSinCosRow }},
		{"beit", "", vit.SchemeBEiT, func(c *vit.Config) {
			c.RelPos, c.SplitQVBias, c.LayerScale, c.MaskToken = vit.RelPosShared, true, .1, true
		}},
	} {
		t.Run(tc.folder, func(t *testing.T) {
			var stats initStats
			golden.ReadJSON(t, golden.Folder(t)+"/"+tc.folder+"/init_stats.json", &stats)
			c := stats.Config.vit(3, vit.PosLearned)
			tc.change(&c)
			pooled, compared := map[string][]float64{}, 0
			for seed := range stats.Seeds {
				b, err := vit.New(core.NewStore(), "", c, tc.scheme, uint64(seed))
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range b.Weights() {
					pooled[p.Name] = append(pooled[p.Name], wide(p.Data)...)
				}
			}
			for _, p := range stats.Params {
				if sample := pooled[strings.TrimPrefix(p.Name, tc.prefix)]; sample != nil && strings.HasPrefix(p.Name, tc.prefix) {
					compareMoments(t, p.Name, sample, moments{p.Mean, p.Std, p.Min, p.Max, p.Kurtosis})
					compared++
				}
			}
			if compared != len(pooled) {
				t.Errorf("%d of the backbone's %d weights were compared", compared, len(pooled))
			}
		})
	}
}

// augmentation compares the objective's view and the crops that it leads to.
func augmentation(t *testing.T, path string) {
	var want struct {
		Normalize struct{ Mean, Std []float64 } `json:"normalize"`
		Views     []struct {
			View          string     `json:"view"`
			Order         []string   `json:"order"`
			Scale         [2]float64 `json:"scale"`
			Interpolation string     `json:"interpolation"`
			Flip          float64    `json:"flip_probability"`
		} `json:"views"`
		Crops []cropStatistics `json:"crop_statistics"`
	}
	golden.ReadJSON(t, path, &want)
	if len(want.Views) != 1 || len(want.Crops) == 0 {
		t.Fatalf("%s: %d views and %d crop statistics", path, len(want.Views), len(want.Crops))
	}

	server, err := sdk.NewServer(mae.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := vit.Variant("vit_tiny_patch16_224")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := server.Open(context.Background(), &pb.OpenRequest{ConfigJson: []byte("{}"), Batch: 1, WorldSize: 1,
		Backbone: program.BackboneInfo(c, want.Normalize.Mean, want.Normalize.Std)})
	if err != nil {
		t.Fatal(err)
	}
	view, official := plan.GetViews()[0], want.Views[0]
	if view.GetCrop() != pb.ViewSpec_CROP_RANDOM_RESIZED || official.Order[0] != "random_resized_crop" {
		t.Errorf("the view is cut by %v, the reference by %s", view.GetCrop(), official.Order[0])
	}
	if view.GetInterpolation() != pb.ViewSpec_INTERPOLATION_BICUBIC || official.Interpolation != "bicubic" {
		t.Errorf("the view is resized by %v, the reference by %s", view.GetInterpolation(), official.Interpolation)
	}
	if a := view.GetAugmentations(); len(a) != 1 || a[0].GetFlip().GetProbability() != official.Flip {
		t.Errorf("the view is augmented by %v, the reference by a flip of probability %g", a, official.Flip)
	}
	if s := view.GetScaleMax(); s != 0 && (view.GetScaleMin() != official.Scale[0] || s != official.Scale[1]) {
		t.Errorf("the view takes %g to %g of the area, the reference %v", view.GetScaleMin(), s, official.Scale)
	}

	compareCrops(t, want.Crops)
}

// cropStatistics describe random crops of images of one size.
type cropStatistics struct {
	Width  int        `json:"image_width"`
	Height int        `json:"image_height"`
	Scale  [2]float64 `json:"scale"`
	Ratio  [2]float64 `json:"ratio"`
	Draws  int        `json:"draws"`
	Area   summary    `json:"area_fraction"`
	Aspect summary    `json:"log_width_over_height"`
	X      summary    `json:"centre_x"`
	Y      summary    `json:"centre_y"`
}

type summary struct{ Mean, Std, Min, Max, P10, P50, P90 float64 }

// compareCrops draws as many crops as the reference did.
func compareCrops(t *testing.T, crops []cropStatistics) {
	t.Helper()
	for _, k := range crops {
		rng := core.NewRNG(1, "augmentation", k.Width, k.Height)
		values := map[string][]float64{}
		for range k.Draws {
			r := pixels.RandomResizedCrop(rng, k.Width, k.Height, 10, k.Scale, k.Ratio)
			w, h := float64(r.W), float64(r.H)
			values["area"] = append(values["area"], w*h/float64(k.Width*k.Height))
			values["aspect"] = append(values["aspect"], math.Log(w/h))
			values["x"] = append(values["x"], (float64(r.Left)+w/2)/float64(k.Width))
			values["y"] = append(values["y"], (float64(r.Top)+h/2)/float64(k.Height))
		}
		for name, s := range map[string]summary{"area": k.Area, "aspect": k.Aspect, "x": k.X, "y": k.Y} {
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
}
