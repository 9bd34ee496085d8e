package core

import (
	"fmt"
	"slices"
)

// step is one instruction of a compiled graph: an operator's forward or backward
// pass, or a sum of gradients.
type step struct {
	op       *Op
	backward bool
	again    bool      // the forward pass once more, for the backward pass
	gout     []*memory // backward: gradient of each output, nil if none came
	gin      []*memory // backward: where each input's gradient goes
	acc      []*memory // backward: gradient to be added to gin[i]; gin[i] itself: in place
	sum      []*memory // sum of gradients: the terms, gin[0] takes the result
	scratch  *memory
}

// Compile prepares the graph to be run. With a loss (one element) gradients of
// all unfrozen parameters it depends on are computed; loss may be nil for
// inference. The values of loss and extra can be read after each Run. Operators
// that neither needs are left out. A graph can be compiled once.
func (g *Graph) Compile(loss *Node, extra ...*Node) (*Executable, error) {
	p, err := g.plan(loss, extra)
	if err != nil {
		return nil, err
	}
	if err := p.place(); err != nil {
		return nil, err
	}
	e := p.executable()
	if err := e.build(); err != nil {
		return nil, err
	}
	return e, nil
}

// plan is a graph on its way to an executable.
type plan struct {
	graph    *Graph
	loss     *Node
	extra    []*Node
	ops      []*Op
	steps    []*step
	memories []*memory // everything to be placed in the arena
	seed     *memory
	grads    map[*Node]*memory // of parameters and inputs that asked for it
	arena    []float32
	unshared bool // give every buffer memory of its own, for runs in another order
}

func (g *Graph) plan(loss *Node, extra []*Node) (*plan, error) {
	if g.err != nil {
		return nil, g.err
	}
	if g.compiled {
		return nil, fmt.Errorf("the graph has been compiled already; build another one over the same parameters")
	}
	p := &plan{graph: g, loss: loss, extra: extra, grads: map[*Node]*memory{}}
	ends := slices.Clone(extra)
	if loss != nil {
		ends = append(ends, loss)
		if loss.shape.Size() != 1 {
			return nil, fmt.Errorf("the loss %s has shape %v, it must have one element", loss.name, loss.shape)
		}
		if !loss.needs {
			return nil, fmt.Errorf("the loss %s depends on no parameter that takes a gradient", loss.name)
		}
	}
	if len(ends) == 0 {
		return nil, fmt.Errorf("nothing to compute: neither a loss nor extra nodes were given")
	}
	used := map[*Op]bool{}
	var visit func(n *Node)
	visit = func(n *Node) {
		o := n.root().from
		if o == nil || used[o] {
			return
		}
		used[o] = true
		for _, in := range o.In {
			if in != nil {
				visit(in)
			}
		}
	}
	for _, n := range ends {
		if n == nil || n.graph != g {
			return nil, fmt.Errorf("a node given to Compile belongs to another graph or is nil")
		}
		visit(n)
	}
	for _, o := range g.ops { // recorded in an order in which they can run
		if used[o] {
			p.ops = append(p.ops, o)
		}
	}
	if len(p.ops) == 0 {
		return nil, fmt.Errorf("nothing to compute: the nodes given to Compile are inputs")
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

func (p *plan) memory(name string, size int) *memory {
	m := &memory{name: name, size: size}
	p.memories = append(p.memories, m)
	return m
}

// fuseGelu finds linear layers that alone read the output of a GELU: their
// backward product then gives the gradient of the pre-activation directly.
func (p *plan) fuseGelu(ends []*Node) {
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

// reverse walks the operators backwards and lays down the steps that compute the
// gradients. Contributions to one node are added by the operator that computes
// the next one, in place, where it can; else by a step of their own.
func (p *plan) reverse() {
	pending := map[*Node][]*memory{}
	contribute := func(n *Node, m *memory) {
		m.refs++
		pending[n] = append(pending[n], m)
	}
	p.seed = &memory{name: "seed", size: 1, data: []float32{1}, kept: true, refs: 1}
	if t := p.loss.gradTarget(); t != nil {
		contribute(t, p.seed)
	}
	// joined returns the one gradient of n so far.
	joined := func(n *Node) *memory {
		terms := pending[n]
		if len(terms) < 2 {
			if len(terms) == 0 {
				return nil
			}
			return terms[0]
		}
		dst := terms[0]
		if dst.refs > 1 {
			dst = p.memory("d "+n.name, dst.size)
		}
		p.steps = append(p.steps, &step{backward: true, sum: terms, gin: []*memory{dst}})
		for _, t := range terms {
			t.refs--
		}
		pending[n] = nil
		contribute(n, dst)
		return dst
	}
	for i := len(p.ops) - 1; i >= 0; i-- {
		o := p.ops[i]
		s := &step{op: o, backward: true, gout: make([]*memory, len(o.Out)), gin: make([]*memory, len(o.In)), acc: make([]*memory, len(o.In))}
		any := false
		for j, n := range o.Out {
			s.gout[j] = joined(n)
			any = any || s.gout[j] != nil
		}
		if !any || !o.wants() {
			p.release(pending, o)
			continue
		}
		computes := false
		fresh := map[*Node]bool{} // written by this very step: not to be added to
		for k := range o.In {
			if !o.WantsGrad(k) {
				continue
			}
			target := o.In[k].gradTarget()
			if o.PassGrad.Has(k) && s.gout[0] != nil {
				contribute(target, s.gout[0])
				continue
			}
			computes = true
			if o.AddsGrad.Has(k) && !fresh[target] {
				s.acc[k] = joined(target)
			}
			if a := s.acc[k]; a != nil && a.refs == 1 {
				s.gin[k] = a
			} else {
				s.gin[k] = p.memory("d "+target.name, target.shape.Size())
				if a != nil {
					a.refs--
					pending[target] = nil
				}
				contribute(target, s.gin[k])
			}
			fresh[target] = true
		}
		if computes {
			p.steps = append(p.steps, s)
		}
		p.release(pending, o)
	}
	p.collect(pending, joined)
}

// release notes that the gradients of o's outputs have been used.
func (p *plan) release(pending map[*Node][]*memory, o *Op) {
	for _, n := range o.Out {
		for _, m := range pending[n] {
			m.refs--
		}
		delete(pending, n)
	}
}

// collect gives every parameter, and every input that asked for it, a gradient of
// its own that lasts to the end of the run.
func (p *plan) collect(pending map[*Node][]*memory, joined func(*Node) *memory) {
	leaves := slices.Clone(p.graph.params)
	seen := map[*Node]bool{}
	for _, o := range p.ops {
		for _, n := range o.In {
			if n == nil {
				continue
			}
			if r := n.root(); r.from == nil && r.param == nil && r.needs && !seen[r] {
				seen[r] = true
				leaves = append(leaves, r)
			}
		}
	}
	owned := map[*memory]bool{p.seed: true}
	for _, n := range leaves {
		m := joined(n)
		if m == nil {
			continue
		}
		if owned[m] || m.refs > 1 { // shared with another node's gradient
			c := p.memory("d "+n.name, m.size)
			p.steps = append(p.steps, &step{backward: true, sum: []*memory{m}, gin: []*memory{c}})
			m = c
		}
		owned[m] = true
		m.kept = true
		p.grads[n] = m
	}
}
