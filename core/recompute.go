package core

// Block records operators as one block of the network. Blocks are what
// RecomputeBlocks forgets and computes again; without it they mean nothing.
// Blocks don't nest: an inner one belongs to the outer.
func (g *Graph) Block(record func()) {
	if g.block == 0 {
		g.blocks++
		g.block = g.blocks
		defer func() { g.block = 0 }()
	}
	record()
}

// RecomputeBlocks makes Compile keep no activation inside a block from the
// forward to the backward pass (Chen et al., arXiv:1604.06174): a block keeps
// what enters it, and right before its backward steps its forward ones that
// these depend on run once more. That costs most of a forward pass and changes
// no bit of any result.
func (g *Graph) RecomputeBlocks() { g.recompute = true }

// recomputes returns the block of o if o runs again in the backward pass, else 0.
// Operators with an effect beyond their outputs run once.
func (p *plan) recomputes(o *Op) int {
	if o == nil || !p.graph.recompute || o.Once || o.Commit != nil {
		return 0
	}
	return o.compiled.block
}

// recompute inserts before the first backward step of every block the forward
// steps whose results the backward steps of the block read.
func (p *plan) recompute() {
	needed := map[*Op]bool{}
	var need func(o *Op)
	inside := func(block int, n *Node) *Op {
		if n == nil {
			return nil
		}
		if o := n.root().from; o != nil && p.recomputes(o) == block {
			return o
		}
		return nil
	}
	need = func(o *Op) {
		if o == nil || needed[o] {
			return
		}
		needed[o] = true
		for _, n := range o.In {
			need(inside(o.compiled.block, n))
		}
	}
	for _, s := range p.steps {
		block := p.recomputes(s.op)
		if block == 0 || !s.backward {
			continue
		}
		for i, n := range s.op.In {
			if s.op.KeepIn.Has(i) {
				need(inside(block, n))
			}
		}
		for i, n := range s.op.Out {
			if s.op.KeepOut.Has(i) {
				need(inside(block, n))
			}
		}
		if len(s.op.Save) > 0 {
			need(s.op)
		}
		need(s.op.compiled.slopeOf)
	}
	steps := p.steps
	p.steps = nil
	done := map[int]bool{}
	for _, s := range steps {
		if block := p.recomputes(s.op); block != 0 && s.backward && !done[block] {
			done[block] = true
			for _, o := range p.ops {
				if p.recomputes(o) != block || !needed[o] {
					continue
				}
				for _, n := range o.Out {
					n.again = p.memory(n.name+", again", n.shape.Size())
				}
				p.steps = append(p.steps, &step{op: o, again: true})
			}
		}
		p.steps = append(p.steps, s)
	}
}

// memoryOf returns where step s finds or leaves the value of n, nil for inputs
// and parameters: a block's backward pass sees what was computed again.
func (s *step) memoryOf(n *Node) *memory {
	r := n.root()
	if r.again != nil && (s.again || s.backward) && s.op.compiled.block == r.from.compiled.block {
		return r.again
	}
	return r.mem
}

// savedBy returns what o, the step's operator or one whose GELU it applies, has
// saved for it.
func (s *step) savedBy(o *Op) []*memory {
	if o.compiled.savedAgain != nil && (s.again || s.backward) {
		return o.compiled.savedAgain
	}
	return o.compiled.saved
}
