package cnn_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/cnn"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

// tiny is a network that runs in a moment.
func tiny(stem cnn.Stem, block cnn.BlockKind) cnn.Config {
	return cnn.Config{Name: "tiny", ImageH: 12, ImageW: 20, Channels: 2, Stem: stem, Block: block, Layers: [4]int{1, 2, 1, 1}, Width: 4}
}

func fill(dst []float32, key string) {
	r := prng.New(7, key)
	for i := range dst {
		dst[i] = float32(r.NormFloat64())
	}
}

// newNetwork makes a network whose tensors are all random, so that no part of it is silent.
func newNetwork(t *testing.T, c cnn.Config) *cnn.Network {
	t.Helper()
	n := must.Get(cnn.New(param.NewStore(), "", c, nil, 1))(t)
	for _, p := range n.Parameters() {
		r := prng.New(5, p.Name)
		for i := range p.Data {
			p.Data[i] += float32(.2 * r.NormFloat64())
		}
	}
	for _, p := range n.Buffers() {
		r := prng.New(5, p.Name)
		for i := range p.Data {
			p.Data[i] += float32(.2 * r.Float64())
		}
	}
	return n
}

// TestGradients compares, for every weight of the networks that the reference leaves out, the
// length of the gradient with the difference quotient of the loss along it.
func TestGradients(t *testing.T) {
	for name, tc := range map[string]struct {
		c       cnn.Config
		options func(g *core.Graph, n *cnn.Network) backbone.Options
	}{
		"running ones":    {tiny(cnn.ImageNet, cnn.Bottleneck), func(*core.Graph, *cnn.Network) backbone.Options { return backbone.Options{} }},
		"wide bottleneck": {wide(), func(*core.Graph, *cnn.Network) backbone.Options { return backbone.Options{Train: true} }},
		"stochastic depth": {dropping(), func(g *core.Graph, n *cnn.Network) backbone.Options {
			d := n.DropPath(g, "pass", 3)
			d.Draw(3, 1, "pass", []uint64{4, 5, 6})
			return backbone.Options{Train: true, DropPath: d}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, tc.c)
			g := core.NewGraph(devicetest.New(t, 0))
			images := g.Input("images", tensor.Shape{3, 2, 12, 20})
			fill(images.Value(), "images")
			out := must.Get(n.Forward(g, images, tc.options(g, n)))(t)
			last := must.Get(out.Output(backbone.Map))(t)
			w := g.Input("w", last.Shape())
			fill(w.Value(), "w")
			loss := ops.Dot(g, last, w)
			exe := must.Get(g.Compile(loss))(t)
			run(t, exe)
			for _, p := range n.Parameters() {
				checkDirection(t, exe, loss, p)
			}
		})
	}
}

func wide() cnn.Config {
	c := tiny(cnn.CIFAR, cnn.Bottleneck)
	c.Inner = 2
	return c
}

func dropping() cnn.Config {
	c := tiny(cnn.CIFAR, cnn.Basic)
	c.DropPath = .6
	return c
}

// checkDirection compares the gradient of a weight with the difference quotient of the loss in the
// direction of the gradient. The step is so small that few ReLUs change sides on the way.
func checkDirection(t *testing.T, exe *core.Executable, loss *core.Node, p *param.Parameter) {
	t.Helper()
	run(t, exe)
	gradient := slices.Clone(exe.Grad(p))
	square := 0.0
	for _, v := range gradient {
		square += float64(v) * float64(v)
	}
	if square == 0 {
		t.Errorf("%s has no gradient", p.Name)
		return
	}
	at := func(h float64) float64 {
		for i, v := range gradient {
			p.Data[i] += float32(h * float64(v) / math.Sqrt(square))
		}
		run(t, exe)
		return float64(loss.Value()[0])
	}
	saved := slices.Clone(p.Data)
	const h = 4e-4
	up := at(h)
	copy(p.Data, saved)
	down := at(-h)
	copy(p.Data, saved)
	if got, want := (up-down)/(2*h), math.Sqrt(square); math.Abs(got-want) > .08*want+.3 {
		t.Errorf("%s: the loss grows by %.5g along the gradient, whose length is %.5g", p.Name, got, want)
	}
}

// Maps and features of every stage have the size of torch's, for images of any size.
func TestShapes(t *testing.T) {
	half := func(n, times int) int {
		for range times {
			n = (n + 1) / 2
		}
		return n
	}
	for _, size := range [][2]int{{1, 1}, {2, 3}, {31, 45}, {32, 32}, {50, 76}} {
		for _, stem := range []cnn.Stem{cnn.ImageNet, cnn.CIFAR} {
			n := newNetwork(t, tiny(stem, cnn.Bottleneck))
			g := core.NewGraph(devicetest.New(t, 0))
			images := g.Input("images", tensor.Shape{2, 2, size[0], size[1]})
			out := must.Get(n.Forward(g, images, backbone.Options{Train: true}))(t)
			first := 0
			if stem == cnn.ImageNet {
				first = 2
			}
			for i, dim := range n.Config().Info().StageDims {
				tap := must.Get(out.Tap(i))(t)
				early := must.Get(out.After(i))(t)
				want := tensor.Shape{2, dim, half(size[0], first+i), half(size[1], first+i)}
				if !tap.Shape().Equal(want) {
					t.Errorf("%v, %s: stage %d is %v, want %v", size, stem, i, tap.Shape(), want)
				}
				if pooled := must.Get(early.Output(backbone.Pooled))(t); !pooled.Shape().Equal(tensor.Shape{2, dim}) || must.Get(early.Output(backbone.Map))(t) != tap {
					t.Errorf("%v, %s: after stage %d the features are %v", size, stem, i, pooled.Shape())
				}
			}
			if must.Get(out.Output(backbone.Map))(t) != must.Get(out.Tap(3))(t) || must.Get(out.Output(backbone.Pooled))(t) != must.Get(out.Output(backbone.Pooled))(t) {
				t.Error("asking twice gives another node")
			}
			if err := g.Err(); err != nil {
				t.Error(err)
			}
		}
	}
}

