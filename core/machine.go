package core

import (
	"fmt"

	"gorgonia.org/gorgonia"
)

// machine is a gorgonia.VM for graphs whose ops return the same persistent value from every Do. The
// tape machine of gorgonia also serves ops that return new memory each time: it makes a list of
// operands for every op and run, and moves values between registers. Here both are settled once,
// and a run allocates nothing.
type machine struct{ tape []bound }

var _ gorgonia.VM = (*machine)(nil)

// bound is an op with the values of its operands. Ops of this package know their memory and ignore
// the operands; newMachine collects them to check that each is computed before use.
type bound struct {
	op       gorgonia.Op
	operands []gorgonia.Value
}

// newMachine compiles a graph in the topological order of gorgonia. operands are the children of
// each node with an op.
func newMachine(g *gorgonia.ExprGraph, operands map[*gorgonia.Node]gorgonia.Nodes) (*machine, error) {
	sorted, err := gorgonia.Sort(g) // results before their operands
	if err != nil {
		return nil, err
	}
	m := &machine{}
	values := map[*gorgonia.Node]gorgonia.Value{}
	for i := len(sorted) - 1; i >= 0; i-- {
		n := sorted[i]
		if n.Op() == nil {
			values[n] = n.Value()
			continue
		}
		op, ok := n.Op().(persistent)
		if !ok {
			return nil, fmt.Errorf("node %s: its op has no persistent value", n.Name())
		}
		b := bound{op: op}
		for _, child := range operands[n] {
			v := values[child]
			if v == nil {
				return nil, fmt.Errorf("node %s: operand %s has no value", n.Name(), child.Name())
			}
			b.operands = append(b.operands, v)
		}
		m.tape = append(m.tape, b)
		values[n] = op.persistent()
	}
	return m, nil
}

// persistent is an op that always returns the same value, whose memory is known beforehand.
type persistent interface {
	gorgonia.Op
	persistent() gorgonia.Value
}

func (x *instruction) persistent() gorgonia.Value { return x.result }
func (x *pick) persistent() gorgonia.Value        { return x.value }

// RunAll does every op once and stops at the first error.
func (m *machine) RunAll() error {
	for i := range m.tape {
		if _, err := m.tape[i].op.Do(m.tape[i].operands...); err != nil {
			return err
		}
	}
	return nil
}

// Reset does nothing: a machine has no position between runs.
func (m *machine) Reset() {}

// Close does nothing: the memory belongs to the graph.
func (m *machine) Close() error { return nil }
