package core

import (
	"fmt"
	"strings"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// Graph records operators on nodes of fixed shapes and is then compiled once. A wrong shape does
// not panic: the graph keeps the first fault, with the names and shapes of operator and nodes, and
// Compile returns it. Until then the methods return invalid nodes, which further operators accept.
type Graph struct {
	device   *device.CPU
	ops      []*Op
	params   []*Node
	byParam  map[*param.Parameter]*Node
	names    map[string]bool
	scope    string // see Scope
	err      error
	compiled bool
	serial   int

	block, blocks int  // number of the block being recorded, 0 for none; blocks so far
	recompute     bool // see RecomputeBlocks
}

// NewGraph returns an empty graph.
func NewGraph(cpu *device.CPU) *Graph {
	return &Graph{device: cpu, byParam: map[*param.Parameter]*Node{}, names: map[string]bool{}}
}

// Err returns the first error so far, nil if there is none.
func (g *Graph) Err() error { return g.err }

// Node is a tensor of a graph.
type Node struct {
	graph   *Graph
	name    string
	shape   tensor.Shape
	bad     bool  // invalid: the result of a failed call
	integer bool  // elements are int32
	needs   bool  // takes a gradient
	base    *Node // view: the node whose memory this one shows, else nil
	stop    bool  // no gradient passes to base
	param   *param.Parameter
	from    *Op
	data    []float32
	ints    []int32
	mem     *memory
	again   *memory // recomputed value for the backward pass, see RecomputeBlocks
}

// Name returns the node's name, for messages.
func (n *Node) Name() string { return n.name }

// Shape returns the node's shape.
func (n *Node) Shape() tensor.Shape { return n.shape }

// Integer reports whether the elements are int32.
func (n *Node) Integer() bool { return n.integer }

// NeedsGrad reports whether the node takes a gradient.
func (n *Node) NeedsGrad() bool { return n.needs }

// Invalid reports whether the node is the result of a failed call.
func (n *Node) Invalid() bool { return n.bad }

// Value returns the elements of the node: for an input the slice to be filled, for a parameter its
// data, for the loss and the extra nodes of Compile the result of the last Run, which the next one
// overwrites. It is nil for all other nodes, which share memory.
func (n *Node) Value() []float32 {
	r := n.root()
	if r.mem != nil && !r.mem.kept {
		return nil
	}
	return r.data
}

// Ints returns the elements of an integer input, to be filled.
func (n *Node) Ints() []int32 { return n.root().ints }

// RequireGrad asks for the gradient with respect to an input; Executable.GradOf returns it. It must
// be called before the node is used.
func (n *Node) RequireGrad() *Node {
	n.needs = !n.integer
	return n
}

// root returns the node that owns the memory.
func (n *Node) root() *Node {
	for n.base != nil {
		n = n.base
	}
	return n
}

// gradTarget returns the node that receives n's gradient, nil if none does.
func (n *Node) gradTarget() *Node {
	for n.base != nil {
		if n.stop {
			return nil
		}
		n = n.base
	}
	if n.stop || !n.needs {
		return nil
	}
	return n
}

// Param returns the node of a parameter, the same one from every call. The graph reads p.Data
// itself, so the next Run sees later changes.
func (g *Graph) Param(p *param.Parameter) *Node {
	if p == nil {
		return g.Fail("parameter is missing (nil was passed to Graph.Param)")
	}
	if n := g.byParam[p]; n != nil {
		return n
	}
	n := g.leaf("param/"+p.Name, p.Shape)
	n.name = p.Name
	n.param, n.data, n.needs = p, p.Data, !p.Frozen
	g.byParam[p] = n
	g.params = append(g.params, n)
	return n
}

// Input returns a float node; the caller fills its Value before each Run. Names must be unique.
func (g *Graph) Input(name string, shape tensor.Shape) *Node {
	n := g.leaf(name, shape)
	if n.bad {
		return n
	}
	if n.data = g.device.Budget.Alloc(shape.Size()); n.data == nil {
		return g.Fail("input %q: shape %v does not fit in memory", name, shape)
	}
	return n
}

// InputInt returns a node of integers (indices, labels); the caller fills its Ints before each Run.
func (g *Graph) InputInt(name string, shape tensor.Shape) *Node {
	n := g.leaf(name, shape)
	if !n.bad {
		n.integer, n.ints = true, make([]int32, shape.Size())
	}
	return n
}

// Scope sets a prefix of the names of the inputs that are declared from here on, so that several
// parts of one graph can declare inputs of equal names.
func (g *Graph) Scope(prefix string) { g.scope = prefix }

// leaf makes a node without operator. Its name must be new: gorgonia silently merges leaves of
// equal name, type and shape.
func (g *Graph) leaf(name string, shape tensor.Shape) *Node {
	name = g.scope + name
	if g.names[name] {
		return g.Fail("input name %q is used twice", name)
	}
	if n, err := shape.CheckedSize(); err != nil || n == 0 {
		return g.Fail("input %q: shape %v has no elements", name, shape)
	}
	g.names[name] = true
	return &Node{graph: g, name: name, shape: shape.Clone()}
}

// View returns a node that shows the memory of n under another shape of equal size. Operators use
// it; it checks nothing.
func (g *Graph) View(name string, n *Node, shape tensor.Shape) *Node {
	return &Node{graph: g, name: g.unique(name), shape: shape.Clone(), base: n, needs: n.needs, integer: n.integer}
}

// unique appends a serial number to a name.
func (g *Graph) unique(name string) string {
	g.serial++
	return fmt.Sprintf("%s#%d", name, g.serial)
}

// Reshape shows x under another shape of equal size; nothing is copied.
func (g *Graph) Reshape(x *Node, shape tensor.Shape) *Node {
	if !g.Check("reshape", fmt.Sprintf("a node of %d elements (to become %v)", shape.Size(), shape), []*Node{x}, nil, func() bool {
		n, err := shape.CheckedSize()
		return err == nil && n == x.shape.Size()
	}) {
		return g.Invalid()
	}
	return g.View("reshape", x, shape)
}

// StopGradient passes on the value of x, without a copy, and no gradient back to it.
func (g *Graph) StopGradient(x *Node) *Node {
	if !g.Check("stop_gradient", "a node", []*Node{x}, nil, func() bool { return true }) {
		return g.Invalid()
	}
	n := g.View("stop_gradient", x, x.shape)
	n.stop, n.needs = true, false
	return n
}

// Fail keeps the first error of the graph and returns an invalid node.
func (g *Graph) Fail(format string, args ...any) *Node {
	if g.err == nil {
		g.err = fmt.Errorf(format, args...)
	}
	return &Node{graph: g, name: "invalid", bad: true}
}

// Check checks the operands of the operator name and reports whether they are right; if not, the
// graph keeps the fault. want states the shapes in words. required nodes must not be nil, optional
// ones may be. test, called only with valid nodes, reports whether the shapes agree.
func (g *Graph) Check(name, want string, required, optional []*Node, test func() bool) bool {
	var operands []string
	for i, n := range append(append([]*Node{}, required...), optional...) {
		switch {
		case n == nil && i < len(required):
			g.Fail("%s: operand %d is missing; wanted %s", name, i, want)
			return false
		case n == nil:
			operands = append(operands, "none")
		case n.bad:
			if g.err == nil {
				g.Fail("%s: operand %d is the result of a failed call on another graph", name, i)
			}
			return false
		case n.graph != g:
			g.Fail("%s: %s belongs to another graph", name, n.name)
			return false
		default:
			operands = append(operands, fmt.Sprintf("%s %v", n.name, n.shape))
		}
	}
	if !test() {
		g.Fail("%s: wanted %s; got %s", name, want, strings.Join(operands, ", "))
		return false
	}
	return true
}

// Invalid returns an invalid node, the result of an operator after Check failed.
func (g *Graph) Invalid() *Node { return &Node{graph: g, name: "invalid", bad: true} }
