package f32

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// gemmCase is one product with operands that sit in larger matrices.
type gemmCase struct {
	transA, transB   bool
	m, n, k          int
	padA, padB, padC int
	accumulate       bool
}

func (c gemmCase) String() string {
	return fmt.Sprintf("%dx%dx%d/transA=%v/transB=%v/accumulate=%v", c.m, c.n, c.k, c.transA, c.transB, c.accumulate)
}

type gemmOperands struct {
	a, b, c       *guarded
	lda, ldb, ldc int
	before        []float32
}

func (c gemmCase) operands(r *rand.Rand) gemmOperands {
	size := func(trans bool, rows, cols, pad int) (int, int) {
		if trans {
			rows, cols = cols, rows
		}
		return max(0, (rows-1)*(cols+pad)+cols), cols + pad
	}
	var o gemmOperands
	na, lda := size(c.transA, c.m, c.k, c.padA)
	nb, ldb := size(c.transB, c.k, c.n, c.padB)
	nc, ldc := size(false, c.m, c.n, c.padC)
	o.lda, o.ldb, o.ldc = lda, ldb, ldc
	o.a, o.b, o.c = newGuarded("a", na).random(r, 1), newGuarded("b", nb).random(r, 1), newGuarded("c", nc).random(r, 1)
	o.before = append([]float32(nil), o.c.x...)
	return o
}

// reference is op(A)·op(B) (+ C), dense.
func (c gemmCase) reference(o gemmOperands) []float64 {
	out := make([]float64, c.m*c.n)
	for i := range c.m {
		for l := range c.k {
			av := 0.0
			if c.transA {
				av = float64(o.a.x[l*o.lda+i])
			} else {
				av = float64(o.a.x[i*o.lda+l])
			}
			for j := range c.n {
				if c.transB {
					out[i*c.n+j] += av * float64(o.b.x[j*o.ldb+l])
				} else {
					out[i*c.n+j] += av * float64(o.b.x[l*o.ldb+j])
				}
			}
		}
		if c.accumulate {
			for j := range c.n {
				out[i*c.n+j] += float64(o.before[i*o.ldc+j])
			}
		}
	}
	return out
}

// matrices are the operands as Gemm takes them.
func (c gemmCase) matrices(o gemmOperands) (a, b, out Matrix) {
	return Matrix{Data: o.a.x, Rows: c.m, Cols: c.k, Stride: o.lda, Trans: c.transA},
		Matrix{Data: o.b.x, Rows: c.k, Cols: c.n, Stride: o.ldb, Trans: c.transB},
		Matrix{Data: o.c.x, Rows: c.m, Cols: c.n, Stride: o.ldc}
}

func (c gemmCase) dense(o gemmOperands) []float32 {
	out := make([]float32, 0, c.m*c.n)
	for i := range c.m {
		out = append(out, o.c.x[i*o.ldc:i*o.ldc+c.n]...)
	}
	return out
}

// checkRest fails if values between the rows of C changed.
func (c gemmCase) checkRest(t *testing.T, o gemmOperands) {
	t.Helper()
	o.a.check(t)
	o.b.check(t)
	o.c.check(t)
	for i, v := range o.c.x {
		if i%o.ldc >= c.n && v != o.before[i] {
			t.Fatalf("%v: wrote %v between the rows of C, at %d", c, v, i)
		}
	}
}

func TestGemm(t *testing.T) {
	var cases []gemmCase
	r := newRand(1)
	for m := 1; m <= 70; m++ {
		c := gemmCase{m: m, n: 1 + r.IntN(70), k: 1 + r.IntN(70), padA: r.IntN(5), padB: r.IntN(5), padC: r.IntN(5)}
		c.transA, c.transB, c.accumulate = m&1 != 0, m&2 != 0, m&4 != 0
		cases = append(cases, c)
		c.m, c.n = c.n, m
		cases = append(cases, c)
		c.n, c.k = c.k, m
		c.transA, c.transB = c.transB, !c.transA
		cases = append(cases, c)
	}
	for i := range 8 {
		flags := gemmCase{transA: i&1 != 0, transB: i&2 != 0, accumulate: i&4 != 0}
		for _, s := range [][3]int{{127, 47, 1573}, {33, 129, 769}, {14, 32, 768}, {1, 1, 1}, {3, 5, 0}} {
			flags.m, flags.n, flags.k = s[0], s[1], s[2]
			cases = append(cases, flags)
		}
	}
	// More rows than a worker keeps in cache, several blocks of summands, edges on all sides; and
	// gradients of weights that are too large for partial results.
	cases = append(cases, gemmCase{m: 233, n: 333, k: 841, padA: 3}, gemmCase{m: 233, n: 333, k: 841, transB: true, accumulate: true},
		gemmCase{m: 701, n: 401, k: 431, transA: true, accumulate: true}, gemmCase{m: 401, n: 701, k: 431, transA: true, transB: true, padB: 1})
	// So many columns that the rows of A are made panels first.
	cases = append(cases, gemmCase{m: 29, n: 1027, k: 61, padA: 2}, gemmCase{m: 31, n: 1040, k: 5, transB: true, accumulate: true})
	pools := []*Pool{newPool(t, 1), newPool(t, 2), newPool(t, 3), newPool(t, 5)}
	eachLevel(t, func(t *testing.T) {
		for i, c := range some(cases) {
			var first []float32
			o := c.operands(newRand(uint64(i)))
			a, b, out := c.matrices(o)
			for _, p := range pools {
				copy(o.c.x, o.before)
				Gemm(p, a, b, out, c.accumulate, nil)
				c.checkRest(t, o)
				if first == nil {
					first = c.dense(o)
					near(t, c.String(), first, c.reference(o), 1.5e-6, 1)
				}
				sameBits(t, c.String(), c.dense(o), first)

				copy(o.c.x, o.before)
				var packed Packed
				PackB(p, b, &packed)
				GemmPacked(p, a, &packed, out, c.accumulate, nil)
				if c.transA {
					near(t, c.String()+" packed", c.dense(o), widen(first), 3e-6, 1)
				} else {
					sameBits(t, c.String()+" packed", c.dense(o), first)
				}
			}
		}
	})
}

