package core

import (
	"sort"
	"time"
)

// OpProfile is the total time of all steps of one name.
type OpProfile struct {
	Name  string
	Calls int
	Time  time.Duration
	FLOPs float64 // 2 × multiply-adds
}

// FLOPs returns 2 × the multiply-adds of the matrix products and of attention in one Run. A
// backward pass counts as twice the forward pass; a teacher has none.
func (e *Executable) FLOPs() float64 {
	total := 0.0
	for _, o := range e.compilation.ops {
		total += o.FLOPs
	}
	for _, s := range e.compilation.steps {
		if s.backward && s.op != nil {
			total += 2 * s.op.FLOPs
		}
	}
	return total
}

// Profile starts (true) or stops (false) the measurement of the time of each kind of step.
func (e *Executable) Profile(on bool) {
	e.profile = nil
	if on {
		e.profile = map[string]*OpProfile{}
	}
}

// note adds the time of one step to its profile.
func (e *Executable) note(s *step, d time.Duration) {
	name := s.name()
	p := e.profile[name]
	if p == nil {
		p = &OpProfile{Name: name}
		e.profile[name] = p
	}
	p.Calls++
	p.Time += d
	if s.op != nil && s.backward {
		p.FLOPs += 2 * s.op.FLOPs
	} else if s.op != nil {
		p.FLOPs += s.op.FLOPs
	}
}

// Profiles returns the measurements since Profile(true), the longest first.
func (e *Executable) Profiles() []OpProfile {
	var list []OpProfile
	for _, p := range e.profile {
		list = append(list, *p)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Time > list[j].Time })
	return list
}
