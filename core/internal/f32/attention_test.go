package f32

import (
	"fmt"
	"math"
	"runtime"
	"testing"
)

// attentionTrue is AttentionForward in float64.
func attentionTrue(b, n, heads, dh int, scale float64, qkv, bias []float64, causal bool) (out, probs []float64) {
	d := heads * dh
	out, probs = make([]float64, b*n*d), make([]float64, b*heads*n*n)
	for bi := range b {
		for h := range heads {
			for i := range n {
				row := probs[((bi*heads+h)*n+i)*n:][:n]
				sum, top := 0.0, math.Inf(-1)
				for j := range n {
					if causal && j > i {
						continue
					}
					s := 0.0
					for l := range dh {
						s += qkv[(bi*n+i)*3*d+h*dh+l] * qkv[(bi*n+j)*3*d+d+h*dh+l]
					}
					s *= scale
					if bias != nil {
						s += bias[(h*n+i)*n+j]
					}
					row[j], top = s, max(top, s)
				}
				for j := range n {
					if causal && j > i {
						continue
					}
					row[j] = math.Exp(row[j] - top)
					sum += row[j]
				}
				for j := range n {
					row[j] /= sum
					for l := range dh {
						out[(bi*n+i)*d+h*dh+l] += row[j] * qkv[(bi*n+j)*3*d+2*d+h*dh+l]
					}
				}
			}
		}
	}
	return out, probs
}

// attentionGradTrue is the gradient of Σ out·dout.
func attentionGradTrue(b, n, heads, dh int, scale float64, qkv, probs, dout []float64) (dqkv, dbias []float64) {
	d := heads * dh
	dqkv, dbias = make([]float64, len(qkv)), make([]float64, heads*n*n)
	for bi := range b {
		for h := range heads {
			for i := range n {
				p := probs[((bi*heads+h)*n+i)*n:][:n]
				dp := make([]float64, n)
				delta := 0.0
				for j := range n {
					for l := range dh {
						g := dout[(bi*n+i)*d+h*dh+l]
						dp[j] += g * qkv[(bi*n+j)*3*d+2*d+h*dh+l]
						dqkv[(bi*n+j)*3*d+2*d+h*dh+l] += p[j] * g
					}
					delta += p[j] * dp[j]
				}
				for j := range n {
					ds := p[j] * (dp[j] - delta)
					dbias[(h*n+i)*n+j] += ds
					for l := range dh {
						dqkv[(bi*n+i)*3*d+h*dh+l] += scale * ds * qkv[(bi*n+j)*3*d+d+h*dh+l]
						dqkv[(bi*n+j)*3*d+d+h*dh+l] += scale * ds * qkv[(bi*n+i)*3*d+h*dh+l]
					}
				}
			}
		}
	}
	return dqkv, dbias
}

