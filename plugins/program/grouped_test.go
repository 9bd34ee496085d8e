package program

import (
	"fmt"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
)

// Grouped computes a step in one graph whose passes take micro-batches by themselves, for tests: the
// gradients that a GradCache must have.
type Grouped struct {
	*Runner
	parts []*encoder
}

// BuildGrouped compiles a plan as BuildGradCache does.
func BuildGrouped(dev *device.CPU, store *param.Store, p *plan.Plan, config backbone.Config, micro, count int, seed uint64, o Options) (*Grouped, error) {
	c, r, err := newCompiler(dev, store, p, config, micro*count, seed, o)
	if err != nil {
		return nil, err
	}
	x := &Grouped{Runner: r}
	scope := func(k int) { c.g.Scope(fmt.Sprintf("micro-batch %d ", k)) }
	for k := range count {
		scope(k)
		part := c.part(micro, c.g)
		runner := &Runner{inputs: part.inputs, evaluation: part.evaluation, setting: part.setting}
		if err := part.addInputs(runner); err != nil {
			return nil, err
		}
		x.parts = append(x.parts, &encoder{part, runner})
	}
	c.g.Scope("")
	known := map[plan.Ref]*core.Node{}
	c.features = func(r plan.Ref) (*core.Node, error) {
		if known[r] != nil {
			return known[r], nil
		}
		var byView [][]*core.Node
		for k, part := range x.parts {
			scope(k)
			n, err := part.c.feature(r)
			if err != nil {
				return nil, err
			}
			for v := range n.Shape()[0] / micro {
				if v == len(byView) {
					byView = append(byView, nil)
				}
				byView[v] = append(byView[v], ops.SliceRows(c.g, n, v*micro, (v+1)*micro))
			}
		}
		c.g.Scope("")
		var all []*core.Node
		for _, parts := range byView {
			all = append(all, parts...)
		}
		known[r] = ops.Concat(c.g, all...)
		return known[r], nil
	}
	ends, err := c.addProgram(r, o)
	if err != nil {
		return nil, err
	}
	r.exec, err = c.g.Compile(ends.Loss, ends.Extra...)
	return x, err
}

// Step is the step of a batch, given also in micro-batches.
func (x *Grouped) Step(whole Inputs, micros []Inputs) error {
	for k, part := range x.parts {
		if err := part.fill(micros[k]); err != nil {
			return err
		}
	}
	return x.Runner.Step(whole)
}
