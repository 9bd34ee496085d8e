package instdisc

import (
	"slices"
	"strings"
	"testing"

	plans "github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/sdk"
)

const images = 50 // of the data set

func try(images int, options map[string]any) (*sdk.Trial, error) {
	return sdk.Try(New(), sdk.Run{Batch: 4, DatasetSize: images, Backbone: sdk.Backbone{Name: "resnet18", Family: "cnn", Dim: 512, Depth: 4, Patch: 32,
		Height: 224, Width: 224, Channels: 3, StageDims: []int{64, 128, 256, 512}}}, options)
}

func TestMemoryBank(t *testing.T) {
	trial, err := try(images, map[string]any{"out_dim": 12})
	if err != nil {
		t.Fatal(err)
	}
	p := trial.Plan
	bank, z := p.Buffer("memory"), p.Buffer("memory_constant")
	if !slices.Equal(bank.Shape, []int{images, 12}) || bank.Update != sdk.UpdateRows || bank.Init.A != .5 { // 1/sqrt(12/3)
		t.Errorf("the bank is %v, its initial values %v", bank, bank.Init)
	}
	if z == nil || z.Init.A != -1 {
		t.Errorf("the constant is %v", z)
	}
	for _, param := range p.Params {
		if !param.Decay || !strings.HasPrefix(param.Name, "fc.") {
			t.Errorf("%v", param)
		}
	}
	if len(p.Params) != 2 || p.Requirements.Decay != plans.DecayAll {
		t.Errorf("%v, %v", p.Params, p.Requirements)
	}
	softmax, err := try(images, map[string]any{"negatives": 0})
	if err != nil {
		t.Fatal(err)
	}
	if p := softmax.Plan; len(p.Masks) != 0 || p.Buffer("memory_constant") != nil || p.Count("cross_entropy") != 1 {
		t.Errorf("the softmax over all images: masks %v, buffers %v", p.Masks, p.Buffers)
	}
	if _, err := try(0, nil); err == nil || !strings.Contains(err.Error(), "number of samples") {
		t.Errorf("a data set of unknown size: %v", err)
	}
}

// Each image is compared with its own row first, then with rows drawn uniformly, which depend on
// seed, step and image alone.
func TestNegatives(t *testing.T) {
	const k = 4000
	trial, err := try(images, map[string]any{"negatives": k})
	if err != nil {
		t.Fatal(err)
	}
	drawn := trial.Masks(1, 7, 3, 49)[0].Values
	if len(drawn) != 2*(1+k) || drawn[0] != 3 || drawn[1+k] != 49 {
		t.Fatalf("%d rows, of which %v begin", len(drawn), drawn[:2])
	}
	counts := [images]int{}
	for _, row := range drawn[1 : 1+k] {
		counts[row]++
	}
	for row, n := range counts { // k/images = 80 expected, with a deviation of 9
		if n < 35 || n > 125 {
			t.Errorf("row %d was drawn %d times of %d", row, n, k)
		}
	}
	alone := trial.Masks(1, 7, 49)[0].Values
	if !slices.Equal(alone, drawn[1+k:]) {
		t.Error("the rows of an image depend on the batch")
	}
	if slices.Equal(trial.Masks(1, 8, 49)[0].Values, alone) || slices.Equal(trial.Masks(2, 7, 49)[0].Values, alone) {
		t.Error("the rows are the same in another step or of another seed")
	}
}

// Gray comes before the jitter, as in the official code.
func TestCrop(t *testing.T) {
	trial, err := try(images, map[string]any{"crop_size": 50})
	if err != nil {
		t.Fatal(err)
	}
	v := trial.Plan.Views[0]
	var kinds []plans.AugmentationKind
	for _, a := range v.Augmentations {
		kinds = append(kinds, a.Kind)
	}
	if !slices.Equal(kinds, []plans.AugmentationKind{sdk.GrayAugmentation, sdk.ColorAugmentation, sdk.FlipAugmentation}) || v.Width != 50 || v.Interpolation != sdk.Bilinear {
		t.Errorf("view %v of %v", v, kinds)
	}
	for want, options := range map[string]map[string]any{
		"smaller share comes first": {"crop_scale": []float64{.9, .2}},
		"0 to below 1":              {"bank_momentum": 1},
	} {
		if _, err := try(images, options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q in it", options, err, want)
		}
	}
}
