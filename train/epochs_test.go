package train

import (
	"fmt"
	"math"
	"testing"

	"github.com/vittool/vittool/configs"
)

// epochsCase is a run, worked out by hand.
type epochsCase struct {
	name                     string
	images, batch, acc       int
	dropLast                 bool
	epochs, steps            int
	read, dropped, total     int
	perEpoch                 float64
	micros                   []int     // of each step
	positions                []float64 // after each step
	interval                 configs.Interval
	due                      []int
	warmup                   float64
	warmupSteps, lastWarming int // of a table; last step below the peak of the other form, counted from 0
}

var (
	never      = configs.Interval{}
	everyEpoch = configs.Interval{Epochs: 1}
	everyOther = configs.Interval{Epochs: 2}
)

var epochsCases = []epochsCase{
	{
		name: "accumulation over the end of epochs", images: 59, batch: 8, acc: 4, dropLast: true, epochs: 8,
		read: 56, dropped: 3, total: 14, perEpoch: 1.75,
		micros:    []int{4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4},
		positions: []float64{4. / 7, 8. / 7, 12. / 7, 16. / 7, 20. / 7, 24. / 7, 4, 32. / 7, 36. / 7, 40. / 7, 44. / 7, 48. / 7, 52. / 7, 8},
		interval:  everyEpoch, due: []int{2, 4, 6, 7, 9, 11, 13, 14},
		warmup: 5, warmupSteps: 9, lastWarming: 8, // 5 epochs are 8.75 steps
	},
	{
		name: "one micro-batch a step", images: 40, batch: 8, acc: 1, dropLast: true, epochs: 2,
		read: 40, total: 10, perEpoch: 5,
		micros:    []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
		positions: []float64{.2, .4, .6, .8, 1, 1.2, 1.4, 1.6, 1.8, 2},
		interval:  everyEpoch, due: []int{5, 10},
		warmup: 1, warmupSteps: 5, lastWarming: 4,
	},
	{
		name: "smaller last batch", images: 20, batch: 8, acc: 1, epochs: 2,
		read: 20, total: 6, perEpoch: 3,
		micros:    []int{1, 1, 1, 1, 1, 1},
		positions: []float64{.4, .8, 1, 1.4, 1.8, 2},
		interval:  everyOther, due: []int{6},
		warmup: 1, warmupSteps: 3, lastWarming: 2,
	},
	{
		name: "smaller last batch, accumulated, shorter last step", images: 20, batch: 8, acc: 2, epochs: 3,
		read: 20, total: 5, perEpoch: 1.5,
		micros:    []int{2, 2, 2, 2, 1}, // 9 micro-batches
		positions: []float64{.8, 1.4, 2, 2.8, 3},
		interval:  everyEpoch, due: []int{2, 3, 5},
		warmup: 2, warmupSteps: 3, lastWarming: 2,
	},
	{
		name: "steps longer than an epoch", images: 16, batch: 8, acc: 5, dropLast: true, epochs: 3,
		read: 16, total: 2, perEpoch: .4,
		micros:    []int{5, 1},
		positions: []float64{2.5, 3},
		interval:  everyOther, due: []int{1},
		warmup: 2.5, warmupSteps: 1, lastWarming: 0,
	},
	{
		name: "a number of steps", images: 56, batch: 8, acc: 4, dropLast: true, epochs: 8, steps: 3,
		read: 56, total: 3, perEpoch: 1.75,
		micros:    []int{4, 4, 4},
		positions: []float64{4. / 7, 8. / 7, 12. / 7},
		interval:  configs.Interval{Steps: 2}, due: []int{2},
		warmup: 1, warmupSteps: 2, lastWarming: 1, // 1.75 steps
	},
	{
		name: "batch larger than the data set", images: 5, batch: 8, acc: 2, epochs: 3,
		read: 5, total: 2, perEpoch: .5,
		micros:    []int{2, 1},
		positions: []float64{2, 3},
		interval:  never,
		warmup:    2, warmupSteps: 1, lastWarming: 0,
	},
}

// Steps and epochs of every kind of run.
func TestEpochs(t *testing.T) {
	for _, tc := range epochsCases {
		t.Run(tc.name, func(t *testing.T) {
			recipe := configs.Default().Train
			recipe.BatchSize, recipe.Accumulate, recipe.DropLast, recipe.Epochs, recipe.Steps = tc.batch, tc.acc, tc.dropLast, tc.epochs, tc.steps
			recipe.LR, recipe.MinLR, recipe.WarmupEpochs = 1, 0, tc.warmup
			e := newEpochs(tc.images, recipe)
			tc.checkSteps(t, e)
			tc.checkWarmup(t, e, recipe)
		})
	}
}

func (tc epochsCase) checkSteps(t *testing.T, e epochs) {
	if e.images != tc.read || e.dropped != tc.dropped || e.total() != tc.total || e.perEpoch() != tc.perEpoch {
		t.Errorf("%d images an epoch, %d dropped, %d steps, %v an epoch; want %d, %d, %d, %v",
			e.images, e.dropped, e.total(), e.perEpoch(), tc.read, tc.dropped, tc.total, tc.perEpoch)
	}
	var micros, due []int
	var positions []float64
	for step := range e.total() {
		micros, positions = append(micros, e.micro(step)), append(positions, e.at(step+1))
		if e.due(tc.interval, step+1) {
			due = append(due, step+1)
		}
	}
	if fmt.Sprint(micros) != fmt.Sprint(tc.micros) || fmt.Sprint(positions) != fmt.Sprint(tc.positions) || fmt.Sprint(due) != fmt.Sprint(tc.due) {
		t.Errorf("micro-batches %v, epochs %v, %v after steps %v; want %v, %v, %v", micros, positions, tc.interval, due, tc.micros, tc.positions, tc.due)
	}
}

func (tc epochsCase) checkWarmup(t *testing.T, e epochs, recipe configs.Train) {
	rate, _ := schedules(recipe, e)
	for step := range tc.lastWarming + 1 {
		before := 0.0
		if step > 0 {
			before = tc.positions[step-1]
		}
		if got, want := rate.At(step), before/tc.warmup; math.Abs(got-want) > 1e-12 || got >= 1 {
			t.Errorf("rate of step %d is %v, want %v", step, got, want)
		}
	}
	if e.at(tc.lastWarming+1) < tc.warmup {
		t.Errorf("warm-up goes on after step %d", tc.lastWarming)
	}
	recipe.Schedule = "iteration"
	rate, _ = schedules(recipe, e)
	if got := rate.At(tc.warmupSteps - 1); tc.warmupSteps > 1 && got != 1 {
		t.Errorf("rate of step %d, the last of the warm-up, is %v, want 1", tc.warmupSteps-1, got)
	}
	if got := rate.At(tc.warmupSteps - 2); tc.warmupSteps > 1 && got >= 1 {
		t.Errorf("rate of step %d is %v, which is below the peak", tc.warmupSteps-2, got)
	}
}
