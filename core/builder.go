package core

import (
	"fmt"
	"slices"
	"sync"

	"github.com/vittool/vittool/tensor"
	"gorgonia.org/gorgonia"
	dense "gorgonia.org/tensor"
)

// buildMutex guards the graph building of gorgonia, which shares pools of nodes.
var buildMutex sync.Mutex

// builder makes the gorgonia graph of a compilation.
type builder struct {
	exe     *Executable
	graph   *gorgonia.ExprGraph
	salt    uint64
	serial  uint64
	nodes   map[*Node]*gorgonia.Node
	grads   map[*memory]*gorgonia.Node
	last    *gorgonia.Node                    // of the step before
	inputs  map[*gorgonia.Node]gorgonia.Nodes // operands of every node with an op
	merged  string                            // report of a node that gorgonia merged with another
	chained bool                              // each step takes the one before as an operand
}

// newBuilder returns a builder of an empty graph. Another salt gives every node another hash.
func newBuilder(e *Executable, salt uint64) *builder {
	return &builder{
		exe: e, graph: gorgonia.NewGraph(), salt: salt, chained: true,
		nodes: map[*Node]*gorgonia.Node{}, grads: map[*memory]*gorgonia.Node{}, inputs: map[*gorgonia.Node]gorgonia.Nodes{},
	}
}

// build makes the gorgonia graph of the compilation. Hash collisions are resolved by another salt.
func (e *Executable) build() (err error) {
	buildMutex.Lock()
	defer buildMutex.Unlock()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("compiling the graph: %v", r)
		}
	}()
	for salt := uint64(0); ; salt++ {
		b := newBuilder(e, salt)
		for _, s := range e.compilation.steps {
			if err := b.add(s); err != nil {
				return fmt.Errorf("compiling %s: %w", s.describe(), err)
			}
		}
		collision := b.collision()
		if collision == "" {
			e.machine, err = newMachine(b.graph, b.inputs)
			return err
		}
		if salt == 100 {
			return fmt.Errorf("compiling the graph: %s", collision)
		}
	}
}

// apply adds an op. gorgonia returns an older node where it takes the new one for equal.
func (b *builder) apply(x gorgonia.Op, operands ...*gorgonia.Node) (*gorgonia.Node, error) {
	n, err := gorgonia.ApplyOp(x, operands...)
	if err != nil {
		return nil, err
	}
	if _, made := b.inputs[n]; made {
		b.merged = fmt.Sprintf("node %s was merged with an equal one", n.Name())
	}
	b.inputs[n] = operands
	return n, nil
}

// collision reports two nodes of equal hash, which gorgonia has merged or would merge; "" for none.
func (b *builder) collision() string {
	if b.merged != "" {
		return b.merged
	}
	seen := map[uint32]*gorgonia.Node{}
	for _, n := range b.graph.AllNodes() {
		h := n.Hashcode()
		if o := seen[h]; o != nil {
			return fmt.Sprintf("nodes %s and %s have the same hash %x", o.Name(), n.Name(), h)
		}
		seen[h] = n
	}
	return ""
}

// node returns the gorgonia node of a forward value.
func (b *builder) node(n *Node) *gorgonia.Node {
	n = n.root()
	if x := b.nodes[n]; x != nil {
		return x
	}
	if n.from != nil {
		panic(fmt.Sprintf("core: %s is read before it is computed", n.name))
	}
	var x *gorgonia.Node
	name := fmt.Sprintf("%d/%s", b.salt, n.name)
	switch {
	case n.integer:
		v := dense.New(dense.WithShape(max(1, n.shape.Size())), dense.WithBacking(n.ints))
		x = gorgonia.NewVector(b.graph, dense.Int32, gorgonia.WithShape(v.Shape()...), gorgonia.WithName(name), gorgonia.WithValue(v))
	case len(n.shape) == 0:
		x = gorgonia.NewScalar(b.graph, dense.Float32, gorgonia.WithName(name), gorgonia.WithValue(value(n.shape, n.data)))
	default:
		x = gorgonia.NewTensor(b.graph, dense.Float32, len(n.shape), gorgonia.WithShape(n.shape...), gorgonia.WithName(name), gorgonia.WithValue(value(n.shape, n.data)))
	}
	b.nodes[n] = x
	return x
}