// In evaluation the features of an image depend neither on the others nor on the last step; in
// training a committed step moves the running statistics, once.
func TestRunningStatistics(t *testing.T) {
	n := newNetwork(t, tiny(cnn.ImageNet, cnn.Basic))
	pass := func(batch int, train bool) (*core.Executable, *core.Node) {
		g := core.NewGraph(devicetest.New(t, 0))
		images := g.Input("images", tensor.Shape{batch, 2, 40, 48})
		fill(images.Value(), "images")
		pooled := must.Get(must.Get(n.Forward(g, images, backbone.Options{Train: train}))(t).Output(backbone.Pooled))(t)
		exe := must.Get(g.Compile(nil, pooled))(t)
		run(t, exe)
		return exe, pooled
	}
	state := func() (all []float32) {
		for _, b := range n.Buffers() {
			all = append(all, b.Data...)
		}
		return all
	}
	before := state()
	_, alone := pass(1, false)
	exe, all := pass(3, false)
	if !slices.Equal(alone.Value(), all.Value()[:len(alone.Value())]) {
		t.Error("the features of an image depend on the others")
	}
	exe.Commit()
	training, _ := pass(3, true)
	if !slices.Equal(state(), before) {
		t.Error("the running statistics moved before a step was good, or in an evaluation")
	}
	training.Commit()
	if slices.Equal(state(), before) {
		t.Error("a training step leaves the running statistics as they are")
	}
	_, later := pass(1, false)
	if slices.Equal(later.Value(), alone.Value()) {
		t.Error("an evaluation does not read the running statistics")
	}
}

// With a last batch norm of zero each block passes its input on.
func TestZeroInitLast(t *testing.T) {
	c := tiny(cnn.CIFAR, cnn.Basic)
	c.ZeroInitLast, c.Layers = true, [4]int{2, 1, 1, 1}
	n := must.Get(cnn.New(param.NewStore(), "", c, nil, 1))(t)
	g := core.NewGraph(devicetest.New(t, 0))
	images := g.Input("images", tensor.Shape{2, 2, 12, 20})
	fill(images.Value(), "images")
	out := must.Get(n.Forward(g, images, backbone.Options{Train: true}))(t).(*cnn.Outputs)
	run(t, must.Get(g.Compile(nil, out.Stem, out.Stages[0]))(t))
	if !slices.Equal(out.Stem.Value(), out.Stages[0].Value()) {
		t.Error("the first stage changes its input")
	}
}

// Recomputation of blocks changes no bit.
func TestRecompute(t *testing.T) {
	n := newNetwork(t, tiny(cnn.CIFAR, cnn.Bottleneck))
	var first [][]float32
	for _, again := range []bool{false, true} {
		g := core.NewGraph(devicetest.New(t, 0))
		if again {
			g.RecomputeBlocks()
		}
		images := g.Input("images", tensor.Shape{3, 2, 12, 20})
		fill(images.Value(), "images")
		pooled := must.Get(must.Get(n.Forward(g, images, backbone.Options{Train: true}))(t).Output(backbone.Pooled))(t)
		exe := must.Get(g.Compile(ops.Mean(g, ops.Mul(g, pooled, pooled))))(t)
		run(t, exe)
		var all [][]float32
		for _, p := range n.Parameters() {
			all = append(all, slices.Clone(exe.Grad(p)))
		}
		if first == nil {
			first = all
		} else if !slices.EqualFunc(first, all, slices.Equal) {
			t.Error("recomputation gives other gradients")
		}
	}
}

func TestRefusals(t *testing.T) {
	n := newNetwork(t, tiny(cnn.CIFAR, cnn.Basic))
	g := core.NewGraph(devicetest.New(t, 1))
	images := func(shape ...int) *core.Node { return g.Input(tensor.Shape(shape).String(), shape) }
	keep, mask := g.InputInt("keep", tensor.Shape{2, 4}), g.Input("mask", tensor.Shape{2, 4})
	good := images(2, 2, 16, 16)
	for want, try := range map[string]func() (backbone.Outputs, error){
		"want [batch, 2, height, width]": func() (backbone.Outputs, error) { return n.Forward(g, images(2, 3, 16, 16), backbone.Options{}) },
		"and this pass drops patches":    func() (backbone.Outputs, error) { return n.Forward(g, good, backbone.Options{Keep: keep}) },
		"and this pass masks patches":    func() (backbone.Outputs, error) { return n.Forward(g, good, backbone.Options{Mask: mask}) },
		"tiny, one image of 8×8 pixels: batch normalization needs at least 2 values": func() (backbone.Outputs, error) {
			return n.Forward(g, images(1, 2, 8, 8), backbone.Options{Train: true})
		},
	} {
		if _, err := try(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	out := must.Get(n.Forward(g, good, backbone.Options{}))(t)
	for _, name := range []backbone.Output{backbone.Class, backbone.Tokens, backbone.PatchTokens} {
		if _, err := out.Output(name); err == nil || !strings.Contains(err.Error(), "tiny has no "+string(name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := out.Attention(0); err == nil || !strings.Contains(err.Error(), "no attention") {
		t.Error(err)
	}
	for _, i := range []int{-1, 4} {
		if _, err := out.Tap(i); err == nil {
			t.Errorf("there is a stage %d", i)
		}
		if _, err := out.After(i); err == nil {
			t.Errorf("there is a network that ends after stage %d", i)
		}
	}
}
