package plan

import "math"

// Schedule is a number that changes with the step.
type Schedule struct {
	Name          string
	Kind          ScheduleKind
	From, To      float64
	Steps         int // 0: all of the run
	WarmupSteps   int // linear from WarmupFrom to From, before the rest
	WarmupFrom    float64
	Values        []float64
	StepsPerValue float64 // 0 stands for 1
}

// At evaluates the schedule at a step, counted from 0, of a run of total steps. Warm-up takes the
// first WarmupSteps; the rest spreads over the remainder of Steps.
func (s *Schedule) At(step, total uint64) float64 {
	warmup := uint64(s.WarmupSteps)
	if step < warmup {
		return s.WarmupFrom + (s.From-s.WarmupFrom)*float64(step)/float64(warmup)
	}
	length := uint64(s.Steps)
	if length == 0 {
		length = total
	}
	fraction := 1.0
	if length > warmup {
		fraction = min(1, float64(step-warmup)/float64(length-warmup))
	}
	switch s.Kind {
	case ScheduleLinear:
		return s.From + (s.To-s.From)*fraction
	case ScheduleCosine:
		return s.To + (s.From-s.To)/2*(1+math.Cos(math.Pi*fraction))
	case ScheduleTable:
		per := s.StepsPerValue
		if per == 0 {
			per = 1
		}
		const rounding = 1e-9 // of a quotient that is a whole number, such as 7 steps / (7/3)
		return s.Values[int(min(float64(step-warmup)/per+rounding, float64(len(s.Values)-1)))]
	default:
		return s.From
	}
}
