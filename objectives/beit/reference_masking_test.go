package beit_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/beit"
	"github.com/vittool/vittool/plugins/sdk"
)

// maskStatistics are those of the reference for one setting.
type maskStatistics struct {
	Grid      [2]int         `json:"grid"`
	Masked    int            `json:"num_masking_patches"`
	Min       int            `json:"min_num_patches"`
	Max       int            `json:"max_num_patches"`
	MinAspect float64        `json:"min_aspect"`
	Draws     int            `json:"draws"`
	Mean      float64        `json:"masked_mean"`
	Std       float64        `json:"masked_std"`
	Most      int            `json:"masked_max"`
	Failed    int            `json:"draws_ending_by_failed_block"`
	Blocks    map[string]int `json:"blocks_histogram"`
	PerBlock  map[string]int `json:"new_cells_per_block_histogram"`
	Histogram map[string]int `json:"masked_histogram"`
	Neighbors float64        `json:"neighbour_agreement_mean"`
	NeighborS float64        `json:"neighbour_agreement_std"`
	Frequency [][]float64    `json:"cell_frequency"`
}

// maskingStatistics draws as many masks as the reference did for each of its settings.
func maskingStatistics(t *testing.T, path string) {
	var want struct {
		Results []maskStatistics `json:"results"`
	}
	golden.ReadJSON(t, path, &want)
	if len(want.Results) == 0 {
		t.Fatalf("%s holds no statistics", path)
	}
	for _, w := range want.Results {
		t.Run(fmt.Sprintf("%v, %d masked in blocks of %d to %d", w.Grid, w.Masked, w.Min, w.Max), w.compare)
	}
}

// drawn are the statistics of masks of the objective.
type drawn struct {
	blocks                    beit.Blocks
	counts, perMask, perBlock map[string]int // histograms of masked cells, of blocks, and of new cells of a block
	frequency                 []float64      // share of the masks that a cell is masked in
	failed                    int            // masks that end with a block that finds no place
	agreement                 float64        // mean of neighborAgreement
}

// add draws mask i of so many.
func (d *drawn) add(t *testing.T, i int, draws float64) (masked int) {
	t.Helper()
	k := d.blocks
	r, bitmap := sdk.NewRNG(11, uint64(i)), make([]byte, k.Rows*k.Cols)
	count, blocks := 0, 0
	for count < k.Masked {
		n := k.Block(r, bitmap, min(k.Masked-count, k.Max))
		if n == 0 {
			d.failed++
			break
		}
		d.perBlock[fmt.Sprint(n)]++
		count, blocks = count+n, blocks+1
	}
	whole := make([]byte, len(bitmap))
	k.Draw(sdk.NewRNG(11, uint64(i)), whole)
	if !slices.Equal(whole, bitmap) {
		t.Fatal("a mask is not made of its blocks")
	}
	for c, v := range bitmap {
		masked += int(v)
		d.frequency[c] += float64(v) / draws
	}
	if masked != count {
		t.Fatalf("%d cells are masked, %d were counted", masked, count)
	}
	d.counts[fmt.Sprint(masked)]++
	d.perMask[fmt.Sprint(blocks)]++
	d.agreement += neighborAgreement(bitmap, k.Rows, k.Cols) / draws
	return masked
}

// compare draws masks and compares them with the statistics.
func (w maskStatistics) compare(t *testing.T) {
	if w.MinAspect != .3 {
		t.Fatalf("the smallest aspect is %g; the objective has 0.3", w.MinAspect)
	}
	draws := float64(w.Draws)
	d := &drawn{
		blocks: beit.Blocks{Rows: w.Grid[0], Cols: w.Grid[1], Masked: w.Masked, Min: w.Min, Max: w.Max},
		counts: map[string]int{}, perMask: map[string]int{}, perBlock: map[string]int{}, frequency: make([]float64, w.Grid[0]*w.Grid[1]),
	}
	for i := range w.Draws {
		if masked := d.add(t, i, draws); masked > w.Most {
			t.Fatalf("%d cells are masked, want at most %d", masked, w.Most)
		}
	}
	near := func(figure string, got, want, deviation float64) {
		t.Helper()
		if math.Abs(got-want) > 6*math.Sqrt2*deviation/math.Sqrt(draws)+1e-9 {
			t.Errorf("%s is %.4f, the reference has %.4f ± %.4f", figure, got, want, 6*math.Sqrt2*deviation/math.Sqrt(draws))
		}
	}
	share := float64(w.Failed) / draws
	near("share of masks that end with a failed block", float64(d.failed)/draws, share, math.Sqrt(share*(1-share))+.5/math.Sqrt(draws))
	near("neighbor agreement", d.agreement, w.Neighbors, w.NeighborS)
	for i, f := range d.frequency {
		p := w.Frequency[i/d.blocks.Cols][i%d.blocks.Cols]
		near(fmt.Sprintf("frequency of cell %d", i), f, p, math.Sqrt(p*(1-p))+.5/math.Sqrt(draws))
	}
	for figure, h := range map[string][2]map[string]int{
		"masked cells": {d.counts, w.Histogram}, "blocks": {d.perMask, w.Blocks}, "new cells of a block": {d.perBlock, w.PerBlock},
	} {
		if d, limit := twoSample(h[0], h[1]); d > limit {
			t.Errorf("%s: the chi-square distance of the histograms is %.1f, at most %.1f is expected (%v and %v)", figure, d, limit, h[0], h[1])
		}
	}
}

// neighborAgreement is the share of neighboring cells of equal value, the mean of both
// directions.
func neighborAgreement(mask []byte, rows, cols int) float64 {
	across, down := 0.0, 0.0
	for y := range rows {
		for x := range cols {
			if x > 0 && mask[y*cols+x] == mask[y*cols+x-1] {
				across++
			}
			if y > 0 && mask[y*cols+x] == mask[(y-1)*cols+x] {
				down++
			}
		}
	}
	return (across/float64(rows*(cols-1)) + down/float64((rows-1)*cols)) / 2
}

// twoSample is the chi-square statistic of two histograms, rare values pooled, and a limit six
// deviations above its mean.
func twoSample(a, b map[string]int) (distance, limit float64) {
	na, nb := 0.0, 0.0
	keys := map[string]bool{}
	for k, v := range a {
		na, keys[k] = na+float64(v), true
	}
	for k, v := range b {
		nb, keys[k] = nb+float64(v), true
	}
	cells, restA, restB := 0.0, 0.0, 0.0
	add := func(x, y float64) {
		d := x*math.Sqrt(nb/na) - y*math.Sqrt(na/nb)
		distance += d * d / (x + y)
		cells++
	}
	for k := range keys {
		x, y := float64(a[k]), float64(b[k])
		if x+y < 20 {
			restA, restB = restA+x, restB+y
			continue
		}
		add(x, y)
	}
	if restA+restB > 0 {
		add(restA, restB)
	}
	return distance, cells + 6*math.Sqrt(2*cells) + 6
}