// The bits of a row of C do not depend on the rows and columns computed with it.
func TestGemmSplit(t *testing.T) {
	p := newPool(t, 2)
	eachLevel(t, func(t *testing.T) {
		c := gemmCase{m: 61, n: 83, k: 1111}
		o := c.operands(newRand(3))
		a, b, out := c.matrices(o)
		Gemm(p, a, b, out, false, nil)
		for _, s := range [][4]int{{5, 6, 0, 83}, {0, 61, 7, 8}, {17, 40, 31, 77}} {
			part := make([]float32, (s[1]-s[0])*(s[3]-s[2]))
			Gemm(p, a.block(s[0], s[1], 0, c.k), b.block(0, c.k, s[2], s[3]), Dense(s[1]-s[0], s[3]-s[2], part), false, nil)
			for i := s[0]; i < s[1]; i++ {
				sameBits(t, fmt.Sprint(s, i), part[(i-s[0])*(s[3]-s[2]):], o.c.x[i*o.ldc+s[2]:i*o.ldc+s[3]])
			}
		}
	})
}

func TestGemmEpilogue(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 3)}
	type shape struct{ m, n, k int }
	shapes := []shape{{1, 1, 1}, {7, 17, 5}, {29, 64, 33}, {31, 39, 900}, {103, 161, 900}, {6, 40, 0}, {41, 1031, 100}}
	names := []string{"bias", "gelu", "gelu without bias", "times a matrix", "residual", "residual in place", "drop path in place", "layer scale alone"}
	eachLevel(t, func(t *testing.T) {
		for _, s := range some(shapes) {
			for kind, name := range names {
				for _, accumulate := range []bool{false, true} {
					var first []float32
					for _, p := range pools {
						r := newRand(uint64(kind))
						c := gemmCase{m: s.m, n: s.n, k: s.k, transB: true, accumulate: accumulate}
						o := c.operands(r)
						bias, gamma := newGuarded("bias", s.n).random(r, 1), newGuarded("gamma", s.n).random(r, 1)
						other := newGuarded("matrix", s.m*s.n).random(r, 1)
						otherBefore := append([]float32(nil), other.x...)
						per := 3
						drop := newGuarded("drop", ceilDiv(s.m, per)).random(r, 1)
						want := c.reference(o)
						var ep Epilogue
						var slope []float64
						for i := range want {
							row, col := i/s.n, i%s.n
							b := float64(bias.x[col])
							switch kind {
							case 0:
								ep.Bias = bias.x
								want[i] += b
							case 1, 2:
								if kind == 1 {
									ep.Bias = bias.x
									want[i] += b
								}
								ep.Slope = other.x
								slope = append(slope, geluSlope(want[i]))
								want[i] = geluTrue(want[i])
							case 3:
								ep.Times = other.x
								want[i] *= float64(otherBefore[i])
							case 4:
								ep.Bias, ep.Gamma, ep.Residual = bias.x, gamma.x, other.x
								want[i] = float64(otherBefore[i]) + float64(gamma.x[col])*(want[i]+b)
							case 5:
								ep.Bias, ep.Residual = bias.x, o.c.x
								want[i] = float64(o.before[i]) + want[i] + b
							case 6:
								ep.Residual, ep.RowScale, ep.RowsPer = o.c.x, drop.x, per
								want[i] = float64(o.before[i]) + float64(drop.x[row/per])*want[i]
							case 7:
								ep.Gamma = gamma.x
								want[i] *= float64(gamma.x[col])
							}
						}
						a, b, out := c.matrices(o)
						Gemm(p, a, b, out, accumulate, &ep)
						c.checkRest(t, o)
						for _, g := range []*guarded{bias, gamma, other, drop} {
							g.check(t)
						}
						label := fmt.Sprintf("%s %v accumulate=%v", name, s, accumulate)
						near(t, label, o.c.x, want, 3e-6, 1)
						if slope != nil {
							// Sums of k products are as wrong as √k, and the slope with them.
							near(t, label+" slope", other.x, slope, max(2e-5, 1.5e-6*math.Sqrt(float64(s.k))), 1)
						}
						if first == nil {
							first = append(first, o.c.x...)
						}
						sameBits(t, label, o.c.x, first)
					}
				}
			}
		}
	})
}

