package vit_test

import (
	"math"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// small is a network that runs in a moment.
func small() vit.Config {
	return vit.Config{Name: "small", ImageH: 8, ImageW: 12, Patch: 4, Channels: 2, Dim: 8, Depth: 2, Heads: 2, MLPRatio: 2, QKVBias: true, ClassToken: true}
}

// rig is one forward pass over random images with loss sum(w * tokens).
type rig struct {
	b    *vit.Backbone
	g    *core.Graph
	out  *vit.Outputs
	loss *core.Node
	exe  *core.Executable
}

const rigBatch = 3

// newRig builds a network with weights that are all random, so that no part of it is silent.
func newRig(t testing.TB, c vit.Config, h, w int, options func(g *core.Graph, b *vit.Backbone) backbone.Options) *rig {
	t.Helper()
	store := param.NewStore()
	b, err := vit.New(store, "", c, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range b.Parameters() {
		r := prng.New(5, p.Name)
		for i := range p.Data {
			if !p.Frozen {
				p.Data[i] += float32(.3 * r.NormFloat64())
			}
		}
	}
	x := &rig{b: b, g: core.NewGraph(devicetest.New(t, 0))}
	images := x.g.Input("images", tensor.Shape{rigBatch, c.Channels, h, w})
	fill(images.Value(), "images")
	o := backbone.Options{}
	if options != nil {
		o = options(x.g, b)
	}
	out, err := b.Forward(x.g, images, o)
	if err != nil {
		t.Fatal(err)
	}
	x.out = out.(*vit.Outputs)
	weights := x.g.Input("w", x.out.Tokens.Shape())
	fill(weights.Value(), "w")
	x.loss = ops.Dot(x.g, x.out.Tokens, weights)
	if x.exe, err = x.g.Compile(x.loss, x.out.Tokens); err != nil {
		t.Fatal(err)
	}
	x.run(t)
	return x
}

func fill(dst []float32, key string) {
	r := prng.New(7, key)
	for i := range dst {
		dst[i] = float32(r.NormFloat64())
	}
}

func (x *rig) run(t testing.TB) float64 {
	t.Helper()
	if err := x.exe.Run(); err != nil {
		t.Fatal(err)
	}
	return float64(x.loss.Value()[0])
}

// TestGradients compares, for every weight of several networks, the gradient along a random
// direction with the difference quotient of the loss.
func TestGradients(t *testing.T) {
	keep := func(g *core.Graph, _ *vit.Backbone) backbone.Options {
		n := g.InputInt("keep", tensor.Shape{rigBatch, 2})
		copy(n.Ints(), []int32{5, 0, 3, 1, 2, 4})
		return backbone.Options{Keep: n}
	}
	masked := func(g *core.Graph, _ *vit.Backbone) backbone.Options {
		n := g.Input("mask", tensor.Shape{rigBatch, 6})
		for i := range n.Value() {
			n.Value()[i] = float32(i % 2)
		}
		return backbone.Options{Mask: n}
	}
	dropped := func(g *core.Graph, b *vit.Backbone) backbone.Options {
		d := b.DropPath(g, "pass", rigBatch)
		d.Draw(3, 1, "pass", []uint64{4, 5, 6})
		return backbone.Options{DropPath: d}
	}
	for _, tc := range []struct {
		name    string
		change  func(*vit.Config)
		options func(*core.Graph, *vit.Backbone) backbone.Options
		h, w    int
	}{
		{name: "plain", change: func(*vit.Config) {}},
		{name: "fixed positions", change: func(c *vit.Config) { c.PosEmbed = vit.PosSinCos }},
		{name: "other size", change: func(*vit.Config) {}, h: 16, w: 8},
		{name: "other size, mae", change: func(c *vit.Config) { c.PosInterp = vit.InterpolateMAE }, h: 4, w: 16},
		{name: "no class token", change: func(c *vit.Config) { c.ClassToken = false }},
		{name: "no qkv bias", change: func(c *vit.Config) { c.QKVBias = false }},
		{name: "wide heads", change: func(c *vit.Config) { c.HeadDim = 6 }},
		{name: "split bias", change: func(c *vit.Config) { c.SplitQVBias = true }},
		{name: "shared relative bias", change: func(c *vit.Config) { c.RelPos = vit.RelPosShared; c.PosEmbed = vit.PosNone }},
		{name: "relative bias per block", change: func(c *vit.Config) { c.RelPos = vit.RelPosPerBlock }},
		{name: "both relative biases", change: func(c *vit.Config) { c.RelPos = vit.RelPosBoth }},
		{name: "layer scale", change: func(c *vit.Config) { c.LayerScale = .1 }},
		{name: "drop path", change: func(c *vit.Config) { c.DropPath = .5 }, options: dropped},
		{name: "drop path and layer scale", change: func(c *vit.Config) { c.DropPath, c.LayerScale = .5, .1 }, options: dropped},
		{name: "dropped patches", change: func(*vit.Config) {}, options: keep},
		{name: "dropped patches, other size", change: func(*vit.Config) {}, options: keep, h: 16, w: 16},
		{name: "masked patches", change: func(c *vit.Config) { c.MaskToken = true }, options: masked},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := small()
			tc.change(&c)
			if tc.h == 0 {
				tc.h, tc.w = c.ImageH, c.ImageW
			}
			x := newRig(t, c, tc.h, tc.w, tc.options)
			for _, p := range x.b.Parameters() {
				if p.Frozen || p.Name == "mask_token" && x.exe.Grad(p) == nil {
					continue
				}
				x.checkGradient(t, p)
			}
		})
	}
}

