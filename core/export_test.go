package core

import (
	"fmt"
	"unsafe"

	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
	"gorgonia.org/gorgonia"
	dense "gorgonia.org/tensor"
)

// This file opens the compiler to the tests of package core_test, which build graphs of the
// operators and therefore can't be part of this package.

// Steps is the number of steps of a run.
func (e *Executable) Steps() int { return len(e.compilation.steps) }

// GradientBytes is the memory of the gradients that last to the end of a run.
func (e *Executable) GradientBytes() (bytes int) {
	for _, m := range e.compilation.grads {
		bytes += 4 * m.size
	}
	return bytes
}

// Recomputed names the forward steps that run once more for the backward pass.
func (e *Executable) Recomputed() (names []string) {
	for _, s := range e.compilation.steps {
		if s.again {
			names = append(names, s.name())
		}
	}
	return names
}

// Lifetime is the place of a buffer in the arena, in floats, and its first and last step.
type Lifetime struct {
	Name                      string
	Used                      bool
	Offset, Size, First, Last int
}

// Lifetimes lists the buffers of a graph and the size of the arena that they share.
func (g *Graph) Lifetimes(loss *Node) (list []Lifetime, arena int, err error) {
	p, err := g.placed(loss, false)
	if err != nil {
		return nil, 0, err
	}
	for _, m := range p.memories {
		list = append(list, Lifetime{m.name, m.used, m.offset, m.size, m.first, m.last})
	}
	return list, len(p.arena), nil
}

// placed compiles a graph as far as its memory; without a loss only its value is computed.
func (g *Graph) placed(end *Node, inference bool) (p *compilation, err error) {
	if inference {
		p, err = g.compilation(nil, []*Node{end})
	} else {
		p, err = g.compilation(end, nil)
	}
	if err != nil {
		return nil, err
	}
	p.unshared = inference
	return p, place(p)
}

// built adds the steps of a compilation to a gorgonia graph.
func (e *Executable) built(salt uint64, chained bool) (*builder, error) {
	b := newBuilder(e, salt)
	b.chained = chained
	for _, s := range e.compilation.steps {
		if err := b.add(s); err != nil {
			return nil, err
		}
	}
	if c := b.collision(); c != "" {
		return nil, fmt.Errorf("collision: %s", c)
	}
	return b, nil
}

// RunOnTape runs the graph on gorgonia's own tape machine.
func (e *Executable) RunOnTape() error {
	b, err := e.built(0, true)
	if err != nil {
		return err
	}
	tape := gorgonia.NewTapeMachine(b.graph)
	defer tape.Close()
	e.run++
	return tape.RunAll()
}

// Hashes returns gorgonia's hashes of the nodes of a graph, with their names, for salts 0 to
// salts-1.
func (g *Graph) Hashes(loss *Node, salts int) ([]map[uint32]string, error) {
	p, err := g.placed(loss, false)
	if err != nil {
		return nil, err
	}
	e := p.executable()
	list := make([]map[uint32]string, salts)
	for salt := range list {
		b, err := e.built(uint64(salt), true)
		if err != nil {
			return nil, err
		}
		list[salt] = map[uint32]string{}
		for _, n := range b.graph.AllNodes() {
			list[salt][n.Hashcode()] = n.Name()
		}
	}
	return list, nil
}

// CollisionOf compiles a graph to the node end, gives two further nodes over the input x the same
// serial number, and returns the report of that collision.
func (g *Graph) CollisionOf(x, end *Node) (string, error) {
	p, err := g.placed(end, true)
	if err != nil {
		return "", err
	}
	b, err := p.executable().built(0, true)
	if err != nil {
		return "", err
	}
	for range 2 {
		b.serial = 1000
		if _, err := b.pick(b.nodes[x], "same", x.shape, nil); err != nil {
			return "", err
		}
	}
	return b.collision(), nil
}

// GorgoniaGradients runs a graph and gorgonia's symbolic derivative of it, and returns loss and
// gradients by parameter.
func (g *Graph) GorgoniaGradients(loss *Node) (float32, map[*param.Parameter][]float32, error) {
	p, err := g.placed(loss, true)
	if err != nil {
		return 0, nil, err
	}
	exe := p.executable()
	exe.run = 1
	b, err := exe.built(0, false)
	if err != nil {
		return 0, nil, err
	}
	var wrt gorgonia.Nodes
	for _, n := range g.params {
		wrt = append(wrt, b.nodes[n])
	}
	grads, err := gorgonia.Grad(b.nodes[loss], wrt...)
	if err != nil {
		return 0, nil, err
	}
	if c := b.collision(); c != "" {
		return 0, nil, fmt.Errorf("collision: %s", c)
	}
	machine := gorgonia.NewTapeMachine(b.graph)
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		return 0, nil, err
	}
	values := map[*param.Parameter][]float32{}
	for i, n := range g.params {
		values[n.param] = floats(grads[i].Value())
	}
	return loss.Value()[0], values, nil
}

