package program

import (
	"fmt"
	"maps"
	"strings"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
)

// builder makes the nodes of an operator.
type builder func(c *call) []*core.Node

// builders holds the builder of each row of the operator table.
var builders = joined(layerBuilders, tokenBuilders, pixelBuilders, mapBuilders, codeBuilders, lossBuilders, contrastBuilders, arithmeticBuilders)

func joined(groups ...map[string]builder) map[string]builder {
	all := map[string]builder{}
	for _, g := range groups {
		maps.Copy(all, g)
	}
	return all
}

// call is one node of a program while its operator is being built.
type call struct {
	c     *Compiler
	g     *core.Graph
	node  *plan.Node
	op    *plan.Operator
	in    map[string][]*core.Node
	order []argument // the inputs as they were given
}

// buildError is the panic of an operator whose inputs do not agree; build turns it into an error.
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

func (c *call) int(name string) int       { return c.node.Attributes[name].(int) }
func (c *call) float(name string) float64 { return c.node.Attributes[name].(float64) }
func (c *call) bool(name string) bool     { return c.node.Attributes[name].(bool) }
func (c *call) string(name string) string { return c.node.Attributes[name].(string) }
func (c *call) ints(name string) []int    { return c.node.Attributes[name].([]int) }

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
	if len(parts) == 0 {
		return "no inputs"
	}
	return strings.Join(parts, ", ")
}

// sortInputs sorts the inputs by name, and refuses integers for numbers and the reverse: of results of
// nodes, whose elements follow from those of their inputs.
func (c *call) sortInputs(inputs []argument) error {
	c.in, c.order = map[string][]*core.Node{}, inputs
	for _, a := range inputs {
		if spec := c.op.Input(a.name); spec != nil && spec.Int != isInt(a.node) && !spec.Either {
			want, got := "numbers", "integers"
			if spec.Int {
				want, got = got, want
			}
			return fmt.Errorf("input %s takes %s and is given %s", a.name, want, got)
		}
		c.in[a.name] = append(c.in[a.name], a.node)
	}
	return nil
}

// buffer returns the parameter of a buffer that the operator changes, nil when it was not given.
func (c *call) buffer(name string) *param.Parameter {
	for _, a := range c.order {
		if a.name == name && a.buffer != nil {
			return a.buffer.value
		}
	}
	return nil
}

// argument is a resolved input.
type argument struct {
	name   string
	node   *core.Node
	buffer *buffer // that node shows, nil for everything else
}

// build checks and builds the node; a panic of the operator or the graph becomes an error with the
// inputs' shapes.
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
	if err := c.sortInputs(inputs); err != nil {
		return nil, err
	}
	out = builders[c.node.Op](c)
	if err := c.g.Err(); err != nil {
		return nil, err
	}
	for _, n := range out {
		if n.Shape().Size() > plan.MaxElements {
			return nil, fmt.Errorf("the result has the shape %v: more than 2^31 elements", n.Shape())
		}
	}
	return out, nil
}
