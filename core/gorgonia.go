package core

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"runtime/debug"
	"sync"
	"unsafe"

	"github.com/chewxy/hm"
	"github.com/vittool/vittool/tensor"
	"gorgonia.org/gorgonia"
	dense "gorgonia.org/tensor"
)

// This file and machine.go are the whole of vittool's contact with gorgonia: every step of a
// compiled graph becomes a gorgonia.Op over memory that we own, gorgonia checks
// types and orders the nodes, and a gorgonia.VM runs them (machine.go; gorgonia's
// own tape machine gives the same bits and allocates for each op). What the adapter
// must respect, so that either machine can run the graph:
//
//   - Ops return the same persistent value from every Do. ReturnsPtr and
//     CallsExtern are false, OverwritesInput is -1, or a machine would allocate
//     or overwrite behind our back.
//   - gorgonia merges nodes of equal 32-bit hash without comparing them, so
//     every op hashes its serial number and a salt, and collisions are looked for.
//   - The tape machine runs ops in a goroutine of its own, where a panic would end
//     the process: Do recovers.
//   - Ops are chained: each takes its predecessor as one more operand. That makes
//     the order of execution ours, which the memory plan relies on.

// buildMutex guards gorgonia's graph building, which shares pools of nodes.
var buildMutex sync.Mutex

// value wraps memory for gorgonia. Scalars are *gorgonia.F32 there.
func value(shape tensor.Shape, data []float32) gorgonia.Value {
	if len(shape) == 0 {
		return (*gorgonia.F32)(unsafe.Pointer(&data[0]))
	}
	return dense.New(dense.WithShape(shape...), dense.WithBacking(data))
}

func typeOf(shape tensor.Shape, of dense.Dtype) hm.Type {
	if len(shape) == 0 {
		return of
	}
	return gorgonia.TensorType{Dims: len(shape), Of: of}
}

// signature is the part of gorgonia.Op that says nothing about arithmetic.
type signature struct {
	name   string
	id     uint64
	in     []hm.Type
	result tensor.Shape
}

func (s *signature) Arity() int { return len(s.in) }

func (s *signature) Type() hm.Type {
	types := append(append([]hm.Type{}, s.in...), typeOf(s.result, dense.Float32))
	return hm.NewFnType(types...)
}

func (s *signature) InferShape(...gorgonia.DimSizer) (dense.Shape, error) {
	return dense.Shape(s.result.Clone()), nil
}
func (s *signature) ReturnsPtr() bool     { return false }
func (s *signature) CallsExtern() bool    { return false }
func (s *signature) OverwritesInput() int { return -1 }
func (s *signature) String() string       { return fmt.Sprintf("%s(%x)", s.name, s.id) }
func (s *signature) Hashcode() uint32 {
	h := fnv.New32a()
	s.WriteHash(h)
	return h.Sum32()
}
func (s *signature) WriteHash(h hash.Hash) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], s.id)
	h.Write(b[:])
}

// instruction is a step as a gorgonia.Op.
type instruction struct {
	signature
	builder *builder
	step    *step
	call    Call
	outputs []gorgonia.Value // of a forward step
	grads   []gorgonia.Value // per operand, of a backward step
	result  gorgonia.Value
}

// Do runs the step. The operands' memory is known beforehand, so they are
// ignored.
func (x *instruction) Do(...gorgonia.Value) (result gorgonia.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %v\n%s", x.step.describe(), r, debug.Stack())
		}
		if err != nil {
			x.builder.exe.fail(err)
		}
	}()
	x.builder.exe.execute(x.step, &x.call)
	if x.call.Err != nil {
		return nil, &OperandError{Op: x.step.describe(), Err: x.call.Err}
	}
	return x.result, nil
}

// pick gives access to a further output or gradient of its only operand.
type pick struct {
	signature
	value gorgonia.Value
}

// Do returns the value; nothing is computed.
func (x *pick) Do(...gorgonia.Value) (gorgonia.Value, error) { return x.value, nil }

// builder makes a gorgonia graph of a plan.
type builder struct {
	exe     *Executable
	graph   *gorgonia.ExprGraph
	salt    uint64
	serial  uint64
	nodes   map[*Node]*gorgonia.Node
	grads   map[*memory]*gorgonia.Node
	last    *gorgonia.Node                    // the step before
	inputs  map[*gorgonia.Node]gorgonia.Nodes // of every node that was made of an op
	merged  string                            // says which node gorgonia merged with another
	chained bool
}

