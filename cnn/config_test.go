package cnn

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/tensor"
)

// Counts are torchvision's, without the classifier.
func TestVariant(t *testing.T) {
	for _, tc := range []struct {
		name              string
		image, dim, count int
	}{
		{"resnet18", 224, 512, 11689512 - 513000},
		{"resnet34", 224, 512, 21797672 - 513000},
		{"resnet50", 224, 2048, 25557032 - 2049000},
		{"resnet101", 224, 2048, 44549160 - 2049000},
		{"resnet152", 224, 2048, 60192808 - 2049000},
		{"wide_resnet50_2", 224, 2048, 68883240 - 2049000},
		{"wide_resnet101_2", 224, 2048, 126886696 - 2049000},
		{"resnet18_cifar", 32, 512, 11689512 - 513000 - 64*3*(49-9)},
	} {
		c, err := Variant(tc.name)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		i := c.Info()
		if i.Name != tc.name || i.ImageH != tc.image || i.ImageW != tc.image || i.Dim != tc.dim || i.Depth != 4 || i.Family != "cnn" {
			t.Errorf("%s: got %+v", tc.name, i)
		}
		if n := c.Parameters(); n != tc.count {
			t.Errorf("%s: %d parameters, want %d", tc.name, n, tc.count)
		}
	}
	for _, name := range Variants() {
		if c, err := Variant(name); err != nil || c.Name != name || c.Validate() != nil {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	if _, err := Variant("resnet51"); err == nil || !strings.Contains(err.Error(), "resnet50") {
		t.Errorf("an unknown name: %v", err)
	}
}

// Multiply-adds are those of the usual counts, without the classifier.
func TestForwardFLOPs(t *testing.T) {
	for name, want := range map[string]float64{"resnet18": 1.814e9, "resnet50": 4.087e9, "resnet18_cifar": .5554e9} {
		c, err := Variant(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.ForwardFLOPs(0) / 2; got < .999*want || got > 1.001*want {
			t.Errorf("%s: %.4g multiply-adds, want %.4g", name, got, want)
		}
		if rows, cols := c.Info().Grid(); c.ForwardFLOPs(rows*cols) != c.ForwardFLOPs(0) || 2*c.ForwardFLOPs(8) != c.ForwardFLOPs(16) {
			t.Errorf("%s: shares of %d×%d cells", name, rows, cols)
		}
	}
}

func TestSettings(t *testing.T) {
	c, err := Variant("resnet18_cifar")
	if err != nil {
		t.Fatal(err)
	}
	narrow, err := c.With(backbone.Settings{WidthFactor: .25, Height: 33, Width: 50, Channels: 1, DropPath: .1, ZeroInitLast: true})
	if err != nil {
		t.Fatal(err)
	}
	if i := narrow.Info(); !slices.Equal(i.StageDims, []int{16, 32, 64, 128}) || i.Channels != 1 || i.ImageH != 33 || i.ImageW != 50 {
		t.Errorf("it has %+v", i)
	}
	if rows, cols := narrow.Info().Grid(); rows != 5 || cols != 7 {
		t.Errorf("the last map is %d×%d", rows, cols)
	}
	if rates := narrow.(Config).dropPathRates(); len(rates) != 8 || rates[0] != 0 || rates[7] != .1 {
		t.Errorf("rates of stochastic depth %v", rates)
	}
	zero := 0
	for _, w := range narrow.Weights() {
		if last := strings.HasSuffix(w.Name, ".bn2.weight"); last != (w.Init.Kind == "zeros" && strings.HasSuffix(w.Name, ".weight")) {
			t.Errorf("%s starts with %v", w.Name, w.Init)
		} else if last {
			zero++
		}
	}
	if zero != 8 {
		t.Errorf("%d batch norms start at zero, want one a block", zero)
	}
	if least, err := c.With(backbone.Settings{WidthFactor: .001}); err != nil || least.Info().Dim != 8 {
		t.Errorf("the narrowest network: %v, %v", least, err)
	}
}

func TestSettingsAreRefused(t *testing.T) {
	c, err := Variant("resnet18_cifar")
	if err != nil {
		t.Fatal(err)
	}
	for want, s := range map[string]backbone.Settings{
		"no layer scale":    {LayerScale: .1},
		"width of":          {WidthFactor: 1000},
		"drop_path 1":       {DropPath: 1},
		"-1 image channels": {Channels: -1},
		"image size -1×32":  {Height: -1},
	} {
		if _, err := c.With(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q in it", s, err, want)
		}
	}
}

func TestRequirements(t *testing.T) {
	c, err := Variant("resnet50")
	if err != nil {
		t.Fatal(err)
	}
	for part, r := range map[string]backbone.Requirements{
		"class token":            {ClassToken: backbone.Required},
		"position table":         {Positions: backbone.Learned},
		"relative position bias": {Relative: backbone.RelativeShared},
		"layer scale":            {LayerScale: .1},
		"split bias":             {SplitQVBias: true},
	} {
		if _, err := c.Require(r); err == nil || !strings.Contains(err.Error(), "resnet50 has no") || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", part, err)
		}
	}
	got, err := c.Require(backbone.Requirements{Positions: backbone.None, ClassToken: backbone.None, Relative: backbone.None, DropPath: .2})
	if err != nil || got.(Config).DropPath != .2 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A config survives its JSON, and a wrong one is refused by the name of the fault.
func TestDecode(t *testing.T) {
	for _, c := range (Family{}).Samples() {
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := (Family{}).Decode(text); err != nil || back != c {
			t.Errorf("%s is read as %+v, %v", text, back, err)
		}
	}
	c, err := Variant("resnet18")
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		`stem "deep"`:         func(c *Config) { c.Stem = "deep" },
		`block "inverted"`:    func(c *Config) { c.Block = "inverted" },
		"0 blocks in stage 2": func(c *Config) { c.Layers[2] = 0 },
		"inner 2":             func(c *Config) { c.Inner = 2 },
		"width of 0":          func(c *Config) { c.Width = 0 },
		"image size 0×224":    func(c *Config) { c.ImageH = 0 },
	} {
		wrong := c
		change(&wrong)
		text, err := json.Marshal(wrong)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (Family{}).Decode(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	if _, err := (Family{}).Decode([]byte(`{"name":"x","depth":3}`)); err == nil || !strings.Contains(err.Error(), "depth") {
		t.Errorf("an unknown field: %v", err)
	}
}

// A file of another tool is recognized by its tensors, with or without others beside them.
func TestRecognize(t *testing.T) {
	for _, name := range Variants() {
		c, err := Variant(name)
		if err != nil {
			t.Fatal(err)
		}
		shapes := map[string]tensor.Shape{"fc.weight": {1000, 512}}
		for _, w := range c.Weights() {
			shapes[w.Name] = w.Shape
		}
		got := (Family{}).Recognize(func(n string) (tensor.Shape, bool) { s, ok := shapes[n]; return s, ok })
		if !slices.Equal(got, []string{name}) {
			t.Errorf("%s is taken for %v", name, got)
		}
		if _, ok := shapes[(Family{}).Landmark()]; !ok {
			t.Errorf("%s lacks the landmark", name)
		}
	}
	for name, want := range map[string]bool{"fc.weight": true, "fc.bias": true, "layer1.0.bn1.num_batches_tracked": true, "head.weight": true, "classifier.bias": true, "global_step": true, "model_ema.decay": true, "bn2.weight": false, "norm_pre.weight": false, "layer1.0.se.fc1.weight": false} {
		if got := (Config{}).Beside(name); got != want {
			t.Errorf("%s stands beside the network: %v", name, got)
		}
	}
}
