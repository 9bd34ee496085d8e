package tasks

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tasks/npy"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// smallModel is a network that runs in a moment.
func smallModel(t testing.TB) *Model {
	t.Helper()
	c := vit.Config{Name: "vit_test_patch4_16", ImageH: 16, ImageW: 16, Patch: 4, Dim: 24, Depth: 2, Heads: 3, QKVBias: true, ClassToken: true, PosEmbed: vit.PosSinCos}
	m, err := NewModel(c, nil, []float64{0.5, 0.4, 0.3}, []float64{0.2, 0.25, 0.3}, 7)
	if err != nil {
		t.Fatal(err)
	}
	m.Step, m.Digest = 42, "cafe"
	// Initial biases are zero and norms one; other values show more.
	r := prng.New(3, "weights")
	for _, p := range m.Backbone.Weights() {
		for i := range p.Data {
			p.Data[i] += float32(0.1 * r.NormFloat64())
		}
	}
	return m
}

// writeRun makes a run folder with a checkpoint of m at each step; weights are
// those of m times the step.
func writeRun(t *testing.T, m *Model, steps ...int) string {
	t.Helper()
	return writeRunWith(t, m, "", steps...)
}

// writeRunWith is the same with what the checkpoints recommend.
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
		for _, p := range m.Backbone.Weights() {
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
	for i, p := range want.Backbone.Weights() {
		q := got.Backbone.Weights()[i]
		for j, v := range p.Data {
			if q.Name != p.Name || q.Data[j] != v*scale {
				t.Fatalf("%s[%d] = %g, want %s %g", q.Name, j, q.Data[j], p.Name, v*scale)
			}
		}
	}
}

