package tasks

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// newModel is a network with initial weights.
func newModel(t testing.TB, c backbone.Config, mean, std []float64, seed uint64) *Model {
	t.Helper()
	m := &Model{Store: param.NewStore(), Meta: map[string]string{}, Input: Input{Fitting: ownFitting, Assumed: len(mean) == 0}}
	var err error
	if m.Backbone, err = c.New(m.Store, "", nil, seed); err != nil {
		t.Fatal(err)
	}
	m.Config = m.Backbone.Config()
	m.Info = m.Config.Info()
	if m.Mean, m.Std, err = fileNormalization(&tensor.File{Path: m.Info.Name}, m.Info.Channels, LoadOptions{Mean: mean, Std: std}); err != nil {
		t.Fatal(err)
	}
	return m
}

// microModel is the smallest named network.
func microModel(t testing.TB) *Model {
	t.Helper()
	c, err := vit.Variant("vit_micro_patch4_32")
	if err != nil {
		t.Fatal(err)
	}
	return newModel(t, c, nil, nil, 1)
}

// smallModel is a network that is fast to run.
func smallModel(t testing.TB) *Model {
	t.Helper()
	c := vit.Config{Name: "vit_test_patch4_16", ImageH: 16, ImageW: 16, Patch: 4, Dim: 24, Depth: 2, Heads: 3, QKVBias: true, ClassToken: true, PosEmbed: vit.PosSinCos}
	m := newModel(t, c, []float64{0.5, 0.4, 0.3}, []float64{0.2, 0.25, 0.3}, 7)
	m.Step, m.Digest = 42, "cafe"
	// Initial biases are zero and norms one; with other values the test sees more faults.
	r := prng.New(3, "weights")
	for _, p := range m.Backbone.Parameters() {
		for i := range p.Data {
			p.Data[i] += float32(0.1 * r.NormFloat64())
		}
	}
	return m
}

// writeRun makes a run folder with a checkpoint of m at each step; its weights are those of m times
// the step.
func writeRun(t *testing.T, m *Model, steps ...int) string {
	t.Helper()
	return writeRunWith(t, m, "", steps...)
}

// writeRunWith is writeRun with the recommendation of the objective.
func writeRunWith(t *testing.T, m *Model, features string, steps ...int) string {
	t.Helper()
	run := filepath.Join(t.TempDir(), "run [1]")
	if err := os.MkdirAll(filepath.Join(run, runs.CheckpointsDir), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		var tensors []tensor.Tensor
		add := func(name string, shape tensor.Shape, data []float32) {
			scaled := make([]float32, len(data))
			for i, v := range data {
				scaled[i] = v * float32(step)
			}
			tensors = append(tensors, tensor.NewF32(name, shape, scaled))
		}
		for _, p := range m.Backbone.Parameters() {
			add(runs.BackbonePrefix+p.Name, p.Shape, p.Data)
			add(runs.TeacherPrefix+runs.BackbonePrefix+p.Name, p.Shape, make([]float32, len(p.Data)))
			add(runs.OptimizerPrefix+"m."+runs.BackbonePrefix+p.Name, p.Shape, p.Data)
		}
		add("head.decoder.weight", tensor.Shape{2}, []float32{1, 2})
		export := filepath.Join(t.TempDir(), "meta.safetensors")
		if err := m.Export(export); err != nil {
			t.Fatal(err)
		}
		meta, err := tensor.ReadSafetensors(export)
		if err != nil {
			t.Fatal(err)
		}
		meta.Meta["format"], meta.Meta["step"] = "vittool-checkpoint-1", fmt.Sprint(step)
		if features != "" {
			meta.Meta["features"] = features
		}
		path := filepath.Join(run, runs.CheckpointsDir, fmt.Sprintf("step-%08d.safetensors", step))
		if err := tensor.WriteSafetensors(path, tensors, meta.Meta); err != nil {
			t.Fatal(err)
		}
	}
	return run
}

