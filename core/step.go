package core

import "fmt"

// step is one instruction of a compiled graph: the forward or backward pass of an operator, or a
// sum of gradients.
type step struct {
	op       *Op
	backward bool
	again    bool      // the forward pass repeated for the backward pass, see RecomputeBlocks
	gout     []*memory // backward: gradient of each output, nil for none
	gin      []*memory // backward: destination of the gradient of each input, nil for none
	acc      []*memory // backward: gradient to be added to gin[i]; equal to gin[i]: in place
	sum      []*memory // sum of gradients: the terms; gin[0] takes the result
	scratch  *memory
}

// name returns the name of the step in the graph.
func (s *step) name() string {
	switch {
	case s.op == nil:
		return "sum of gradients"
	case s.backward:
		return s.op.Name + " backward"
	case s.again:
		return s.op.Name + " again"
	}
	return s.op.Name
}

// describe names the step with its operands and results, for errors.
func (s *step) describe() string {
	text := s.name()
	if s.op == nil {
		return text
	}
	for i, n := range s.op.In {
		if n != nil {
			text += fmt.Sprintf(", operand %d: %s %v", i, n.name, n.shape)
		}
	}
	for _, n := range s.op.Out {
		text += fmt.Sprintf(", result: %s %v", n.name, n.shape)
	}
	return text
}

// reads lists the nodes whose values the step needs: all inputs of a forward pass, and of a
// backward pass the inputs and outputs that the operator keeps.
func (s *step) reads() (nodes []*Node) {
	if s.op == nil {
		return nil
	}
	for i, n := range s.op.In {
		if n != nil && (!s.backward || s.op.KeepIn.Has(i)) {
			nodes = append(nodes, n)
		}
	}
	for i, n := range s.op.Out {
		if s.backward && s.op.KeepOut.Has(i) {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// memoryOf returns the buffer in which step s finds or leaves the value of n, nil for inputs and
// parameters. The backward pass of a recomputed block reads the recomputed value.
func (s *step) memoryOf(n *Node) *memory {
	r := n.root()
	if r.again != nil && (s.again || s.backward) && s.op.compiled.block == r.from.compiled.block {
		return r.again
	}
	return r.mem
}

// savedBy returns the buffers of o.Save for this step. o is the operator of the step or the one
// whose GELU gradient it applies.
func (s *step) savedBy(o *Op) []*memory {
	if o.compiled.savedAgain != nil && (s.again || s.backward) {
		return o.compiled.savedAgain
	}
	return o.compiled.saved
}
