package sdk

// Schedule is a number that changes with the step, made by ConstantSchedule, LinearSchedule,
// CosineSchedule or TableSchedule.
type Schedule struct {
	Name          string // given by Builder.Schedule
	Kind          ScheduleKind
	From, To      float64
	Steps         int     // that it takes from From to To; 0: all of the run
	WarmupSteps   int     // linear from WarmupFrom to From, before the rest
	WarmupFrom    float64 // at step 0 of a warm-up
	Values        []float64
	StepsPerValue float64 // of a table, not necessarily whole; 0 is read as 1
}

// ScheduleKind is the form of a schedule.
type ScheduleKind int

// Forms of schedules.
const (
	ScheduleConstant ScheduleKind = iota
	ScheduleLinear
	ScheduleCosine
	ScheduleTable
)

// ConstantSchedule is value at every step.
func ConstantSchedule(value float64) Schedule { return Schedule{From: value} }

// LinearSchedule goes in a straight line over the run.
func LinearSchedule(from, to float64) Schedule {
	return Schedule{Kind: ScheduleLinear, From: from, To: to}
}

// CosineSchedule goes along half a cosine over the run: to + (from-to)/2 (1+cos(pi s/steps)).
func CosineSchedule(from, to float64) Schedule {
	return Schedule{Kind: ScheduleCosine, From: from, To: to}
}

// TableSchedule takes each value for stepsPerValue steps and keeps the last one. Run.StepsPerEpoch
// makes it a value for each epoch.
func TableSchedule(stepsPerValue float64, values ...float64) Schedule {
	return Schedule{Kind: ScheduleTable, StepsPerValue: stepsPerValue, Values: values}
}

// Scalar is a number that follows a schedule.
type Scalar struct{ name string }

// Tensor returns the number as a tensor with one element.
func (s Scalar) Tensor() Tensor { return Tensor{ref: ref{kind: refScalar, name: s.name}} }

// Schedule declares a number that changes with the step.
func (b *Builder) Schedule(name string, s Schedule) Scalar {
	s.Name = b.take("schedule", name)
	b.plan.Schedules = append(b.plan.Schedules, &s)
	return Scalar{s.Name}
}

// TeacherSpec is the averaged copy of the network and of parameters with an average: teacher = m
// teacher + (1-m) student, from a copy of the student on.
type TeacherSpec struct {
	Momentum string // schedule of m
	When     When
}

// When is the moment in a step at which the teacher follows.
type When int

// AfterStep follows the optimizer (DINO, BYOL); BeforeForward comes before the teacher's forward
// pass and reads the student that is not updated yet.
const (
	AfterStep When = iota
	BeforeForward
)

// Teacher asks for an averaged copy of the network.
func (b *Builder) Teacher(momentum Scalar, when When) {
	b.plan.Teacher = &TeacherSpec{Momentum: momentum.name, When: when}
}
