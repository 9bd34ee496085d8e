package swav

import (
	"slices"
	"strings"
	"testing"

	plans "github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/sdk"
)

// networks are a transformer and a residual network.
var networks = []sdk.Backbone{
	{Name: "vit", Family: "vit", Dim: 384, Depth: 12, Heads: 12, Patch: 16, Height: 224, Width: 224, Channels: 3, PrefixTokens: 1},
	{Name: "resnet18", Family: "cnn", Dim: 512, Depth: 4, Patch: 32, Height: 224, Width: 224, Channels: 3, StageDims: []int{64, 128, 256, 512}},
}

func try(network sdk.Backbone, options map[string]any) (*sdk.Trial, error) {
	return sdk.Try(New(), sdk.Run{Batch: 4, StepsPerEpoch: 10, Backbone: network}, options)
}

func plan(t *testing.T, network sdk.Backbone, options map[string]any) *sdk.Plan {
	t.Helper()
	trial, err := try(network, options)
	if err != nil {
		t.Fatal(err)
	}
	return trial.Plan
}

// Crops of one size pass through the network together: by default two of 224 pixels and six of 96.
func TestCrops(t *testing.T) {
	for _, network := range networks {
		p := plan(t, network, nil)
		var sizes []int
		for _, v := range p.Views {
			sizes = append(sizes, v.Width)
		}
		if !slices.Equal(sizes, []int{224, 224, 96, 96, 96, 96, 96, 96}) {
			t.Errorf("%s: crops of %v pixels", network.Name, sizes)
		}
		if len(p.Passes) != 2 || len(p.Passes[0].Views) != 2 || len(p.Passes[1].Views) != 6 {
			t.Errorf("%s: passes %v", network.Name, p.Passes)
		}
		if first, last := p.Views[0], p.Views[7]; first.ScaleMin != .14 || first.ScaleMax != 1 || last.ScaleMin != .05 || last.ScaleMax != .14 || len(last.Augmentations) != 4 {
			t.Errorf("%s: crops %v and %v", network.Name, first, last)
		}
	}
	// Kinds of one size that follow each other are one group; a size that comes back is another.
	p := plan(t, networks[0], map[string]any{"crops": []int{1, 1, 2, 1}, "crop_sizes": []int{64, 64, 32, 64}, "blur": 0,
		"crop_scale_min": []float64{.1, .1, .1, .1}, "crop_scale_max": []float64{1, .5, .5, .5}})
	var groups []int
	for _, pass := range p.Passes {
		groups = append(groups, len(pass.Views))
	}
	if !slices.Equal(groups, []int{2, 2, 1}) || len(p.Views[0].Augmentations) != 3 {
		t.Errorf("groups of %v crops, the first %v", groups, p.Views[0])
	}
}

func TestPrototypesAndQueue(t *testing.T) {
	p := plan(t, networks[1], map[string]any{"queue": 10, "queue_start": 1.5, "freeze_prototypes": .3, "prototypes": 7, "out_dim": 16})
	if w := p.Param("prototypes.weight"); !w.UnitNormRows || w.FreezeUntil != 3 || !slices.Equal(w.Shape, []int{7, 16}) {
		t.Errorf("prototypes %v", w)
	}
	for _, name := range []string{"queue_1", "queue_2"} {
		if q := p.Buffer(name); q == nil || q.Update != sdk.UpdateNewestFirst || !slices.Equal(q.Shape, []int{8, 16}) { // whole batches of 4
			t.Errorf("%s is %v", name, q)
		}
	}
	for step, want := range map[uint64]float64{0: 0, 14: 0, 15: 1, 99: 1} {
		if got := p.Schedule("queue_active").At(step, 100); got != want {
			t.Errorf("step %d: the queue takes %g of each vector, want %g", step, got, want)
		}
	}
	if now := plan(t, networks[1], map[string]any{"queue": 4, "queue_start": 0}).Schedule("queue_active"); now.At(0, 100) != 1 {
		t.Errorf("a queue that starts at once: %v", now)
	}
	if p := plan(t, networks[0], nil); p.Buffer("queue_1") != nil || p.Count("sinkhorn") != 2 || p.Param("projection_head.0.weight") == nil {
		t.Errorf("by default: %v", p.Buffers)
	}
	for _, param := range p.Params {
		if param.Decay != (len(param.Shape) > 1) { // LARC, train.lars.all, takes no notice of it
			t.Errorf("%v", param)
		}
	}
	if p.Requirements.Decay != plans.DecayMatrices {
		t.Errorf("%v", p.Requirements)
	}
}

func TestRefusals(t *testing.T) {
	for want, options := range map[string]map[string]any{
		"3, 2, 2 and 2 values":           {"crops": []int{2, 2, 2}},
		"no more assignments than crops": {"crops": []int{1, 1}, "assigned_crops": 3},
		"at least two crops":             {"crops": []int{1}, "crop_sizes": []int{0}, "crop_scale_min": []float64{.1}, "crop_scale_max": []float64{1}, "assigned_crops": 1},
		"belongs into crop_scale_min":    {"crop_scale_min": []float64{.14, .3}},
		"crop_sizes 50 is no multiple":   {"crop_sizes": []int{0, 50}},
		"shorter than the batch":         {"queue": 3},
		"half of the circle":             {"color_jitter": []float64{.4, .4, .2, .6}},
	} {
		if _, err := try(networks[0], options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q in it", options, err, want)
		}
	}
	if _, err := try(networks[1], map[string]any{"crop_sizes": []int{0, 50}}); err != nil {
		t.Errorf("a network of maps takes any size: %v", err)
	}
}
