package program

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/pb"
)

// call is one node of a program while its operator is being built: checked inputs and attributes by name.
type call struct {
	m    *Model
	g    *core.Graph
	node *pb.Node
	op   *Operator
	in   map[string][]*core.Node
	// kept holds the inputs that are buffers for the operator to change.
	kept map[string]*buffer
	// order holds the inputs as they were given, for an operator that takes any.
	order []argument
	attr  map[string]any
}

// buildError is what an operator panics with when its inputs do not fit; build turns it into an error.
type buildError struct{ error }

// fail stops the building of this node.
func (c *call) fail(format string, args ...any) { panic(buildError{fmt.Errorf(format, args...)}) }

// input returns a required input.
func (c *call) input(name string) *core.Node { return c.in[name][0] }

// optional returns an input or nil.
func (c *call) optional(name string) *core.Node {
	if n := c.in[name]; len(n) > 0 {
		return n[0]
	}
	return nil
}

// rank returns a required input after checking its number of dimensions.
func (c *call) rank(name string, dims int) *core.Node {
	n := c.input(name)
	if len(n.Shape()) != dims {
		c.fail("input %s has %d dimensions, want %d", name, len(n.Shape()), dims)
	}
	return n
}

func (c *call) int(name string) int       { return c.attr[name].(int) }
func (c *call) float(name string) float64 { return c.attr[name].(float64) }
func (c *call) bool(name string) bool     { return c.attr[name].(bool) }
func (c *call) string(name string) string { return c.attr[name].(string) }
func (c *call) ints(name string) []int    { return c.attr[name].([]int) }

// choice returns a string attribute after checking that it is one of the valid ones.
func (c *call) choice(name string, valid ...string) string {
	s := c.string(name)
	for _, v := range valid {
		if s == v {
			return s
		}
	}
	c.fail("attribute %s is %q: want one of %s", name, s, strings.Join(valid, ", "))
	return ""
}

// axis returns an attribute that names a dimension of n, counting from the end when negative.
func (c *call) axis(name string, n *core.Node) int {
	a, dims := c.int(name), len(n.Shape())
	if a < 0 {
		a += dims
	}
	if a < 0 || a >= dims {
		c.fail("attribute %s is %d: the input has %d dimensions", name, c.int(name), dims)
	}
	return a
}

// describe lists the shapes of the inputs for an error.
func (c *call) describe() string {
	var parts []string
	for _, a := range c.order {
		parts = append(parts, fmt.Sprintf("%s %v", a.name, a.node.Shape()))
	}
	for _, spec := range c.op.Inputs {
		for _, n := range c.in[spec.Name] {
			parts = append(parts, fmt.Sprintf("%s %v", spec.Name, n.Shape()))
		}
	}
	if len(parts) == 0 {
		return "no inputs"
	}
	return strings.Join(parts, ", ")
}

// check fills in inputs and attributes and compares them with the operator's row of the table.
func (c *call) check(inputs []argument) error {
	c.in, c.kept = map[string][]*core.Node{}, map[string]*buffer{}
	for _, a := range inputs {
		spec := c.op.input(a.name)
		if c.op.anyInput {
			c.in[a.name] = append(c.in[a.name], a.node)
			c.order = append(c.order, a)
			continue
		}
		if spec == nil {
			return fmt.Errorf("there is no input %q; the operator takes %s", a.name, c.op.inputNames())
		}
		if len(c.in[a.name]) > 0 && !spec.Repeated {
			return fmt.Errorf("input %s is given twice", a.name)
		}
		if spec.Int != isInt(a.node) && !spec.Either {
			want, got := "numbers", "integers"
			if spec.Int {
				want, got = got, want
			}
			return fmt.Errorf("input %s takes %s and is given %s", a.name, want, got)
		}
		if spec.Buffer {
			if err := c.keep(a); err != nil {
				return err
			}
		}
		c.in[a.name] = append(c.in[a.name], a.node)
	}
	for _, spec := range c.op.Inputs {
		if len(c.in[spec.Name]) == 0 && !spec.Optional {
			return fmt.Errorf("input %s %s is missing", spec.Name, spec.Shape)
		}
	}
	c.attr = map[string]any{}
	for _, spec := range c.op.Attributes {
		c.attr[spec.Name] = spec.Default
	}
	given := map[string]bool{}
	for _, a := range c.node.GetAttributes() {
		spec := c.op.attribute(a.GetName())
		if spec == nil {
			return fmt.Errorf("there is no attribute %q; the operator takes %s", a.GetName(), c.op.attributeNames())
		}
		if given[spec.Name] {
			return fmt.Errorf("attribute %s is given twice", spec.Name)
		}
		given[spec.Name] = true
		v, err := attributeValue(a, spec.Type)
		if err != nil {
			return fmt.Errorf("attribute %s: %w", spec.Name, err)
		}
		c.attr[spec.Name] = v
	}
	for _, spec := range c.op.Attributes {
		if spec.Required && !given[spec.Name] {
			return fmt.Errorf("attribute %s (%s) is missing", spec.Name, spec.Type)
		}
	}
	return nil
}

