package program_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// weightsFile writes one tensor, 1, 2, …, of three channels by eight values.
func weightsFile(t *testing.T, scale float32) string {
	t.Helper()
	values := make([]float32, 24)
	for i := range values {
		values[i] = scale * float32(i+1)
	}
	path := filepath.Join(t.TempDir(), "weights.safetensors")
	must.Do(t, tensor.WriteSafetensors(path, []tensor.Tensor{tensor.NewF32("w", tensor.Shape{3, 8}, values)}, map[string]string{"kind": "test"}))
	return path
}

// fromFile is a plan with a frozen and a trained parameter that start from a file.
func fromFile(path string) func(b *sdk.Builder) error {
	return func(b *sdk.Builder) error {
		w, err := sdk.OpenWeights(path)
		if err != nil {
			return err
		}
		frozen := b.Param("frozen", w.Shape("w"), w.Init("w"), sdk.Frozen())
		trained := b.Param("trained", w.Shape("w"), w.Init("w"))
		x := b.Student("pass", b.View("image")).Class()
		y := b.Add(b.MatMul(x, frozen.Tensor(), false, true), b.MatMul(x, trained.Tensor(), false, true))
		return b.Minimize(b.Mean(y))
	}
}

func TestParametersFromAFile(t *testing.T) {
	path := weightsFile(t, 1)
	m, store := compiled(t, fromFile(path), nil)
	frozen, trained := store.Get("head.frozen"), store.Get("head.trained")
	if frozen.Data[5] != 6 || trained.Data[23] != 24 {
		t.Errorf("the parameters are %v and %v", frozen.Data, trained.Data)
	}
	if !frozen.Given || trained.Given {
		t.Errorf("given: %v and %v; only what never changes is", frozen.Given, trained.Given)
	}
	var names []string
	for _, x := range store.Tensors() {
		names = append(names, x.Name)
	}
	if slices.Contains(names, "head.frozen") || !slices.Contains(names, "head.trained") {
		t.Errorf("stored are %v", names)
	}
	other, _ := compiled(t, fromFile(weightsFile(t, 2)), nil)
	if a, b := m.Plan.FileDigests(), other.Plan.FileDigests(); a == "" || a == b {
		t.Errorf("the digests of two files are %s and %s", a, b)
	}

	// The file changes between the plan and its compilation.
	p := planOf(t, &objective{fromFile(path)}, nil)
	build := func() error {
		_, err := program.Build(devicetest.New(t, 0), param.NewStore(), p, tiny(), tinyBatch, 1, program.Options{Plugin: "test", Train: true})
		return err
	}
	must.Do(t, tensor.WriteSafetensors(path, []tensor.Tensor{tensor.NewF32("w", tensor.Shape{3, 8}, make([]float32, 24))}, nil))
	if err := build(); err == nil || !strings.Contains(err.Error(), "the file changed meanwhile") {
		t.Errorf("another file of that name: %v", err)
	}
	p = planOf(t, &objective{fromFile(path)}, nil)
	p.Params[0].Init.Tensor = "v"
	if err := build(); err == nil || !strings.Contains(err.Error(), `has no tensor "v"`) {
		t.Errorf("a tensor that is not there: %v", err)
	}
	p.Params[0].Init.Tensor, p.Params[0].Shape = "w", []int{8, 3}
	if err := build(); err == nil || !strings.Contains(err.Error(), "[3, 8], [8, 3] is wanted") {
		t.Errorf("another shape: %v", err)
	}
	p.Params[0].Init.Path = filepath.Join(t.TempDir(), "missing")
	if err := build(); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a missing file: %v", err)
	}
}

// A plan that reads no features has no backbone in its store.
func TestUnusedBackbone(t *testing.T) {
	plan := func(b *sdk.Builder) error {
		b.Require(sdk.Requirements{Unused: true})
		w := b.Param("w", []int{5, 48}, sdk.InitNormal(1))
		y := b.Linear("l", b.PatchPixels(b.View("image"), sdk.ChannelLast), 5, sdk.WithoutBias())
		return b.Minimize(b.Add(b.Mean(y), b.Mean(w.Tensor())))
	}
	_, store := compiled(t, plan, nil)
	for _, p := range store.Parameters() {
		if strings.HasPrefix(p.Name, runs.BackbonePrefix) {
			t.Errorf("the store has %s", p.Name)
		}
	}
}

// Random numbers are those of a sample and a step, wherever it stands in the batch.
func TestRandomFollowsSample(t *testing.T) {
	for _, d := range []sdk.Distribution{sdk.Uniform, sdk.Normal, sdk.Gumbel} {
		var noise *core.Node
		m, _ := compiled(t, func(b *sdk.Builder) error {
			x := b.Student("pass", b.View("image")).Class()
			return b.Minimize(b.Mean(b.Mul(x, b.Random(d, 8))))
		}, func(_ *vit.Config, o *program.Options) {
			o.Extra = func(m *program.Compiler) ([]*core.Node, error) {
				n, err := m.Outputs("random_1")
				if err == nil {
					noise = n[0]
				}
				return nil, err
			}
		})
		at := func(step uint64, ids ...uint64) []float32 {
			programtest.Step(t, m, program.Inputs{Step: step, IDs: ids})
			return slices.Clone(noise.Value())
		}
		a := at(3, 10, 11, 12, 13)
		if b := at(3, 13, 10, 5, 6); !slices.Equal(a[:8], b[8:16]) || !slices.Equal(a[24:], b[:8]) {
			t.Errorf("%s: the numbers of a sample depend on its place", d)
		}
		if slices.Equal(a[:8], a[8:16]) || slices.Equal(a, at(4, 10, 11, 12, 13)) {
			t.Errorf("%s: samples or steps have the same numbers", d)
		}
		// Mean and variance over many samples: 1/2 and 1/12; 0 and 1; Euler's constant and π²/6.
		want := map[sdk.Distribution][2]float64{sdk.Uniform: {.5, 1. / 12}, sdk.Normal: {0, 1}, sdk.Gumbel: {.5772, 1.6449}}[d]
		var all []float64
		for step := range uint64(2000) {
			all = append(all, programtest.Wide(at(step, 1, 2, 3, 4))...)
		}
		if got := programtest.MomentsOf(all); abs(got.Mean-want[0]) > .02 || abs(got.Std*got.Std-want[1]) > .04 {
			t.Errorf("%s: mean %.4f and variance %.4f, want %.4f and %.4f", d, got.Mean, got.Std*got.Std, want[0], want[1])
		}
	}
}

func abs(x float64) float64 { return max(x, -x) }
