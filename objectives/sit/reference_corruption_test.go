package sit_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives/sit"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/vit"
)

// corruptionStats are statistics of many images that the official code corrupted.
type corruptionStats struct {
	Image    [2]int         `json:"image"` // height and width
	Most     float64        `json:"max_replace"`
	Align    int            `json:"align"`
	Fill     string         `json:"drop_type"`
	Other    bool           `json:"replace_from_other_image"`
	Largest  float64        `json:"max_block_fraction"`
	Draws    int            `json:"draws"`
	Target   [2]float64     `json:"target_fraction_range"`
	Mean     float64        `json:"fraction_mean"`
	Std      float64        `json:"fraction_std"`
	Min      float64        `json:"fraction_min"`
	Max      float64        `json:"fraction_max"`
	Blocks   float64        `json:"blocks_mean"`
	BlocksSD float64        `json:"blocks_std"`
	Height   float64        `json:"block_height_mean"`
	Width    float64        `json:"block_width_mean"`
	Heights  map[string]int `json:"block_height_histogram"`
	Widths   map[string]int `json:"block_width_histogram"`
	Coverage [][]float64    `json:"coverage_8x8_cells"`
}

// batchStats are those of the two stages that a batch goes through.
type batchStats struct {
	Drop    float64 `json:"drop_perc"`
	Replace float64 `json:"drop_replace"`
	Align   int     `json:"align"`
	Batch   int     `json:"batch"`
	Samples int     `json:"samples"`
	Share   float64 `json:"share_taking_second_stage"`
	Mean    float64 `json:"fraction_mean"`
	Std     float64 `json:"fraction_std"`
	Min     float64 `json:"fraction_min"`
	Max     float64 `json:"fraction_max"`
}

// corruptedCrop is the corruption of one crop, as the objective's Mask call tells it.
type corruptedCrop struct {
	other           bool // filled from another image
	fill            int32
	heights, widths []float64
	covered         []bool
	fraction        float64
}

// corruptions asks the objective for masks, a step after another, until there are samples of them
// of the wanted kind.
func corruptions(t *testing.T, options map[string]any, height, width, batch, samples int, want func(corruptedCrop) bool) []corruptedCrop {
	t.Helper()
	network := vit.Config{Name: "any", ImageH: height, ImageW: width, Patch: 16, Channels: 3, Dim: 8, Depth: 1, Heads: 1, MLPRatio: 1, ClassToken: true}
	h := programtest.Opening{Objective: sit.New(), Options: options, Network: network, Batch: batch}.Open(t)
	defer h.Close()
	per := h.Plan().Masks[0].Length * sdk.CorruptionStride
	var out []corruptedCrop
	for step := uint64(0); len(out) < samples; step++ {
		request := &plan.MaskRequest{MicroBatch: step, Seed: 3}
		for i := range batch {
			request.SampleIDs = append(request.SampleIDs, uint64(i))
		}
		sets := must.Get(h.Mask(context.Background(), request))(t)
		for _, set := range sets {
			for b := range batch {
				if x := readCorruption(t, set.Values[b*per:][:per], height, width, batch); want(x) && len(out) < samples {
					out = append(out, x)
				}
			}
		}
	}
	return out
}

func readCorruption(t *testing.T, values []int32, height, width, batch int) corruptedCrop {
	t.Helper()
	x := corruptedCrop{covered: make([]bool, height*width)}
	for ; len(values) > 0; values = values[sdk.CorruptionStride:] {
		v := values[:sdk.CorruptionStride]
		if v[2] == 0 {
			continue
		}
		if len(x.heights) > 0 && v[4] != x.fill {
			t.Fatalf("rectangles of one crop are filled by %d and %d", x.fill, v[4])
		}
		x.fill = v[4]
		if x.other = v[4] == int32(sdk.Copy) && v[5] >= 0; x.other && (v[0] != v[6] || v[1] != v[7] || v[8] != 1 || int(v[5]) >= batch) {
			t.Fatalf("a piece of another image is not of the same place of a clean one: %v", v)
		}
		x.heights, x.widths = append(x.heights, float64(v[2])), append(x.widths, float64(v[3]))
		for y := v[0]; y < v[0]+v[2]; y++ {
			for i := v[1]; i < v[1]+v[3]; i++ {
				x.covered[int(y)*width+int(i)] = true
			}
		}
	}
	n := 0
	for _, c := range x.covered {
		if c {
			n++
		}
	}
	x.fraction = float64(n) / float64(len(x.covered))
	return x
}

// sitCorruptions compares the corruption of crops with the statistics of the official code.
// Tolerances are six standard errors of the difference of two samples.
func sitCorruptions(t *testing.T, path string) {
	var file struct {
		Results []corruptionStats `json:"results"`
		Batches []batchStats      `json:"two_stage_batch_results"`
	}
	golden.ReadJSON(t, path, &file)
	if len(file.Results) == 0 || len(file.Batches) == 0 {
		t.Fatalf("%s holds no statistics", path)
	}
	for i, k := range file.Results {
		t.Run(fmt.Sprintf("crop %d", i), func(t *testing.T) { k.compare(t) })
	}
	for i, k := range file.Batches {
		t.Run(fmt.Sprintf("batch %d", i), func(t *testing.T) { k.compare(t) })
	}
}