func (x *rig) checkGradient(t *testing.T, p *param.Parameter) {
	t.Helper()
	x.run(t)
	gradient := x.exe.Grad(p)
	if gradient == nil {
		t.Errorf("no gradient reaches %s", p.Name)
		return
	}
	const step = 2e-3
	direction := make([]float32, len(p.Data))
	fill(direction, p.Name)
	want := 0.0
	for i, d := range direction {
		want += float64(d) * float64(gradient[i])
	}
	original := append([]float32(nil), p.Data...)
	at := func(factor float64) float64 {
		for i, d := range direction {
			p.Data[i] = original[i] + float32(factor*step)*d
		}
		return x.run(t)
	}
	// Fourth-order difference: the networks are strongly curved.
	got := (8*(at(1)-at(-1)) - (at(2) - at(-2))) / (12 * step)
	copy(p.Data, original)
	if tolerance := .01 * (1 + math.Abs(want)); math.IsNaN(got) || math.Abs(got-want) > tolerance {
		t.Errorf("%s: the gradient along a random direction is %.6g, the difference quotient %.6g", p.Name, want, got)
	}
}

func equal(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d and %d elements", what, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(float64(got[i]-want[i])) <= tolerance) {
			t.Fatalf("%s: element %d is %g, want %g", what, i, got[i], want[i])
		}
	}
}

// Keeping all patches in raster order is no masking; another order permutes the tokens and nothing
// else.
func TestKeepLists(t *testing.T) {
	whole := newRig(t, small(), 8, 12, nil)
	order := []int32{4, 0, 5, 1, 3, 2}
	kept := newRig(t, small(), 8, 12, func(g *core.Graph, _ *vit.Backbone) backbone.Options {
		n := g.InputInt("keep", tensor.Shape{rigBatch, 6})
		for b := range rigBatch {
			copy(n.Ints()[b*6:], order)
		}
		return backbone.Options{Keep: n}
	})
	const d = 8
	for b := range rigBatch {
		for i, from := range append([]int32{-1}, order...) {
			equal(t, "token", kept.out.Tokens.Value()[(b*7+i)*d:][:d], whole.out.Tokens.Value()[(b*7+int(from)+1)*d:][:d], 1e-5)
		}
	}
}

// Under a full mask the network sees positions only: all samples are equal.
func TestMaskTokenHidesTheImage(t *testing.T) {
	c := small()
	c.MaskToken = true
	x := newRig(t, c, 8, 12, func(g *core.Graph, _ *vit.Backbone) backbone.Options {
		n := g.Input("mask", tensor.Shape{rigBatch, 6})
		for i := range n.Value() {
			n.Value()[i] = 1
		}
		return backbone.Options{Mask: n}
	})
	v := x.out.Tokens.Value()
	equal(t, "second sample", v[7*8:14*8], v[:7*8], 1e-6)
}

// The split bias is the packed one with zeros for the keys, whose bias changes nothing anyway.
func TestSplitBiasEqualsPacked(t *testing.T) {
	split := small()
	split.SplitQVBias = true
	a, b := newRig(t, small(), 8, 12, nil), newRig(t, split, 8, 12, nil)
	for _, p := range a.b.Parameters() {
		if q := b.b.Weight(p.Name); q != nil {
			copy(q.Data, p.Data)
			continue
		}
		copy(b.b.Weight(strings.Replace(p.Name, "qkv.bias", "q_bias", 1)).Data, p.Data[:8])
		copy(b.b.Weight(strings.Replace(p.Name, "qkv.bias", "v_bias", 1)).Data, p.Data[16:])
	}
	b.run(t)
	equal(t, "tokens", b.out.Tokens.Value(), a.out.Tokens.Value(), 1e-5)
}

