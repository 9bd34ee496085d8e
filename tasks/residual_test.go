package tasks

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/cnn"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tensor"
)

// residualModel is a residual network in which no two features agree: its running statistics are not
// those that it starts with.
func residualModel(t *testing.T, name string, width float64) *Model {
	t.Helper()
	c := must.Get(must.Get(cnn.Variant(name))(t).With(backbone.Settings{WidthFactor: width}))(t)
	m := newModel(t, c, nil, nil, 1)
	for _, b := range m.Backbone.Buffers() {
		for i := range b.Data {
			b.Data[i] += float32(i%3) / 8
		}
	}
	return m
}

// The features of a residual network are the means of its maps, after any stages and at any image
// size. They depend on no other image, and go through a file.
func TestResidualNetwork(t *testing.T) {
	m := residualModel(t, "resnet18_cifar", .125)
	path := filepath.Join(t.TempDir(), "backbone.safetensors")
	must.Do(t, m.Export(path))
	read := must.Get(LoadModel(path, LoadOptions{}))(t)
	if read.Config != m.Config || !slices.Equal(read.Backbone.Weight("layer4.1.bn2.running_var").Data, m.Backbone.Weight("layer4.1.bn2.running_var").Data) {
		t.Errorf("read %+v, wrote %+v", read.Config, m.Config)
	}
	dev := devicetest.New(t, 2)
	extract := func(m *Model, count string, o ExtractOptions) *Features {
		src := must.Get(data.Open(data.Options{Path: "demo:?size=40&count=" + count, Channels: 3}))(t)
		defer src.Close()
		return must.Get(m.Extract(context.Background(), dev, src, o))(t)
	}
	stages := ExtractOptions{Blocks: []int{0, -1}, Height: 37, Width: 50}
	all := extract(m, "5", stages)
	if all.Dim != 8+64 || all.Rows != 5 {
		t.Fatalf("%d features of width %d", all.Rows, all.Dim)
	}
	if alone := extract(read, "1", stages); !slices.Equal(alone.Data, all.Data[:all.Dim]) {
		t.Error("the features of an image depend on the others, or the file holds another network")
	}
	if last := extract(m, "5", ExtractOptions{Height: 37, Width: 50, BatchSize: 2}); !slices.Equal(last.Data[:64], all.Data[8:72]) {
		t.Error("the last stage alone has other features")
	}
	src := must.Get(data.Open(data.Options{Path: "demo:?count=2", Channels: 3}))(t)
	defer src.Close()
	for want, o := range map[string]ExtractOptions{
		"has no class token":                   {Pool: PoolClass},
		"stage 4: resnet18_cifar has 4 stages": {Blocks: []int{4}},
	} {
		if _, err := m.Extract(context.Background(), dev, src, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
}

// A file of torchvision holds a classifier and counts of batches, and no configuration: the network
// is recognized by its tensors. Under a prefix, as other tools write it, it is found too.
func TestResidualNetworkOfOthers(t *testing.T) {
	m := residualModel(t, "resnet18", 1)
	var list []tensor.Tensor
	for _, p := range slices.Concat(m.Backbone.Parameters(), m.Backbone.Buffers()) {
		list = append(list, tensor.NewF32(p.Name, p.Shape, p.Data))
		if norm, ok := strings.CutSuffix(p.Name, ".running_mean"); ok {
			list = append(list, tensor.NewI64(norm+".num_batches_tracked", tensor.Shape{}, []int64{7}))
		}
	}
	list = append(list, tensor.NewF32("fc.weight", tensor.Shape{2, 512}, make([]float32, 1024)), tensor.NewF32("fc.bias", tensor.Shape{2}, make([]float32, 2)))
	for _, prefix := range []string{"", "module."} {
		path := filepath.Join(t.TempDir(), "resnet.safetensors")
		named := slices.Clone(list)
		for i := range named {
			named[i].Name = prefix + named[i].Name
		}
		must.Do(t, tensor.WriteSafetensors(path, named, nil))
		if _, err := LoadModel(path, LoadOptions{}); err == nil || !strings.Contains(err.Error(), "its tensors are those of resnet18") {
			t.Errorf("without a name: %v", err)
		}
		if _, err := LoadModel(path, LoadOptions{Model: "resnet34"}); err == nil || !strings.Contains(err.Error(), "its tensors are those of resnet18") {
			t.Errorf("under a wrong name: %v", err)
		}
		read := must.Get(LoadModel(path, LoadOptions{Model: "resnet18"}))(t)
		if len(read.Ignored) != 22 {
			t.Errorf("left out %v", read.Ignored)
		}
		sameWeights(t, read, m, 1)
	}
}

// The exported names are those of torchvision's ResNet.
func TestTorchvisionNames(t *testing.T) {
	m := residualModel(t, "resnet50", .125)
	path := filepath.Join(t.TempDir(), "backbone.safetensors")
	must.Do(t, m.Export(path))
	file := must.Get(tensor.ReadSafetensors(path))(t)
	want := map[string]bool{}
	norm := func(name string) {
		for _, part := range []string{"weight", "bias", "running_mean", "running_var"} {
			want[name+"."+part] = true
		}
	}
	want["conv1.weight"] = true
	norm("bn1")
	for stage, blocks := range []string{"012", "0123", "012345", "012"} {
		layer := "layer" + string("1234"[stage]) + "."
		for _, b := range blocks {
			for _, i := range "123" {
				want[layer+string(b)+".conv"+string(i)+".weight"] = true
				norm(layer + string(b) + ".bn" + string(i))
			}
		}
		want[layer+"0.downsample.0.weight"] = true
		norm(layer + "0.downsample.1")
	}
	if got := slices.Sorted(slices.Values(file.Names())); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Errorf("the file holds %v", got)
	}
}
