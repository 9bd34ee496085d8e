package program_test

import (
	"flag"
	"math"
	"slices"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/cnn"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/objectives/mae"
	"github.com/vittool/vittool/objectives/mocov3"
	"github.com/vittool/vittool/objectives/simclr"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/plugins/sdk"
)

// queued couples the samples of a batch in each way that a plan can: a stacked pass of two views, a
// contrast over the batch, a batch norm over it, a teacher and a queue of its outputs.
func queued(b *sdk.Builder) error {
	b.Teacher(b.Schedule("momentum", sdk.ConstantSchedule(.5)), sdk.BeforeForward)
	one, two := b.View("one"), b.View("two")
	both := b.Student("student", one, sdk.With(two)).Class()
	x := b.MLP("head", both, sdk.MLP{Widths: []int{8, 8}, Norm: true})
	q := b.L2Normalize(b.ViewRows(x, 0, 2))
	k := b.L2Normalize(b.ViewRows(b.TeacherPass("teacher", one, sdk.With(two)).Class(), 1, 2))
	queue := b.Buffer(sdk.BufferSpec{Name: "queue", Shape: []int{18, 8}, Init: sdk.InitNormal(1), Update: sdk.UpdateRing})
	b.Update(queue, k)
	b.Metric("second", b.Mean(b.ViewRows(x, 1, 2)))
	return b.Minimize(b.Add(b.Contrast(q, k, .5), b.Mean(b.Mul(b.ViewRows(x, 1, 2), b.ViewRows(x, 1, 2)))))
}

// TestGradCache compares a step of several micro-batches whose loss spans all of them with one graph
// of the whole batch.
func TestGradCache(t *testing.T) {
	micro, micros := *microFlag, *microsFlag
	residual := cnn.Config{Name: "tiny", Block: cnn.Basic, Layers: [4]int{1, 1, 1, 1}, Width: 4, Stem: cnn.CIFAR, ImageH: 16, ImageW: 16, Channels: 3}
	resnet18 := residual
	resnet18.Layers, resnet18.Width = [4]int{2, 2, 2, 2}, 16
	for _, c := range []struct {
		name      string
		objective sdk.Objective
		options   map[string]any
		network   backbone.Config
	}{
		{"queued", &objective{queued}, nil, tiny()},
		{"mocov3", mocov3.New(), map[string]any{"mlp_dim": 16, "dim": 8}, tiny()},
		{"mae", mae.New(), map[string]any{"decoder_dim": 8, "decoder_depth": 1, "decoder_heads": 2, "mask_ratio": 0.5}, tiny()},
		{"simclr", simclr.New(), nil, residual},
		{"resnet18", simclr.New(), map[string]any{"out_dim": 64, "temperature": .2, "crop_size": 16}, resnet18}, // preset simclr-micro-32
	} {
		t.Run(c.name, func(t *testing.T) {
			p := programtest.Opening{Objective: c.objective, Options: c.options, Network: c.network, Batch: micro * micros}.Plan(t)
			build := program.Options{Plugin: c.name, Train: true, TotalSteps: 10}
			direct, cached := param.NewStore(), param.NewStore()
			m := must.Get(program.BuildGrouped(devicetest.New(t, 1), direct, p, c.network, micro, micros, 1, build))(t)
			x := must.Get(program.BuildGradCache(devicetest.New(t, 2), cached, p, c.network, micro, micros, 1, build))(t)
			for step := range uint64(3) {
				whole := samples(p, c.network, micro*micros, step)
				var parts []program.Inputs
				for k := range micros {
					if parts = append(parts, part(whole, k*micro, micro)); x.Encoded() {
						t.Fatalf("the step is complete after %d of %d micro-batches", k, micros)
					}
					must.Do(t, x.Encode(parts[k]))
				}
				must.Do(t, x.Step())
				must.Do(t, m.Step(whole, parts))
				compareStep(t, m, x, cached)
				for _, r := range []interface {
					Commit() error
					MoveTeacher() error
				}{m, x} {
					must.Do(t, r.Commit())
					must.Do(t, r.MoveTeacher())
				}
				for _, p := range append(direct.Parameters(), direct.Buffers()...) { // the next step starts from equal weights that have moved
					q := cached.Get(p.Name)
					for i, v := range p.Data {
						programtest.Near(t, p.Name, float64(q.Data[i]), float64(v), 1e-5)
					}
					for i, v := range m.Grad(p) {
						p.Data[i] -= .01 * v
					}
					copy(q.Data, p.Data)
				}
			}
		})
	}
}