func newBuilder(e *Executable, salt uint64) *builder {
	return &builder{exe: e, graph: gorgonia.NewGraph(), salt: salt, nodes: map[*Node]*gorgonia.Node{}, grads: map[*memory]*gorgonia.Node{}, inputs: map[*gorgonia.Node]gorgonia.Nodes{}, chained: true}
}

// build compiles the plan.
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
		for _, s := range e.plan.steps {
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

// apply adds an op. gorgonia returns an older node when it takes the new one for
// equal.
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

// collision names two nodes of equal hash, which gorgonia has merged or would.
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

// gradient returns the gorgonia node that holds a gradient now.
func (b *builder) gradient(m *memory) *gorgonia.Node {
	if x := b.grads[m]; x != nil {
		return x
	}
	if m != b.exe.plan.seed {
		panic(fmt.Sprintf("core: gradient %s is read before it is computed", m.name))
	}
	x := gorgonia.NewVector(b.graph, dense.Float32, gorgonia.WithShape(1), gorgonia.WithName(fmt.Sprintf("%d/seed", b.salt)), gorgonia.WithValue(value(tensor.Shape{1}, m.data)))
	b.grads[m] = x
	return x
}

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
	var operands gorgonia.Nodes
	var result tensor.Shape
	use := func(n *gorgonia.Node) {
		for _, o := range operands {
			if o == n {
				return
			}
		}
		operands = append(operands, n)
	}
	if s.op != nil {
		for i, n := range s.op.In {
			if n != nil && (!s.backward || s.op.KeepIn.Has(i)) {
				use(b.node(n))
			}
		}
	}
	if s.backward {
		if s.op != nil {
			for i, n := range s.op.Out {
				if s.op.KeepOut.Has(i) {
					use(b.node(n))
				}
			}
		}
		for _, list := range [][]*memory{s.gout, s.acc, s.sum} {
			for _, m := range list {
				if m != nil {
					use(b.gradient(m))
				}
			}
		}
	}
	if b.chained && b.last != nil {
		use(b.last)
	}
	name := s.name()
	var first = -1
	if s.backward {
		x.grads = make([]gorgonia.Value, len(s.gin))
		for i, m := range s.gin {
			if m != nil {
				x.grads[i] = value(tensor.Shape{m.size}, m.data)
				if first < 0 {
					first, x.result, result = i, x.grads[i], tensor.Shape{m.size}
				}
			}
		}
	} else {
		for _, n := range s.op.Out {
			x.outputs = append(x.outputs, value(n.shape, s.memoryOf(n).data))
		}
		x.result, result = x.outputs[0], s.op.Out[0].shape
	}
	b.sign(&x.signature, name, operands, result)
	n, err := b.apply(x, operands...)
	if err != nil {
		return err
	}
	b.last = n
	if !s.backward {
		b.nodes[s.op.Out[0]] = n
		for i := 1; i < len(s.op.Out); i++ {
			if b.nodes[s.op.Out[i]], err = b.pick(n, fmt.Sprintf("%s.%d", name, i), s.op.Out[i].shape, x.outputs[i]); err != nil {
				return err
			}
		}
		return nil
	}
	b.grads[s.gin[first]] = n
	for i, m := range s.gin {
		if m != nil && i != first {
			if b.grads[m], err = b.pick(n, fmt.Sprintf("%s.d%d", name, i), tensor.Shape{m.size}, x.grads[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *builder) pick(from *gorgonia.Node, name string, shape tensor.Shape, v gorgonia.Value) (*gorgonia.Node, error) {
	x := &pick{value: v}
	b.sign(&x.signature, name, gorgonia.Nodes{from}, shape)
	return b.apply(x, from)
}

// name is what a step is called in the graph.
func (s *step) name() string {
	switch {
	case s.op == nil:
		return "sum of gradients"
	case s.backward:
		return s.op.Name + " backward"
	case s.again:
		return s.op.Name + " again"
	}
	return s.op.Name
}

// describe names a step with its operands, for errors.
func (s *step) describe() string {
	text := s.name()
	if s.op == nil {
		return text
	}
	for i, n := range s.op.In {
		if n != nil {
			text += fmt.Sprintf(", operand %d: %s %v", i, n.name, n.shape)
		}
	}
	for _, n := range s.op.Out {
		text += fmt.Sprintf(", result: %s %v", n.name, n.shape)
	}
	return text
}
