package core

import (
	"fmt"
	"slices"
)

// Compile prepares the graph for Run. With a loss, a node of one element, it computes the gradients
// of all unfrozen parameters that the loss depends on; a nil loss means inference. The values of
// loss and extra can be read after each Run. Operators that neither needs are left out. A graph can
// be compiled once.
func (g *Graph) Compile(loss *Node, extra ...*Node) (*Executable, error) {
	e, err := CompileTogether(Part{Graph: g, Loss: loss, Extra: extra})
	if err != nil {
		return nil, err
	}
	return e[0], nil
}

// Part is a graph among those of CompileTogether, with the arguments of its Compile.
type Part struct {
	Graph *Graph
	Loss  *Node
	Extra []*Node
	// Lasting keeps loss, extra nodes and gradients until the graph's own next Run. Without it the
	// Run of any graph of the arena overwrites them.
	Lasting bool
}

// CompileTogether compiles graphs of one device of which no two run at the same time. Activations
// and gradients of all of them lie in one arena, as large as the largest graph needs.
func CompileTogether(parts ...Part) ([]*Executable, error) {
	var compilations []*compilation
	for _, part := range parts {
		p, err := part.Graph.compilation(part.Loss, part.Extra)
		if err != nil {
			return nil, err
		}
		p.lasting = part.Lasting
		compilations = append(compilations, p)
	}
	if err := place(compilations...); err != nil {
		return nil, err
	}
	var executables []*Executable
	for _, p := range compilations {
		e := p.executable()
		if err := e.build(); err != nil {
			return nil, err
		}
		executables = append(executables, e)
	}
	return executables, nil
}

// compilation is a graph on its way to an executable.
type compilation struct {
	graph    *Graph
	loss     *Node
	extra    []*Node
	ops      []*Op
	steps    []*step
	memories []*memory // all buffers
	seed     *memory
	grads    map[*Node]*memory // of parameters and of inputs with RequireGrad
	arena    []float32         // of all compilations that were placed together
	results  []float32         // memory of the results alone, where lasting is set
	lasting  bool
	unshared bool // every buffer has memory of its own, for runs in another order
}

// compilation selects the operators that the ends need and lays down their steps.
func (g *Graph) compilation(loss *Node, extra []*Node) (*compilation, error) {
	ends := slices.Clone(extra)
	if loss != nil {
		ends = append(ends, loss)
	}
	if err := g.checkEnds(loss, ends); err != nil {
		return nil, err
	}
	p := &compilation{graph: g, loss: loss, extra: extra, ops: g.operatorsOf(ends), grads: map[*Node]*memory{}}
	if len(p.ops) == 0 {
		return nil, fmt.Errorf("nothing to compute: the nodes given to Compile are inputs; give it results of operators")
	}
	g.compiled = true
	for _, o := range p.ops {
		for _, n := range o.Out {
			n.mem = p.memory(n.name, n.shape.Size())
		}
		p.steps = append(p.steps, &step{op: o})
	}
	for _, n := range ends {
		if m := n.root().mem; m != nil {
			m.kept = true
		}
	}
	if loss != nil {
		p.fuseGelu(ends)
		p.reverse()
		if g.recompute {
			p.recompute()
		}
	}
	return p, nil
}

// checkEnds returns an error when the graph can't be compiled to these nodes.
func (g *Graph) checkEnds(loss *Node, ends []*Node) error {
	if g.err != nil {
		return g.err
	}
	if g.compiled {
		return fmt.Errorf("the graph has been compiled already; build another one over the same parameters")
	}
	if len(ends) == 0 {
		return fmt.Errorf("nothing to compute: Compile was given neither a loss nor extra nodes")
	}
	for _, n := range ends {
		if n == nil || n.graph != g {
			return fmt.Errorf("a node given to Compile belongs to another graph or is nil")
		}
	}
	if loss == nil {
		return nil
	}
	if loss.shape.Size() != 1 {
		return fmt.Errorf("the loss %s has shape %v, it must have one element: take its sum or mean", loss.name, loss.shape)
	}
	if !loss.needs {
		return fmt.Errorf("the loss %s depends on no parameter that takes a gradient: unfreeze one, or compile without a loss", loss.name)
	}
	return nil
}

// operatorsOf lists the operators that the ends depend on, in the order of their recording, in
// which they can run.
func (g *Graph) operatorsOf(ends []*Node) []*Op {
	used := map[*Op]bool{}
	var visit func(n *Node)
	visit = func(n *Node) {
		if n == nil {
			return
		}
		o := n.root().from
		if o == nil || used[o] {
			return
		}
		used[o] = true
		for _, in := range o.In {
			visit(in)
		}
	}
	for _, n := range ends {
		visit(n)
	}
	return slices.DeleteFunc(slices.Clone(g.ops), func(o *Op) bool { return !used[o] })
}

// memory adds a buffer of size floats to the compilation.
func (p *compilation) memory(name string, size int) *memory {
	m := &memory{name: name, size: size}
	p.memories = append(p.memories, m)
	return m
}

// fuseGelu finds linear layers that alone read the output of a GELU. Their backward product then
// gives the gradient of the pre-activation directly.
func (p *compilation) fuseGelu(ends []*Node) {
	readers := map[*Node]int{}
	for _, o := range p.ops {
		for _, n := range o.In {
			if n != nil {
				readers[n.root()]++
			}
		}
	}
	for _, n := range ends {
		readers[n.root()]++
	}
	for _, o := range p.ops {
		if !o.Weighted || !o.WantsGrad(0) {
			continue
		}
		x := o.In[0].root()
		if x.from != nil && x.from.SlopeSaved && x.from.compiled.block == o.compiled.block && readers[x] == 1 && o.In[0].gradTarget() == x {
			o.compiled.slopeOf, x.from.SlopeApplied = x.from, true
		}
	}
}
