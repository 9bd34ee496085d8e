package core_test

import (
	"fmt"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

// transformer is a small network that uses the main operators: patches, a drawn subset of tokens,
// blocks, an MAE decoder.
type transformer struct {
	images, mask, loss *core.Node
	keep               *core.Node
	exe                *core.Executable
}

const (
	tBatch, tSide, tPatch, tDim, tHeads = 4, 16, 4, 24, 3
	tTokens, tKeep                      = 16, 4
)

// parametersOf makes a store with the parameters of buildTransformer.
func parametersOf(t testing.TB, depth int) *param.Store {
	t.Helper()
	s := param.NewStore()
	add := func(name string, kind string, shape ...int) {
		if _, err := s.Add(name, shape, param.Init{Kind: kind, A: 0.3, B: 1}, 5); err != nil {
			t.Fatal(err)
		}
	}
	add("embed.weight", "normal", tDim, 3*tPatch*tPatch)
	add("embed.bias", "normal", tDim)
	add("cls", "normal", 1, 1, tDim)
	add("mask", "normal", 1, 1, tDim)
	add("pos", "normal", 1, 1+tTokens, tDim)
	for i := range depth {
		for _, n := range []string{"norm1", "norm2"} {
			add(fmt.Sprintf("%d.%s.weight", i, n), "ones", tDim)
			add(fmt.Sprintf("%d.%s.bias", i, n), "zeros", tDim)
		}
		for n, s := range map[string][2]int{"qkv": {3 * tDim, tDim}, "proj": {tDim, tDim}, "fc1": {4 * tDim, tDim}, "fc2": {tDim, 4 * tDim}} {
			add(fmt.Sprintf("%d.%s.weight", i, n), "normal", s[0], s[1])
			add(fmt.Sprintf("%d.%s.bias", i, n), "normal", s[0])
		}
	}
	add("head.weight", "normal", 3*tPatch*tPatch, tDim)
	return s
}

func blocksOf(g *core.Graph, p func(string) *core.Node, x *core.Node, depth int) *core.Node {
	for i := range depth {
		n := func(name string) *core.Node { return p(fmt.Sprintf("%d.%s", i, name)) }
		g.Block(func() {
			y := ops.LayerNorm(g, x, n("norm1.weight"), n("norm1.bias"), 1e-6)
			y = ops.Attention(g, ops.Linear(g, y, n("qkv.weight"), n("qkv.bias")), tHeads, nil, false)
			x = ops.LinearResidual(g, y, n("proj.weight"), n("proj.bias"), x, nil, nil)
			y = ops.LayerNorm(g, x, n("norm2.weight"), n("norm2.bias"), 1e-6)
			y = ops.LinearGelu(g, y, n("fc1.weight"), n("fc1.bias"))
			x = ops.LinearResidual(g, y, n("fc2.weight"), n("fc2.bias"), x, nil, nil)
		})
	}
	return x
}

func buildTransformer(t testing.TB, dev *device.CPU, s *param.Store, batch, depth int) *transformer {
	t.Helper()
	m, g := recordTransformer(dev, s, batch, depth)
	var err error
	if m.exe, err = g.Compile(m.loss); err != nil {
		t.Fatal(err)
	}
	return m
}

func recordTransformer(dev *device.CPU, s *param.Store, batch, depth int) (*transformer, *core.Graph) {
	g := core.NewGraph(dev)
	p := func(name string) *core.Node { return g.Param(s.Get(name)) }
	m := &transformer{images: g.Input("images", tensor.Shape{batch, 3, tSide, tSide}), keep: g.InputInt("keep", tensor.Shape{batch, tKeep}), mask: g.Input("mask", tensor.Shape{batch, tTokens})}
	x := ops.Linear(g, ops.Patchify(g, m.images, tPatch, ops.CHW), p("embed.weight"), p("embed.bias"))
	x = ops.AddPositionsAt(g, ops.GatherTokens(g, x, m.keep), p("pos"), m.keep, 1)
	x = blocksOf(g, p, ops.PrependToken(g, p("cls"), x, p("pos")), depth)
	x = ops.AddPositions(g, ops.RestoreTokens(g, x, p("mask"), m.keep, tTokens), p("pos"), 0)
	x = blocksOf(g, p, x, depth) // the same weights again
	pred := ops.Linear(g, ops.SliceTokens(g, x, 1, 1+tTokens), p("head.weight"), nil)
	m.loss, _ = ops.PatchMSE(g, pred, ops.NormalizePatches(g, ops.Patchify(g, m.images, tPatch, ops.HWC)), m.mask)
	r := prng.New(1, "images")
	for i := range m.images.Value() {
		m.images.Value()[i] = float32(r.NormFloat64())
	}
	for i := range m.mask.Value() {
		m.mask.Value()[i] = 1
	}
	for b := range batch {
		for k, v := range r.Perm(tTokens)[:tKeep] {
			m.keep.Ints()[b*tKeep+k] = int32(v)
			m.mask.Value()[b*tTokens+v] = 0
		}
	}
	return m, g
}

func (m *transformer) run(t testing.TB) float32 {
	t.Helper()
	must.Do(t, m.exe.Run())
	return m.loss.Value()[0]
}
