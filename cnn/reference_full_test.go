package cnn_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/cnn"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tensor"
)

// fullCase is a network of full width with a classifier, whose weights come from a hash.
type fullCase struct {
	*golden.Case
	config struct {
		Model   string `json:"model"`
		Batch   int    `json:"batch"`
		Size    int    `json:"size"`
		Classes int    `json:"num_classes"`
		Seed    uint64 `json:"hash_seed"`
	}
	store   *param.Store
	network *cnn.Network
	state   []*param.Parameter // in the order of the hash
}

// inputTensor is the number of the images in the hash.
const inputTensor = 10000

// hash fills a tensor with values of the 24-bit uniform number s in -1..1.
func (r *fullCase) hash(dst []float32, number uint64, value func(s float64) float64) {
	for e := range dst {
		z := r.config.Seed<<56 + number<<32 + uint64(e) + 0x9E3779B97F4A7C15
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		dst[e] = float32(value(2*float64((z^z>>31)>>40)/(1<<24) - 1))
	}
}

// newFullCase makes the network of a case, with the tensors in the order of the file.
func newFullCase(t *testing.T, c *golden.Case) *fullCase {
	t.Helper()
	r := &fullCase{Case: c, store: param.NewStore()}
	c.ConfigInto(t, &r.config)
	model, err := cnn.Variant(r.config.Model)
	if err != nil {
		t.Fatal(err)
	}
	if r.network, err = cnn.New(r.store, "", model, backbone.Zeros, 1); err != nil {
		t.Fatal(err)
	}
	dim := model.Info().Dim
	for name, shape := range map[string]tensor.Shape{"fc.weight": {r.config.Classes, dim}, "fc.bias": {r.config.Classes}} {
		if _, err := r.store.Add(name, shape, param.Init{Kind: "zeros"}, 1); err != nil {
			t.Fatal(err)
		}
	}
	var names, own []string
	if err := json.Unmarshal([]byte(c.Meta["state_names"]), &names); err != nil {
		t.Fatalf("%s: state_names: %v", c, err)
	}
	for _, w := range model.Weights() {
		own = append(own, w.Name)
	}
	if own = append(own, "fc.weight", "fc.bias"); !slices.Equal(names, own) {
		t.Fatalf("%s: the tensors are %v, ours are %v", c, names, own)
	}
	for i, name := range names {
		p := r.store.Get(name)
		r.hash(p.Data, uint64(i), initial(name, p.Shape, lastNorm(model)))
		r.state = append(r.state, p)
	}
	return r
}

// lastNorm is the name of the last batch norm of a residual branch.
func lastNorm(c cnn.Config) string {
	if c.Block == cnn.Bottleneck {
		return ".bn3.weight"
	}
	return ".bn2.weight"
}

// initial is the formula of a tensor's values.
func initial(name string, shape tensor.Shape, last string) func(s float64) float64 {
	affine := func(offset, scale float64) func(float64) float64 {
		return func(s float64) float64 { return offset + scale*s }
	}
	fanIn := 1.0
	for _, n := range shape[1:] {
		fanIn *= float64(n)
	}
	switch {
	case name == "fc.weight":
		return affine(0, math.Sqrt(3/fanIn))
	case name == "fc.bias":
		return affine(0, .1)
	case len(shape) == 4:
		return affine(0, math.Sqrt(6/fanIn))
	case strings.HasSuffix(name, last):
		return affine(.25, .1)
	case strings.HasSuffix(name, ".weight"):
		return affine(1, .3)
	case strings.HasSuffix(name, ".running_var"):
		return affine(1, .4)
	}
	return affine(0, .2) // bias, running mean
}

// logits records a pass with the classifier.
func (r *fullCase) logits(t *testing.T, g *core.Graph, train bool) (*core.Node, backbone.Outputs) {
	t.Helper()
	images := g.Input("images", tensor.Shape{r.config.Batch, 3, r.config.Size, r.config.Size})
	r.hash(images.Value(), inputTensor, func(s float64) float64 { return 2 * s })
	r.first(t, "check.input", images.Value())
	out := must.Get(r.network.Forward(g, images, backbone.Options{Train: train}))(t)
	features := must.Get(out.Output(backbone.Pooled))(t)
	return ops.Linear(g, features, g.Param(r.store.Get("fc.weight")), g.Param(r.store.Get("fc.bias"))), out
}

// first compares the first values of a tensor of the hash, which are exact.
func (r *fullCase) first(t *testing.T, name string, got []float32) {
	t.Helper()
	if want := r.F32(t, name); !slices.Equal(got[:len(want)], want) {
		t.Fatalf("%s: %s is %v, want %v", r, name, got[:len(want)], want)
	}
}

