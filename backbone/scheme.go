package backbone

import (
	"fmt"
	"math"
	"path"

	"github.com/vittool/vittool/core/param"
)

// Scheme is the way in which a method's official code initializes its network, as data: of each
// weight the first rule that matches its name counts. Weights that no rule matches start as the
// family has it ([TensorSpec.Init]); fixed tables and buffers always do.
type Scheme []Rule

// Rule gives the initial values of some weights.
type Rule struct {
	// Weights is a pattern of names as of path.Match, such as blocks.*.mlp.*.weight. A * matches
	// dots too.
	Weights string
	// Init draws the values. Its fans, where 0, are those of a matrix [first dimension, all
	// others].
	Init param.Init
	// Stacked is the number of equal matrices that lie one below the other in each weight, such as
	// 3 for queries, keys and values; the fan-out is that of one of them. 0 is 1.
	Stacked int
	// ByDepth divides A and B of Init by sqrt(2·l) in block l, counted from 1.
	ByDepth bool
}

// Zeros draws nothing: all weights are zero, to be filled from a file.
var Zeros = Scheme{{Weights: "*", Init: param.Init{Kind: "zeros"}}}

// init returns how a weight starts.
func (s Scheme) init(w TensorSpec) (param.Init, error) {
	if w.Fixed != nil {
		return param.Init{Kind: "zeros"}, nil
	}
	for _, r := range s {
		matched, err := path.Match(r.Weights, w.Name)
		if err != nil {
			return param.Init{}, fmt.Errorf("initialization of %q: %w", r.Weights, err)
		}
		if matched {
			return r.init(w)
		}
	}
	return w.Init, nil
}

func (r Rule) init(w TensorSpec) (param.Init, error) {
	init := r.Init
	if r.ByDepth {
		if w.Block < 0 {
			return init, fmt.Errorf("initialization of %q is scaled by depth, and the weight is in no block", r.Weights)
		}
		scale := math.Sqrt(2 * float64(w.Block+1))
		init.A, init.B = init.A/scale, init.B/scale
	}
	if r.Stacked > 1 && init.FanOut == 0 {
		if len(w.Shape) == 0 || w.Shape[0]%r.Stacked != 0 {
			return init, fmt.Errorf("initialization of %q: %v is no stack of %d matrices", r.Weights, w.Shape, r.Stacked)
		}
		init.FanOut = w.Shape[0] / r.Stacked
	}
	return init, nil
}
