package program

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/internal/edit"
	"github.com/vittool/vittool/plugins/pb"
)

// OperatorVersion is the version of the operator table. A plan written for a newer version is refused; within a
// version operators are only ever added.
const OperatorVersion = pb.OperatorVersion

// Operator is one row of the operator table: what a node of a program may ask for.
type Operator struct {
	Name       string
	Summary    string
	Inputs     []Input
	Attributes []Attribute
	Outputs    []Output

	build func(c *call) []*core.Node
	// anyInput lets inputs of any name through: of evaluate, whose inputs the plan declares.
	anyInput bool
}

// Input is one named argument of an operator.
type Input struct {
	Name     string
	Shape    string // with the letters that the outputs' shapes use
	Doc      string
	Optional bool
	Repeated bool // may be given several times; order counts
	Int      bool // int32 values; no gradient flows into them
	Either   bool // integers or numbers
	Buffer   bool // a buffer of the plan, which the operator changes once the step is good
}

// Attribute is one named constant of an operator.
type Attribute struct {
	Name     string
	Type     AttributeType
	Required bool
	Default  any // int, float64, bool, string or []int; nil for a required one
	Doc      string
}

// AttributeType is the kind of an attribute's value.
type AttributeType string

// The types of attributes.
const (
	Int    AttributeType = "int"
	Float  AttributeType = "float"
	Bool   AttributeType = "bool"
	String AttributeType = "string"
	Ints   AttributeType = "ints"
)

// Output is one result of an operator, by position.
type Output struct {
	Name  string
	Shape string
	Doc   string
}

// Operators returns the whole table, grouped by subject in the order of the documentation.
func Operators() []Operator {
	var all []Operator
	for _, group := range operatorGroups {
		all = append(all, group.operators...)
	}
	return all
}

// operatorGroup is a section of the documentation.
type operatorGroup struct {
	title     string
	operators []Operator
}

var operatorGroups = []operatorGroup{
	{"Layers", layerOperators},
	{"Tokens and patches", tokenOperators},
	{"Pixels", pixelOperators},
	{"Images as maps", mapOperators},
	{"Choices and codes", codeOperators},
	{"Losses", lossOperators},
	{"Arithmetic and shape", arithmeticOperators},
}

// lookup finds an operator by name.
func lookup(name string) *Operator {
	for _, group := range operatorGroups {
		for i := range group.operators {
			if group.operators[i].Name == name {
				return &group.operators[i]
			}
		}
	}
	return nil
}

// nearestOperator is the known name with the smallest edit distance.
func nearestOperator(name string) string {
	best, distance := "", 1<<30
	for _, op := range Operators() {
		if d := edit.Distance(name, op.Name); d < distance {
			best, distance = op.Name, d
		}
	}
	return best
}