// fullReference compares logits, parts of the maps, gradients and running statistics.
func fullReference(t *testing.T, c *golden.Case) {
	r := newFullCase(t, c)
	for _, name := range c.Names("check.param.") {
		r.first(t, name, r.store.Get(strings.TrimPrefix(name, "check.param.")).Data)
	}
	g := core.NewGraph(devicetest.New(t, 0))
	logits, _ := r.logits(t, g, false)
	run(t, must.Get(g.Compile(nil, logits))(t))
	c.Compare(t, "out.eval_logits", logits.Value())

	g = core.NewGraph(devicetest.New(t, 0))
	logits, out := r.logits(t, g, true)
	labels := g.InputInt("labels", tensor.Shape{r.config.Batch})
	for i, v := range c.I64(t, "input.labels") {
		if labels.Ints()[i] = int32(v); v != int64((7*i+3)%r.config.Classes) {
			t.Errorf("%s: label %d is %d", c, i, v)
		}
	}
	loss, _ := ops.SoftmaxCrossEntropy(g, logits, labels)
	extra := []*core.Node{logits}
	for i := range r.network.Config().Info().Depth {
		extra = append(extra, must.Get(out.Tap(i))(t))
	}
	exe := must.Get(g.Compile(loss, extra...))(t)
	run(t, exe)
	c.Compare(t, "loss", loss.Value())
	c.Compare(t, "out.logits", logits.Value())
	for i, n := range extra[1:] {
		r.compareMap(t, fmt.Sprintf("out.layer%d.", i+1), n)
	}
	r.compareGradients(t, exe)
	exe.Commit()
	for _, b := range r.network.Buffers() {
		name := "after.slice." + b.Name
		c.Compare(t, name, b.Data[:min(16, len(b.Data))])
	}
}

func run(t *testing.T, e *core.Executable) {
	t.Helper()
	if err := e.Run(); err != nil {
		t.Fatal(err)
	}
}

// compareMap compares means over space, and a corner, of a map [B, C, h, w].
func (r *fullCase) compareMap(t *testing.T, prefix string, n *core.Node) {
	t.Helper()
	s, v := n.Shape(), n.Value()
	cells := s[2] * s[3]
	var means []float64
	for plane := range s[0] * s[1] {
		sum := 0.0
		for _, x := range v[plane*cells:][:cells] {
			sum += float64(x)
		}
		means = append(means, sum/float64(cells))
	}
	r.CompareFloat64(t, prefix+"mean_hw", means)
	var corner []float32
	for b := range s[0] {
		for c := range min(6, s[1]) {
			for y := range min(3, s[2]) {
				at := ((b*s[1]+c)*s[2] + y) * s[3]
				corner = append(corner, v[at:at+min(3, s[3])]...)
			}
		}
	}
	r.Compare(t, prefix+"slice", corner)
}

// compareGradients compares the length and the first values of each gradient.
func (r *fullCase) compareGradients(t *testing.T, exe *core.Executable) {
	t.Helper()
	var names []string
	if err := json.Unmarshal([]byte(r.Meta["gradnorm_names"]), &names); err != nil {
		t.Fatalf("%s: gradnorm_names: %v", r, err)
	}
	if want := len(r.store.Parameters()); len(names) != want {
		t.Errorf("%s: %d gradients, the network has %d parameters", r, len(names), want)
	}
	var norms []float64
	for _, name := range names {
		g, square := exe.Grad(r.store.Get(name)), 0.0
		if g == nil {
			t.Fatalf("%s: no gradient reaches %s", r, name)
		}
		for _, v := range g {
			square += float64(v) * float64(v)
		}
		norms = append(norms, math.Sqrt(square))
		var first []float64
		for _, v := range g[:min(16, len(g))] {
			first = append(first, float64(v))
		}
		r.compareGradient(t, "gradslice."+name, first)
	}
	r.compareGradient(t, "gradnorm", norms)
}

// turned is the relative error of a gradient that the reference permits where a ReLU's input is so
// close to zero that rounding turns the unit: the seeds of networks of full width were not chosen
// against it.
const turned = 1e-2

// compareGradient compares by the tolerance of the case, or else by that of a turned unit.
func (r *fullCase) compareGradient(t *testing.T, name string, got []float64) {
	t.Helper()
	q := &quiet{TB: t}
	r.CompareFloat64(q, name, got)
	if q.failure == "" {
		return
	}
	want := r.F64(t, name)
	worst, largest := 0.0, 0.0
	for i, v := range want {
		worst, largest = max(worst, math.Abs(got[i]-v)), max(largest, math.Abs(v))
	}
	if !(worst <= turned*largest) {
		t.Error(q.failure)
		return
	}
	t.Logf("a unit has turned: %s", q.failure)
}

// quiet keeps a failure to itself.
type quiet struct {
	testing.TB
	failure string
}

// Errorf implements testing.TB.
func (q *quiet) Errorf(format string, args ...any) { q.failure = fmt.Sprintf(format, args...) }
