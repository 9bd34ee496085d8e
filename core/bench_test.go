package core_test

import (
	"fmt"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

// BenchmarkMAEStep is a step of MAE: encoder on a quarter of the tokens, decoder on all, gradients
// and AdamW. It reports the share of the machine's measured peak.
func BenchmarkMAEStep(b *testing.B) {
	for _, c := range []maeSize{
		{name: "vit_tiny_patch4_32", batch: 128, image: 32, patch: 4, dim: 192, depth: 12, heads: 3, decoder: 192, decoderDepth: 2, decoderHeads: 3},
		{name: "vit_base_patch16_224", batch: 8, image: 224, patch: 16, dim: 768, depth: 12, heads: 12, decoder: 512, decoderDepth: 8, decoderHeads: 16},
	} {
		b.Run(c.name, func(b *testing.B) {
			e := devicetest.New(b, 0)
			exe := c.build(b, e)
			optimizer := optim.NewAdamW(e, optim.AdamWOptions{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8})
			step := func() {
				must.Do(b, exe.Run())
				optimizer.Step(exe.Parameters(), exe.Grad, optim.Rate{Now: 1e-4}, 0.05)
			}
			step()
			exe.Profile(true)
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				step()
			}
			b.StopTimer()
			rate := exe.FLOPs() * float64(b.N) / b.Elapsed().Seconds() / 1e9
			b.ReportMetric(rate, "GFLOP/s")
			b.ReportMetric(100*rate/e.Peak(), "%peak")
			b.ReportMetric(float64(exe.Bytes())/1e6, "MB")
			b.ReportMetric(float64(exe.Steps()), "ops")
			if testing.Verbose() {
				for _, p := range exe.Profiles() {
					b.Logf("%-26s %5d calls %9.2f ms/step %8.1f GFLOP/s", p.Name, p.Calls/b.N, p.Time.Seconds()*1e3/float64(b.N), p.FLOPs/p.Time.Seconds()/1e9)
				}
			}
		})
	}
}

type maeSize struct {
	name                            string
	batch, image, patch, dim, depth int
	heads, decoder, decoderDepth    int
	decoderHeads                    int
}

func (c maeSize) build(b *testing.B, dev *device.CPU) *core.Executable {
	s := param.NewStore()
	g := core.NewGraph(dev)
	param := func(name string, shape ...int) *core.Node {
		p := must.Get(s.Add(name, shape, param.Init{Kind: "trunc_normal", A: 0.02, B: 1}, 1))(b)
		return g.Param(p)
	}
	linear := func(name string, in, out int) (w, bias *core.Node) {
		return param(name+".weight", out, in), param(name+".bias", out)
	}
	blocks := func(prefix string, x *core.Node, depth, d, heads int) *core.Node {
		for i := range depth {
			n := func(s string) string { return fmt.Sprintf("%s%d.%s", prefix, i, s) }
			y := ops.LayerNorm(g, x, param(n("n1.w"), d), param(n("n1.b"), d), 1e-6)
			w, v := linear(n("qkv"), d, 3*d)
			y = ops.Attention(g, ops.Linear(g, y, w, v), heads, nil, false)
			w, v = linear(n("proj"), d, d)
			x = ops.LinearResidual(g, y, w, v, x, nil, nil)
			y = ops.LayerNorm(g, x, param(n("n2.w"), d), param(n("n2.b"), d), 1e-6)
			w, v = linear(n("fc1"), d, 4*d)
			y = ops.LinearGelu(g, y, w, v)
			w, v = linear(n("fc2"), 4*d, d)
			x = ops.LinearResidual(g, y, w, v, x, nil, nil)
		}
		return ops.LayerNorm(g, x, param(prefix+"norm.w", d), param(prefix+"norm.b", d), 1e-6)
	}
	tokens := (c.image / c.patch) * (c.image / c.patch)
	keep := tokens / 4
	images := g.Input("images", tensor.Shape{c.batch, 3, c.image, c.image})
	kept := g.InputInt("keep", tensor.Shape{c.batch, keep})
	mask := g.Input("mask", tensor.Shape{c.batch, tokens})
	r := prng.New(2)
	for i := range images.Value() {
		images.Value()[i] = float32(r.NormFloat64())
	}
	for i := range c.batch {
		for k, t := range r.Perm(tokens) {
			if k < keep {
				kept.Ints()[i*keep+k] = int32(t)
			} else {
				mask.Value()[i*tokens+t] = 1
			}
		}
	}
	w, v := linear("embed", 3*c.patch*c.patch, c.dim)
	x := ops.Linear(g, ops.GatherTokens(g, ops.Patchify(g, images, c.patch, ops.CHW), kept), w, v)
	pos := param("pos", 1, 1+tokens, c.dim)
	x = ops.PrependToken(g, param("cls", 1, 1, c.dim), ops.AddPositionsAt(g, x, pos, kept, 1), pos)
	x = blocks("enc", x, c.depth, c.dim, c.heads)
	w, v = linear("dec.embed", c.dim, c.decoder)
	x = ops.RestoreTokens(g, ops.Linear(g, x, w, v), param("mask", 1, 1, c.decoder), kept, tokens)
	x = ops.AddPositions(g, x, param("dec.pos", 1, 1+tokens, c.decoder), 0)
	x = blocks("dec", x, c.decoderDepth, c.decoder, c.decoderHeads)
	w, v = linear("dec.pred", c.decoder, 3*c.patch*c.patch)
	pred := ops.SliceTokens(g, ops.Linear(g, x, w, v), 1, 1+tokens)
	loss, _ := ops.PatchMSE(g, pred, ops.NormalizePatches(g, ops.Patchify(g, images, c.patch, ops.HWC)), mask)
	return must.Get(g.Compile(loss))(b)
}
