package families_test

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// third is a family in a few lines: a patch embedding, two residual MLPs, and a batch norm with
// running statistics.
type third struct{}

func (third) Name() string       { return "third" }
func (third) Variants() []string { return []string{"third_small_patch8_32"} }
func (third) Landmark() string   { return "stem.weight" }

func (t third) Variant(name string) (backbone.Config, error) {
	if !slices.Contains(t.Variants(), name) {
		return nil, backbone.Unknown(name, t.Variants())
	}
	return thirdConfig{Name: name, Size: [2]int{32, 32}, Channels: 3, Patch: 8, Dim: 16}, nil
}

func (third) Decode(text []byte) (backbone.Config, error) {
	var c thirdConfig
	err := json.Unmarshal(text, &c)
	return c, err
}

func (t third) Recognize(shape func(string) (tensor.Shape, bool)) []string {
	if s, ok := shape("stem.weight"); ok && s.Equal(tensor.Shape{16, 3 * 8 * 8}) {
		return t.Variants()
	}
	return nil
}

func (t third) Samples() []backbone.Config {
	c, _ := t.Variant(t.Variants()[0])
	return []backbone.Config{c}
}

type thirdConfig struct {
	Name                 string
	Size                 [2]int
	Channels, Patch, Dim int
}

func (c thirdConfig) Info() backbone.Info {
	return backbone.Info{Name: c.Name, Family: "third", ImageH: c.Size[0], ImageW: c.Size[1], Channels: c.Channels, Patch: c.Patch, Dim: c.Dim, Depth: 2}
}

func (c thirdConfig) With(s backbone.Settings) (backbone.Config, error) {
	if s.DropPath != 0 || s.LayerScale != 0 {
		return nil, fmt.Errorf("%s has neither stochastic depth nor layer scale", c.Name)
	}
	if s.Height != 0 {
		c.Size = [2]int{s.Height, s.Width}
	}
	if s.Channels != 0 {
		c.Channels = s.Channels
	}
	return c, c.CheckImage(c.Size[0], c.Size[1])
}

func (c thirdConfig) Require(r backbone.Requirements) (backbone.Config, error) {
	if r != (backbone.Requirements{}) {
		return nil, fmt.Errorf("%s has none of the parts that the objective requires: %+v", c.Name, r)
	}
	return c, nil
}

func (c thirdConfig) CheckImage(h, w int) error {
	if h < c.Patch || w < c.Patch || h%c.Patch != 0 || w%c.Patch != 0 {
		return fmt.Errorf("%s: %d×%d pixels are no whole number of patches of %d", c.Name, h, w, c.Patch)
	}
	return nil
}

func (c thirdConfig) Weights() []backbone.TensorSpec {
	fanIn := param.Init{Kind: "fan_in_uniform"}
	ws := []backbone.TensorSpec{{Name: "stem.weight", Shape: tensor.Shape{c.Dim, c.Channels * c.Patch * c.Patch}, Init: fanIn, Block: -1}}
	for i := range c.Info().Depth {
		ws = append(ws,
			backbone.TensorSpec{Name: fmt.Sprintf("mlp.%d.fc1.weight", i), Shape: tensor.Shape{2 * c.Dim, c.Dim}, Init: fanIn, Block: i},
			backbone.TensorSpec{Name: fmt.Sprintf("mlp.%d.fc2.weight", i), Shape: tensor.Shape{c.Dim, 2 * c.Dim}, Init: fanIn, Block: i})
	}
	return append(ws,
		backbone.TensorSpec{Name: "norm.running_mean", Shape: tensor.Shape{c.Dim}, Init: param.Init{Kind: "zeros"}, Block: -1, Buffer: true},
		backbone.TensorSpec{Name: "norm.running_var", Shape: tensor.Shape{c.Dim}, Init: param.Init{Kind: "ones"}, Block: -1, Buffer: true})
}

func (c thirdConfig) New(store *param.Store, prefix string, s backbone.Scheme, seed uint64) (backbone.Network, error) {
	tensors, err := backbone.Create(store, prefix, c.Name, c.Weights(), s, seed)
	return &thirdNetwork{tensors, c}, err
}

func (c thirdConfig) ForwardFLOPs(cells int) float64 {
	return 2 * float64(cells*c.Dim) * float64(c.Channels*c.Patch*c.Patch+8*c.Dim)
}

func (thirdConfig) Beside(name string) bool { return name == "head.weight" }

type thirdNetwork struct {
	backbone.Tensors
	config thirdConfig
}

func (n *thirdNetwork) Config() backbone.Config                              { return n.config }
func (n *thirdNetwork) DropPath(*core.Graph, string, int) *backbone.DropPath { return nil }

func (n *thirdNetwork) Forward(g *core.Graph, images *core.Node, o backbone.Options) (backbone.Outputs, error) {
	if err := o.RefuseMasks(n.config.Name); err != nil {
		return nil, err
	}
	out := &thirdOutputs{n: n, g: g, train: o.Train, images: images.Shape()}
	x := ops.Linear(g, ops.Patchify(g, images, n.config.Patch, ops.CHW), n.Node(g, "stem.weight"), nil)
	for i := range n.config.Info().Depth {
		hidden := ops.LinearGelu(g, x, n.Node(g, fmt.Sprintf("mlp.%d.fc1.weight", i)), nil)
		x = ops.Add(g, x, ops.Linear(g, hidden, n.Node(g, fmt.Sprintf("mlp.%d.fc2.weight", i)), nil))
		out.taps = append(out.taps, x)
	}
	out.tokens = out.norm(x)
	return out, nil
}

type thirdOutputs struct {
	n      *thirdNetwork
	g      *core.Graph
	train  bool
	images tensor.Shape
	taps   []*core.Node
	tokens *core.Node
}

func (o *thirdOutputs) norm(x *core.Node) *core.Node {
	s := x.Shape()
	rows := o.g.Reshape(x, tensor.Shape{s[0] * s[1], s[2]})
	statistics := ops.RunningStatistics{Mean: o.n.Weight("norm.running_mean"), Variance: o.n.Weight("norm.running_var")}
	return o.g.Reshape(ops.BatchNorm(o.g, rows, nil, nil, statistics, ops.BatchNormOptions{Eps: 1e-5, Momentum: .1, Eval: !o.train}), s)
}

func (o *thirdOutputs) Output(name backbone.Output) (*core.Node, error) {
	switch name {
	case backbone.Tokens, backbone.PatchTokens:
		return o.tokens, nil
	case backbone.Pooled:
		return ops.MeanTokens(o.g, o.tokens, 0), nil
	case backbone.Map:
		p := o.n.config.Patch
		return o.g.Reshape(ops.TransposeTokens(o.g, o.tokens), tensor.Shape{o.images[0], o.n.config.Dim, o.images[2] / p, o.images[3] / p}), nil
	}
	return nil, backbone.NoOutput(o.n.config.Name, name)
}

func (o *thirdOutputs) Tap(i int) (*core.Node, error) {
	if err := o.n.config.Info().CheckTap(i); err != nil {
		return nil, err
	}
	return o.taps[i], nil
}

func (o *thirdOutputs) After(i int) (backbone.Outputs, error) {
	x, err := o.Tap(i)
	if err != nil {
		return nil, err
	}
	early := *o
	early.tokens = o.norm(x)
	return &early, nil
}

func (o *thirdOutputs) Attention(int) (*core.Node, error) {
	return nil, backbone.NoOutput(o.n.config.Name, "attention")
}
