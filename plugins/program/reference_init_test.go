package program_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/vit"
)

// initStats is a file of statistics over several seeds.
type initStats struct {
	Config json.RawMessage `json:"config"`
	Seeds  int             `json:"seeds_pooled"`
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

// caseConfig reads the description of the network.
func (s initStats) caseConfig(t *testing.T) (c caseConfig) {
	t.Helper()
	s.decode(t, &c)
	return c
}

func (s initStats) decode(t *testing.T, config any) {
	t.Helper()
	if err := json.Unmarshal(s.Config, config); err != nil {
		t.Fatal(err)
	}
}

// initialWeights gives the weights of a model with the given number of image channels, initialised from a seed.
type initialWeights func(t *testing.T, stats initStats, channels int, seed uint64) func(name string) *param.Parameter

func vitWeights(t *testing.T, stats initStats, channels int, seed uint64) func(name string) *param.Parameter {
	b, err := vit.New(param.NewStore(), "", stats.caseConfig(t).vit(channels, vit.PosLearned), vit.SchemeDINO, seed)
	if err != nil {
		t.Fatal(err)
	}
	return b.Weight
}

func maeWeights(t *testing.T, stats initStats, channels int, seed uint64) func(name string) *param.Parameter {
	cfg := stats.caseConfig(t)
	cfg.Batch = 1
	return newMAE(t, cfg, channels, seed).parameter
}

func dinoWeights(t *testing.T, stats initStats, channels int, seed uint64) func(name string) *param.Parameter {
	var cfg dinoConfig
	stats.decode(t, &cfg)
	// The statistics are of the weights, whatever these are trained with.
	cfg.Batch, cfg.StudentTemp, cfg.TeacherTemp = 2, .1, .04
	return newDINO(t, cfg, channels, nil, seed).store.Get
}

// initStatistics compares the initial weights of as many seeds as the reference pooled.
func initStatistics(t *testing.T, path string, model initialWeights) {
	var stats initStats
	golden.ReadJSON(t, path, &stats)
	if len(stats.Params) == 0 || stats.Seeds == 0 {
		t.Fatalf("%s holds no statistics", path)
	}
	channels := 0
	for _, p := range stats.Params {
		if strings.HasSuffix(p.Name, "patch_embed.proj.weight") {
			channels = p.Shape[1]
		}
	}
	pooled := map[string][]float64{}
	for seed := range stats.Seeds {
		weight := model(t, stats, channels, uint64(seed))
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
		scheme         backbone.Scheme
		change         func(*vit.Config)
	}{
		{"dino", "backbone.", vit.SchemeDINO, func(*vit.Config) {}},
		{"mocov3", "base_encoder.", vit.SchemeMoCoV3, func(c *vit.Config) { c.PosEmbed = vit.PosSinCosRow }},
		{"beit", "", vit.SchemeBEiT, func(c *vit.Config) {
			c.RelPos, c.SplitQVBias, c.LayerScale, c.MaskToken = vit.RelPosShared, true, .1, true
		}},
	} {
		t.Run(tc.folder, func(t *testing.T) {
			path, ok := golden.File(t, tc.folder, "init_stats.json")
			if !ok {
				return
			}
			var stats initStats
			golden.ReadJSON(t, path, &stats)
			c := stats.caseConfig(t).vit(3, vit.PosLearned)
			tc.change(&c)
			pooled, compared := map[string][]float64{}, 0
			for seed := range stats.Seeds {
				b, err := vit.New(param.NewStore(), "", c, tc.scheme, uint64(seed))
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