func widen(x []float32) []float64 {
	if x == nil {
		return nil
	}
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func TestAttention(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 2), newPool(t, 5)}
	type shape struct{ b, n, heads, dh int }
	shapes := []shape{{1, 1, 1, 1}, {3, 17, 3, 64}, {2, 50, 2, 16}, {1, 101, 1, 64}, {10, 5, 2, 33}, {2, 65, 1, 80}, {1, 209, 2, 16}, {1, 431, 1, 20}}
	for n := 2; n <= 34; n++ {
		shapes = append(shapes, shape{1, n, 1, 1 + n*7%40})
	}
	eachLevel(t, func(t *testing.T) {
		for _, s := range some(shapes) {
			for variant := range 4 {
				b, n, heads, dh := s.b, s.n, s.heads, s.dh
				d, causal := heads*dh, variant&1 != 0
				scale := float32(1 / math.Sqrt(float64(dh)))
				label := fmt.Sprintf("%+v causal=%v bias=%v", s, causal, variant&2 != 0)
				var first []float32
				for _, p := range pools {
					r := newRand(uint64(n))
					qkv, dout := newGuarded("qkv", b*n*3*d).random(r, 1), newGuarded("dout", b*n*d).random(r, 1)
					out, stats := newGuarded("out", b*n*d).random(r, 1), newGuarded("stats", AttentionStats(b, n, heads))
					dqkv := newGuarded("dqkv", b*n*3*d).random(r, 1)
					probs := newGuarded("probs", b*heads*n*n).random(r, 1)
					bias, dbias := newGuarded("bias", heads*n*n).random(r, 1), newGuarded("dbias", heads*n*n).random(r, 1)
					bx, dbx := bias.x, dbias.x
					if variant&2 == 0 {
						bx, dbx = nil, nil
					}
					a := Attention{Batch: b, Tokens: n, Heads: heads, HeadDim: dh, Scale: scale, Causal: causal, QKV: qkv.x, Bias: bx, Out: out.x, Stats: stats.x}
					AttentionForward(p, a)
					AttentionProbabilities(p, a, probs.x)
					AttentionBackward(p, a, dout.x, dqkv.x, dbx)
					for _, g := range []*guarded{qkv, dout, out, stats, dqkv, probs, bias, dbias} {
						g.check(t)
					}
					if first == nil {
						wantOut, wantProbs := attentionTrue(b, n, heads, dh, float64(scale), widen(qkv.x), widen(bx), causal)
						want, wantBias := attentionGradTrue(b, n, heads, dh, float64(scale), widen(qkv.x), wantProbs, widen(dout.x))
						near(t, "out "+label, out.x, wantOut, 1.5e-6, 1)
						near(t, "probabilities "+label, probs.x, wantProbs, 1.5e-6, 0)
						near(t, "dqkv "+label, dqkv.x, want, 3e-6, 1)
						if dbx != nil {
							near(t, "dbias "+label, dbias.x, wantBias, 3e-6, 1)
						}
						first = append(append(append(first, out.x...), dqkv.x...), dbias.x...)
					}
					sameBits(t, label, append(append(append([]float32(nil), out.x...), dqkv.x...), dbias.x...), first)
				}
			}
		}
	})
}

// Scores far from each other overflow nothing, in one block of keys or in several. A key that is
// not finite reaches every query that sees it, and no other head.
func TestAttentionExtremes(t *testing.T) {
	p := newPool(t, 2)
	eachLevel(t, func(t *testing.T) {
		for _, n := range []int{17, 300} {
			const b, heads, dh = 1, 2, 16
			d := heads * dh
			r := newRand(3)
			qkv, dout := newGuarded("qkv", b*n*3*d).random(r, 30), newGuarded("dout", b*n*d).random(r, 1)
			out, stats, dqkv := newGuarded("out", b*n*d), newGuarded("stats", AttentionStats(b, n, heads)), newGuarded("dqkv", b*n*3*d)
			run := func() {
				a := Attention{Batch: b, Tokens: n, Heads: heads, HeadDim: dh, Scale: 0.25, Causal: true, QKV: qkv.x, Out: out.x, Stats: stats.x}
				AttentionForward(p, a)
				AttentionBackward(p, a, dout.x, dqkv.x, nil)
			}
			run()
			want, probs := attentionTrue(b, n, heads, dh, 0.25, widen(qkv.x), nil, true)
			grad, _ := attentionGradTrue(b, n, heads, dh, 0.25, widen(qkv.x), probs, widen(dout.x))
			near(t, "out", out.x, want, 1e-4, 1) // float32 scores of several thousand
			near(t, "dqkv", dqkv.x, grad, 1e-3, 1)

			bad := n - 3
			qkv.x[bad*3*d+d+5] = float32(math.NaN()) // a key of head 0
			run()
			for i := range n {
				for c := range d {
					v := out.x[i*d+c]
					if lost := c < dh && i >= bad; lost != (v != v) {
						t.Fatalf("%d tokens, key %d of head 0 is NaN: out[%d][%d] = %v", n, bad, i, c, v)
					}
				}
			}
			if v := dqkv.x[bad*3*d]; v == v {
				t.Errorf("%d tokens: the gradient of query %d is %v, want NaN", n, bad, v)
			}
		}
	})
}

