package f32

import (
	"fmt"
	"testing"
)

// benchLevels runs f at every level with the given threads, reporting GFLOP/s
// and the fraction of the measured peak for the given operations per round.
func benchLevels(b *testing.B, flops float64, f func(b *testing.B, p *Pool)) {
	before := Current()
	defer func() {
		if err := Select(before); err != nil {
			b.Fatal(err)
		}
	}()
	for _, l := range Available()[max(0, len(Available())-2):] {
		if err := Select(l); err != nil {
			b.Fatal(err)
		}
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

// Products of one block: tokens×out×in forward, tokens×in×out for the gradient
// of the input, out×in×tokens for that of the weight.
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
					Gemm(p, c.transA, c.transB, c.m, c.n, c.k, x, pick(c.transA, c.m, c.k), w, pick(c.transB, c.k, c.n), y, c.n, false, nil)
				}
			})
		})
	}
}
