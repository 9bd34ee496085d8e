package cnn

import (
	"fmt"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// Network is a residual network whose tensors lie in a store. Several graphs, of different batches
// and image sizes, may be built from one.
type Network struct {
	backbone.Tensors
	config Config
}

// New creates the tensors of a network in the store under prefix + torchvision's name; see
// [backbone.Create].
func New(store *param.Store, prefix string, c Config, scheme backbone.Scheme, seed uint64) (*Network, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.Normalized()
	tensors, err := backbone.Create(store, prefix, c.Name, c.Weights(), scheme, seed)
	return &Network{Tensors: tensors, config: c}, err
}

// New creates the tensors of a network; see [backbone.Config].
func (c Config) New(store *param.Store, prefix string, scheme backbone.Scheme, seed uint64) (backbone.Network, error) {
	return New(store, prefix, c, scheme, seed)
}

// Config returns the configuration, a [Config].
func (n *Network) Config() backbone.Config { return n.config }

// DropPath declares the factors of stochastic depth, one branch a block; see [backbone.Network].
func (n *Network) DropPath(g *core.Graph, name string, batch int) *backbone.DropPath {
	return backbone.NewDropPath(g, name, n.config.dropPathRates(), 1, batch)
}

// Settings of batch norms in torchvision and timm.
const (
	normEps      = 1e-5
	normMomentum = .1
)

// Forward builds the pass over images [B, C, H, W]. H and W may differ from the config's. Shape
// errors come out of the graph's Compile; Forward refuses options that the network lacks. The
// outputs are of type *[Outputs].
func (n *Network) Forward(g *core.Graph, images *core.Node, o backbone.Options) (backbone.Outputs, error) {
	if err := n.check(images, o); err != nil {
		return nil, err
	}
	p := &forward{network: n, g: g, options: o}
	out := &Outputs{g: g, config: n.config, maps: map[int]*core.Node{}, means: map[int]*core.Node{}}
	x := p.normalized(channelsLast(g, images), n.config.stem(), nil)
	if n.config.Stem == ImageNet {
		x = ops.MaxPool2DNHWC(g, x, pool.kernel, pool.stride, pool.padding())
	}
	out.Stem = x
	for stage := range stages {
		for b := range n.config.Layers[stage] {
			g.Block(func() { x = p.block(x, n.config.block(stage, b)) })
		}
		out.Stages = append(out.Stages, x)
	}
	out.end = stages - 1
	return out, nil
}

// check refuses a pass that the network cannot do.
func (n *Network) check(images *core.Node, o backbone.Options) error {
	c, s := n.config, images.Shape()
	if len(s) != 4 || s[1] != c.Channels {
		return fmt.Errorf("%s: images are %v: want [batch, %d, height, width]", c.Name, s, c.Channels)
	}
	if err := c.CheckImage(s[2], s[3]); err != nil {
		return err
	}
	cell := func(side int) int { return (side + c.stride() - 1) / c.stride() }
	if o.Train && s[0]*cell(s[2])*cell(s[3]) < 2 {
		return fmt.Errorf("%s, one image of %d×%d pixels: %w: take a larger batch or larger images", c.Name, s[2], s[3], &ops.FewValuesError{Values: 1})
	}
	return o.RefuseMasks(c.Name)
}

// forward is a pass while it is recorded.
type forward struct {
	network *Network
	g       *core.Graph
	options backbone.Options
}

// block records a residual block of these convolutions: relu(branch(x) + shortcut(x)).
func (p *forward) block(x *core.Node, list []convolution) *core.Node {
	shortcut := x
	if last := list[len(list)-1]; last.downsamples {
		shortcut, list = p.normalized(x, last, nil), list[:len(list)-1]
	}
	end := list[len(list)-1]
	for _, v := range list[:len(list)-1] {
		x = p.normalized(x, v, nil)
	}
	kept := p.options.DropPath.Factor(end.residual, 0)
	if kept == nil {
		end.rectified = true
		return p.normalized(x, end, shortcut)
	}
	branch := ops.ScaleRows(p.g, p.normalized(x, end, nil), kept)
	return ops.Relu(p.g, ops.Add(p.g, branch, shortcut))
}

// normalized records a convolution, its batch norm over all pixels of the batch, the sum with added
// if that is not nil, and the ReLU where one follows.
func (p *forward) normalized(x *core.Node, v convolution, added *core.Node) *core.Node {
	n, g := p.network, p.g
	x = ops.Conv2DNHWC(g, x, n.Node(g, v.weight+".weight"), nil, ops.ConvOptions{Stride: v.stride, Padding: v.padding()})
	return ops.BatchNormNHWC(g, x, n.Node(g, v.norm+".weight"), n.Node(g, v.norm+".bias"), added,
		ops.RunningStatistics{Mean: n.Weight(v.norm + ".running_mean"), Variance: n.Weight(v.norm + ".running_var")},
		ops.BatchNormOptions{Eps: normEps, Momentum: normMomentum, Eval: !p.options.Train}, v.rectified)
}

// channelsLast turns images [B, C, H, W] into [B, H, W, C].
func channelsLast(g *core.Graph, images *core.Node) *core.Node {
	s := images.Shape()
	rows := ops.TransposeTokens(g, g.Reshape(images, tensor.Shape{s[0], s[1], s[2] * s[3]}))
	return g.Reshape(rows, tensor.Shape{s[0], s[2], s[3], s[1]})
}
