package plan

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/vittool/vittool/internal/edit"
	"github.com/vittool/vittool/plugins/pb"
)

// OpEvaluate is the operator that the plugin computes itself. Its inputs are those of the plan's
// Evaluate.
const OpEvaluate = pb.OpEvaluate

// Operator is one row of the operator table: a kind of node that a program may have.
type Operator struct {
	Name       string
	Summary    string
	Inputs     []Input
	Attributes []Attribute
	Outputs    []Output

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
	Buffer   bool // a buffer of the plan, which the operator changes once the step is known to be finite
}

// Attribute is one named constant of an operator.
type Attribute struct {
	Name     string
	Type     AttributeType
	Required bool
	Default  any // int, float64, bool, string or []int; nil for a required one
	Doc      string

	choices []string    // of a string; none: any
	valid   *edit.Range // of a number or of each in a list; nil: any
	only    any         // the one value that this version has
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
	{"Contrast and spread", contrastOperators},
	{"Arithmetic and shape", arithmeticOperators},
}

// Lookup finds an operator by name; nil if there is none.
func Lookup(name string) *Operator {
	for _, group := range operatorGroups {
		for i := range group.operators {
			if group.operators[i].Name == name {
				return &group.operators[i]
			}
		}
	}
	return nil
}

// Input returns an input by name; nil if there is none.
func (op *Operator) Input(name string) *Input {
	i := slices.IndexFunc(op.Inputs, func(in Input) bool { return in.Name == name })
	if i < 0 {
		return nil
	}
	return &op.Inputs[i]
}

// check compares a node's inputs with the table.
func (op *Operator) check(n *Node) error {
	given := map[string]bool{}
	for _, a := range n.Inputs {
		if op.anyInput {
			continue
		}
		in := op.Input(a.Name)
		if in == nil {
			return fmt.Errorf("there is no input %q; the operator takes %s", a.Name, listed(op.Inputs, func(in Input) string { return in.Name }))
		}
		if given[a.Name] && !in.Repeated {
			return fmt.Errorf("input %s is given twice", a.Name)
		}
		given[a.Name] = true
	}
	for _, in := range op.Inputs {
		if !given[in.Name] && !in.Optional {
			return fmt.Errorf("input %s %s is missing", in.Name, in.Shape)
		}
	}
	return nil
}

// attributes completes a node's attributes with the defaults.
func (op *Operator) attributes(given []*pb.Attribute) (map[string]any, error) {
	all, seen := map[string]any{}, map[string]bool{}
	for _, spec := range op.Attributes {
		all[spec.Name] = spec.Default
	}
	for _, a := range given {
		i := slices.IndexFunc(op.Attributes, func(spec Attribute) bool { return spec.Name == a.GetName() })
		if i < 0 {
			return nil, fmt.Errorf("there is no attribute %q; the operator takes %s", a.GetName(), listed(op.Attributes, func(a Attribute) string { return a.Name }))
		}
		spec := op.Attributes[i]
		if seen[spec.Name] {
			return nil, fmt.Errorf("attribute %s is given twice", spec.Name)
		}
		seen[spec.Name] = true
		v, err := attributeValue(a, spec.Type)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", spec.Name, err)
		}
		if err := spec.check(v); err != nil {
			return nil, err
		}
		all[spec.Name] = v
	}
	for _, spec := range op.Attributes {
		if spec.Required && !seen[spec.Name] {
			return nil, fmt.Errorf("attribute %s (%s) is missing", spec.Name, spec.Type)
		}
	}
	return all, nil
}

// check refuses a value that no shapes could make right.
func (a *Attribute) check(v any) error {
	switch s, _ := v.(string); {
	case len(a.choices) > 0 && !slices.Contains(a.choices, s):
		return fmt.Errorf("attribute %s = %q: is not one of its values; %s", a.Name, s, edit.Suggest(s, a.choices))
	case a.valid != nil:
		return a.inRange(v)
	case a.only != nil && v != a.only:
		return fmt.Errorf("attribute %s is %v: version %d of the operator has %v only", a.Name, v, OperatorVersion, a.only)
	}
	return nil
}

// inRange refuses numbers that are out of the attribute's range.
func (a *Attribute) inRange(v any) error {
	place := "attribute " + a.Name
	switch v := v.(type) {
	case int:
		return a.valid.Check(place, float64(v))
	case float64:
		return a.valid.Check(place, v)
	case []int:
		for i, x := range v {
			if err := a.valid.Check(fmt.Sprintf("%s[%d]", place, i), float64(x)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Ranges of attributes.
var (
	positive   = &edit.Range{Min: 1, Max: math.MaxInt32}
	fromZero   = &edit.Range{Min: 0, Max: math.MaxInt32}
	oneToMany  = &edit.Range{Min: 1, Max: MaxElements}
	tokenCount = &edit.Range{Min: 1, Max: MaxTokens}
	share      = &edit.Range{Min: 0, Max: 1}
)

// MaxTokens is the most tokens that a sample may have.
const MaxTokens = 1 << 20

func attributeValue(a *pb.Attribute, t AttributeType) (any, error) {
	switch v := a.GetValue().(type) {
	case *pb.Attribute_Int:
		switch t {
		case Int:
			return int(v.Int), nil
		case Float:
			return float64(v.Int), nil
		case Ints:
			return []int{int(v.Int)}, nil
		}
	case *pb.Attribute_Float:
		if t == Float {
			return v.Float, nil
		}
	case *pb.Attribute_Bool:
		if t == Bool {
			return v.Bool, nil
		}
	case *pb.Attribute_String_:
		if t == String {
			return v.String_, nil
		}
	case *pb.Attribute_Ints_:
		if t == Ints {
			return append([]int{}, numbers[int](v.Ints.GetValues())...), nil
		}
	case nil:
		return nil, errors.New("it has no value")
	}
	return nil, fmt.Errorf("the value is not of type %s", t)
}

// listed joins the names of a list, for errors.
func listed[T any](list []T, name func(T) string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(each(list, name), ", ")
}

// operatorNames lists the names of all operators.
func operatorNames() []string { return each(Operators(), func(op Operator) string { return op.Name }) }
