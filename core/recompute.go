package core

// Block records operators as one block of the network, the unit of RecomputeBlocks. Blocks don't
// nest: an inner one belongs to the outer.
func (g *Graph) Block(record func()) {
	if g.block == 0 {
		g.blocks++
		g.block = g.blocks
		defer func() { g.block = 0 }()
	}
	record()
}

// RecomputeBlocks selects activation checkpointing (Chen et al., arXiv:1604.06174): a block keeps
// its inputs from the forward to the backward pass, and no activation inside it. The forward steps
// that its backward steps depend on run once more right before these. That costs most of a forward
// pass and changes no bit of any result.
func (g *Graph) RecomputeBlocks() { g.recompute = true }

// recomputes returns the block of o if o may run again in the backward pass, else 0. Operators with
// an effect beyond their outputs run once.
func (p *compilation) recomputes(o *Op) int {
	if o == nil || !p.graph.recompute || o.Once || o.Commit != nil {
		return 0
	}
	return o.compiled.block
}

// recompute inserts before the first backward step of every block the forward steps whose results
// the backward steps of the block read.
func (p *compilation) recompute() {
	needed := p.recomputedOps()
	steps := p.steps
	p.steps = nil
	done := map[int]bool{}
	for _, s := range steps {
		if block := p.recomputes(s.op); block != 0 && s.backward && !done[block] {
			done[block] = true
			p.repeatForward(block, needed)
		}
		p.steps = append(p.steps, s)
	}
}

// repeatForward appends the forward steps of the needed operators of a block once more.
func (p *compilation) repeatForward(block int, needed map[*Op]bool) {
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

// recomputedOps returns the operators inside blocks that the backward steps of their own block
// depend on.
func (p *compilation) recomputedOps() map[*Op]bool {
	needed := map[*Op]bool{}
	var need func(o *Op)
	needInside := func(block int, n *Node) {
		if n == nil {
			return
		}
		if o := n.root().from; o != nil && p.recomputes(o) == block {
			need(o)
		}
	}
	need = func(o *Op) {
		if o == nil || needed[o] {
			return
		}
		needed[o] = true
		for _, n := range o.In {
			needInside(o.compiled.block, n)
		}
	}
	for _, s := range p.steps {
		block := p.recomputes(s.op)
		if block == 0 || !s.backward {
			continue
		}
		for _, n := range s.reads() {
			needInside(block, n)
		}
		if len(s.op.Save) > 0 {
			need(s.op)
		}
		need(s.op.compiled.slopeOf)
	}
	return needed
}
