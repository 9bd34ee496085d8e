package programtest

import (
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
)

// Procedural is the part of a config that says how weights and images of a full-size case are
// computed.
type Procedural struct {
	Seed    uint64 `json:"seed"`
	Tensors []struct {
		Index  uint64  `json:"index"`
		Name   string  `json:"name"`
		Shape  []int   `json:"shape"`
		A      float64 `json:"a"`
		Offset float64 `json:"offset"`
		Fixed  string  `json:"fixed"`
	} `json:"tensors"`
	Checks []struct {
		Index  uint64     `json:"index"`
		Sum20  uint64     `json:"sum20"`
		First4 [4]float64 `json:"first4"`
		Last   float64    `json:"last"`
	} `json:"checks"`
	ImageCheck   []float64 `json:"image_check_first4"`
	GradRows     []string  `json:"grad_rows"`
	NoiseCheck   []float64 `json:"noise_check_first4"`
	Sample       *int      `json:"tok16_sample"`
	Token        *int      `json:"tok16_token"`
	EncoderToken *int      `json:"enc_tok16_token"`
	DecoderToken *int      `json:"dec_tok16_token"`
}

// Numbers of the tensors that are no weights.
const (
	ImageTensor  = 16777215
	NoiseTensor  = 16777214
	OutputTensor = 16777213
)

// hash20 is the 20-bit integer t of an element.
func hash20(seed, tensor, element uint64) uint64 {
	z := seed<<56 + tensor<<32 + element + 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return (z ^ z>>31) >> 44
}

// Fill computes a tensor and returns the sum of its integers.
func (p Procedural) Fill(dst []float32, tensor uint64, value func(t uint64) float32) uint64 {
	const parts = 8
	sums := [parts]uint64{}
	var group sync.WaitGroup
	for part := range parts {
		group.Go(func() {
			for i := len(dst) * part / parts; i < len(dst)*(part+1)/parts; i++ {
				t := hash20(p.Seed, tensor, uint64(i))
				sums[part] += t
				dst[i] = value(t)
			}
		})
	}
	group.Wait()
	total := uint64(0)
	for _, s := range sums {
		total += s
	}
	return total
}

// Affine maps a 20-bit integer to offset-a..offset+a.
func Affine(a, offset float64) func(uint64) float32 {
	return func(t uint64) float32 { return float32((float64(t)-524288)/524288*a + offset) }
}

// Load computes all weights and holds them against the checks of the config.
func (p Procedural) Load(t *testing.T, find func(name string) *param.Parameter) {
	t.Helper()
	if len(p.Tensors) == 0 {
		t.Fatal("the config lists no tensors")
	}
	for _, x := range p.Tensors {
		w := find(x.Name)
		if w == nil {
			t.Fatalf("the network has no weight %s", x.Name)
		}
		if !w.Shape.Equal(x.Shape) {
			t.Fatalf("%s is %v, the config says %v", x.Name, w.Shape, x.Shape)
		}
		if x.Fixed != "" {
			if x.Fixed != "sincos" || !w.Frozen {
				t.Fatalf("%s is fixed as %q, which the network does not do", x.Name, x.Fixed)
			}
			continue
		}
		sum := p.Fill(w.Data, x.Index, Affine(x.A, x.Offset))
		for _, check := range p.Checks {
			if check.Index != x.Index {
				continue
			}
			if sum != check.Sum20 {
				t.Fatalf("%s: the integers sum to %d, the config says %d", x.Name, sum, check.Sum20)
			}
			for i, v := range check.First4 {
				if float64(w.Data[i]) != v {
					t.Fatalf("%s[%d] = %v, the config says %v", x.Name, i, w.Data[i], v)
				}
			}
			if last := float64(w.Data[len(w.Data)-1]); last != check.Last {
				t.Fatalf("%s ends in %v, the config says %v", x.Name, last, check.Last)
			}
		}
	}
}

// Images fills a batch of images.
func (p Procedural) Images(t *testing.T, dst []float32) {
	t.Helper()
	p.Fill(dst, ImageTensor, Affine(2, 0))
	for i, v := range p.ImageCheck {
		if float64(dst[i]) != v {
			t.Fatalf("image[%d] = %v, the config says %v", i, dst[i], v)
		}
	}
}

// BlockSummary takes of each block 16 values at two places, mean and standard deviation.
func (p Procedural) BlockSummary(blocks []*core.Node, sample, token int) map[string][]float64 {
	out := map[string][]float64{}
	for _, b := range blocks {
		v, s := b.Value(), b.Shape()
		for i := range 16 {
			out["first16"] = append(out["first16"], float64(v[i]))
			out["tok16"] = append(out["tok16"], float64(v[(sample*s[1]+token)*s[2]+i]))
		}
		mean, square := 0.0, 0.0
		for _, x := range v {
			mean += float64(x)
		}
		mean /= float64(len(v))
		for _, x := range v {
			square += (float64(x) - mean) * (float64(x) - mean)
		}
		out["mean"] = append(out["mean"], mean)
		out["std"] = append(out["std"], math.Sqrt(square/float64(len(v))))
	}
	return out
}

// CompareSummary compares results; the file must have them, and no others but gradients and those
// compared before.
func CompareSummary(t *testing.T, c *golden.Case, got map[string][]float64, before ...string) {
	t.Helper()
	c.Require(t, SortedKeys(got)...)
	for _, name := range c.Names("out.") {
		switch {
		case strings.HasPrefix(name, "out.grad_"), slices.Contains(before, name):
		case got[name] == nil:
			t.Errorf("%s: there is no test for %s", c, name)
		default:
			c.CompareFloat64(t, name, got[name])
		}
	}
}

// CompareGradients compares norm and first four values of the gradients named.
func CompareGradients(t *testing.T, c *golden.Case, exe *core.Executable, rows []string, find func(string) *param.Parameter) {
	t.Helper()
	var norms, firsts []float64
	for _, name := range rows {
		g := exe.Grad(find(name))
		if g == nil {
			t.Fatalf("%s: no gradient reaches %s", c, name)
		}
		square := 0.0
		for _, v := range g {
			square += float64(v) * float64(v)
		}
		norms = append(norms, math.Sqrt(square))
		for _, v := range g[:4] {
			firsts = append(firsts, float64(v))
		}
	}
	c.CompareFloat64(t, "out.grad_norm", norms)
	c.CompareFloat64(t, "out.grad_first4", firsts)
}
