package tasks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
)

// TestReference compares the evaluation tasks with numbers of PyTorch.
func TestReference(t *testing.T) {
	runs := map[string]func(*testing.T, *golden.Case) map[string]bool{
		"knn":      referenceKNN,
		"linprobe": referenceProbe,
	}
	for _, objective := range []string{"knn", "linprobe"} {
		for _, path := range golden.Files(t, objective) {
			t.Run(golden.Name(path), func(t *testing.T) {
				c := golden.Whole(t, path)
				if got := c.Meta["objective"]; got != objective {
					t.Fatalf("%s: objective %q in a folder of %s", path, got, objective)
				}
				seen := runs[objective](t, c)
				for _, name := range c.Names("") {
					if !strings.HasPrefix(name, "input.") && !seen[name] {
						t.Errorf("%s: nothing here computes %s", golden.Name(path), name)
					}
				}
			})
		}
	}
}

// strictConfig decodes a case's config; a key that the test does not know may change the result, so
// it fails.
func strictConfig(t *testing.T, c *golden.Case, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(c.Config))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: config %s: %v", c.Path, c.Config, err)
	}
	c.ConfigInto(t, v)
}

func labels(t *testing.T, c *golden.Case, name string) []int32 {
	t.Helper()
	var out []int32
	for _, v := range c.I64(t, name) {
		out = append(out, int32(v))
	}
	return out
}

func referenceKNN(t *testing.T, c *golden.Case) map[string]bool {
	var config struct {
		Seed    int
		K       []int
		T       float64
		Classes int
		Note    string
	}
	strictConfig(t, c, &config)
	features := func(set string) *Features {
		shape := c.Tensor(t, "input."+set+"_features").Shape
		return &Features{
			Rows: shape[0], Dim: shape[1], Data: c.F32(t, "input."+set+"_features"),
			Labels: labels(t, c, "input."+set+"_labels"), Classes: make([]string, config.Classes),
		}
	}
	bank, test := features("train"), features("test")
	results := must.Get(KNN{K: config.K, Temperature: config.T}.Run(devicetest.New(t, 2), bank, test))(t)
	seen := map[string]bool{}
	for _, r := range results {
		prefix := "k" + strconv.Itoa(r.K)
		name := func(n string) string { n = strings.Replace(n, "*", prefix, 1); seen[n] = true; return n }
		c.CompareFloat64(t, name("out.*.votes"), r.Votes)

		// Where PyTorch's best two votes differ by float32 rounding only, either may win: the
		// accuracy may differ by those rows.
		votes, excused := c.F64(t, name("out.*.votes")), 0
		for i, want := range c.I64(t, name("out.*.pred")) {
			got := r.Predictions[i]
			if int64(got) == want {
				continue
			}
			a, b := votes[i*config.Classes+int(got)], votes[i*config.Classes+int(want)]
			if excused++; math.Abs(a-b) > 1e-5*b {
				t.Errorf("row %d, %s: class %d (votes %g), the reference has %d (%g)", i, prefix, got, a, want, b)
			}
		}
		neighbors := c.Tensor(t, name("out.*.neighbours")).Shape[1]
		for i, want := range c.I64(t, name("out.*.neighbours")) {
			row, place := i/neighbors, i%neighbors
			got := int(r.Neighbors[row*r.K+place])
			a, b := cosine(test, row, bank, got), cosine(test, row, bank, int(want))
			if got != int(want) && math.Abs(a-b) > 1e-6 {
				t.Errorf("row %d, %s: neighbor %d is %d (similarity %g), the reference has %d (%g)", row, prefix, place, got, a, want, b)
			}
		}
		slack := 100*float64(excused)/float64(test.Rows) + 1e-9
		for metric, got := range map[string]float64{"top1": r.Top1, "top5_positive_votes_only": r.Top5} {
			if want := c.Scalar(t, name("metric.*."+metric)); math.Abs(100*got-want) > slack {
				t.Errorf("%s %s = %.4f %%, the reference has %.4f %%", prefix, metric, 100*got, want)
			}
		}
		// The official number also ranks classes without a vote, in arbitrary order: ours is at
		// most as large.
		if want := c.Scalar(t, name("metric.*.top5")); 100*r.Top5 > want+slack {
			t.Errorf("%s top5 = %.4f %%, above the official %.4f %%", prefix, 100*r.Top5, want)
		}
	}
	return seen
}

