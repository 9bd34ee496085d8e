package program_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/vit"
)

// normHead is a plan whose student runs one batch norm over two views, one after the other, and
// whose teacher has the same layer with statistics of its own.
func normHead(b *sdk.Builder) error {
	one, two := b.View("a"), b.View("b")
	b.Teacher(b.Schedule("m", sdk.ConstantSchedule(.5)), sdk.AfterStep)
	x := b.BatchNorm("bn", b.Student("s1", one).Tokens(), sdk.WithStatistics(1e-3, .25))
	y := b.BatchNorm("bn", b.Student("s2", two).Tokens(), sdk.WithStatistics(1e-3, .25))
	z := b.BatchNorm("bn", b.TeacherPass("t", one).Tokens(), sdk.OfTeacher())
	plain := b.BatchNorm("plain", x, sdk.WithoutAffine())
	return b.Minimize(b.Mean(b.Mul(b.Add(b.Add(x, y), plain), z)))
}

// columnMoments are mean and unbiased variance of column j of x [rows, n].
func columnMoments(x []float32, n, j int) (mean, variance float64) {
	rows := len(x) / n
	for r := range rows {
		mean += float64(x[r*n+j]) / float64(rows)
	}
	for r := range rows {
		d := float64(x[r*n+j]) - mean
		variance += d * d / float64(rows-1)
	}
	return mean, variance
}

func tokensOf(c *program.Compiler, pass string) (*core.Node, error) {
	out, err := c.Pass(pass)
	if err != nil {
		return nil, err
	}
	return out.Output(backbone.Tokens)
}

// A step moves the running statistics once it is committed; an evaluation reads them, and they
// stay.
func TestBatchNormKeepsStatistics(t *testing.T) {
	read := map[string]*core.Node{} // tokens by pass
	m, store := compiled(t, normHead, func(_ *vit.Config, o *program.Options) {
		o.Extra = func(m *program.Compiler) ([]*core.Node, error) {
			var all []*core.Node
			for _, pass := range []string{"s1", "s2", "t"} {
				tokens, err := tokensOf(m, pass)
				if err != nil {
					return nil, err
				}
				read[pass] = tokens
				all = append(all, tokens)
			}
			return all, nil
		}
	})
	names := []string{"bn.running_mean", "bn.running_var", "bn.num_batches_tracked", "teacher.bn.running_mean", "teacher.bn.running_var",
		"teacher.bn.num_batches_tracked", "plain.running_mean", "plain.running_var", "plain.num_batches_tracked"}
	if n := len(store.Buffers()); n != len(names) {
		t.Errorf("%d buffers, want %d", n, len(names))
	}
	state := func(name string) []float32 { return store.Get("buffer." + name).Data }
	before := map[string][]float32{}
	for _, n := range names {
		before[n] = slices.Clone(state(n))
	}
	mustRun(t, m)
	for _, n := range names {
		if !slices.Equal(before[n], state(n)) {
			t.Errorf("%s moved before the step was known to be good", n)
		}
	}
	must.Do(t, m.Commit())
	for j := range 8 { // all tokens of all samples are one batch: the two passes one after the other
		mean, variance := 0.0, 1.0
		for _, pass := range []string{"s1", "s2"} {
			a, v := columnMoments(read[pass].Value(), 8, j)
			mean, variance = .75*mean+.25*a, .75*variance+.25*v
		}
		programtest.Near(t, "running mean", float64(state("bn.running_mean")[j]), mean, 1e-6)
		programtest.Near(t, "running variance", float64(state("bn.running_var")[j]), variance, 1e-6)
		a, v := columnMoments(read["t"].Value(), 8, j)
		programtest.Near(t, "the teacher's mean", float64(state("teacher.bn.running_mean")[j]), .1*a, 1e-6)
		programtest.Near(t, "the teacher's variance", float64(state("teacher.bn.running_var")[j]), .9+.1*v, 1e-6)
	}
	for name, want := range map[string]float32{"bn": 2, "teacher.bn": 1, "plain": 1} {
		if got := state(name + ".num_batches_tracked")[0]; got != want {
			t.Errorf("%s has counted %v batches, want %v", name, got, want)
		}
	}
	if store.Get("teacher.head.bn.weight") == nil {
		t.Error("the teacher has no weight of its own")
	}
	evaluateNorm(t, m.Plan, store)
}

// evaluateNorm compares the first batch norm of a model that does not train with its running
// statistics.
func evaluateNorm(t *testing.T, p *plan.Plan, store *param.Store) {
	t.Helper()
	state := func(name string) []float64 { return programtest.Wide(store.Get("buffer.bn." + name).Data) }
	weight := store.Get("head.bn.weight")
	for i := range weight.Data {
		weight.Data[i] = 1 + float32(i)/8
	}
	var x, y *core.Node
	eval, err := program.Build(devicetest.New(t, 0), store, p, tiny(), 1, 1, program.Options{Extra: func(e *program.Compiler) ([]*core.Node, error) {
		out, err := e.Outputs(p.Nodes[0].Name)
		if err != nil {
			return nil, err
		}
		y = out[0]
		x, err = tokensOf(e, "s1")
		return []*core.Node{y, x}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, eval)
	must.Do(t, eval.Commit())
	mean, variance := state("running_mean"), state("running_var")
	for i, v := range y.Value() {
		j := i % 8
		want := (float64(x.Value()[i]) - mean[j]) / math.Sqrt(variance[j]+1e-3) * float64(weight.Data[j])
		programtest.Near(t, "evaluated value", float64(v), want, 1e-5)
	}
	if state("num_batches_tracked")[0] != 2 {
		t.Error("an evaluation counts as a batch")
	}
}

func TestBatchNormRefuses(t *testing.T) {
	p := planOf(t, &objective{normHead}, nil)
	p.Buffers[1].Shape[0] = 7
	_, err := program.Build(devicetest.New(t, 0), param.NewStore(), p, tiny(), tinyBatch, 1, program.Options{Train: true})
	if want := "running mean and variance [C]"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v: want %q in it", err, want)
	}
}