// floats returns the memory of a float32 value.
func floats(v gorgonia.Value) []float32 {
	switch v := v.(type) {
	case *gorgonia.F32:
		return unsafe.Slice((*float32)(unsafe.Pointer(v)), 1)
	case *dense.Dense:
		return v.Float32s()
	}
	panic(fmt.Sprintf("core: gorgonia value of type %T", v))
}

// backwardOp is a backward step whose incoming gradient lies where gorgonia put it.
type backwardOp struct{ *instruction }

// Do takes the gradient from the first operand.
func (x *backwardOp) Do(vs ...gorgonia.Value) (gorgonia.Value, error) {
	x.call.GradOut[0] = floats(vs[0])
	return x.instruction.Do(vs...)
}

// The methods below are those that gorgonia.Grad needs to differentiate a step, for the cross-check
// of our own reverse walk. Only that test uses them.

// DiffWRT tells which operands of a forward step take a gradient.
func (x *instruction) DiffWRT(n int) []bool {
	wants := make([]bool, n)
	for i, operand := range x.operands() {
		wants[i] = !x.step.backward && operand >= 0
	}
	return wants
}

// operands maps gorgonia's children to operands of the op that want a gradient, -1 for others. A
// child that stands for several operands maps to the first.
func (x *instruction) operands() []int {
	var list []int
	seen := map[*gorgonia.Node]bool{}
	if x.step.op == nil {
		return nil
	}
	for i, n := range x.step.op.In {
		if n == nil {
			continue
		}
		child := x.builder.node(n)
		if seen[child] {
			continue
		}
		seen[child] = true
		if x.step.op.WantsGrad(i) {
			list = append(list, i)
		} else {
			list = append(list, -1)
		}
	}
	return list
}

// SymDiff makes the backward step for a gradient node of gorgonia's.
func (x *instruction) SymDiff(inputs gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	o := x.step.op
	s := &step{op: o, backward: true, gout: make([]*memory, len(o.Out)), gin: make([]*memory, len(o.In)), acc: make([]*memory, len(o.In))}
	if o.WorkBack > 0 {
		s.scratch = &memory{size: o.WorkBack, data: make([]float32, o.WorkBack)}
	}
	y := &backwardOp{&instruction{builder: x.builder, step: s}}
	gradients := make([]*memory, len(inputs))
	result := make(gorgonia.Nodes, len(inputs))
	for k, i := range x.operands() {
		switch {
		case i < 0:
		case o.PassGrad.Has(i):
			result[k] = grad
		default:
			m := &memory{size: o.In[i].shape.Size(), data: make([]float32, o.In[i].shape.Size())}
			s.gin[i], gradients[k] = m, m
		}
	}
	y.call = x.builder.exe.callOf(s)
	operands := append(gorgonia.Nodes{grad}, inputs...)
	var main *gorgonia.Node
	for k, m := range gradients {
		if m == nil {
			continue
		}
		v := value(x.builder.shapeOf(inputs[k]), m.data)
		var err error
		if main == nil {
			y.result = v
			x.builder.sign(&y.signature, s.name(), operands, x.builder.shapeOf(inputs[k]))
			main, err = x.builder.apply(y, operands...)
			result[k] = main
		} else {
			result[k], err = x.builder.pick(main, s.name(), x.builder.shapeOf(inputs[k]), v)
		}
		if err != nil {
			return nil, err
		}
	}
	return result, nil
}

func (b *builder) shapeOf(n *gorgonia.Node) tensor.Shape { return tensor.Shape(n.Shape()).Clone() }

// DiffWRT: nothing is differentiated through a pick.
func (x *pick) DiffWRT(n int) []bool { return make([]bool, n) }

// SymDiff is never called, since DiffWRT allows nothing.
func (x *pick) SymDiff(gorgonia.Nodes, *gorgonia.Node, *gorgonia.Node) (gorgonia.Nodes, error) {
	return nil, fmt.Errorf("core: %s has no gradient", x.name)
}
