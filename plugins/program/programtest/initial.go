package programtest

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
)

// InitStats is a file of statistics over several seeds.
type InitStats struct {
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

// Decode reads the description of the network.
func (s InitStats) Decode(t *testing.T, config any) {
	t.Helper()
	must.Do(t, json.Unmarshal(s.Config, config))
}

// InitialWeights gives the weights of a model with the given number of image channels, initialized
// from a seed: a function of their names in the reference, and the list of those of its backbone.
type InitialWeights func(t *testing.T, stats InitStats, channels int, seed uint64) (weight func(name string) *param.Parameter, network []*param.Parameter)

// InitStatistics compares the initial weights of as many seeds as the reference pooled, and refuses
// a reference that leaves out weights of the backbone.
func InitStatistics(t *testing.T, path string, model InitialWeights) {
	var stats InitStats
	golden.ReadJSON(t, path, &stats)
	if len(stats.Params) == 0 || stats.Seeds == 0 {
		t.Fatalf("%s holds no statistics", path)
	}
	channels := 0
	for _, p := range stats.Params {
		if len(p.Shape) == 4 && channels == 0 { // the convolution that reads the images comes first
			channels = p.Shape[1]
		}
	}
	pooled := map[string][]float64{}
	for seed := range stats.Seeds {
		weight, network := model(t, stats, channels, uint64(seed))
		compared := map[*param.Parameter]bool{}
		for _, p := range stats.Params {
			w := weight(p.Name)
			if w == nil {
				t.Fatalf("the model has no parameter %s", p.Name)
			}
			if !w.Shape.Equal(p.Shape) || w.Frozen == p.Trainable {
				t.Fatalf("%s is %v, frozen %v; the reference has %v, trainable %v", p.Name, w.Shape, w.Frozen, p.Shape, p.Trainable)
			}
			pooled[p.Name] = append(pooled[p.Name], Wide(w.Data)...)
			compared[w] = true
		}
		for _, w := range network {
			if !compared[w] {
				t.Fatalf("the reference has no statistics of %s", w.Name)
			}
		}
	}
	for _, p := range stats.Params {
		CompareMoments(t, p.Name, pooled[p.Name], Moments{p.Mean, p.Std, p.Min, p.Max, p.Kurtosis})
	}
}

// Moments describe a sample; kurtosis is nil for constants.
type Moments struct {
	Mean, Std, Min, Max float64
	Kurtosis            *float64
}

// MomentsOf describes a sample.
func MomentsOf(v []float64) Moments {
	m := Moments{Min: math.Inf(1), Max: math.Inf(-1)}
	n := float64(len(v))
	for _, x := range v {
		m.Mean += x / n
		m.Min, m.Max = min(m.Min, x), max(m.Max, x)
	}
	var second, fourth float64
	for _, x := range v {
		d := (x - m.Mean) * (x - m.Mean)
		second += d / n
		fourth += d * d / n
	}
	m.Std = math.Sqrt(second)
	if second > 0 {
		k := fourth / (second * second)
		m.Kurtosis = &k
	}
	return m
}

// CompareMoments allows six standard errors of the difference of two samples of this size;
// constants must be equal.
func CompareMoments(t *testing.T, name string, sample []float64, want Moments) {
	t.Helper()
	got, n := MomentsOf(sample), float64(len(sample))
	if want.Kurtosis == nil {
		if got.Std > 1e-9 || math.Abs(got.Mean-want.Mean) > 1e-7*math.Abs(want.Mean) {
			t.Errorf("%s: mean %g, std %g; the reference is constant %g", name, got.Mean, got.Std, want.Mean)
		}
		return
	}
	k, errors := *want.Kurtosis, 6*math.Sqrt2
	check := func(what string, got, want, tolerance float64) {
		if math.IsNaN(got) || math.Abs(got-want) > tolerance {
			t.Errorf("%s: %s is %.6g, the reference has %.6g ± %.2g", name, what, got, want, tolerance)
		}
	}
	check("mean", got.Mean, want.Mean, errors*want.Std/math.Sqrt(n)+1e-5*want.Std)
	check("std", got.Std, want.Std, errors*want.Std*math.Sqrt((k-1)/(4*n))+1e-4*want.Std)
	if got.Kurtosis == nil {
		t.Errorf("%s: all values are equal; the reference has std %g", name, want.Std)
		return
	}
	check("kurtosis", *got.Kurtosis, k, errors*math.Sqrt(24/n)+.002)
	// The range of a bounded distribution is sharp; the extremes of a normal one scatter.
	spread := 1.2 * want.Std
	if k < 2.1 {
		spread = want.Std * (.002 + 30/n)
	}
	check("minimum", got.Min, want.Min, spread)
	check("maximum", got.Max, want.Max, spread)
}