// keep notes a buffer that the operator changes; nothing else may change it.
func (c *call) keep(a argument) error {
	if a.buffer == nil {
		return fmt.Errorf("input %s takes a buffer of the plan, and is given another value", a.name)
	}
	if u := a.buffer.spec.GetUpdate(); u != pb.BufferSpec_UPDATE_REPLACE {
		return fmt.Errorf("input %s: buffer %s is updated by %v: want %v", a.name, a.buffer.spec.GetName(), u, pb.BufferSpec_UPDATE_REPLACE)
	}
	a.buffer.keeper = c.node.GetName()
	c.kept[a.name] = a.buffer
	return nil
}

// buffer returns the parameter of a buffer that the operator changes, nil when it was not given.
func (c *call) buffer(name string) *param.Parameter {
	if b := c.kept[name]; b != nil {
		return b.value
	}
	return nil
}

// argument is a resolved input.
type argument struct {
	name   string
	node   *core.Node
	buffer *buffer // that node shows, nil for everything else
}

// build checks and builds the node; a panic of the operator or the graph becomes an error with the inputs' shapes.
func (c *call) build(inputs []argument) (out []*core.Node, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case buildError:
			err = r.error
		default:
			err = fmt.Errorf("%v", r)
		}
		if err != nil {
			err = fmt.Errorf("%w (inputs: %s)", err, c.describe())
		}
	}()
	if err := c.check(inputs); err != nil {
		return nil, err
	}
	out = c.op.build(c)
	if err := c.g.Err(); err != nil {
		return nil, err
	}
	for _, n := range out {
		if n.Shape().Size() > maxElements {
			return nil, fmt.Errorf("the result has the shape %v: more than 2^31 elements", n.Shape())
		}
	}
	return out, nil
}

// maxElements bounds a tensor, so that a mistaken plan is refused before its memory is asked for.
const maxElements = 1 << 31

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
			out := make([]int, len(v.Ints.GetValues()))
			for i, x := range v.Ints.GetValues() {
				out[i] = int(x)
			}
			return out, nil
		}
	case nil:
		return nil, errors.New("it has no value")
	}
	return nil, fmt.Errorf("the value is not of type %s", t)
}

func (op *Operator) input(name string) *Input {
	for i := range op.Inputs {
		if op.Inputs[i].Name == name {
			return &op.Inputs[i]
		}
	}
	return nil
}

func (op *Operator) attribute(name string) *Attribute {
	for i := range op.Attributes {
		if op.Attributes[i].Name == name {
			return &op.Attributes[i]
		}
	}
	return nil
}

func (op *Operator) inputNames() string {
	names := make([]string, len(op.Inputs))
	for i, in := range op.Inputs {
		names[i] = in.Name
	}
	return listOrNone(names)
}

func (op *Operator) attributeNames() string {
	names := make([]string, len(op.Attributes))
	for i, a := range op.Attributes {
		names[i] = a.Name
	}
	return listOrNone(names)
}

func listOrNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
