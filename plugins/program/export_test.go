package program

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/plugins/plan"
)

// MaskNode returns the input that one form of a mask fills, for Options.Extra.
func (c *Compiler) MaskNode(name string, form plan.Form) (*core.Node, error) {
	k := c.inputs.masks[name]
	if k == nil || !k.spec.Has(form) {
		return nil, fmt.Errorf("the plan has no mask %q in the form %v", name, form)
	}
	return k.input(c.g, form), nil
}