// closeTo compares a mean, or with spread the standard deviation, of n values.
func closeTo(t *testing.T, what string, got, want, std float64, n int) {
	t.Helper()
	if tolerance := 6 * math.Sqrt2 * std / math.Sqrt(float64(n)); math.IsNaN(got) || math.Abs(got-want) > tolerance {
		t.Errorf("%s is %.5g, the reference has %.5g ± %.2g", what, got, want, tolerance)
	}
}

func (k corruptionStats) compare(t *testing.T) {
	if k.Largest != .3 {
		t.Fatalf("blocks of up to %g of the side: the official code has 0.3", k.Largest)
	}
	options := map[string]any{"drop_perc": k.Most, "drop_replace": 0, "drop_align": k.Align, "drop_type": strings.Split(k.Fill, "-")}
	if k.Other {
		options["drop_perc"], options["drop_replace"] = .5, k.Most
	}
	crops := corruptions(t, options, k.Image[0], k.Image[1], 8, k.Draws, func(x corruptedCrop) bool { return x.other == k.Other })
	var fractions, blocks, heights, widths []float64
	for _, x := range crops {
		if name := []string{"zeros", "noise", "copy"}[x.fill]; !k.Other && !slices.Contains(strings.Split(k.Fill, "-"), name) {
			t.Fatalf("a crop is filled with %s, the reference with %s", name, k.Fill)
		}
		fractions, blocks = append(fractions, x.fraction), append(blocks, float64(len(x.heights)))
		heights, widths = append(heights, x.heights...), append(widths, x.widths...)
	}
	fraction, count, h, w := programtest.MomentsOf(fractions), programtest.MomentsOf(blocks), programtest.MomentsOf(heights), programtest.MomentsOf(widths)
	closeTo(t, "mean share", fraction.Mean, k.Mean, k.Std, k.Draws)
	closeTo(t, "deviation of the share", fraction.Std, k.Std, k.Std, k.Draws)
	closeTo(t, "mean number of blocks", count.Mean, k.Blocks, k.BlocksSD, k.Draws)
	closeTo(t, "deviation of the number of blocks", count.Std, k.BlocksSD, k.BlocksSD, k.Draws)
	closeTo(t, "mean height", h.Mean, k.Height, h.Std, len(heights))
	closeTo(t, "mean width", w.Mean, k.Width, w.Std, len(widths))
	if fraction.Min < k.Target[0] || fraction.Min > k.Min+4*k.Std || math.Abs(fraction.Max-k.Max) > 4*k.Std {
		t.Errorf("shares are from %g to %g, the reference has %g to %g", fraction.Min, fraction.Max, k.Min, k.Max)
	}
	k.histogram(t, "height", heights, k.Heights)
	k.histogram(t, "width", widths, k.Widths)
	rows, cols := len(k.Coverage), len(k.Coverage[0])
	for r, line := range k.Coverage {
		for c, want := range line {
			var shares []float64
			for _, x := range crops {
				share, n := 0.0, 0.0
				for y := r * k.Image[0] / rows; y < (r+1)*k.Image[0]/rows; y++ {
					for i := c * k.Image[1] / cols; i < (c+1)*k.Image[1]/cols; i++ {
						n++
						if x.covered[y*k.Image[1]+i] {
							share++
						}
					}
				}
				shares = append(shares, share/n)
			}
			m := programtest.MomentsOf(shares)
			closeTo(t, fmt.Sprintf("coverage of cell %d, %d", r, c), m.Mean, want, m.Std, k.Draws)
		}
	}
}

// histogram compares the shares of sizes; nil: the reference has none.
func (k corruptionStats) histogram(t *testing.T, what string, got []float64, want map[string]int) {
	t.Helper()
	if want == nil {
		return
	}
	counts, total := map[string]int{}, 0
	for _, v := range got {
		counts[fmt.Sprint(v)]++
	}
	for _, n := range want {
		total += n
	}
	if !slices.Equal(programtest.SortedKeys(counts), programtest.SortedKeys(want)) {
		t.Errorf("%ss are %v, the reference has %v", what, programtest.SortedKeys(counts), programtest.SortedKeys(want))
		return
	}
	for size, n := range want {
		share := float64(n) / float64(total)
		closeTo(t, fmt.Sprintf("share of %s %s", what, size), float64(counts[size])/float64(len(got)), share, math.Sqrt(share*(1-share)), min(total, len(got)))
	}
}

func (k batchStats) compare(t *testing.T) {
	options := map[string]any{"drop_perc": k.Drop, "drop_replace": k.Replace, "drop_align": k.Align}
	crops := corruptions(t, options, 224, 224, k.Batch, k.Samples, func(corruptedCrop) bool { return true })
	var fractions []float64
	second := 0.0
	for _, x := range crops {
		fractions = append(fractions, x.fraction)
		if x.other {
			second += 1 / float64(k.Samples)
		}
	}
	m := programtest.MomentsOf(fractions)
	closeTo(t, "share taking the second stage", second, k.Share, .5, k.Samples)
	closeTo(t, "mean share", m.Mean, k.Mean, k.Std, k.Samples)
	closeTo(t, "deviation of the share", m.Std, k.Std, k.Std, k.Samples)
	if m.Min < k.Replace || m.Min > k.Min+k.Std || math.Abs(m.Max-k.Max) > k.Std {
		t.Errorf("shares are from %g to %g, the reference has %g to %g", m.Min, m.Max, k.Min, k.Max)
	}
}
