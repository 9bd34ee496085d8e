package core

import (
	"fmt"
	"sort"
	"time"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/core/param"
	"gorgonia.org/gorgonia"
)

// Executable is a compiled graph. It must not be run from two goroutines at the
// same time; several executables of one engine may.
type Executable struct {
	engine   *device.CPU
	plan     *plan
	machine  gorgonia.VM
	packs    map[packKey]*Pack
	params   []*param.Parameter
	byParam  map[*param.Parameter]*memory
	run      uint64
	err      error
	checking bool
	found    *NonFinite
	profile  map[string]*OpProfile
}

// NonFinite names a NaN or infinity.
type NonFinite struct {
	Tensor string
	Index  int
	Value  float32
}

// OperandError is an operator's refusal of the values that it was given: of indices,
// masks and labels, which come from outside of the graph.
type OperandError struct {
	Op  string // and its shapes
	Err error
}

func (e *OperandError) Error() string { return e.Op + ": " + e.Err.Error() }
func (e *OperandError) Unwrap() error { return e.Err }

// OpProfile sums up the time of the steps of one name.
type OpProfile struct {
	Name  string
	Calls int
	Time  time.Duration
	FLOPs float64 // 2 × multiply-adds
}

type packKey struct {
	node     *Node
	backward bool
}

func (p *plan) executable() *Executable {
	e := &Executable{engine: p.graph.engine, plan: p, packs: map[packKey]*Pack{}, byParam: map[*param.Parameter]*memory{}}
	for _, o := range p.ops {
		for _, n := range o.Out {
			n.data = n.mem.data
		}
	}
	for _, n := range p.graph.params {
		if m := p.grads[n]; m != nil {
			e.params = append(e.params, n.param)
			e.byParam[n.param] = m
		}
	}
	for _, s := range p.steps {
		if s.op == nil || !s.op.Weighted || s.again || s.backward && s.gin[0] == nil {
			continue
		}
		key := packKey{s.op.In[1].root(), s.backward}
		if e.packs[key] == nil {
			e.packs[key] = &Pack{}
		}
		e.packs[key].uses++
	}
	return e
}

// callOf binds a step to its memory.
func (e *Executable) callOf(s *step) Call {
	c := Call{Pool: e.engine.Pool()}
	if s.scratch != nil {
		c.Work = s.scratch.data
	}
	if s.op == nil {
		for _, m := range s.sum {
			c.In = append(c.In, m.data)
		}
		c.Out = [][]float32{s.gin[0].data}
		return c
	}
	c.In = make([][]float32, len(s.op.In))
	c.Ints = make([][]int32, len(s.op.In))
	c.GradIn = make([][]float32, len(s.op.In))
	c.Add = make([]bool, len(s.op.In))
	for i, n := range s.op.In {
		if n != nil {
			switch m := s.memoryOf(n); {
			case n.root().ints != nil: // computed integers have float32 memory too
				c.Ints[i] = n.root().ints
			case m != nil:
				c.In[i] = m.data
			default:
				c.In[i] = n.root().data
			}
		}
		if s.backward && s.gin[i] != nil {
			c.GradIn[i] = s.gin[i].data
			c.Add[i] = s.acc[i] != nil
		}
	}
	c.GradOut = make([][]float32, len(s.op.Out))
	for i, n := range s.op.Out {
		c.Out = append(c.Out, s.memoryOf(n).data)
		if s.backward && s.gout[i] != nil {
			c.GradOut[i] = s.gout[i].data
		}
	}
	for _, m := range s.savedBy(s.op) {
		c.Save = append(c.Save, m.data)
	}
	if s.op.Weighted {
		k := e.packs[packKey{s.op.In[1].root(), s.backward}]
		if k != nil && k.uses > 1 {
			c.Pack = k
		}
	}
	if s.backward && s.op.compiled.slopeOf != nil {
		c.Slope = s.savedBy(s.op.compiled.slopeOf)[0].data
	}
	return c
}

// execute runs one step.
func (e *Executable) execute(s *step, c *Call) {
	if e.profile != nil {
		start := time.Now()
		defer func() { e.note(s, time.Since(start)) }()
	}
	c.Run, c.Err = e.run, nil
	switch {
	case s.op == nil:
		sumInto(c)
	case !s.backward:
		s.op.Forward(c)
	default:
		for i, a := range s.acc {
			if a != nil && a != s.gin[i] {
				f32.Copy(c.Pool, c.GradIn[i], a.data)
			}
		}
		s.op.Backward(c)
	}
	if e.checking && c.Err == nil {
		e.check(s, c)
	}
}

// sumInto adds up gradients, in the order of the terms.
func sumInto(c *Call) {
	dst := c.Out[0]
	if len(c.In) == 1 {
		f32.Copy(c.Pool, dst, c.In[0])
		return
	}
	f32.Add(c.Pool, dst, c.In[0], c.In[1])
	for _, x := range c.In[2:] {
		f32.Add(c.Pool, dst, dst, x)
	}
}