// gradient returns the gorgonia node of the step that wrote a gradient last.
func (b *builder) gradient(m *memory) *gorgonia.Node {
	if x := b.grads[m]; x != nil {
		return x
	}
	if m != b.exe.compilation.seed {
		panic(fmt.Sprintf("core: gradient %s is read before it is computed", m.name))
	}
	x := gorgonia.NewVector(b.graph, dense.Float32, gorgonia.WithShape(1), gorgonia.WithName(fmt.Sprintf("%d/seed", b.salt)), gorgonia.WithValue(value(tensor.Shape{1}, m.data)))
	b.grads[m] = x
	return x
}

// sign fills the signature of an op: its name, a unique id and the types of its operands.
func (b *builder) sign(s *signature, name string, operands gorgonia.Nodes, result tensor.Shape) {
	b.serial++
	s.name, s.id, s.result = name, b.salt<<32|b.serial, result
	for _, n := range operands {
		s.in = append(s.in, n.Type())
	}
}

// add appends a step to the gorgonia graph.
func (b *builder) add(s *step) error {
	x := &instruction{builder: b, step: s, call: b.exe.callOf(s)}
	if s.backward {
		return b.addBackward(x)
	}
	return b.addForward(x)
}

// addForward appends a forward step: a node for its first output and a pick for each other.
func (b *builder) addForward(x *instruction) error {
	s := x.step
	values := make([]gorgonia.Value, len(s.op.Out))
	for i, n := range s.op.Out {
		values[i] = value(n.shape, s.memoryOf(n).data)
	}
	x.result = values[0]
	node, err := b.chain(x, s.op.Out[0].shape)
	if err != nil {
		return err
	}
	b.nodes[s.op.Out[0]] = node
	for i, n := range s.op.Out[1:] {
		if b.nodes[n], err = b.pick(node, fmt.Sprintf("%s.%d", s.name(), i+1), n.shape, values[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// addBackward appends a backward step: a node for its first gradient and a pick for each other.
func (b *builder) addBackward(x *instruction) error {
	var node *gorgonia.Node
	for i, m := range x.step.gin {
		if m == nil {
			continue
		}
		shape := tensor.Shape{m.size}
		v := value(shape, m.data)
		var err error
		if node == nil {
			x.result = v
			node, err = b.chain(x, shape)
			b.grads[m] = node
		} else {
			b.grads[m], err = b.pick(node, fmt.Sprintf("%s.d%d", x.step.name(), i), shape, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// chain appends the op of a step, with the step before as one more operand.
func (b *builder) chain(x *instruction, result tensor.Shape) (node *gorgonia.Node, err error) {
	operands := b.operandsOf(x.step)
	if b.chained && b.last != nil && !slices.Contains(operands, b.last) {
		operands = append(operands, b.last)
	}
	b.sign(&x.signature, x.step.name(), operands, result)
	if node, err = b.apply(x, operands...); err == nil {
		b.last = node
	}
	return node, err
}

// operandsOf lists the gorgonia nodes of the values and gradients that a step reads, each once.
func (b *builder) operandsOf(s *step) (operands gorgonia.Nodes) {
	use := func(n *gorgonia.Node) {
		if !slices.Contains(operands, n) {
			operands = append(operands, n)
		}
	}
	for _, n := range s.reads() {
		use(b.node(n))
	}
	for _, m := range slices.Concat(s.gout, s.acc, s.sum) {
		if m != nil {
			use(b.gradient(m))
		}
	}
	return operands
}

// pick appends an op that passes on one more result of a step.
func (b *builder) pick(from *gorgonia.Node, name string, shape tensor.Shape, v gorgonia.Value) (*gorgonia.Node, error) {
	x := &pick{value: v}
	b.sign(&x.signature, name, gorgonia.Nodes{from}, shape)
	return b.apply(x, from)
}
