package bench

import (
	"fmt"
	"time"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// A Kernel is one piece of arithmetic, measured alone on all threads.
type Kernel struct {
	Name       string  `json:"name"`
	Shape      string  `json:"shape"`
	Time       Summary `json:"seconds"`
	GFLOPs     float64 `json:"gflops,omitempty"`       // per second, at the median
	OfPeak     Summary `json:"share_of_peak,omitzero"` // share of the peak that was measured next to each sample
	GigaBytes  float64 `json:"gigabytes,omitempty"`    // moved per second at least, for kernels that memory limits
	NsPerValue float64 `json:"ns_per_value,omitempty"` // of optimizers
	Cost       float64 `json:"cost"`                   // operations that the peak could have done in the shortest time
}

// job is a kernel made ready to run.
type job struct {
	name, shape string
	flops       float64 // 2 × multiply-adds of one run; 0: memory limits it
	bytes       float64 // read and written at least
	values      float64 // parameters updated
	run         func() error
}

// timed runs f often enough to measure it, samples times over; each value is the time of one run in
// seconds. peaks are measured before each sample and after the last.
func timed(f func() error, peak func() float64, samples int) (out, peaks Series, err error) {
	const enough = 40 * time.Millisecond
	if err := f(); err != nil { // warm
		return nil, nil, err
	}
	times := 1
	peaks = Series{peak()}
	for len(out) < samples {
		start := time.Now()
		for range times {
			if err := f(); err != nil {
				return nil, nil, err
			}
		}
		d := time.Since(start)
		if d < enough && len(out) == 0 {
			times *= 2
			peaks[0] = peak()
			continue
		}
		out, peaks = append(out, d.Seconds()/float64(times)), append(peaks, peak())
	}
	return out, peaks, nil
}

// shareOfPeak is, for each time, the share of the better of the peaks before and after it.
func shareOfPeak(flops float64, times, peaks Series) Series {
	share := make(Series, len(times))
	for i, t := range times {
		share[i] = flops / t / 1e9 / max(peaks[i], peaks[i+1])
	}
	return share
}

// ramp fills x with values that look like activations: bounded, of both signs, no zeros, no
// denormals.
func ramp(x []float32) {
	for i := range x {
		x[i] = float32(i*7919%1009-504)/504 + 1e-3
	}
}

func product(s shape) recipe {
	return func(dev *device.CPU) (job, error) {
		m, n, k := s.m, s.n, s.k
		a, b, c := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
		ramp(a)
		ramp(b)
		name := "matrix product"
		switch {
		case s.transA:
			name += ", Aᵀ·B"
		case s.transB:
			name += ", A·Bᵀ"
		}
		return job{name: name, shape: fmt.Sprintf("%d×%d×%d", m, k, n), flops: 2 * float64(m) * float64(n) * float64(k),
			run: func() error { dev.MatMul(s.transA, s.transB, m, n, k, a, b, c); return nil }}, nil
	}
}

// compiled makes a job of a graph that is run forward and backward; build gets the graph and its
// store and returns the node whose sum is the loss.
func compiled(name, shape string, bytes float64, build func(g *core.Graph, param func(name string, dims ...int) *core.Node, input func(name string, dims ...int) *core.Node) *core.Node) recipe {
	return func(dev *device.CPU) (job, error) {
		g, store := core.NewGraph(dev), param.NewStore()
		var failed error
		param := func(name string, dims ...int) *core.Node {
			p, err := store.Add(name, tensor.Shape(dims), param.Init{Kind: "normal", A: 0.05}, 1)
			if err != nil {
				failed = err
				return nil
			}
			return g.Param(p)
		}
		input := func(name string, dims ...int) *core.Node {
			n := g.Input(name, tensor.Shape(dims)).RequireGrad()
			ramp(n.Value())
			return n
		}
		loss := ops.Sum(g, build(g, param, input))
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

func linear(rows, in, out int) recipe {
	return compiled("linear", fmt.Sprintf("%d×%d→%d", rows, in, out), 0,
		func(g *core.Graph, param, input func(string, ...int) *core.Node) *core.Node {
			return ops.Linear(g, input("x", rows, in), param("weight", out, in), param("bias", out))
		})
}

func mlp(rows, dim int) recipe {
	return compiled("linear + GELU, linear + residual", fmt.Sprintf("%d×%d→%d→%d", rows, dim, 4*dim, dim), 0,
		func(g *core.Graph, param, input func(string, ...int) *core.Node) *core.Node {
			x := input("x", 1, rows, dim)
			h := ops.LinearGelu(g, x, param("fc1.weight", 4*dim, dim), param("fc1.bias", 4*dim))
			return ops.LinearResidual(g, h, param("fc2.weight", dim, 4*dim), param("fc2.bias", dim), x, nil, nil)
		})
}

func attention(batch, tokens, heads, width int) recipe {
	return compiled("attention", fmt.Sprintf("%d×%d tokens, %d heads of %d", batch, tokens, heads, width), 0,
		func(g *core.Graph, _, input func(string, ...int) *core.Node) *core.Node {
			return ops.Attention(g, input("qkv", batch, tokens, 3*heads*width), heads, nil, false)
		})
}

func layerNorm(rows, dim int) func(*device.CPU) (job, error) {
	// Forward reads x and writes y; backward reads x and dy and writes dx.
	return compiled("layer norm", fmt.Sprintf("%d×%d", rows, dim), 5*4*float64(rows)*float64(dim),
		func(g *core.Graph, param, input func(string, ...int) *core.Node) *core.Node {
			return ops.LayerNorm(g, input("x", rows, dim), param("weight", dim), param("bias", dim), 1e-6)
		})
}

func adamW(values int) recipe {
	return func(dev *device.CPU) (job, error) {
		p, err := param.NewStore().Add("weight", tensor.Shape{values}, param.Init{Kind: "normal", A: 0.02}, 1)
		if err != nil {
			return job{}, err
		}
		p.Decay = true
		grad := make([]float32, values)
		ramp(grad)
		o := optim.NewAdamW(dev, optim.AdamWOptions{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8})
		params := []*param.Parameter{p}
		return job{name: "AdamW", shape: fmt.Sprintf("%.1f M parameters", float64(values)/1e6), values: float64(values),
			bytes: 7 * 4 * float64(values), // reads weight, gradient, two moments; writes all but the gradient
			run: func() error {
				o.Step(params, func(*param.Parameter) []float32 { return grad }, optim.Rate{Now: 1e-6}, 0.05)
				return nil
			}}, nil
	}
}
