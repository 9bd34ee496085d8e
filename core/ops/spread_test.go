package ops

import (
	"math"
	"slices"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

func TestSpread(t *testing.T) {
	g := core.NewGraph(devicetest.New(t, 2))
	x := input(g, "x", tensor.Shape{3, 2}, 1, 0, 0, 1, -1, 0)
	y := input(g, "y", tensor.Shape{3, 2}, 0, 1, 0, 1, 1, 0)
	same := input(g, "same", tensor.Shape{3, 2}, .6, .8, .6, .8, .6, .8)
	cases := []struct {
		name string
		got  *core.Node
		want float64
	}{
		{"deviation", FeatureDeviation(g, x), (1 + math.Sqrt(1./3)) / 2},
		{"deviation of equal rows", FeatureDeviation(g, same), 0},
		{"deviation of one row", FeatureDeviation(g, SliceRows(g, x, 0, 1)), 0},
		{"uniformity of one row", Uniformity(g, SliceRows(g, x, 0, 1)), 0},
		{"alignment", Alignment(g, x, y), (2 + 0 + 4) / 3.},
		{"uniformity", Uniformity(g, x), math.Log((2*math.Exp(-4) + math.Exp(-8)) / 3)},
		{"uniformity of equal rows", Uniformity(g, same), 0},
		{"rank", EffectiveRank(g, x), math.Exp(entropy(math.Sqrt2, 1))}, // XᵀX is diag(2, 1)
		{"rank of equal rows", EffectiveRank(g, same), 1},
	}
	var nodes []*core.Node
	for _, c := range cases {
		nodes = append(nodes, c.got)
	}
	compiled(t, g, nil, nodes...)
	for _, c := range cases {
		if got := float64(c.got.Value()[0]); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%s is %v, want %v", c.name, got, c.want)
		}
	}
}

// entropy is that of positive numbers divided by their sum.
func entropy(x ...float64) float64 {
	sum, out := 0.0, 0.0
	for _, v := range x {
		sum += v
	}
	for _, v := range x {
		out -= v / sum * math.Log(v/sum)
	}
	return out
}

// The measures see no more than the rows that they promise, and both sides of a matrix agree.
func TestEffectiveRank(t *testing.T) {
	rank := func(rows, d int, at func(r, j int) float64) float64 {
		g := core.NewGraph(devicetest.New(t, 2))
		x := g.Input("x", tensor.Shape{rows, d})
		for i := range x.Value() {
			x.Value()[i] = float32(at(i/d, i%d))
		}
		n := EffectiveRank(g, x)
		compiled(t, g, nil, n)
		return float64(n.Value()[0])
	}
	random := make([]float64, 40*9)
	r := prng.New(1, "rank")
	for i := range random {
		random[i] = r.NormFloat64()
	}
	tall := rank(40, 9, func(r, j int) float64 { return random[r*9+j] })
	wide := rank(9, 40, func(r, j int) float64 { return random[j*9+r] })
	if math.Abs(tall-wide) > 1e-5 || tall < 6 || tall > 9 {
		t.Errorf("the rank of a matrix is %v and of its transpose %v", tall, wide)
	}
	orthogonal := func(r, j int) float64 {
		if r%3 == j {
			return 1
		}
		return 0
	}
	if got := rank(measuredRows+2, 3, func(r, j int) float64 {
		if r >= measuredRows {
			return 1e3
		}
		return orthogonal(r, j)
	}); math.Abs(got-3) > 1e-3 {
		t.Errorf("rank %v, want 3", got)
	}
}

func TestEigenvalues(t *testing.T) {
	r := prng.New(2, "eigenvalues")
	for _, n := range []int{1, 2, 3, 7, 30, 64} {
		// Q·diag·Qᵀ with a product of reflections Q has the eigenvalues of the diagonal.
		want, a := make([]float64, n), make([][]float64, n)
		for i := range a {
			a[i] = make([]float64, n)
			want[i] = r.NormFloat64()
			if i%3 == 2 { // some are equal, and some zero
				want[i] = want[i-1] * float64(i%2)
			}
			a[i][i] = want[i]
		}
		for range 3 {
			v := make([]float64, n)
			squares := 0.0
			for i := range v {
				v[i] = r.NormFloat64()
				squares += v[i] * v[i]
			}
			for range 2 { // rows, then columns
				for i := range n {
					dot := 0.0
					for j := range n {
						dot += a[i][j] * v[j]
					}
					for j := range n {
						a[i][j] -= 2 / squares * dot * v[j]
					}
				}
				for i := range n {
					for j := range i {
						a[i][j], a[j][i] = a[j][i], a[i][j]
					}
				}
			}
		}
		got := eigenvalues(a)
		slices.Sort(got)
		slices.Sort(want)
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-12*float64(n) {
				t.Errorf("%d×%d: eigenvalue %d is %v, want %v", n, n, i, got[i], want[i])
			}
		}
	}
}