func TestDropPath(t *testing.T) {
	c := small()
	c.Depth, c.DropPath = 3, .5
	g := core.NewGraph(devicetest.New(t, 0))
	const batch = 4000
	dropPath := func(name string, c vit.Config, batch int) *backbone.DropPath {
		b, err := vit.New(param.NewStore(), "", c, backbone.Zeros, 1)
		if err != nil {
			t.Fatal(err)
		}
		return b.DropPath(g, name, batch)
	}
	d := dropPath("pass", c, batch)
	ids := make([]uint64, batch)
	for i := range ids {
		ids[i] = uint64(i)
	}
	d.Draw(1, 2, "pass", ids)
	if d.Factor(0, 0) != nil || d.Factor(0, 1) != nil {
		t.Error("the first block drops nothing, and has factors")
	}
	var last [2][]float32
	for i, rate := range []float64{.25, .5} {
		block := i + 1
		for branch := range 2 {
			n, dropped := d.Factor(block, branch), 0
			for _, f := range n.Value() {
				switch {
				case f == 0:
					dropped++
				case math.Abs(float64(f)-1/(1-rate)) > 1e-6:
					t.Fatalf("block %d: factor %g, want 0 or %g", block, f, 1/(1-rate))
				}
			}
			if got := float64(dropped) / batch; math.Abs(got-rate) > .05 {
				t.Errorf("block %d branch %d: %.3f dropped, want %.2f", block, branch, got, rate)
			}
			last[branch] = append([]float32(nil), n.Value()...)
		}
	}
	same := 0 // in the last block, at a rate of one half
	for i := range last[0] {
		if last[0][i] == last[1][i] {
			same++
		}
	}
	if same > batch*6/10 {
		t.Errorf("the branches agree on %d of %d samples: they are not independent", same, batch)
	}

	before := d.Factor(2, 0).Value()[10]
	reversed := make([]uint64, batch)
	for i := range reversed {
		reversed[i] = ids[batch-1-i]
	}
	d.Draw(1, 2, "pass", reversed)
	if d.Factor(2, 0).Value()[batch-1-10] != before {
		t.Error("the factor of a sample depends on its place in the batch")
	}
	if dropPath("none", small(), 2) != nil {
		t.Error("a network that drops nothing has factors")
	}
}

func TestForwardRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*vit.Config)
		shape  tensor.Shape
		keep   bool
		mask   bool
		want   string
	}{
		{"channels", func(*vit.Config) {}, tensor.Shape{1, 3, 8, 12}, false, false, "[1, 3, 8, 12]"},
		{"rank", func(*vit.Config) {}, tensor.Shape{8, 12}, false, false, "[8, 12]"},
		{"height", func(*vit.Config) {}, tensor.Shape{1, 2, 9, 12}, false, false, "height 9"},
		{"width", func(*vit.Config) {}, tensor.Shape{1, 2, 8, 13}, false, false, "width 13"},
		{"relative bias at another size", func(c *vit.Config) { c.RelPos = vit.RelPosShared }, tensor.Shape{1, 2, 16, 16}, false, false, "8×12"},
		{"relative bias with dropped patches", func(c *vit.Config) { c.RelPos = vit.RelPosShared }, tensor.Shape{1, 2, 8, 12}, true, false, "drops patches"},
		{"no mask token", func(*vit.Config) {}, tensor.Shape{1, 2, 8, 12}, false, true, "mask token"},
		{"both", func(c *vit.Config) { c.MaskToken = true }, tensor.Shape{1, 2, 8, 12}, true, true, "not both"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := small()
			tc.change(&c)
			b, err := vit.New(param.NewStore(), "", c, nil, 1)
			if err != nil {
				t.Fatal(err)
			}
			g := core.NewGraph(devicetest.New(t, 0))
			o := backbone.Options{}
			if tc.keep {
				o.Keep = g.InputInt("keep", tensor.Shape{1, 2})
			}
			if tc.mask {
				o.Mask = g.Input("mask", tensor.Shape{1, 6})
			}
			if _, err = b.Forward(g, g.Input("x", tc.shape), o); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v: want one with %q", err, tc.want)
			}
		})
	}
}

// A second backbone on a store takes the weights that are there, and refuses those of another
// shape.
func TestNewSharesWeights(t *testing.T) {
	store := param.NewStore()
	a := must.Get(vit.New(store, "backbone.", small(), nil, 1))(t)
	b := must.Get(vit.New(store, "backbone.", small(), nil, 2))(t)
	if a.Weight("norm.weight") != b.Weight("norm.weight") {
		t.Error("the second backbone has weights of its own")
	}
	other := small()
	other.Dim = 16
	if _, err := vit.New(store, "backbone.", other, nil, 1); err == nil || !strings.Contains(err.Error(), "[1, 1, 16]") {
		t.Errorf("error %v: want one that names the shapes", err)
	}
}