// TestGemmSlopeAlignment: the bits of the slope do not depend on its alignment.
func TestGemmSlopeAlignment(t *testing.T) {
	p := newPool(t, 3)
	const m, n, k = 41, 128, 19
	eachLevel(t, func(t *testing.T) {
		r := newRand(1)
		a, b := newGuarded("a", m*k).random(r, 1), newGuarded("b", n*k).random(r, 1)
		var first [2][]float32
		for shift := range 3 {
			y, buf := Alloc(m*n), Alloc(m*n+shift)
			slope := buf[shift:]
			for i := range slope {
				slope[i] = float32(math.NaN())
			}
			Gemm(p, Dense(m, k, a.x), Dense(n, k, b.x).T(), Dense(m, n, y), false, &Epilogue{Slope: slope})
			if shift == 0 {
				first = [2][]float32{y, slope}
			}
			sameBits(t, "y", y, first[0])
			sameBits(t, "slope", slope, first[1])
		}
		for i, v := range first[1] {
			if v != v {
				t.Fatalf("slope[%d] was not written", i)
			}
		}
	})
}

func TestGemmBatch(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 2), newPool(t, 5)}
	eachLevel(t, func(t *testing.T) {
		for i := range 16 {
			c := gemmCase{transA: i&1 != 0, transB: i&2 != 0, accumulate: i&4 != 0, m: 23, n: 37, k: 19}
			if i&8 != 0 {
				c.k = 1100 // several runs of sums, and enough for partial results
			}
			for _, batch := range []int{1, 4, 9} {
				var first []float32
				for _, p := range pools {
					r := newRand(uint64(i))
					a, b := newGuarded("a", batch*c.m*c.k).random(r, 1), newGuarded("b", batch*c.n*c.k).random(r, 1)
					out := newGuarded("c", batch*c.m*c.n).random(r, 1)
					lda, ldb := pick(c.transA, c.m, c.k), pick(c.transB, c.k, c.n)
					var want []float64
					for q := range batch {
						o := gemmOperands{a: &guarded{x: a.x[q*c.m*c.k:]}, b: &guarded{x: b.x[q*c.n*c.k:]}, lda: lda, ldb: ldb, ldc: c.n, before: out.x[q*c.m*c.n:]}
						want = append(want, c.reference(o)...)
					}
					ma, mb, mc := c.matrices(gemmOperands{a: a, b: b, c: out, lda: lda, ldb: ldb, ldc: c.n})
					GemmBatch(p, batch, Batch{ma, c.m * c.k}, Batch{mb, c.n * c.k}, Batch{mc, c.m * c.n}, c.accumulate)
					out.check(t)
					near(t, fmt.Sprint(c, batch), out.x, want, 1e-6, 1)
					if first == nil {
						first = append(first, out.x...)
					}
					sameBits(t, fmt.Sprint(c, batch), out.x, first)
				}
			}
		}
	})
}

func TestGemmRefusesWrongShapes(t *testing.T) {
	p := newPool(t, 1)
	x, y := make([]float32, 100), make([]float32, 40)
	square := Dense(4, 4, x)
	gemm := func(a, b, c Matrix, ep *Epilogue) { Gemm(p, a, b, c, false, ep) }
	for name, f := range map[string]func(){
		"short a": func() { gemm(Dense(10, 11, x), Dense(11, 4, x), Dense(10, 4, y), nil) },
		"short b": func() { gemm(Dense(4, 11, x), Dense(11, 10, x), Dense(4, 10, y), nil) },
		"short c": func() { gemm(square, square, Dense(4, 4, y[:15]), nil) },
		"stride below the columns": func() {
			gemm(Matrix{Data: x, Rows: 4, Cols: 4, Stride: 3}, square, Dense(4, 4, y), nil)
		},
		"short bias":    func() { gemm(square, square, Dense(4, 4, y), &Epilogue{Bias: x[:3]}) },
		"two epilogues": func() { gemm(square, square, Dense(4, 4, y), &Epilogue{Slope: x, Residual: x}) },
		"inner sizes":   func() { gemm(Dense(4, 5, x), square, Dense(4, 4, y), nil) },
		"outer sizes":   func() { gemm(square, square, Dense(4, 5, y), nil) },
		"transposed c":  func() { gemm(square, square, Dense(4, 4, y).T(), nil) },
		"packed of two sizes": func() {
			var b Packed
			PackB(p, square, &b)
			GemmPacked(p, Dense(4, 5, x), &b, Dense(4, 4, y), false, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
	Add(p, x, x, x) // the pool still works
}

func pick(cond bool, yes, no int) int {
	if cond {
		return yes
	}
	return no
}