func cosine(a *Features, i int, b *Features, j int) float64 {
	x, y := a.Data[i*a.Dim:(i+1)*a.Dim], b.Data[j*b.Dim:(j+1)*b.Dim]
	return dot(x, y) / math.Sqrt(dot(x, x)*dot(y, y))
}

func referenceProbe(t *testing.T, c *golden.Case) map[string]bool {
	var config struct {
		Kind        ProbeKind
		LR          float64
		WeightDecay float64 `json:"weight_decay"`
		Momentum    float64
		Steps       int
		BN          string
		LRRule      string `json:"lr_rule"`
	}
	strictConfig(t, c, &config)
	if want := map[ProbeKind]string{ProbeMAE: "BatchNorm1d without affine, eps 1e-6, momentum 0.1", ProbeDINO: "none"}[config.Kind]; config.BN != want {
		t.Fatalf("kind %q with normalization %q is no recipe of ours", config.Kind, config.BN)
	}
	var schedule optim.Schedule
	switch {
	case config.LRRule == "constant":
		schedule = optim.Constant(config.LR)
	case strings.HasPrefix(config.LRRule, "cosine per step: lr*0.5*(1+cos(pi*t/steps))"):
		schedule = optim.Cosine{Base: config.LR, Total: config.Steps}
	default:
		t.Fatalf("unknown lr_rule %q", config.LRRule)
	}
	shape := c.Tensor(t, "input.features").Shape
	weight := c.Tensor(t, "input.weight").Shape
	h := must.Get(newProbeHead(devicetest.New(t, 2), config.Kind, shape[1], weight[0], config.Momentum, 1))(t)
	copy(h.weight.Data, c.F32(t, "input.weight"))
	copy(h.bias.Data, c.F32(t, "input.bias"))
	s := must.Get(h.trainer(shape[0]))(t)
	copy(s.features.Value(), c.F32(t, "input.features"))
	classes := labels(t, c, "input.labels")
	copy(s.labels.Ints(), classes)

	seen := map[string]bool{}
	compare := func(name string, got []float32) { seen[name] = true; c.Compare(t, name, got) }
	var losses []float64
	for step := range config.Steps {
		if step == 0 {
			must.Do(t, s.exec.Run())
			compare("out.logits", s.out.Value())
			compare("loss", s.loss.Value())
			compare("grad.weight", s.exec.Grad(h.weight))
			compare("grad.bias", s.exec.Grad(h.bias))
		}
		loss := must.Get(s.run(schedule.At(step), config.WeightDecay))(t)
		losses = append(losses, loss)
	}
	seen["traj.losses"] = true
	c.CompareFloat64(t, "traj.losses", losses)
	compare("traj.weight", h.weight.Data)
	compare("traj.bias", h.bias.Data)
	if h.mean != nil {
		compare("traj.bn.running_mean", h.mean.Data)
		compare("traj.bn.running_var", h.variance.Data)
	}
	logits := must.Get(h.logits(c.F32(t, "input.features"), shape[0]))(t)
	seen["traj.eval_logits"] = true
	c.CompareFloat64(t, "traj.eval_logits", logits)
	seen["metric.train_top1"] = true
	top1, _, _ := accuracy(logits, classes, weight[0])
	if want := c.Scalar(t, "metric.train_top1"); math.Abs(100*top1-want) > 1e-9 {
		t.Errorf("top-1 = %.4f %%, the reference has %.4f %%", 100*top1, want)
	}
	return seen
}

// spread returns labelled features: one cluster per class, of the given width.
func spread(rows, dim, classes int, width float64, seed uint64) *Features {
	centers, noise := prng.New(1, "centres"), prng.New(seed, "noise")
	center := make([]float64, classes*dim)
	for i := range center {
		center[i] = centers.NormFloat64()
	}
	f := &Features{Rows: rows, Dim: dim}
	for i := range rows {
		label := i % classes
		f.Labels = append(f.Labels, int32(label))
		f.Names = append(f.Names, fmt.Sprintf("image-%d.png", i))
		for d := range dim {
			f.Data = append(f.Data, float32(center[label*dim+d]+width*noise.NormFloat64()))
		}
	}
	for k := range classes {
		f.Classes = append(f.Classes, fmt.Sprintf("class-%d", k))
	}
	return f
}
