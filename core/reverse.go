package core

import "slices"

// reversal walks the operators of a compilation backwards and lays down the steps that compute the
// gradients. Contributions to one node are added by the operator that computes the next one, in
// place, where it can; else by a step of their own.
type reversal struct {
	*compilation
	pending map[*Node][]*memory // contributions to the gradient of a node so far
}

// reverse appends the backward steps of the compilation.
func (p *compilation) reverse() {
	r := &reversal{compilation: p, pending: map[*Node][]*memory{}}
	p.seed = &memory{name: "seed", size: 1, data: []float32{1}, kept: true, refs: 1}
	if t := p.loss.gradTarget(); t != nil {
		r.contribute(t, p.seed)
	}
	for _, o := range slices.Backward(p.ops) {
		r.differentiate(o)
		r.release(o)
	}
	r.collect()
}

// contribute adds a term to the gradient of n.
func (r *reversal) contribute(n *Node, m *memory) {
	m.refs++
	r.pending[n] = append(r.pending[n], m)
}

// joined returns the sum of the terms of the gradient of n, nil for none. Several terms become one
// by a step of their own.
func (r *reversal) joined(n *Node) *memory {
	terms := r.pending[n]
	switch len(terms) {
	case 0:
		return nil
	case 1:
		return terms[0]
	}
	dst := terms[0]
	if dst.refs > 1 {
		dst = r.memory("d "+n.name, dst.size)
	}
	r.steps = append(r.steps, &step{backward: true, sum: terms, gin: []*memory{dst}})
	for _, t := range terms {
		t.refs--
	}
	r.pending[n] = nil
	r.contribute(n, dst)
	return dst
}

// differentiate appends the backward step of o, if a gradient reaches it and goes on from it.
func (r *reversal) differentiate(o *Op) {
	s := &step{op: o, backward: true, gout: make([]*memory, len(o.Out)), gin: make([]*memory, len(o.In)), acc: make([]*memory, len(o.In))}
	reached := false
	for j, n := range o.Out {
		s.gout[j] = r.joined(n)
		reached = reached || s.gout[j] != nil
	}
	if !reached {
		return
	}
	computes := false
	written := map[*Node]bool{} // by this very step, which can't add to them
	for k := range o.In {
		if !o.WantsGrad(k) {
			continue
		}
		target := o.In[k].gradTarget()
		if o.PassGrad.Has(k) && s.gout[0] != nil {
			r.contribute(target, s.gout[0])
			continue
		}
		computes = true
		if o.AddsGrad.Has(k) && !written[target] {
			s.acc[k] = r.joined(target)
		}
		s.gin[k] = r.destination(target, s.acc[k])
		written[target] = true
	}
	if computes {
		r.steps = append(r.steps, s)
	}
}

// destination returns the buffer for a gradient of target to which acc, if not nil, is added: acc
// itself where nothing else reads it.
func (r *reversal) destination(target *Node, acc *memory) *memory {
	if acc != nil && acc.refs == 1 {
		return acc
	}
	m := r.memory("d "+target.name, target.shape.Size())
	if acc != nil {
		acc.refs--
		r.pending[target] = nil
	}
	r.contribute(target, m)
	return m
}

// release drops the gradients of the outputs of o, whose backward step stands.
func (r *reversal) release(o *Op) {
	for _, n := range o.Out {
		for _, m := range r.pending[n] {
			m.refs--
		}
		delete(r.pending, n)
	}
}

// collect gives every parameter, and every input with RequireGrad, a gradient in memory of its own
// that lasts to the end of the run.
func (r *reversal) collect() {
	owned := map[*memory]bool{r.seed: true}
	for _, n := range r.leaves() {
		m := r.joined(n)
		if m == nil {
			continue
		}
		if owned[m] || m.refs > 1 { // shared with the gradient of another node
			c := r.memory("d "+n.name, m.size)
			r.steps = append(r.steps, &step{backward: true, sum: []*memory{m}, gin: []*memory{c}})
			m = c
		}
		owned[m] = true
		m.kept = true
		r.grads[n] = m
	}
}

// leaves lists the parameters of the graph and the inputs in use with RequireGrad.
func (r *reversal) leaves() []*Node {
	leaves := slices.Clone(r.graph.params)
	seen := map[*Node]bool{}
	for _, o := range r.ops {
		for _, n := range o.In {
			if n == nil {
				continue
			}
			if x := n.root(); x.from == nil && x.param == nil && x.needs && !seen[x] {
				seen[x] = true
				leaves = append(leaves, x)
			}
		}
	}
	return leaves
}
