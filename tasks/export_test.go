package tasks

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/atomicfile"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tasks/npy"
	"github.com/vittool/vittool/tensor"
)

func TestExportAndLoad(t *testing.T) {
	m := smallModel(t)
	path := filepath.Join(t.TempDir(), "backbone.safetensors")
	must.Do(t, m.Export(path))
	got := must.Get(LoadModel(path, LoadOptions{}))(t)
	sameWeights(t, got, m, 1)
	if got.Config != m.Config || !reflect.DeepEqual(got.Mean, m.Mean) || !reflect.DeepEqual(got.Std, m.Std) || got.Step != 42 || got.Meta["source_digest"] != "cafe" {
		t.Errorf("read %+v, mean %v, std %v, step %d; wrote %+v", got.Config, got.Mean, got.Std, got.Step, m.Config)
	}
	again := filepath.Join(t.TempDir(), "again.safetensors")
	got.Digest = "cafe"
	must.Do(t, got.Export(again))
	a, _ := os.ReadFile(path)
	if b, _ := os.ReadFile(again); string(a) != string(b) {
		t.Error("exporting an exported file changes it")
	}
}

// TestTimmNames compares an exported file with the names and shapes of timm's
// VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3, num_classes=0).
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
	must.Do(t, smallModel(t).Export(path))
	file := must.Get(tensor.ReadSafetensors(path))(t)
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

// TestTimm lets timm load an exported file, strictly, and compares its features with ours. It needs
// a Python with timm, in VITTOOL_PYTHON.
func TestTimm(t *testing.T) {
	python := os.Getenv("VITTOOL_PYTHON")
	if python == "" || exec.Command(python, "-c", "import timm, safetensors").Run() != nil {
		t.Log("VITTOOL_PYTHON names no Python with timm: the names and shapes of timm are checked by TestTimmNames alone")
		return
	}
	m := smallModel(t)
	dir := t.TempDir()
	must.Do(t, m.Export(filepath.Join(dir, "backbone.safetensors")))
	g := core.NewGraph(devicetest.New(t, 2))
	images := g.Input("images", tensor.Shape{5, 3, 16, 16})
	r := prng.New(1, "images")
	for i := range images.Value() {
		images.Value()[i] = float32(r.NormFloat64())
	}
	out := must.Get(m.Backbone.Forward(g, images, backbone.Options{}))(t)
	tokens := must.Get(out.Output(backbone.Tokens))(t)
	run := must.Get(g.Compile(nil, tokens))(t)
	must.Do(t, run.Run())
	array := npy.Array{Shape: []int{5, 3, 16, 16}, Float32: images.Value()}
	must.Do(t, atomicfile.Write(filepath.Join(dir, "images.npy"), func(w io.Writer) error { return npy.Write(w, array) }))
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
	want := must.Get(readArray(filepath.Join(dir, "tokens.npy")))(t)
	for i, v := range tokens.Value() {
		if d := v - want.Float32[i]; d > 2e-5 || d < -2e-5 {
			t.Fatalf("token value %d is %g, timm has %g", i, v, want.Float32[i])
		}
	}
}

// TestExportKeepsInput: an exported file describes the images of its network as the source did: a
// stated normalization as stated, an assumed one as assumed, and the fitting in full.
func TestExportKeepsInput(t *testing.T) {
	m := microModel(t)
	for name, c := range map[string]struct {
		card    string // config.json beside the source
		options LoadOptions
		want    Input
		mean    float64
		fault   bool
	}{
		"nothing stated": {"", LoadOptions{}, Input{Fitting: timmFitting, Assumed: true}, 0.485, false},
		"options":        {"", LoadOptions{Mean: []float64{0, 0, 0}, Std: []float64{1, 1, 1}}, Input{Fitting: timmFitting}, 0, false},
		"description": {`{"mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5],"crop_pct":0.9,"crop_mode":"squash","interpolation":"bilinear"}`, LoadOptions{},
			Input{Fitting: data.Fitting{Crop: data.CropSquash, CropPct: 0.9, Interpolation: pixels.Bilinear}}, 0.5, false},
		"unknown fitting": {`{"mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5],"crop_pct":0.9,"crop_mode":"border"}`, LoadOptions{}, Input{}, 0.5, true},
	} {
		dir := t.TempDir()
		source, exported := filepath.Join(dir, "source.safetensors"), filepath.Join(t.TempDir(), "exported.safetensors")
		must.Do(t, tensor.WriteSafetensors(source, m.Store.Tensors(), nil))
		if c.card != "" {
			must.Do(t, os.WriteFile(filepath.Join(dir, cardName), []byte(c.card), 0o644))
		}
		c.options.Model = m.Info.Name
		first := must.Get(LoadModel(source, c.options))(t)
		must.Do(t, first.Export(exported))
		for which, path := range map[string]string{"source": source, "exported": exported} {
			options := c.options
			if path == exported {
				options = LoadOptions{}
			}
			got := must.Get(LoadModel(path, options))(t)
			fitting, err := got.Input.fitting(nil)
			if c.fault {
				if err == nil || !strings.Contains(err.Error(), "border") {
					t.Errorf("%s, %s: error %v, want one about border", name, which, err)
				}
				continue
			}
			if err != nil || fitting != c.want.Fitting || got.Input.Assumed != c.want.Assumed || got.Mean[0] != c.mean {
				t.Errorf("%s, %s: fitting %+v, assumed %v, mean %v, %v; want %+v", name, which, fitting, got.Input.Assumed, got.Mean, err, c.want)
			}
		}
	}
}
