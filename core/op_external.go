package core

// External is an operator computed elsewhere, such as in a plugin's process.
type External struct {
	Name string
	// Forward fills out from in. The slices are only valid during the call.
	Forward func(in, out [][]float32) error
	// Backward fills gradIn[i], nil when it is not wanted, given the gradients of
	// the outputs; gradOut[j] is nil when nothing downstream depends on output j.
	// nil: the operator has no gradient.
	Backward func(in, out, gradOut, gradIn [][]float32) error
}

// External adds an operator with the given inputs, none of them integers, and
// output shapes. An error of its functions stops Run and is returned by it.
func (g *Graph) External(e External, inputs []*Node, outputs []Shape) []*Node {
	bad := func() []*Node {
		out := make([]*Node, max(1, len(outputs)))
		for i := range out {
			out[i] = g.invalid()
		}
		return out
	}
	if !g.fits(e.Name, "at least one float input and one output of positive size", atLeastOne(inputs), nil, func() bool {
		for _, n := range inputs {
			if n.integer {
				return false
			}
		}
		for _, s := range outputs {
			if n, err := s.checkedSize(); err != nil || n == 0 {
				return false
			}
		}
		return len(outputs) > 0 && e.Forward != nil
	}) {
		return bad()
	}
	o := &op{
		name: e.Name, in: append([]*Node{}, inputs...), once: true,
		forward: func(c *call) { c.err = e.Forward(c.in, c.out) },
	}
	if e.Backward == nil {
		o.noGrad = ^operandSet(0)
		if len(inputs) > 32 {
			g.fail("%s: %d inputs without gradient, at most 32 are possible", e.Name, len(inputs))
			return bad()
		}
	} else {
		o.keepIn, o.keepOut = ^operandSet(0), ^operandSet(0)
		if len(inputs) > 32 || len(outputs) > 32 {
			g.fail("%s: %d inputs and %d outputs, at most 32 of each are possible", e.Name, len(inputs), len(outputs))
			return bad()
		}
		o.backward = func(c *call) {
			c.err = e.Backward(c.in, c.out, c.gout, c.gin)
		}
	}
	return g.apply(o, outputs...)
}
