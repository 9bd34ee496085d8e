package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/vittool/vittool/core"
)

// A Kernel is one piece of arithmetic, measured alone on all threads.
type Kernel struct {
	Name       string  `json:"name"`
	Shape      string  `json:"shape"`
	Time       Summary `json:"seconds"`
	GFLOPs     float64 `json:"gflops,omitempty"`       // per second, at the median
	OfPeak     float64 `json:"of_peak,omitempty"`      // share of the measured peak
	GigaBytes  float64 `json:"gigabytes,omitempty"`    // moved per second at least, for kernels that memory limits
	NsPerValue float64 `json:"ns_per_value,omitempty"` // of optimizers
}

// job is a kernel made ready to run.
type job struct {
	name, shape string
	flops       float64 // 2 × multiply-adds of one run; 0: memory limits it
	bytes       float64 // read and written at least
	values      float64 // parameters updated
	run         func() error
}

// Kernels measures the kernels that a step of training spends its time in, in
// the shapes of ViT-Ti/4 on 32 pixels (batch 128, 17 tokens kept) and of
// ViT-B/16 on 224 pixels (batch 8, 50 tokens kept). Each is timed samples times.
func Kernels(ctx context.Context, e *core.Engine, samples int) ([]Kernel, error) {
	prepare := []func(*core.Engine) (job, error){
		product(2048, 2048, 2048, false, false),
		product(400, 3072, 768, false, true),
		product(768, 3072, 400, true, false),
		product(2176, 768, 192, false, true),
		linear(400, 768, 3072),
		linear(2176, 192, 768),
		mlp(400, 768),
		mlp(2176, 192),
		attention(8, 197, 12, 64),
		attention(8, 50, 12, 64),
		attention(128, 17, 3, 64),
		attention(128, 65, 3, 32),
		attention(2, 785, 12, 64),
		attention(1, 3137, 3, 64),
		layerNorm(2176, 192),
		layerNorm(400, 768),
		adamW(5_800_000),
	}
	var out []Kernel
	for _, p := range prepare {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		j, err := p(e)
		if err != nil {
			return nil, err
		}
		s, err := timed(j.run, samples)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", j.name, j.shape, err)
		}
		k := Kernel{Name: j.name, Shape: j.shape, Time: s.Summary()}
		if j.flops > 0 {
			k.GFLOPs = j.flops / s.Median() / 1e9
			k.OfPeak = k.GFLOPs / e.Peak()
		}
		k.GigaBytes = j.bytes / s.Median() / 1e9
		if j.values > 0 {
			k.NsPerValue = s.Median() * 1e9 / j.values
		}
		out = append(out, k)
	}
	return out, nil
}

// timed runs f often enough to measure it, samples times over; each value is the
// time of one run in seconds.
func timed(f func() error, samples int) (Series, error) {
	const enough = 40 * time.Millisecond
	if err := f(); err != nil { // warm
		return nil, err
	}
	times := 1
	var out Series
	for len(out) < samples {
		start := time.Now()
		for range times {
			if err := f(); err != nil {
				return nil, err
			}
		}
		d := time.Since(start)
		if d < enough && len(out) == 0 {
			times *= 2
			continue
		}
		out = append(out, d.Seconds()/float64(times))
	}
	return out, nil
}

// ramp fills x with values that look like activations: bounded, of both signs,
// no zeros, no denormals.
func ramp(x []float32) {
	for i := range x {
		x[i] = float32(i*7919%1009-504)/504 + 1e-3
	}
}

func product(m, n, k int, transA, transB bool) func(*core.Engine) (job, error) {
	return func(e *core.Engine) (job, error) {
		a, b, c := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
		ramp(a)
		ramp(b)
		name := "matrix product"
		switch {
		case transA:
			name += ", Aᵀ·B"
		case transB:
			name += ", A·Bᵀ"
		}
		return job{name: name, shape: fmt.Sprintf("%d×%d×%d", m, k, n), flops: 2 * float64(m) * float64(n) * float64(k),
			run: func() error { e.MatMul(transA, transB, m, n, k, a, b, c); return nil }}, nil
	}
}