// The scratch of attention grows with the tokens, not with their square: one number per token, for
// the dot products of the backward pass.
func TestAttentionMemory(t *testing.T) {
	scratch := func(n int) int {
		const heads, dh = 1, 16
		p := newPool(t, 1)
		qkv, out, dqkv := Alloc(n*3*dh), Alloc(n*dh), Alloc(n*3*dh)
		stats := Alloc(AttentionStats(1, n, heads))
		a := Attention{Batch: 1, Tokens: n, Heads: heads, HeadDim: dh, Scale: 0.25, QKV: qkv, Out: out, Stats: stats}
		AttentionForward(p, a)
		AttentionBackward(p, a, out, dqkv, nil)
		return cap(p.workers[0].arena) + cap(p.packA) + cap(p.packB) + cap(p.partial)
	}
	small, large := scratch(832), scratch(3328)
	t.Logf("%d floats for 832 tokens, %d for 3328", small, large)
	if large > small+2*(3328-832) {
		t.Errorf("scratch of %d floats for 832 tokens, %d for 3328", small, large)
	}
}

// The float64 gradient that the kernels are compared with, against finite differences of the
// float64 forward pass.
func TestAttentionReference(t *testing.T) {
	const b, n, heads, dh = 1, 5, 2, 3
	r := newRand(1)
	qkv, dout, bias := widen(newGuarded("", b*n*3*heads*dh).random(r, 1).x), widen(newGuarded("", b*n*heads*dh).random(r, 1).x), widen(newGuarded("", heads*n*n).random(r, 1).x)
	loss := func() float64 {
		out, _ := attentionTrue(b, n, heads, dh, 0.6, qkv, bias, true)
		s := 0.0
		for i, v := range out {
			s += v * dout[i]
		}
		return s
	}
	_, probs := attentionTrue(b, n, heads, dh, 0.6, qkv, bias, true)
	dqkv, dbias := attentionGradTrue(b, n, heads, dh, 0.6, qkv, probs, dout)
	for _, c := range []struct{ x, dx []float64 }{{qkv, dqkv}, {bias, dbias}} {
		for i := range c.x {
			keep, h := c.x[i], 1e-5
			c.x[i] = keep + h
			up := loss()
			c.x[i] = keep - h
			down := loss()
			c.x[i] = keep
			if slope := (up - down) / (2 * h); math.Abs(slope-c.dx[i]) > 1e-8 {
				t.Fatalf("gradient %d is %v, finite difference %v", i, c.dx[i], slope)
			}
		}
	}
}

// Blocks of whole strips end where their tensors end: no pointer may lie beyond during a garbage
// collection.
func TestAttentionAtTheEndOfMemory(t *testing.T) {
	const b, n, heads, dh = 2, 24, 4, 16
	p := newPool(t, 2)
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			default:
				runtime.GC()
			}
		}
	}()
	eachLevel(t, func(t *testing.T) {
		for range 40 {
			r := newRand(1)
			qkv := make([]float32, b*n*3*heads*dh)
			for i := range qkv {
				qkv[i] = float32(r.NormFloat64())
			}
			dqkv, out, dout := make([]float32, len(qkv)), make([]float32, b*n*heads*dh), make([]float32, b*n*heads*dh)
			stats := make([]float32, AttentionStats(b, n, heads))
			copy(dout, qkv)
			a := Attention{Batch: b, Tokens: n, Heads: heads, HeadDim: dh, Scale: 0.25, QKV: qkv, Out: out, Stats: stats}
			AttentionForward(p, a)
			AttentionBackward(p, a, dout, dqkv, nil)
		}
	})
	close(done)
	<-stopped
}
