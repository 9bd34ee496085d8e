package f32

import (
	"fmt"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

// benchLevels runs f at every level with the given threads, reporting GFLOP/s and the fraction of
// the measured peak for the given operations per round.
func benchLevels(b *testing.B, flops float64, f func(b *testing.B, p *Pool)) {
	before := Current()
	defer func() {
		must.Do(b, setLevel(before))
	}()
	for _, l := range Available()[max(0, len(Available())-2):] {
		must.Do(b, setLevel(l))
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", l, threads), func(b *testing.B) {
				p := newPool(b, threads)
				peak := Peak(p)
				f(b, p)
				if flops > 0 {
					rate := flops * float64(b.N) / b.Elapsed().Seconds() / 1e9
					b.ReportMetric(rate, "GFLOP/s")
					b.ReportMetric(rate/peak*100, "%peak")
				}
			})
		}
	}
}

// Products of one block: tokens×out×in forward, tokens×in×out for the gradient of the input,
// out×in×tokens for that of the weight.
func BenchmarkGemm(b *testing.B) {
	type product struct {
		name           string
		m, n, k        int
		transA, transB bool
	}
	var products []product
	layer := func(name string, tokens, in, out int) {
		products = append(products,
			product{name + "/forward", tokens, out, in, false, true},
			product{name + "/input", tokens, in, out, false, false},
			product{name + "/weight", out, in, tokens, true, false})
	}
	products = append(products, product{"square2048", 2048, 2048, 2048, false, false})
	for _, tokens := range []int{128 * 17, 128 * 65} {
		layer(fmt.Sprintf("ti/%d/qkv", tokens), tokens, 192, 576)
		layer(fmt.Sprintf("ti/%d/proj", tokens), tokens, 192, 192)
		layer(fmt.Sprintf("ti/%d/fc1", tokens), tokens, 192, 768)
		layer(fmt.Sprintf("ti/%d/fc2", tokens), tokens, 768, 192)
	}
	layer("b/400/qkv", 400, 768, 2304)
	layer("b/400/fc1", 400, 768, 3072)
	layer("b/400/fc2", 400, 3072, 768)
	layer("b/1576/qkv", 1576, 768, 2304)
	for _, c := range products {
		b.Run(c.name, func(b *testing.B) {
			r := newRand(1)
			x, w, y := Alloc(c.m*c.k), Alloc(c.n*c.k), Alloc(c.m*c.n)
			for _, s := range [][]float32{x, w} {
				for i := range s {
					s[i] = float32(r.NormFloat64())
				}
			}
			benchLevels(b, 2*float64(c.m)*float64(c.n)*float64(c.k), func(b *testing.B, p *Pool) {
				for b.Loop() {
					Gemm(p, Matrix{x, c.m, c.k, pick(c.transA, c.m, c.k), c.transA}, Matrix{w, c.k, c.n, pick(c.transB, c.k, c.n), c.transB}, Dense(c.m, c.n, y), false, nil)
				}
			})
		})
	}
}

// benchBytes reports GB/s of the given bytes per round.
func benchBytes(b *testing.B, bytes int, f func(p *Pool)) {
	benchLevels(b, 0, func(b *testing.B, p *Pool) {
		b.SetBytes(int64(bytes))
		for b.Loop() {
			f(p)
		}
	})
}

func BenchmarkAttention(b *testing.B) {
	for _, s := range []struct{ b, n, heads, dh int }{{128, 17, 3, 64}, {128, 65, 3, 32}, {8, 50, 12, 64}, {8, 197, 12, 64}, {2, 785, 12, 64}, {1, 3137, 3, 64}} {
		d := s.heads * s.dh
		qkv, dqkv := Alloc(s.b*s.n*3*d), Alloc(s.b*s.n*3*d)
		out, dout, stats := Alloc(s.b*s.n*d), Alloc(s.b*s.n*d), Alloc(AttentionStats(s.b, s.n, s.heads))
		r := newRand(1)
		for _, x := range [][]float32{qkv, dout} {
			for i := range x {
				x[i] = float32(r.NormFloat64())
			}
		}
		a := Attention{Batch: s.b, Tokens: s.n, Heads: s.heads, HeadDim: s.dh, Scale: 0.125, QKV: qkv, Out: out, Stats: stats}
		product := 2 * float64(s.b*s.heads*s.n*s.n*s.dh)
		b.Run(fmt.Sprintf("%dx%dx%d/forward", s.b, s.n, s.heads), func(b *testing.B) {
			benchLevels(b, 2*product, func(b *testing.B, p *Pool) {
				for b.Loop() {
					AttentionForward(p, a)
				}
			})
		})
		b.Run(fmt.Sprintf("%dx%dx%d/backward", s.b, s.n, s.heads), func(b *testing.B) {
			benchLevels(b, 5*product, func(b *testing.B, p *Pool) {
				for b.Loop() {
					AttentionBackward(p, a, dout, dqkv, nil)
				}
			})
		})
	}
}

func BenchmarkRowKernels(b *testing.B) {
	const rows, n = 128 * 17, 192
	x, y, z, stats, row := Alloc(rows*n), Alloc(rows*n), Alloc(rows*n), Alloc(rows*2), Alloc(n)
	norm := LayerNorm{Rows: rows, N: n, X: x, Gamma: row, Beta: row, Eps: 1e-6, Stats: stats}
	r := newRand(1)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	for _, c := range []struct {
		name   string
		passes int
		f      func(p *Pool)
	}{
		{"LayerNormForward", 2, func(p *Pool) { LayerNormForward(p, norm, y) }},
		{"LayerNormBackward", 3, func(p *Pool) { LayerNormBackward(p, norm, y, z, row, row, false) }},
		{"GeluForward", 2, func(p *Pool) { GeluForward(p, x, y) }},
		{"GeluBackward", 3, func(p *Pool) { GeluBackward(p, x, y, z) }},
		{"Add", 3, func(p *Pool) { Add(p, z, x, y) }},
		{"ColumnSum", 1, func(p *Pool) { ColumnSum(p, rows, n, x, row) }},
		{"SumSquares", 1, func(p *Pool) { SumSquares(p, x) }},
		{"AdamW", 7, func(p *Pool) { AdamW(p, x, y, z, z, AdamWStep{Step: 1, Eps: 1e-8}) }},
		{"SoftmaxRows", 2, func(p *Pool) { SoftmaxRows(p, rows, n, x, y, 1) }},
	} {
		b.Run(c.name, func(b *testing.B) { benchBytes(b, c.passes*rows*n*4, c.f) })
	}
}
