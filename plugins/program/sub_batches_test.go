package program_test

import (
	"math"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/cnn"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/plugins/sdk"
)

var tinyResNet = cnn.Config{Name: "tiny", Block: cnn.Basic, Layers: [4]int{1, 1, 1, 1}, Width: 4, Stem: cnn.CIFAR, ImageH: 16, ImageW: 16, Channels: 3}

// halves reads a student in parts that follow each other and a teacher in interleaved ones.
func halves(parts int) func(b *sdk.Builder) error {
	return func(b *sdk.Builder) error {
		view := b.View("a")
		b.Teacher(b.Schedule("m", sdk.ConstantSchedule(.5)), sdk.AfterStep)
		x := b.Student("student", view, sdk.SubBatches(parts)).Pooled()
		y := b.TeacherPass("teacher", view, sdk.InterleavedSubBatches(parts)).Pooled()
		b.Metric("teacher", b.Mean(y))
		return b.Minimize(b.Mean(b.Mul(x, x)))
	}
}

// ofHalves runs a step over images and returns the pooled outputs of both networks and the model.
func ofHalves(t *testing.T, parts int, images []float32) (student, teacher []float32, m *program.Runner) {
	t.Helper()
	batch := len(images) / (3 * 16 * 16)
	var nodes []*core.Node
	p := programtest.Opening{Objective: &objective{halves(parts)}, Network: tinyResNet, Batch: batch}.Plan(t)
	m = must.Get(program.Build(devicetest.New(t, 0), param.NewStore(), p, tinyResNet, batch, 1, program.Options{
		Plugin: "test", Train: true, TotalSteps: 10,
		Extra: func(c *program.Compiler) ([]*core.Node, error) {
			for _, pass := range []string{"student", "teacher"} {
				nodes = append(nodes, must.Get(must.Get(c.Pass(pass))(t).Output(backbone.Pooled))(t))
			}
			return nodes, nil
		},
	}))(t)
	copy(m.View("a"), images)
	programtest.Step(t, m, program.Inputs{IDs: make([]uint64, batch)})
	return nodes[0].Value(), nodes[1].Value(), m
}

// TestSubBatches compares a pass of two sub-batches with a pass over each of them.
func TestSubBatches(t *testing.T) {
	const size, width = 3 * 16 * 16, 32
	images, r := make([]float32, 4*size), prng.New(1)
	for i := range images {
		images[i] = float32(r.NormFloat64())
	}
	pair := func(a, b int) []float32 {
		return append(append([]float32(nil), images[a*size:(a+1)*size]...), images[b*size:(b+1)*size]...)
	}
	near := func(name string, got, want []float32) {
		t.Helper()
		for i := range want {
			if d := math.Abs(float64(got[i] - want[i])); !(d < 1e-5) {
				t.Fatalf("%s: value %d is %v, want %v", name, i, got[i], want[i])
			}
		}
	}
	student, teacher, m := ofHalves(t, 2, images)
	gradients := make([][]float32, len(m.Parameters()))
	for k := range 2 {
		s, _, half := ofHalves(t, 1, pair(2*k, 2*k+1))
		near("student", student[2*k*width:2*(k+1)*width], s)
		for i, p := range half.Parameters() {
			if k == 0 {
				gradients[i] = make([]float32, len(half.Grad(p)))
			}
			for j, g := range half.Grad(p) {
				gradients[i][j] += g / 2
			}
		}
		_, y, _ := ofHalves(t, 1, pair(k, k+2))
		near("teacher", teacher[k*width:(k+1)*width], y[:width])
		near("teacher", teacher[(k+2)*width:(k+3)*width], y[width:])
	}
	for i, p := range m.Parameters() {
		near("gradient of "+p.Name, m.Grad(p), gradients[i])
	}
	if whole, _, _ := ofHalves(t, 1, images); math.Abs(float64(whole[0]-student[0])) < 1e-3 {
		t.Errorf("with statistics of the whole batch the output is the same, %v", whole[0])
	}
}

// TestSubBatchesRefuse: a batch that the parts do not divide.
func TestSubBatchesRefuse(t *testing.T) {
	p := programtest.Opening{Objective: &objective{halves(3)}, Network: tinyResNet, Batch: 4}.Plan(t)
	_, err := program.Build(devicetest.New(t, 0), param.NewStore(), p, tinyResNet, 4, 1, program.Options{Plugin: "test", Train: true, TotalSteps: 10})
	if err == nil || !strings.Contains(err.Error(), "3 sub-batches do not divide a micro-batch of 4 images: take a batch size that is a multiple of 3") {
		t.Errorf("got %v", err)
	}
}
