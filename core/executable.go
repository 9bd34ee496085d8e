package core

import (
	"fmt"
	"time"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/core/param"
)

// Executable is a compiled graph. It must not run in two goroutines at the same time; several
// executables of one device may.
type Executable struct {
	device      *device.CPU
	compilation *compilation
	machine     *machine
	packs       map[packKey]*Pack
	params      []*param.Parameter
	byParam     map[*param.Parameter]*memory
	run         uint64
	err         error
	checking    bool
	found       *NonFinite
	profile     map[string]*OpProfile
}

// OperandError reports values that an operator refuses: indices, masks and labels, which come from
// outside the graph.
type OperandError struct {
	Op  string // operator with the names and shapes of its operands and results
	Err error
}

func (e *OperandError) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the fault itself.
func (e *OperandError) Unwrap() error { return e.Err }

// packKey identifies the packed form of a weight: forward and backward products read it in
// different orders.
type packKey struct {
	node     *Node
	backward bool
}

// executable binds the nodes and parameters of a placed compilation to their memory.
func (p *compilation) executable() *Executable {
	e := &Executable{device: p.graph.device, compilation: p, packs: map[packKey]*Pack{}, byParam: map[*param.Parameter]*memory{}}
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
	c := Call{Pool: e.device.Pool()}
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

// sumInto adds up gradients in the order of the terms.
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

// fail keeps the first error of a run.
func (e *Executable) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// Run computes the loss, the extra nodes and all gradients from the current values of inputs and
// parameters. It changes no parameter and no buffer; see Commit. An error in an operator, a panic
// included, names the operator and its shapes.
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

// Commit applies the state changes of the last Run, such as running statistics of batch
// normalization, in the order of the operators. It is separate from Run, so that a step that is not
// finite, or is repeated, changes nothing.
func (e *Executable) Commit() {
	for _, o := range e.compilation.ops {
		if o.Commit != nil {
			o.Commit()
		}
	}
}

// Grad returns the gradient of the loss with respect to p, nil if none reaches it. The next Run
// overwrites the memory; the caller may scale it in place.
func (e *Executable) Grad(p *param.Parameter) []float32 {
	if m := e.byParam[p]; m != nil {
		return m.data
	}
	return nil
}

// GradOf returns the gradient with respect to an input with RequireGrad, nil if none reaches it.
func (e *Executable) GradOf(n *Node) []float32 {
	if m := e.compilation.grads[n]; m != nil {
		return m.data
	}
	return nil
}

// Parameters lists the parameters with a gradient, in the order of their first Graph.Param.
func (e *Executable) Parameters() []*param.Parameter { return e.params }

// Bytes returns the size of the memory of activations and gradients, the whole arena of graphs that
// were compiled together included; parameters and inputs don't count.
func (e *Executable) Bytes() int { return 4 * (len(e.compilation.arena) + len(e.compilation.results)) }
