package backbone

import (
	"fmt"
	"slices"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

// DropPath holds the per-sample factors of stochastic depth (Huang et al. 2016) as inputs of a
// graph: one [B] node for each branch of each block, none where the rate is zero. A branch of a
// sample is dropped with the rate of its block and otherwise divided by 1 - rate.
type DropPath struct {
	rates []float64 // per block
	nodes [][]*core.Node
}

// NewDropPath declares the inputs for a batch of b samples, from the rate of each block and the
// number of residual branches in one; it is nil when all rates are zero. name keeps the inputs of
// several passes distinct.
func NewDropPath(g *core.Graph, name string, rates []float64, branches, b int) *DropPath {
	if len(rates) == 0 || slices.Max(rates) == 0 {
		return nil
	}
	d := &DropPath{rates: rates, nodes: make([][]*core.Node, len(rates))}
	for i, rate := range rates {
		d.nodes[i] = make([]*core.Node, branches)
		if rate == 0 {
			continue
		}
		for branch := range branches {
			n := g.Input(fmt.Sprintf("%s.drop_path.%d.%d", name, i, branch), tensor.Shape{b})
			for j := range n.Value() {
				n.Value()[j] = 1
			}
			d.nodes[i][branch] = n
		}
	}
	return d
}

// Draw sets the factors of a step. They are a function of the seed, the step, the name of the pass
// and the samples' ids alone, so that no order of work changes them.
func (d *DropPath) Draw(seed, step uint64, pass string, ids []uint64) {
	if d == nil {
		return
	}
	for i, branches := range d.nodes {
		keep := 1 - d.rates[i]
		for branch, n := range branches {
			if n == nil {
				continue
			}
			rng := prng.New(seed, "drop_path", pass, step, len(branches)*i+branch)
			for j := range n.Value() {
				id := uint64(j)
				if len(ids) > 0 {
					id = ids[j%len(ids)] + uint64(j/len(ids))<<48 // further views of the same samples
				}
				rng.SetCounter(id)
				f := float32(0)
				if rng.Float64() < keep {
					f = float32(1 / keep)
				}
				n.Value()[j] = f
			}
		}
	}
}

// Factor returns the factors [B] of a branch of a block, nil where it drops nothing.
func (d *DropPath) Factor(block, branch int) *core.Node {
	if d == nil {
		return nil
	}
	return d.nodes[block][branch]
}
