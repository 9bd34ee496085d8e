package sdk

import "github.com/vittool/vittool/plugins/plan"

// ConstantSchedule is value at every step.
func ConstantSchedule(value float64) Schedule { return Schedule{From: value} }

// LinearSchedule goes in a straight line over the run.
func LinearSchedule(from, to float64) Schedule {
	return Schedule{Kind: plan.ScheduleLinear, From: from, To: to}
}

// CosineSchedule goes along half a cosine over the run: to + (from-to)/2 (1+cos(pi s/steps)).
func CosineSchedule(from, to float64) Schedule {
	return Schedule{Kind: plan.ScheduleCosine, From: from, To: to}
}

// TableSchedule takes each value for stepsPerValue steps and keeps the last one. Run.StepsPerEpoch
// makes it a value for each epoch.
func TableSchedule(stepsPerValue float64, values ...float64) Schedule {
	return Schedule{Kind: plan.ScheduleTable, StepsPerValue: stepsPerValue, Values: values}
}

// Scalar is a number that follows a schedule.
type Scalar struct{ name string }

// Tensor returns the number as a tensor with one element.
func (s Scalar) Tensor() Tensor { return Tensor{ref: plan.Ref{Of: plan.RefScalar, Name: s.name}} }

// Schedule declares a number that changes with the step.
func (b *Builder) Schedule(name string, s Schedule) Scalar {
	s.Name = b.take("schedule", name)
	b.plan.Schedules = append(b.plan.Schedules, &s)
	return Scalar{s.Name}
}

// Teacher asks for a teacher of the network and of the parameters that the program reads of it:
// teacher = m teacher + (1-m) student, from a copy of the student on, with momentum m.
func (b *Builder) Teacher(momentum Scalar, when When) {
	b.plan.Teacher = &plan.Teacher{Momentum: momentum.name, When: when}
}
