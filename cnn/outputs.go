package cnn

import (
	"fmt"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/tensor"
)

// Outputs are the nodes of one forward pass. B is the batch.
type Outputs struct {
	Stem   *core.Node   // [B, h, w, C] as it enters the first stage
	Stages []*core.Node // [B, h, w, C] after each stage

	g      *core.Graph
	config Config
	end    int                // the stage whose outputs these are
	maps   map[int]*core.Node // by stage, with the channels first
	means  map[int]*core.Node // by stage
}

// Output returns a named output; see [backbone.Outputs].
func (o *Outputs) Output(name backbone.Output) (*core.Node, error) {
	switch name {
	case backbone.Pooled:
		return o.mean(o.end), nil
	case backbone.Map:
		return o.Tap(o.end)
	}
	return nil, backbone.NoOutput(o.config.Name, name)
}

// Tap returns the map after stage i, [B, C, h, w].
func (o *Outputs) Tap(i int) (*core.Node, error) {
	if err := o.config.Info().CheckTap(i); err != nil {
		return nil, err
	}
	if o.maps[i] == nil {
		s := o.Stages[i].Shape()
		o.maps[i] = o.g.Reshape(ops.TransposeTokens(o.g, o.cells(i)), tensor.Shape{s[0], s[3], s[1], s[2]})
	}
	return o.maps[i], nil
}

// After are the outputs of a network that ends after stage i, counted from 0. Taps stay those of the
// whole network.
func (o *Outputs) After(i int) (backbone.Outputs, error) {
	if err := o.config.Info().CheckTap(i); err != nil {
		return nil, err
	}
	early := *o
	early.end = i
	return &early, nil
}

// Attention is an error: the network has none.
func (o *Outputs) Attention(int) (*core.Node, error) {
	return nil, fmt.Errorf("%s has no attention", o.config.Name)
}

// mean is the mean over the cells of the map after a stage, [B, C].
func (o *Outputs) mean(stage int) *core.Node {
	if o.means[stage] == nil {
		o.means[stage] = ops.MeanTokens(o.g, o.cells(stage), 0)
	}
	return o.means[stage]
}

// cells are those of the map after a stage as rows, [B, h·w, C].
func (o *Outputs) cells(stage int) *core.Node {
	s := o.Stages[stage].Shape()
	return o.g.Reshape(o.Stages[stage], tensor.Shape{s[0], s[1] * s[2], s[3]})
}
