package train

import (
	"math"
	"testing"

	"github.com/vittool/vittool/configs"
)

// The forms of the official codes at their ends: MAE's warm-up never shows its peak twice, DINO's
// table does, and its cosine stops short of the last value.
func TestSchedules(t *testing.T) {
	recipe := func(change func(*configs.Train)) configs.Train {
		r := configs.Default().Train
		r.LR, r.MinLR, r.WarmupEpochs, r.WeightDecay = 1, 0.1, 2, 0.04
		change(&r)
		return r
	}
	epoch := recipe(func(*configs.Train) {})
	iteration := recipe(func(r *configs.Train) { r.Schedule, r.WeightDecayEnd = "iteration", 0.4 })
	half := recipe(func(r *configs.Train) { r.Schedule, r.WarmupEpochs = "iteration", 0.5 })
	long := recipe(func(r *configs.Train) { r.Schedule, r.WarmupEpochs = "iteration", 100 })
	milestones := recipe(func(r *configs.Train) { r.MinLR, r.Milestones = 0, []int{3, 4} })
	for _, tc := range []struct {
		name      string
		recipe    configs.Train
		step      int
		lr, decay float64
	}{
		{"epoch, first", epoch, 0, 0, 0.04},
		{"epoch, in warm-up", epoch, 4, 0.5, 0.04},
		{"epoch, peak", epoch, 8, 1, 0.04},
		{"epoch, last", epoch, 19, 0.1 + 0.9/2*(1+math.Cos(math.Pi*11/12)), 0.04},
		{"iteration, first", iteration, 0, 0, 0.04},
		{"iteration, end of warm-up", iteration, 7, 1, 0.4 - 0.36/2*(1+math.Cos(math.Pi*7/20))},
		{"iteration, peak again", iteration, 8, 1, 0.4 - 0.36/2*(1+math.Cos(math.Pi*8/20))},
		{"iteration, half of decay", iteration, 10, 0.1 + 0.9/2*(1+math.Cos(math.Pi*2/12)), 0.22},
		{"iteration, last", iteration, 19, 0.1 + 0.9/2*(1+math.Cos(math.Pi*11/12)), 0.4 - 0.36/2*(1+math.Cos(math.Pi*19/20))},
		{"half an epoch of warm-up", half, 2, 1, 0.04},
		{"longer than the run", long, 19, 1, 0.04},
		{"milestones, in warm-up", milestones, 4, 0.5, 0.04},
		{"milestones, before the first", milestones, 11, 1, 0.04},
		{"milestones, at the first", milestones, 12, 0.1, 0.04},
		{"milestones, after the second", milestones, 19, 0.01, 0.04},
	} {
		rate, decay := schedules(tc.recipe, epochs{images: 4, batch: 1, batches: 4, accumulate: 1, run: 20})
		if got := rate.At(tc.step); math.Abs(got-tc.lr) > 1e-12 {
			t.Errorf("%s: rate %v, want %v", tc.name, got, tc.lr)
		}
		if got := decay.At(tc.step); math.Abs(got-tc.decay) > 1e-12 {
			t.Errorf("%s: weight decay %v, want %v", tc.name, got, tc.decay)
		}
	}
}
