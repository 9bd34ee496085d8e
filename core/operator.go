package core

import (
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// Op is an operator in a graph: its operands, its memory and its two passes. The operators
// of package ops are values of it.
type Op struct {
	Name string
	In   []*Node // nil where an optional operand is absent
	Out  []*Node // made by Graph.Apply

	NoGrad   Operands // inputs that never get a gradient: indices, masks, targets
	PassGrad Operands // inputs whose gradient is that of output 0, unchanged
	AddsGrad Operands // inputs to whose gradient Backward can add
	KeepIn   Operands // inputs that Backward reads
	KeepOut  Operands // outputs that Backward reads

	Save     []int   // elements of each buffer that lives from Forward to Backward
	Work     int     // elements of scratch during Forward
	WorkBack int     // elements of scratch during Backward
	FLOPs    float64 // 2 × multiply-adds of Forward

	Forward func(c *Call)
	// Backward overwrites the gradients of the inputs, or adds to them where Call.Add is set.
	Backward func(c *Call)
	// Commit changes state once a step is known to be good; nil for most operators.
	Commit func()
	// Once: Forward has effects beyond its outputs, so it must not run twice.
	Once bool

	// Weighted: In[1] is a weight [O, I], whose packed form several products may share, and
	// Backward can apply a GELU gradient to that of In[0] (Call.Slope).
	Weighted bool
	// SlopeSaved: the output is a GELU, whose slope is Save[0]. SlopeApplied is set by the
	// compiler where the reader of the output applies it.
	SlopeSaved, SlopeApplied bool

	compiled compiledOp
}

// compiledOp is the compiler's part of an operator.
type compiledOp struct {
	block      int       // see Graph.Block
	slopeOf    *Op       // producer of In[0] whose GELU gradient this operator applies, see fuseGelu
	saved      []*memory // buffers of Save
	savedAgain []*memory // the same, by the recomputation
}

// Operands is a set of operand numbers, 0 to 31.
type Operands uint32

// AllOperands is the set of every operand.
const AllOperands = ^Operands(0)

// OperandSet returns the set of the given numbers.
func OperandSet(indices ...int) Operands {
	var b Operands
	for _, i := range indices {
		b |= 1 << i
	}
	return b
}

// Has reports whether operand i is in the set.
func (b Operands) Has(i int) bool { return b>>i&1 != 0 }

// Call is the view of an operator on its memory in one run. Slices of absent operands and of
// gradients that nobody wants are nil.
type Call struct {
	Pool    *f32.Pool
	In      [][]float32
	Ints    [][]int32 // integer inputs
	Out     [][]float32
	GradOut [][]float32 // gradient of the loss with respect to each output
	GradIn  [][]float32 // gradient with respect to each input, to be computed
	Add     []bool      // GradIn[i] holds a gradient that Backward must add to
	Save    [][]float32
	Work    []float32
	Pack    *Pack     // of the weight, nil when it is not worth packing
	Run     uint64    // number of the run: a Pack of another run is stale
	Slope   []float32 // of the GELU whose gradient is applied here, nil for none
	Err     error     // set by operators that can fail
}

// EachRow calls f for rows 0 to rows-1, in parallel, many rows a turn. Rows must not depend
// on each other.
func (c *Call) EachRow(rows int, f func(row int)) {
	chunks := min(rows, 64)
	c.Pool.Do(chunks, func(_, i int) {
		for r := rows * i / chunks; r < rows*(i+1)/chunks; r++ {
			f(r)
		}
	})
}

// Pack is a weight in the panels of the matrix product, shared by the products of one run.
type Pack struct {
	Packed f32.Packed
	Run    uint64 // number of the run that packed it
	uses   int
}

// Apply records an operator and makes a node for each output shape.
func (g *Graph) Apply(o *Op, shapes ...tensor.Shape) []*Node {
	needs := o.wants()
	o.compiled.block = g.block
	for _, s := range shapes {
		n := &Node{graph: g, name: g.unique(o.Name), shape: s.Clone(), needs: needs, from: o}
		o.Out = append(o.Out, n)
	}
	g.ops = append(g.ops, o)
	return o.Out
}

// ApplyIntegers is Apply for an operator whose only result is integers, which it writes
// to the slice.
func (g *Graph) ApplyIntegers(o *Op, shape tensor.Shape, integers []int32) *Node {
	n := g.Apply(o, shape)[0]
	n.integer, n.ints = true, integers
	return n
}

// WantsGrad reports whether input i takes a gradient.
func (o *Op) WantsGrad(i int) bool {
	return o.In[i] != nil && !o.NoGrad.Has(i) && o.In[i].needs && o.In[i].gradTarget() != nil
}

// wants reports whether any input takes a gradient.
func (o *Op) wants() bool {
	for i := range o.In {
		if o.WantsGrad(i) {
			return true
		}
	}
	return false
}