func TestExportAndLoad(t *testing.T) {
	m := smallModel(t)
	path := filepath.Join(t.TempDir(), "backbone.safetensors")
	if err := m.Export(path); err != nil {
		t.Fatal(err)
	}
	got, err := LoadModel(path, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sameWeights(t, got, m, 1)
	if got.Config != m.Config || !reflect.DeepEqual(got.Mean, m.Mean) || !reflect.DeepEqual(got.Std, m.Std) || got.Step != 42 || got.Meta["source_digest"] != "cafe" {
		t.Errorf("read %+v, mean %v, std %v, step %d; wrote %+v", got.Config, got.Mean, got.Std, got.Step, m.Config)
	}
	again := filepath.Join(t.TempDir(), "again.safetensors")
	got.Digest = "cafe"
	if err := got.Export(again); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(path)
	if b, _ := os.ReadFile(again); string(a) != string(b) {
		t.Error("exporting what was exported changes the file")
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

	// The newest one loses its end, the one before it a bit.
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

// A run's recommendation holds unless the user says otherwise, and its pool goes
// into exported files.
func TestRecommended(t *testing.T) {
	m := smallModel(t)
	run := writeRunWith(t, m, `{"network":"teacher","pool":"class","linear_blocks":100}`, 3)
	for network, scale := range map[Network]float32{NetworkRecommended: 0, NetworkTeacher: 0, NetworkStudent: 3} {
		got, err := LoadModel(run, LoadOptions{Network: network})
		if err != nil {
			t.Fatal(err)
		}
		sameWeights(t, got, m, scale)
		if got.Pool != PoolClass || !slices.Equal(got.RecommendedLinearBlocks(), []int{-2, -1}) {
			t.Errorf("pool %q, blocks %v for linear classifiers, want both", got.Pool, got.RecommendedLinearBlocks())
		}
		path := filepath.Join(t.TempDir(), "backbone.safetensors")
		if err := got.Export(path); err != nil {
			t.Fatal(err)
		}
		back, err := LoadModel(path, LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		sameWeights(t, back, m, scale)
		if back.Pool != PoolClass || back.LinearBlocks != 100 {
			t.Errorf("pool %q and %d blocks for linear classifiers of the exported file", back.Pool, back.LinearBlocks)
		}
	}
	src := openData(t, "demo:?count=3&size=16")
	model, err := LoadModel(run, LoadOptions{Network: NetworkStudent})
	if err != nil {
		t.Fatal(err)
	}
	features := func(pool Pool) []float32 {
		f, err := model.Extract(context.Background(), testEngine(t, 1), src, ExtractOptions{Pool: pool})
		if err != nil {
			t.Fatal(err)
		}
		return f.Data
	}
	if !slices.Equal(features(""), features(PoolClass)) || slices.Equal(features(""), features(PoolMean)) {
		t.Error("the recommended pool is not what features are made of")
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
	if err := m.Export(good); err != nil {
		t.Fatal(err)
	}
	file, err := tensor.ReadSafetensors(good)
	if err != nil {
		t.Fatal(err)
	}
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
		if err := tensor.WriteSafetensors(path, list, meta); err != nil {
			t.Fatal(err)
		}
		return path
	}
	type tensors = map[string]tensor.Tensor
	type meta = map[string]string
	nan := []float32{0}
	nan[0] /= nan[0]
	text := filepath.Join(dir, "text.safetensors")
	if err := os.WriteFile(text, []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path    string
		options LoadOptions
		want    string
	}{
		"missing file":   {filepath.Join(dir, "nothing"), LoadOptions{}, "no such run or weight file"},
		"empty folder":   {t.TempDir(), LoadOptions{}, "holds no checkpoint"},
		"text":           {text, LoadOptions{}, "not a valid safetensors file"},
		"missing tensor": {write("a", func(x tensors, _ meta) { delete(x, "norm.bias") }), LoadOptions{}, "norm.bias [24] is missing"},
		"extra tensor":   {write("b", func(x tensors, _ meta) { x["blocks.2.norm1.bias"] = x["norm.bias"] }), LoadOptions{}, "blocks.2.norm1.bias [24] belongs to no vit_test_patch4_16"},
		"shape":          {write("c", func(x tensors, _ meta) { x["norm.bias"] = x["blocks.0.mlp.fc1.bias"] }), LoadOptions{}, "norm.bias is [96], want [24]"},
		"type":           {write("d", func(x tensors, _ meta) { x["norm.bias"] = tensor.NewI64("", tensor.Shape{24}, make([]int64, 24)) }), LoadOptions{}, "norm.bias is of type I64"},
		"not a number": {write("e", func(x tensors, _ meta) {
			x["norm.bias"] = tensor.NewF32("", tensor.Shape{24}, append(make([]float32, 23), nan...))
		}), LoadOptions{}, "norm.bias[23] is NaN"},
		"no configuration": {write("f", func(_ tensors, m meta) { delete(m, "model") }), LoadOptions{}, "says nothing of the model's configuration"},
		"configuration":    {write("g", func(_ tensors, m meta) { m["model"] = `{"dimension":3}` }), LoadOptions{}, "not one that this version of vittool knows"},
		"no model at all":  {write("h", func(_ tensors, m meta) { m["model"] = `{}` }), LoadOptions{}, "patch size 0"},
		"mean":             {write("i", func(_ tensors, m meta) { m["mean"] = `[1]` }), LoadOptions{}, "mean has 1 values for 3 channels"},
		"std":              {write("j", func(_ tensors, m meta) { m["std"] = `[1,0,1]` }), LoadOptions{}, "std holds 0"},
		"another model":    {good, LoadOptions{Model: "vit_base_patch16_224"}, "not a vit_base_patch16_224"},
		"unknown model":    {good, LoadOptions{Model: "vit_bse_patch16_224"}, "vit_base_patch16_224"},
		"no teacher":       {good, LoadOptions{Network: NetworkTeacher}, "holds no averaged teacher"},
		"no ViT":           {write("k", func(x tensors, _ meta) { delete(x, vit.Family{}.Landmark()) }), LoadOptions{}, "the file begins with blocks.0.attn.proj.bias"},
	} {
		if _, err := LoadModel(c.path, c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-2] ^= 4
	if err := os.WriteFile(good, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadModel(good, LoadOptions{}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a flipped bit: %v", err)
	}
}

// TestLoadForeign: files of other tools have no configuration, half precision,
// a prefix, a classifier.
func TestLoadForeign(t *testing.T) {
	c, err := vit.Variant("vit_micro_patch4_32")
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewModel(c, nil, nil, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	tensors := []tensor.Tensor{tensor.NewF32("model.head.weight", tensor.Shape{1, 1}, []float32{1})}
	for _, p := range m.Backbone.Weights() {
		wide := make([]float64, len(p.Data))
		for i, v := range p.Data {
			wide[i] = float64(v)
		}
		tensors = append(tensors, tensor.NewF64("model."+p.Name, p.Shape, wide))
	}
	path := filepath.Join(t.TempDir(), "foreign.safetensors")
	if err := tensor.WriteSafetensors(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadModel(path, LoadOptions{}); err == nil || !strings.Contains(err.Error(), "those of vit_micro_patch4_32") {
		t.Errorf("without a name: %v, want its name suggested", err)
	}
	got, err := LoadModel(path, LoadOptions{Model: "vit_micro_patch4_32"})
	if err != nil {
		t.Fatal(err)
	}
	sameWeights(t, got, m, 1)
	if !reflect.DeepEqual(got.Ignored, []string{"model.head.weight"}) || got.Step != -1 || got.Mean[0] != 0.485 {
		t.Errorf("ignored %v, step %d, mean %v", got.Ignored, got.Step, got.Mean)
	}
	// Of the right model and damaged: the file is at fault, and not the name.
	last := tensors[len(tensors)-1]
	for fault, list := range map[string][]tensor.Tensor{
		"is NaN":        append(slices.Clone(tensors[:len(tensors)-1]), tensor.NewF32(last.Name, last.Shape, slices.Repeat([]float32{float32(math.NaN())}, last.Len()))),
		"belongs to no": append(slices.Clone(tensors), tensor.NewF32("model.more", tensor.Shape{1}, []float32{1})),
	} {
		if err := tensor.WriteSafetensors(path, list, nil); err != nil {
			t.Fatal(err)
		}
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

func openData(t testing.TB, path string) data.Source {
	t.Helper()
	src, err := data.Open(data.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

// TestExtract: batch size, threads and workers change no bit; pooling is what
// it says; unreadable images are left out and named.
func TestExtract(t *testing.T) {
	m := smallModel(t)
	src := openData(t, "demo:?count=23&size=16")
	extract := func(threads int, o ExtractOptions) *Features {
		t.Helper()
		f, err := m.Extract(context.Background(), testEngine(t, threads), src, o)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first := extract(1, ExtractOptions{Pool: PoolBoth})
	if first.Rows != 23 || first.Dim != 48 || len(first.Labels) != 23 || first.Names[22] != src.Name(22) {
		t.Fatalf("%d rows of %d with %d labels", first.Rows, first.Dim, len(first.Labels))
	}
	if err := first.Check("demo", true); err != nil {
		t.Fatal(err)
	}
	for _, o := range []ExtractOptions{{BatchSize: 1}, {BatchSize: 5, Workers: 3}, {BatchSize: 23, Workers: 1}} {
		o.Pool = PoolBoth
		if got := extract(2, o); !reflect.DeepEqual(got, first) {
			t.Errorf("batches of %d by %d workers give other features", o.BatchSize, o.Workers)
		}
	}
	class, mean := extract(2, ExtractOptions{Pool: PoolClass}), extract(2, ExtractOptions{})
	for i := range 23 {
		row := first.Data[i*48 : (i+1)*48]
		if !reflect.DeepEqual(row[:24], class.Data[i*24:(i+1)*24]) || !reflect.DeepEqual(row[24:], mean.Data[i*24:(i+1)*24]) {
			t.Fatalf("row %d of both is not class token, then mean", i)
		}
	}
	// The last block is what there is without the option; others stand side by side.
	if got := extract(2, ExtractOptions{Pool: PoolBoth, Blocks: []int{m.Info.Depth - 1}}); !reflect.DeepEqual(got, first) {
		t.Error("the last block gives other features than none")
	}
	two, one := extract(2, ExtractOptions{Blocks: []int{0, -1}}), extract(2, ExtractOptions{Blocks: []int{0}})
	for i := range 23 {
		row := two.Data[i*48 : (i+1)*48]
		if early := one.Data[i*24 : (i+1)*24]; !reflect.DeepEqual(row[:24], early) || !reflect.DeepEqual(row[24:], mean.Data[i*24:(i+1)*24]) || reflect.DeepEqual(early, row[24:]) {
			t.Fatalf("row %d of two blocks is not the first, then the last", i)
		}
	}
	// Another size than the model's: positions are resampled.
	if f := extract(2, ExtractOptions{Height: 24, Width: 16}); f.Rows != 23 {
		t.Errorf("24 × 16 pixels: %d rows", f.Rows)
	}
}

func TestExtractSkipsUnreadable(t *testing.T) {
	m := smallModel(t)
	dir := t.TempDir()
	for i := range 4 {
		writeTestImage(t, filepath.Join(dir, fmt.Sprintf("%d.png", i)), 20, 30, i)
	}
	if err := os.WriteFile(filepath.Join(dir, "1a.png"), []byte("no image"), 0o644); err != nil {
		t.Fatal(err)
	}
	src := openData(t, dir)
	e := testEngine(t, 2)
	var skipped []string
	f, err := m.Extract(context.Background(), e, src, ExtractOptions{MaxFailed: 0.5, BatchSize: 2, OnSkip: func(name string, _ error) { skipped = append(skipped, name) }})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"0.png", "1.png", "2.png", "3.png"}; !reflect.DeepEqual(f.Names, want) || !reflect.DeepEqual(skipped, []string{"1a.png"}) || len(f.Data) != 4*24 {
		t.Errorf("features of %v, skipped %v", f.Names, skipped)
	}
	for name, o := range map[string]ExtractOptions{
		"too many": {},
		"at once":  {OnError: data.Fail, MaxFailed: 1},
	} {
		var problem *data.Error
		if _, err := m.Extract(context.Background(), e, src, o); !errors.As(err, &problem) || !strings.Contains(err.Error(), "1a.png") {
			t.Errorf("%s: error %v, want a data error that names 1a.png", name, err)
		}
	}
}

func TestExtractRefuses(t *testing.T) {
	m := smallModel(t)
	e := testEngine(t, 1)
	src := openData(t, "demo:?count=3&size=16")
	for name, c := range map[string]struct {
		o    ExtractOptions
		want string
	}{
		"pool":  {ExtractOptions{Pool: "max"}, "[mean class both]"},
		"size":  {ExtractOptions{Height: 18, Width: 16}, "not a multiple"},
		"batch": {ExtractOptions{BatchSize: -1}, "batch size -1"},
		"block": {ExtractOptions{Blocks: []int{m.Info.Depth}}, fmt.Sprintf("block %d: %s has %[1]d, numbered from 0", m.Info.Depth, m.Info.Name)},
		"twice": {ExtractOptions{Blocks: []int{-1, m.Info.Depth - 1}}, "named twice"},
	} {
		if _, err := m.Extract(context.Background(), e, src, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	gray, err := data.Open(data.Options{Path: "demo:?count=3&size=16", Channels: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer gray.Close()
	if _, err := m.Extract(context.Background(), e, gray, ExtractOptions{}); err == nil || !strings.Contains(err.Error(), "3 channels") {
		t.Errorf("channels: %v", err)
	}
}

// TestTimmNames compares an exported file with the names and shapes of timm's
// VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=2,
// num_heads=3, num_classes=0).
func TestTimmNames(t *testing.T) {
	want := map[string]string{
		"cls_token": "[1 1 24]", "pos_embed": "[1 17 24]", "patch_embed.proj.weight": "[24 3 4 4]", "patch_embed.proj.bias": "[24]",
		"norm.weight": "[24]", "norm.bias": "[24]",
	}
	for _, b := range []string{"blocks.0.", "blocks.1."} {
		for name, shape := range map[string]string{
			"norm1.weight": "[24]", "norm1.bias": "[24]", "attn.qkv.weight": "[72 24]", "attn.qkv.bias": "[72]",
			"attn.proj.weight": "[24 24]", "attn.proj.bias": "[24]", "norm2.weight": "[24]", "norm2.bias": "[24]",
			"mlp.fc1.weight": "[96 24]", "mlp.fc1.bias": "[96]", "mlp.fc2.weight": "[24 96]", "mlp.fc2.bias": "[24]",
		} {
			want[b+name] = shape
		}
	}
	path := filepath.Join(t.TempDir(), "backbone.safetensors")
	if err := smallModel(t).Export(path); err != nil {
		t.Fatal(err)
	}
	file, err := tensor.ReadSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, x := range file.Tensors {
		if got[x.Name] = fmt.Sprint([]int(x.Shape)); x.DType != tensor.F32 {
			t.Errorf("%s is stored as %s", x.Name, x.DType)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the file holds %v, timm wants %v", got, want)
	}
	for _, key := range []string{"model", "mean", "std", "digest", "architecture", "step", "source_digest"} {
		if file.Meta[key] == "" {
			t.Errorf("metadata lacks %q", key)
		}
	}
}

// TestTimm lets timm load an exported file, strictly, and compares its features
// with ours. It needs a Python with timm, in VITTOOL_PYTHON.
func TestTimm(t *testing.T) {
	python := os.Getenv("VITTOOL_PYTHON")
	if python == "" || exec.Command(python, "-c", "import timm, safetensors").Run() != nil {
		t.Log("VITTOOL_PYTHON names no Python with timm: the names and shapes of timm are checked by TestTimmNames alone")
		return
	}
	m := smallModel(t)
	dir := t.TempDir()
	if err := m.Export(filepath.Join(dir, "backbone.safetensors")); err != nil {
		t.Fatal(err)
	}
	g := core.NewGraph(testEngine(t, 2))
	images := g.Input("images", tensor.Shape{5, 3, 16, 16})
	r := prng.New(1, "images")
	for i := range images.Value() {
		images.Value()[i] = float32(r.NormFloat64())
	}
	out, err := m.Backbone.Forward(g, images, backbone.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := out.Output(backbone.Tokens)
	if err != nil {
		t.Fatal(err)
	}
	run, err := g.Compile(nil, tokens)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Run(); err != nil {
		t.Fatal(err)
	}
	if err := WriteNPY(filepath.Join(dir, "images.npy"), npy.Array{Shape: []int{5, 3, 16, 16}, Float32: images.Value()}); err != nil {
		t.Fatal(err)
	}
	code := `
import sys, numpy, torch, timm
from safetensors.torch import load_file
d = sys.argv[1]
m = timm.models.VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3, num_classes=0)
m.load_state_dict(load_file(d + "/backbone.safetensors"), strict=True)
numpy.save(d + "/tokens.npy", m.eval().forward_features(torch.tensor(numpy.load(d + "/images.npy"))).detach().numpy())
`
	if msg, err := exec.Command(python, "-c", code, dir).CombinedOutput(); err != nil {
		t.Fatalf("timm: %s", msg)
	}
	want, err := ReadNPY(filepath.Join(dir, "tokens.npy"))
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range tokens.Value() {
		if d := v - want.Float32[i]; d > 2e-5 || d < -2e-5 {
			t.Fatalf("token value %d is %g, timm has %g", i, v, want.Float32[i])
		}
	}
}
