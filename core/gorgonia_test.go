package core

import (
	"fmt"
	"math"
	"testing"
	"unsafe"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestGorgoniaGradAgrees lets gorgonia differentiate the same forward operators.
func TestGorgoniaGradAgrees(t *testing.T) {
	s := parametersOf(t, 1)
	e := testEngine(t, 1)
	ours := buildTransformer(t, e, s, tBatch, 1)
	ours.run(t)

	m, g := recordTransformer(e, s, tBatch, 1)
	p, err := g.plan(nil, []*Node{m.loss})
	if err != nil {
		t.Fatal(err)
	}
	p.unshared = true
	if err := p.place(); err != nil {
		t.Fatal(err)
	}
	exe := p.executable()
	exe.run = 1
	b := newBuilder(exe, 0)
	b.chained = false
	for _, st := range p.steps {
		if err := b.add(st); err != nil {
			t.Fatal(err)
		}
	}
	var wrt gorgonia.Nodes
	for _, n := range g.params {
		wrt = append(wrt, b.nodes[n])
	}
	grads, err := gorgonia.Grad(b.nodes[m.loss], wrt...)
	if err != nil {
		t.Fatal(err)
	}
	if c := b.collision(); c != "" {
		t.Fatal(c)
	}
	machine := gorgonia.NewTapeMachine(b.graph)
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	if a, b := m.loss.Value()[0], ours.loss.Value()[0]; a != b {
		t.Errorf("loss %v, ours %v", a, b)
	}
	for i, n := range g.params {
		want := floats(grads[i].Value())
		got := ours.exe.Grad(n.param)
		largest := 0.0
		for _, v := range want {
			largest = max(largest, math.Abs(float64(v)))
		}
		for k := range want {
			if math.Abs(float64(got[k]-want[k])) > 1e-5*largest {
				t.Errorf("%s[%d]: %v, gorgonia.Grad gives %v", n.name, k, got[k], want[k])
				break
			}
		}
	}
}

// floats returns the memory of a float32 value.
func floats(v gorgonia.Value) []float32 {
	switch v := v.(type) {
	case *gorgonia.F32:
		return unsafe.Slice((*float32)(unsafe.Pointer(v)), 1)
	case *tensor.Dense:
		return v.Float32s()
	}
	panic(fmt.Sprintf("core: gorgonia value of type %T", v))
}

// backwardOp is a backward step whose incoming gradient lies where gorgonia put
// it.
type backwardOp struct{ *instruction }

// Do takes the gradient from the first operand.
func (x *backwardOp) Do(vs ...gorgonia.Value) (gorgonia.Value, error) {
	x.call.gout[0] = floats(vs[0])
	return x.instruction.Do(vs...)
}

// Here steps learn what gorgonia.Grad needs to differentiate them, so that our
// own reverse walk can be checked against it. Nothing but this test uses it.

// DiffWRT tells which operands of a forward step take a gradient.
func (x *instruction) DiffWRT(n int) []bool {
	wants := make([]bool, n)
	for i, operand := range x.operands() {
		wants[i] = !x.step.backward && operand >= 0
	}
	return wants
}

// operands maps gorgonia's children to operands of the op that want a gradient,
// -1 for others. A child that stands for several operands maps to the first.
func (x *instruction) operands() []int {
	var list []int
	seen := map[*gorgonia.Node]bool{}
	if x.step.op == nil {
		return nil
	}
	for i, n := range x.step.op.in {
		if n == nil {
			continue
		}
		child := x.builder.node(n)
		if seen[child] {
			continue
		}
		seen[child] = true
		if x.step.op.wantsInput(i) {
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
	s := &step{op: o, backward: true, gout: make([]*memory, len(o.out)), gin: make([]*memory, len(o.in)), acc: make([]*memory, len(o.in))}
	if o.workBack > 0 {
		s.scratch = &memory{size: o.workBack, data: make([]float32, o.workBack)}
	}
	y := &backwardOp{&instruction{builder: x.builder, step: s}}
	gradients := make([]*memory, len(inputs))
	result := make(gorgonia.Nodes, len(inputs))
	for k, i := range x.operands() {
		switch {
		case i < 0:
		case o.pass.has(i):
			result[k] = grad
		default:
			m := &memory{size: o.in[i].shape.Size(), data: make([]float32, o.in[i].shape.Size())}
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

func (b *builder) shapeOf(n *gorgonia.Node) Shape { return Shape(n.Shape()).Clone() }

// DiffWRT: nothing is differentiated through a pick.
func (x *pick) DiffWRT(n int) []bool { return make([]bool, n) }

// SymDiff is never called, since DiffWRT allows nothing.
func (x *pick) SymDiff(gorgonia.Nodes, *gorgonia.Node, *gorgonia.Node) (gorgonia.Nodes, error) {
	return nil, fmt.Errorf("core: %s has no gradient", x.name)
}
