package sdk

import "slices"

// Plan is everything that an objective asks of the host. A Builder writes it, Try shows it to
// tests. Parts stand in the order in which they were declared.
type Plan struct {
	Requirements Requirements
	Views        []*ViewSpec
	Passes       []*PassSpec
	Masks        []*MaskSpec
	Targets      []*TargetSpec
	Params       []*ParamSpec
	Buffers      []*BufferSpec
	Schedules    []*Schedule
	Teacher      *TeacherSpec // nil: none
	Nodes        []*Node
	Loss         Tensor
	Metrics      []Metric
	Updates      []BufferUpdate
	Images       []PassImages
	Pictures     []Picture
	Evaluate     *EvaluateSpec // nil: the operators compute everything
	Exports      []Export
	Recommended  *Recommended // nil: see Builder.Recommend
}

// Param returns the parameter of a name, nil when there is none.
func (p *Plan) Param(name string) *ParamSpec {
	return find(p.Params, func(s *ParamSpec) bool { return s.Name == name })
}

// Buffer returns the buffer of a name, nil when there is none.
func (p *Plan) Buffer(name string) *BufferSpec {
	return find(p.Buffers, func(s *BufferSpec) bool { return s.Name == name })
}

// Schedule returns the schedule of a name, nil when there is none.
func (p *Plan) Schedule(name string) *Schedule {
	return find(p.Schedules, func(s *Schedule) bool { return s.Name == name })
}

func find[T any](parts []*T, wanted func(*T) bool) *T {
	if i := slices.IndexFunc(parts, wanted); i >= 0 {
		return parts[i]
	}
	return nil
}

// Count is the number of nodes with the operator op.
func (p *Plan) Count(op string) int {
	n := 0
	for _, node := range p.Nodes {
		if node.Op == op {
			n++
		}
	}
	return n
}

// DType is the type of a tensor's elements.
type DType int

// Numbers of 32 bits, floating-point and integer, and bytes.
const (
	F32 DType = iota
	I32
	U8
)

// Network is the trained network or its average.
type Network int

// The trained network and its moving average.
const (
	StudentNetwork Network = iota
	TeacherNetwork
)

// Feature is an output of the network.
type Feature int

// Outputs of the network; see the methods of Pass for shapes.
const (
	_ Feature = iota
	TokensFeature
	ClassFeature
	PooledFeature
	MapFeature
	TapFeature
	PatchesFeature
)

// refKind is a kind of values that the program reads; 0: none.
type refKind int

const (
	refNode refKind = iota + 1
	refFeature
	refParam
	refTeacherParam
	refBuffer
	refTarget
	refMask
	refView
	refScalar
)

// ref names a value that the program reads. The zero value names none.
type ref struct {
	kind    refKind
	name    string  // of the node, pass, parameter ...
	output  int     // of a node with several results
	feature Feature // of a pass
	tap     int     // block of TapFeature
	form    maskForm
}

// maskForm is how a mask is read, numbered as in the protocol.
type maskForm int

const (
	formValues maskForm = iota
	formRemoved
	formRemovedBlocks
	formRemovedCells
	formRemovedCounted
)

// Node is one operator of the program.
type Node struct {
	Name       string
	Op         string // name in the operator table
	Inputs     []Input
	Attributes []Attribute
}

// Input is a named argument of an operator.
type Input struct {
	Name     string
	Value    Tensor
	Optional bool // may be a zero Tensor, which is left out
}

// Attribute is a constant of an operator, made by Attr.
type Attribute struct {
	Name  string
	value any
}

// Attr gives an operator a constant.
func Attr[T int | float64 | bool | string | []int | []float64](name string, value T) Attribute {
	return Attribute{name, value}
}

// Metric is a scalar of the program that is logged.
type Metric struct {
	Name  string
	Value Tensor
}

// BufferUpdate is the value of a buffer after the step.
type BufferUpdate struct {
	Buffer string
	Value  Tensor
	Rows   Tensor // of a buffer with UpdateRows
}

// PassImages are the images [B*views,C,H,W] that a pass with Corrupted reads.
type PassImages struct {
	Pass   string
	Images Tensor
}

// Export is a network of the objective's own that is kept in a file of its own.
type Export struct {
	Name            string
	Params, Buffers []string
	Metadata        map[string]string
}

// Recommended are the features that evaluations and exports take by default.
type Recommended struct {
	Network      Network
	Features     []Feature
	LinearBlocks int // last blocks that a linear classifier reads; 0: see Builder.RecommendLinearBlocks
}
