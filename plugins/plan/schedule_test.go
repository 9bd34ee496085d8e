package plan_test

import (
	"math"
	"testing"

	"github.com/vittool/vittool/plugins/plan"
)

func TestScheduleAt(t *testing.T) {
	for _, tc := range []struct {
		s    *plan.Schedule
		step uint64
		want float64
	}{
		{&plan.Schedule{From: .5}, 7, .5},
		{&plan.Schedule{Kind: plan.ScheduleLinear, From: 0, To: 1, Steps: 10}, 5, .5},
		{&plan.Schedule{Kind: plan.ScheduleLinear, From: 0, To: 1}, 25, .25}, // over all 100 steps
		{&plan.Schedule{Kind: plan.ScheduleCosine, From: 1, To: 0, Steps: 10}, 5, .5},
		{&plan.Schedule{Kind: plan.ScheduleCosine, From: 1, To: 0, Steps: 10}, 0, 1},
		{&plan.Schedule{Kind: plan.ScheduleCosine, From: 1, To: .25, Steps: 10}, 11, .25},
		{&plan.Schedule{Kind: plan.ScheduleCosine, From: 1, To: 0, Steps: 14, WarmupSteps: 4}, 2, .5},
		{&plan.Schedule{Kind: plan.ScheduleCosine, From: 1, To: 0, Steps: 14, WarmupSteps: 4}, 4, 1},
		{&plan.Schedule{Kind: plan.ScheduleCosine, From: 1, To: 0, Steps: 14, WarmupSteps: 4}, 9, .5},
		{&plan.Schedule{From: 1, WarmupSteps: 4, WarmupFrom: .5}, 2, .75},
		{&plan.Schedule{From: 1, Steps: 2, WarmupSteps: 4}, 9, 1},
		{&plan.Schedule{Kind: plan.ScheduleTable, Values: []float64{1, 2, 3}}, 1, 2},
		{&plan.Schedule{Kind: plan.ScheduleTable, Values: []float64{1, 2, 3}, StepsPerValue: 5}, 9, 2},
		{&plan.Schedule{Kind: plan.ScheduleTable, Values: []float64{1, 2, 3}}, 99, 3},
		{&plan.Schedule{Kind: plan.ScheduleTable, Values: []float64{1, 2, 3, 4, 5}, StepsPerValue: 7. / 4}, 1, 1}, // 7 micro-batches, 4 a step
		{&plan.Schedule{Kind: plan.ScheduleTable, Values: []float64{1, 2, 3, 4, 5}, StepsPerValue: 7. / 4}, 2, 2},
		{&plan.Schedule{Kind: plan.ScheduleTable, Values: []float64{1, 2, 3, 4, 5}, StepsPerValue: 7. / 4}, 7, 5},
		{&plan.Schedule{Kind: plan.ScheduleTable, Values: []float64{1, 2, 3, 4, 5}, StepsPerValue: 7. / 3}, 7, 4},
	} {
		if got := tc.s.At(tc.step, 100); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("%+v at %d: %g, want %g", tc.s, tc.step, got, tc.want)
		}
	}
}
