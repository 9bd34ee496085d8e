package program

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/plugins/pb"
)

// ScheduleAt evaluates a plan's schedule at a step, counted from 0, of a run of total steps. Warm-up takes the first
// warmup_steps; the rest spreads over what remains of steps.
func ScheduleAt(s *pb.Schedule, step, total uint64) float64 {
	warmup := s.GetWarmupSteps()
	if step < warmup {
		return s.GetWarmupFrom() + (s.GetFrom()-s.GetWarmupFrom())*float64(step)/float64(warmup)
	}
	length := s.GetSteps()
	if length == 0 {
		length = total
	}
	fraction := 1.0
	if length > warmup {
		fraction = min(1, float64(step-warmup)/float64(length-warmup))
	}
	from, to := s.GetFrom(), s.GetTo()
	switch s.GetKind() {
	case pb.Schedule_KIND_LINEAR:
		return from + (to-from)*fraction
	case pb.Schedule_KIND_COSINE:
		return to + (from-to)/2*(1+math.Cos(math.Pi*fraction))
	case pb.Schedule_KIND_TABLE:
		per := max(s.GetStepsPerValue(), 1)
		return s.GetValues()[min((step-warmup)/per, uint64(len(s.GetValues())-1))]
	default:
		return from
	}
}

// checkSchedule reports a schedule that ScheduleAt cannot evaluate.
func checkSchedule(s *pb.Schedule) error {
	switch s.GetKind() {
	case pb.Schedule_KIND_CONSTANT, pb.Schedule_KIND_LINEAR, pb.Schedule_KIND_COSINE:
	case pb.Schedule_KIND_TABLE:
		if len(s.GetValues()) == 0 {
			return fmt.Errorf("schedule %s is a table without values", s.GetName())
		}
	default:
		return fmt.Errorf("schedule %s: kind %v is not known to this version of vittool", s.GetName(), s.GetKind())
	}
	for _, v := range append([]float64{s.GetFrom(), s.GetTo(), s.GetWarmupFrom()}, s.GetValues()...) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("schedule %s has the value %g", s.GetName(), v)
		}
	}
	return nil
}