func sameWeights(t *testing.T, got, want *Model, scale float32) {
	t.Helper()
	for i, p := range want.Backbone.Parameters() {
		q := got.Backbone.Parameters()[i]
		for j, v := range p.Data {
			if q.Name != p.Name || q.Data[j] != v*scale {
				t.Fatalf("%s[%d] = %g, want %s %g", q.Name, j, q.Data[j], p.Name, v*scale)
			}
		}
	}
}

func TestLoadRun(t *testing.T) {
	m := smallModel(t)
	run := writeRun(t, m, 2, 3, 100)
	got, err := LoadModel(run, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sameWeights(t, got, m, 100)
	if got.Step != 100 {
		t.Errorf("step %d, want 100", got.Step)
	}
	if got, err = LoadModel(filepath.Join(run, runs.CheckpointsDir, "step-00000003.safetensors"), LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	sameWeights(t, got, m, 3)
	if got, err = LoadModel(run, LoadOptions{Network: NetworkTeacher}); err != nil {
		t.Fatal(err)
	}
	sameWeights(t, got, m, 0)

	// The newest checkpoint loses its end, the one before it has a flipped bit.
	damage := func(step int, change func([]byte) []byte) {
		path := filepath.Join(run, runs.CheckpointsDir, fmt.Sprintf("step-%08d.safetensors", step))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, change(b), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	damage(100, func(b []byte) []byte { return b[:len(b)-5] })
	damage(3, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	var reported []string
	report := func(path string, err error) { reported = append(reported, filepath.Base(path)) }
	if got, err = LoadModel(run, LoadOptions{Report: report}); err != nil {
		t.Fatal(err)
	}
	sameWeights(t, got, m, 2)
	if want := []string{"step-00000100.safetensors", "step-00000003.safetensors"}; !reflect.DeepEqual(reported, want) {
		t.Errorf("reported %v, want %v", reported, want)
	}
	damage(2, func(b []byte) []byte { return b[:100] })
	if _, err = LoadModel(run, LoadOptions{}); err == nil || !strings.Contains(err.Error(), "none of the 3 checkpoints") {
		t.Errorf("all damaged: %v", err)
	}
}

// TestRecommended: the options override the recommendation of a run, and exported files contain its
// pool.
func TestRecommended(t *testing.T) {
	m := smallModel(t)
	run := writeRunWith(t, m, `{"network":"teacher","pool":"class","linear_blocks":100}`, 3)
	for network, scale := range map[Network]float32{NetworkRecommended: 0, NetworkTeacher: 0, NetworkStudent: 3} {
		got := must.Get(LoadModel(run, LoadOptions{Network: network}))(t)
		sameWeights(t, got, m, scale)
		if got.Pool != PoolClass || !slices.Equal(got.RecommendedLinearBlocks(), []int{-2, -1}) {
			t.Errorf("pool %q, blocks %v for linear classifiers, want both", got.Pool, got.RecommendedLinearBlocks())
		}
		path := filepath.Join(t.TempDir(), "backbone.safetensors")
		must.Do(t, got.Export(path))
		back := must.Get(LoadModel(path, LoadOptions{}))(t)
		sameWeights(t, back, m, scale)
		if back.Pool != PoolClass || back.LinearBlocks != 100 {
			t.Errorf("pool %q and %d blocks for linear classifiers of the exported file", back.Pool, back.LinearBlocks)
		}
	}
	src := openData(t, "demo:?count=3&size=16")
	model := must.Get(LoadModel(run, LoadOptions{Network: NetworkStudent}))(t)
	features := func(pool Pool) []float32 {
		f := must.Get(model.Extract(context.Background(), devicetest.New(t, 1), src, ExtractOptions{Pool: pool}))(t)
		return f.Data
	}
	if !slices.Equal(features(""), features(PoolClass)) || slices.Equal(features(""), features(PoolMean)) {
		t.Error("features do not use the recommended pool")
	}
	for _, bad := range []string{"{", `{"network":"tutor","pool":"class"}`, `{"network":"student","pool":"max"}`, `{"network":"student","pool":"mean","linear_blocks":-1}`} {
		if _, err := LoadModel(writeRunWith(t, m, bad, 3), LoadOptions{}); err == nil || !strings.Contains(err.Error(), "features") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	m := smallModel(t)
	dir := t.TempDir()
	good := filepath.Join(dir, "good.safetensors")
	must.Do(t, m.Export(good))
	file := must.Get(tensor.ReadSafetensors(good))(t)
	write := func(name string, change func(tensors map[string]tensor.Tensor, meta map[string]string)) string {
		tensors, meta := map[string]tensor.Tensor{}, map[string]string{}
		for _, x := range file.Tensors {
			tensors[x.Name] = x
		}
		for k, v := range file.Meta {
			meta[k] = v
		}
		change(tensors, meta)
		var list []tensor.Tensor
		for n, x := range tensors {
			x.Name = n
			list = append(list, x)
		}
		path := filepath.Join(dir, name+".safetensors")
		must.Do(t, tensor.WriteSafetensors(path, list, meta))
		return path
	}
	type tensors = map[string]tensor.Tensor
	type meta = map[string]string
	nan := []float32{0}
	nan[0] /= nan[0]
	text := filepath.Join(dir, "text.safetensors")
	must.Do(t, os.WriteFile(text, []byte("hello"), 0o644))
	for name, c := range map[string]struct {
		path    string
		options LoadOptions
		want    string
	}{
		"missing file":   {filepath.Join(dir, "nothing"), LoadOptions{}, "no such run or weight file"},
		"empty folder":   {t.TempDir(), LoadOptions{}, "holds no checkpoint"},
		"text":           {text, LoadOptions{}, "not a valid safetensors file"},
		"missing tensor": {write("a", func(x tensors, _ meta) { delete(x, "norm.bias") }), LoadOptions{}, "norm.bias [24] is missing"},
		"extra tensor":   {write("b", func(x tensors, _ meta) { x["blocks.2.norm1.bias"] = x["norm.bias"] }), LoadOptions{}, "blocks.2.norm1.bias [24] is no tensor of a vit_test_patch4_16"},
		"shape":          {write("c", func(x tensors, _ meta) { x["norm.bias"] = x["blocks.0.mlp.fc1.bias"] }), LoadOptions{}, "norm.bias is [96], want [24]"},
		"type":           {write("d", func(x tensors, _ meta) { x["norm.bias"] = tensor.NewI64("", tensor.Shape{24}, make([]int64, 24)) }), LoadOptions{}, "norm.bias is of type I64"},
		"not a number": {write("e", func(x tensors, _ meta) {
			x["norm.bias"] = tensor.NewF32("", tensor.Shape{24}, append(make([]float32, 23), nan...))
		}), LoadOptions{}, "norm.bias[23] is NaN"},
		"no configuration": {write("f", func(_ tensors, m meta) { delete(m, "model") }), LoadOptions{}, "does not state the configuration"},
		"configuration":    {write("g", func(_ tensors, m meta) { m["model"] = `{"dimension":3}` }), LoadOptions{}, "does not know its model configuration"},
		"no model at all":  {write("h", func(_ tensors, m meta) { m["model"] = `{}` }), LoadOptions{}, "patch size 0"},
		"mean":             {write("i", func(_ tensors, m meta) { m["mean"] = `[1]` }), LoadOptions{}, "mean of the normalization has 1 values for 3 channels"},
		"std":              {write("j", func(_ tensors, m meta) { m["std"] = `[1,0,1]` }), LoadOptions{}, "std of the normalization holds 0"},
		"another model":    {good, LoadOptions{Model: "vit_base_patch16_224"}, "not a vit_base_patch16_224"},
		"unknown model":    {good, LoadOptions{Model: "vit_bse_patch16_224"}, "vit_base_patch16_224"},
		"no teacher":       {good, LoadOptions{Network: NetworkTeacher}, "holds no teacher"},
		"no ViT":           {write("k", func(x tensors, _ meta) { delete(x, vit.Family{}.Landmark()) }), LoadOptions{}, "the file begins with blocks.0.attn.proj.bias"},
	} {
		if _, err := LoadModel(c.path, c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	b := must.Get(os.ReadFile(good))(t)
	b[len(b)-2] ^= 4
	must.Do(t, os.WriteFile(good, b, 0o644))
	if _, err := LoadModel(good, LoadOptions{}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a flipped bit: %v", err)
	}
}

// TestLoadForeign: files of other tools have another precision, a prefix and a classifier, but no
// configuration.
func TestLoadForeign(t *testing.T) {
	m := microModel(t)
	tensors := []tensor.Tensor{tensor.NewF32("model.head.weight", tensor.Shape{1, 1}, []float32{1})}
	for _, p := range m.Backbone.Parameters() {
		wide := make([]float64, len(p.Data))
		for i, v := range p.Data {
			wide[i] = float64(v)
		}
		tensors = append(tensors, tensor.NewF64("model."+p.Name, p.Shape, wide))
	}
	path := filepath.Join(t.TempDir(), "foreign.safetensors")
	must.Do(t, tensor.WriteSafetensors(path, tensors, nil))
	if _, err := LoadModel(path, LoadOptions{}); err == nil || !strings.Contains(err.Error(), "those of vit_micro_patch4_32") {
		t.Errorf("without a name: %v, want its name suggested", err)
	}
	got := must.Get(LoadModel(path, LoadOptions{Model: "vit_micro_patch4_32"}))(t)
	sameWeights(t, got, m, 1)
	if !reflect.DeepEqual(got.Ignored, []string{"model.head.weight"}) || got.Step != -1 || got.Mean[0] != 0.485 {
		t.Errorf("ignored %v, step %d, mean %v", got.Ignored, got.Step, got.Mean)
	}
	// Tensors of other tools that change no output are left out, and named.
	more := append(slices.Clone(tensors), tensor.NewF32("model.classifier.bias", tensor.Shape{2}, []float32{1, 2}), tensor.NewF32("model.model_ema.decay", tensor.Shape{}, []float32{1}),
		tensor.NewI64("model.blocks.0.attn.relative_position_index", tensor.Shape{1}, []int64{3}), tensor.NewI64("model.global_step", tensor.Shape{}, []int64{3}))
	must.Do(t, tensor.WriteSafetensors(path, more, nil))
	got = must.Get(LoadModel(path, LoadOptions{Model: "vit_micro_patch4_32"}))(t)
	sameWeights(t, got, m, 1)
	if want := "left out: model.blocks.0.attn.relative_position_index, model.classifier.bias, model.global_step, model.head.weight, model.model_ema.decay"; len(got.Notes()) != 1 || !strings.HasSuffix(got.Notes()[0], want) {
		t.Errorf("notes %q, want %q", got.Notes(), want)
	}
	// A damaged file of the right model: the error is about the file, not about the name.
	last := tensors[len(tensors)-1]
	for fault, list := range map[string][]tensor.Tensor{
		"is NaN":          append(slices.Clone(tensors[:len(tensors)-1]), tensor.NewF32(last.Name, last.Shape, slices.Repeat([]float32{float32(math.NaN())}, last.Len()))),
		"is no tensor of": append(slices.Clone(tensors), tensor.NewF32("model.norm_pre.weight", tensor.Shape{1}, []float32{1})),
	} {
		must.Do(t, tensor.WriteSafetensors(path, list, nil))
		_, err := LoadModel(path, LoadOptions{Model: "vit_micro_patch4_32"})
		var e *data.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), fault) || strings.Contains(err.Error(), "are those of") {
			t.Errorf("%s: %v", fault, err)
		}
	}
	var e *configs.Error
	if _, err := LoadModel(path, LoadOptions{Model: "vit_tiny_patch4_32"}); !errors.As(err, &e) || !strings.Contains(err.Error(), "those of vit_micro_patch4_32") {
		t.Errorf("another name: %v", err)
	}
}
