package core

import "github.com/vittool/vittool/core/internal/f32"

// NonFinite is a NaN or an infinity and its place.
type NonFinite struct {
	Tensor string
	Index  int
	Value  float32
}

// FirstNonFinite looks for NaN and infinity in the loss, the extra nodes and the gradients of the
// last Run; ok reports that all are finite. Otherwise it runs the graph again and names the first
// tensor with such a value, in the order of computation: an input, a parameter, an activation or a
// gradient.
func (e *Executable) FirstNonFinite() (tensor string, index int, value float32, ok bool) {
	if e.finite() {
		return "", 0, 0, true
	}
	e.found = nil
	e.inspectLeaves()
	if e.found == nil {
		e.checking = true
		e.Run() // an error here leaves e.found as the best answer
		e.checking = false
	}
	if e.found == nil {
		return "unknown (a second run was finite)", 0, 0, false
	}
	return e.found.Tensor, e.found.Index, e.found.Value, false
}

// finite reports whether all results of the last Run are finite.
func (e *Executable) finite() bool {
	for _, m := range e.compilation.memories {
		if m.kept && m.data != nil && f32.FirstNonFinite(e.device.Pool(), m.data) >= 0 {
			return false
		}
	}
	return true
}

// inspect keeps the first non-finite value of a tensor, unless one was found before.
func (e *Executable) inspect(name string, data []float32) {
	if e.found != nil || len(data) == 0 {
		return
	}
	if i := f32.FirstNonFinite(e.device.Pool(), data); i >= 0 {
		e.found = &NonFinite{name, i, data[i]}
	}
}

// inspectLeaves inspects inputs and parameters.
func (e *Executable) inspectLeaves() {
	for _, o := range e.compilation.ops {
		for _, n := range o.In {
			if n != nil && n.root().from == nil {
				e.inspect(n.root().name, n.root().data)
			}
		}
	}
}

// check inspects the results of a step.
func (e *Executable) check(s *step, c *Call) {
	if !s.backward {
		for i, n := range s.op.Out {
			e.inspect(n.name+s.op.place(), c.Out[i])
		}
		return
	}
	for _, m := range s.gin {
		if m != nil {
			e.inspect(m.name+s.op.place(), m.data)
		}
	}
}

// place describes the position of an operator in the network: the weight that it applies or, if it
// has none, the nearest one before it; "" where no weight precedes it.
func (o *Op) place() string {
	if o == nil { // a sum of gradients
		return ""
	}
	for seen, level := map[*Op]bool{o: true}, []*Op{o}; len(level) > 0; {
		var above []*Op
		for _, p := range level {
			for _, n := range p.In {
				switch {
				case n == nil:
				case n.root().param != nil && p == o:
					return " (with " + n.root().param.Name + ")"
				case n.root().param != nil:
					return " (after " + n.root().param.Name + ")"
				case n.root().from != nil && !seen[n.root().from]:
					seen[n.root().from] = true
					above = append(above, n.root().from)
				}
			}
		}
		level = above
	}
	return ""
}