// compiled makes a job of a graph that is run forward and backward; build gets
// the graph and its store and returns the node whose sum is the loss.
func compiled(name, shape string, bytes float64, build func(g *core.Graph, param func(name string, dims ...int) *core.Node, input func(name string, dims ...int) *core.Node) *core.Node) func(*core.Engine) (job, error) {
	return func(e *core.Engine) (job, error) {
		g, store := core.NewGraph(e), core.NewStore()
		var failed error
		param := func(name string, dims ...int) *core.Node {
			p, err := store.Add(name, core.Shape(dims), core.Init{Kind: "normal", A: 0.05}, 1)
			if err != nil {
				failed = err
				return nil
			}
			return g.Param(p)
		}
		input := func(name string, dims ...int) *core.Node {
			n := g.Input(name, core.Shape(dims)).RequireGrad()
			ramp(n.Value())
			return n
		}
		loss := g.Sum(build(g, param, input))
		if failed != nil {
			return job{}, fmt.Errorf("%s: %w", name, failed)
		}
		exe, err := g.Compile(loss)
		if err != nil {
			return job{}, fmt.Errorf("%s: %w", name, err)
		}
		j := job{name: name + ", forward + backward", shape: shape, flops: exe.FLOPs(), run: exe.Run}
		if j.flops == 0 {
			j.bytes = bytes
		}
		return j, nil
	}
}

func linear(rows, in, out int) func(*core.Engine) (job, error) {
	return compiled("linear", fmt.Sprintf("%d×%d→%d", rows, in, out), 0,
		func(g *core.Graph, param, input func(string, ...int) *core.Node) *core.Node {
			return g.Linear(input("x", rows, in), param("weight", out, in), param("bias", out))
		})
}

func mlp(rows, dim int) func(*core.Engine) (job, error) {
	return compiled("linear + GELU, linear + residual", fmt.Sprintf("%d×%d→%d→%d", rows, dim, 4*dim, dim), 0,
		func(g *core.Graph, param, input func(string, ...int) *core.Node) *core.Node {
			x := input("x", 1, rows, dim)
			h := g.LinearGelu(x, param("fc1.weight", 4*dim, dim), param("fc1.bias", 4*dim))
			return g.LinearResidual(h, param("fc2.weight", dim, 4*dim), param("fc2.bias", dim), x, nil, nil)
		})
}

func attention(batch, tokens, heads, width int) func(*core.Engine) (job, error) {
	return compiled("attention", fmt.Sprintf("%d×%d tokens, %d heads of %d", batch, tokens, heads, width), 0,
		func(g *core.Graph, _, input func(string, ...int) *core.Node) *core.Node {
			return g.Attention(input("qkv", batch, tokens, 3*heads*width), heads, nil, false)
		})
}

func layerNorm(rows, dim int) func(*core.Engine) (job, error) {
	// Forward reads x and writes y; backward reads x and dy and writes dx.
	return compiled("layer norm", fmt.Sprintf("%d×%d", rows, dim), 5*4*float64(rows)*float64(dim),
		func(g *core.Graph, param, input func(string, ...int) *core.Node) *core.Node {
			return g.LayerNorm(input("x", rows, dim), param("weight", dim), param("bias", dim), 1e-6)
		})
}

func adamW(values int) func(*core.Engine) (job, error) {
	return func(e *core.Engine) (job, error) {
		p, err := core.NewStore().Add("weight", core.Shape{values}, core.Init{Kind: "normal", A: 0.02}, 1)
		if err != nil {
			return job{}, err
		}
		p.Decay = true
		grad := make([]float32, values)
		ramp(grad)
		o := core.NewAdamW(e, core.AdamWOptions{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8})
		params := []*core.Parameter{p}
		return job{name: "AdamW", shape: fmt.Sprintf("%.1f M parameters", float64(values)/1e6), values: float64(values),
			bytes: 7 * 4 * float64(values), // reads weight, gradient, two moments; writes all but the gradient
			run: func() error {
				o.Step(params, func(*core.Parameter) []float32 { return grad }, 1e-6, 0.05)
				return nil
			}}, nil
	}
}