func (e *Executable) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// Run computes the loss, the extra nodes and all gradients from the inputs and
// parameters as they are now. Parameters and buffers are not changed; see Commit.
// An error in an operator, a panic included, names it and its shapes.
func (e *Executable) Run() error {
	e.err = nil
	e.run++
	err := e.machine.RunAll()
	if e.err != nil {
		return e.err
	}
	if err != nil {
		return fmt.Errorf("running the graph: %w", err)
	}
	return nil
}

// Commit applies what a run wants to leave behind: new running statistics of
// batch normalisation, in the order of the calls. It is separate from Run so that
// a step that turned out not finite, or is to be retried, changes nothing.
func (e *Executable) Commit() {
	for _, o := range e.plan.ops {
		if o.Commit != nil {
			o.Commit()
		}
	}
}

// Grad returns the gradient of the loss with respect to p, nil when none reaches
// it. The memory is overwritten by the next Run; it may be scaled in place.
func (e *Executable) Grad(p *param.Parameter) []float32 {
	if m := e.byParam[p]; m != nil {
		return m.data
	}
	return nil
}

// GradOf returns the gradient with respect to an input that asked for it with
// RequireGrad, nil when none reaches it.
func (e *Executable) GradOf(n *Node) []float32 {
	if m := e.plan.grads[n]; m != nil {
		return m.data
	}
	return nil
}

// Parameters lists the parameters that get a gradient, in the order they entered
// the graph.
func (e *Executable) Parameters() []*param.Parameter { return e.params }

// Bytes returns the memory for activations and gradients, without parameters and
// inputs.
func (e *Executable) Bytes() int { return 4 * len(e.plan.arena) }

// FLOPs returns 2 × the multiply-adds of matrix products and attention in one
// Run, the backward pass counted as twice the forward one where there is one: not
// for a teacher.
func (e *Executable) FLOPs() float64 {
	total := 0.0
	for _, o := range e.plan.ops {
		total += o.FLOPs
	}
	for _, s := range e.plan.steps {
		if s.backward && s.op != nil {
			total += 2 * s.op.FLOPs
		}
	}
	return total
}

// FirstNonFinite looks for NaN and infinity in the loss, the extra nodes and the
// gradients of the last Run; ok reports that all are finite. If not, it runs the
// graph again and names the first tensor, in the order of computation, that is
// not: an input, a parameter, an activation or a gradient.
func (e *Executable) FirstNonFinite() (tensor string, index int, value float32, ok bool) {
	if e.finite() {
		return "", 0, 0, true
	}
	e.found = nil
	e.inspectLeaves()
	if e.found == nil {
		e.checking = true
		e.Run() // an error here leaves e.found as the best answer
		e.checking = false
	}
	if e.found == nil {
		return "unknown (a second run was finite)", 0, 0, false
	}
	return e.found.Tensor, e.found.Index, e.found.Value, false
}

func (e *Executable) finite() bool {
	for _, m := range e.plan.memories {
		if m.kept && m.data != nil && f32.FirstNonFinite(e.engine.Pool(), m.data) >= 0 {
			return false
		}
	}
	return true
}

func (e *Executable) inspect(name string, data []float32) {
	if e.found != nil || len(data) == 0 {
		return
	}
	if i := f32.FirstNonFinite(e.engine.Pool(), data); i >= 0 {
		e.found = &NonFinite{name, i, data[i]}
	}
}

func (e *Executable) inspectLeaves() {
	for _, o := range e.plan.ops {
		for _, n := range o.In {
			if n != nil && n.root().from == nil {
				e.inspect(n.root().name, n.root().data)
			}
		}
	}
}

// check inspects what a step has written.
func (e *Executable) check(s *step, c *Call) {
	if !s.backward {
		for i, n := range s.op.Out {
			e.inspect(n.name+s.op.place(), c.Out[i])
		}
		return
	}
	for _, m := range s.gin {
		if m != nil {
			e.inspect(m.name+s.op.place(), m.data)
		}
	}
}

// place says where in the network an operator is: which weight it applies or, if
// it has none, the last ones before it. Empty where there are no weights at all.
func (o *Op) place() string {
	if o == nil { // a sum of gradients
		return ""
	}
	for seen, level := map[*Op]bool{o: true}, []*Op{o}; len(level) > 0; {
		var above []*Op
		for _, p := range level {
			for _, n := range p.In {
				switch {
				case n == nil:
				case n.root().param != nil && p == o:
					return " (with " + n.root().param.Name + ")"
				case n.root().param != nil:
					return " (after " + n.root().param.Name + ")"
				case n.root().from != nil && !seen[n.root().from]:
					seen[n.root().from] = true
					above = append(above, n.root().from)
				}
			}
		}
		level = above
	}
	return ""
}

// Profile starts (true) or stops (false) measuring the time of each kind of
// operator.
func (e *Executable) Profile(on bool) {
	e.profile = nil
	if on {
		e.profile = map[string]*OpProfile{}
	}
}

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

// Profiles returns what was measured since Profile(true), the most time first.
func (e *Executable) Profiles() []OpProfile {
	var list []OpProfile
	for _, p := range e.profile {
		list = append(list, *p)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Time > list[j].Time })
	return list
}