// The sizes of a step of TestGradCache, for measurements of the error with larger ones.
var (
	microFlag  = flag.Int("micro", 2, "samples of a micro-batch")
	microsFlag = flag.Int("micros", 3, "micro-batches of a step")
)

// compareStep compares loss, metrics and gradients.
func compareStep(t *testing.T, m *program.Grouped, x *program.GradCache, cached *param.Store) {
	t.Helper()
	programtest.Near(t, "loss", x.Loss(), m.Loss(), 1e-6*math.Abs(m.Loss()))
	for metric, v := range m.Metrics() {
		programtest.Near(t, metric, x.Metrics()[metric], v, 1e-5*max(1, math.Abs(v)))
	}
	if a, b := len(x.Parameters()), len(m.Parameters()); a != b {
		t.Fatalf("%d parameters with a gradient, want %d", a, b)
	}
	var all, off float64 // squares
	for _, p := range m.Parameters() {
		all += sumSquares(m.Grad(p))
	}
	for _, p := range m.Parameters() {
		want, got := m.Grad(p), x.Grad(cached.Get(p.Name))
		difference := slices.Clone(want)
		for i := range want {
			difference[i] -= got[i]
		}
		e := sumSquares(difference)
		if off += e; e > 1e-8*max(sumSquares(want), 1e-4*all) {
			t.Errorf("gradient of %s is off by %g of %g", p.Name, math.Sqrt(e), math.Sqrt(sumSquares(want)))
		}
	}
	t.Logf("relative error of the gradient: %.1e", math.Sqrt(off/all))
	if off > 1e-10*all {
		t.Errorf("the gradient is off by %g of %g", math.Sqrt(off), math.Sqrt(all))
	}
}

func sumSquares(x []float32) (sum float64) {
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}

// samples makes the inputs of a step: views of noise, and keep lists that differ from sample to
// sample.
func samples(p *plan.Plan, network backbone.Config, batch int, step uint64) program.Inputs {
	in := program.Inputs{Step: step}
	for i := range batch {
		in.IDs = append(in.IDs, step*uint64(batch)+uint64(7*i%5))
	}
	for _, v := range p.Views {
		r, pixels := prng.New(9+step, v.Name), make([]float32, batch*network.Info().Channels*v.Height*v.Width)
		for i := range pixels {
			pixels[i] = float32(r.NormFloat64())
		}
		in.Views = append(in.Views, pixels)
	}
	for _, spec := range p.Masks {
		set := plan.MaskSet{Name: spec.Name}
		for i := range batch {
			for j := range spec.Length {
				set.Values = append(set.Values, int32((i+j)%(spec.Rows*spec.Cols)))
			}
		}
		in.Masks = append(in.Masks, set)
	}
	return in
}

// part returns n samples of a batch.
func part(in program.Inputs, from, n int) program.Inputs {
	batch := len(in.IDs)
	out := program.Inputs{Step: in.Step, IDs: in.IDs[from:][:n]}
	for _, pixels := range in.Views {
		size := len(pixels) / batch
		out.Views = append(out.Views, pixels[from*size:][:n*size])
	}
	for _, s := range in.Masks {
		size := len(s.Values) / batch
		out.Masks = append(out.Masks, plan.MaskSet{Name: s.Name, Values: s.Values[from*size:][:n*size]})
	}
	return out
}

// TestGradCacheRefuses builds plans that have nothing to cache.
func TestGradCacheRefuses(t *testing.T) {
	p := planOf(t, &objective{func(b *sdk.Builder) error {
		v := b.View("a")
		return b.Minimize(lossOf(b, b.StopGradient(b.Student("s", v).Class())))
	}}, nil)
	_, err := program.BuildGradCache(devicetest.New(t, 1), param.NewStore(), p, tiny(), 2, 2, 1, program.Options{Train: true, TotalSteps: 1})
	if err == nil {
		t.Error("a plan without gradient to the student is accepted")
	}
}
