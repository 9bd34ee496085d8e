package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

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
func CallExternal(g *core.Graph, e External, inputs []*core.Node, outputs []tensor.Shape) []*core.Node {
	bad := func() []*core.Node {
		out := make([]*core.Node, max(1, len(outputs)))
		for i := range out {
			out[i] = g.Invalid()
		}
		return out
	}
	if !g.Check(e.Name, "at least one float input and one output of positive size", atLeastOne(inputs), nil, func() bool {
		for _, n := range inputs {
			if n.Integer() {
				return false
			}
		}
		for _, s := range outputs {
			if n, err := s.CheckedSize(); err != nil || n == 0 {
				return false
			}
		}
		return len(outputs) > 0 && e.Forward != nil
	}) {
		return bad()
	}
	o := &core.Op{
		Name: e.Name, In: append([]*core.Node{}, inputs...), Once: true,
		Forward: func(c *core.Call) { c.Err = e.Forward(c.In, c.Out) },
	}
	if e.Backward == nil {
		o.NoGrad = core.AllOperands
		if len(inputs) > 32 {
			g.Fail("%s: %d inputs without gradient, at most 32 are possible", e.Name, len(inputs))
			return bad()
		}
	} else {
		o.KeepIn, o.KeepOut = core.AllOperands, core.AllOperands
		if len(inputs) > 32 || len(outputs) > 32 {
			g.Fail("%s: %d inputs and %d outputs, at most 32 of each are possible", e.Name, len(inputs), len(outputs))
			return bad()
		}
		o.Backward = func(c *core.Call) {
			c.Err = e.Backward(c.In, c.Out, c.GradOut, c.GradIn)
		}
	}
	return g.Apply(o, outputs...)
}
