package configs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives"
)

// all are the presets of the objectives and those of this package.
var all Presets = objectives.Presets()

// write puts a configuration file into a folder of the test's own.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.yaml")
	must.Do(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func mustLoad(t *testing.T, req Request) *Resolved {
	t.Helper()
	return must.Get(Load(req))(t)
}

func TestDefaultsAreValid(t *testing.T) {
	r := mustLoad(t, Request{})
	want := Default()
	if !reflect.DeepEqual(*r.Config, want) {
		t.Errorf("Load of nothing gives\n%+v, want the defaults\n%+v", *r.Config, want)
	}
}

func TestOrder(t *testing.T) {
	file := write(t, "preset: mae-micro-32\ntrain:\n  epochs: 3\n")
	env := []string{"VITTOOL_TRAIN_EPOCHS=4", "VITTOOL_KERNELS=generic", "PATH=/bin"}
	flags := []Setting{{Key: "train.epochs", Value: "5", Source: "flag --epochs"}}
	over := []string{"train.epochs=6"}
	cases := []struct {
		name   string
		req    Request
		epochs int
		source string
	}{
		{"default", Request{}, Default().Train.Epochs, ""},
		{"preset", Request{Presets: all, Configs: []string{"mae-micro-32"}}, 20, "preset mae-micro-32:"},
		{"file", Request{Presets: all, Configs: []string{file}}, 3, file + ":3"},
		{"preset and file", Request{Presets: all, Configs: []string{"demo", file}}, 3, file + ":3"},
		{"environment", Request{Presets: all, Configs: []string{file}, Environ: env}, 4, "environment VITTOOL_TRAIN_EPOCHS"},
		{"flag", Request{Presets: all, Configs: []string{file}, Environ: env, Flags: flags}, 5, "flag --epochs"},
		{"override", Request{Presets: all, Configs: []string{file}, Environ: env, Flags: flags, Overrides: over}, 6, "argument train.epochs=6"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := mustLoad(t, c.req)
			if r.Config.Train.Epochs != c.epochs {
				t.Errorf("train.epochs = %d, want %d", r.Config.Train.Epochs, c.epochs)
			}
			if got := r.Sources["train.epochs"]; !strings.HasPrefix(got, c.source) || (c.source == "") != (got == "") {
				t.Errorf("source %q, want %q", got, c.source)
			}
		})
	}
	r := mustLoad(t, Request{Presets: all, Configs: []string{file}})
	if r.Preset != "mae-micro-32" || r.Config.Train.BatchSize != 256 {
		t.Errorf("preset %q, batch %d: the file's own preset did not take part", r.Preset, r.Config.Train.BatchSize)
	}
}

func TestMistakes(t *testing.T) {
	cases := []struct {
		name string
		file string
		req  Request
		want []string // all in the message
	}{
		{"unknown key", "train:\n  epoch: 3\n", Request{}, []string{"run.yaml:2", "train.epoch", "did you mean train.epochs?"}},
		{"key of another section", "model:\n  batch_size: 3\n", Request{}, []string{"model.batch_size", "did you mean train.batch_size?"}},
		{"unknown section", "trian:\n  epochs: 3\n", Request{}, []string{"run.yaml:1", "trian", "did you mean train?"}},
		{"key without section", "epochs: 3\n", Request{}, []string{"epochs", "did you mean train.epochs?"}},
		{"nothing near", "train:\n  zzzzzzzzzz: 3\n", Request{}, []string{"train.zzzzzzzzzz", "valid are: train.epochs"}},
		{"text for number", "train:\n  epochs: many\n", Request{}, []string{"run.yaml:2", "train.epochs = many", "wants a whole number"}},
		{"quoted number", "train:\n  epochs: \"3\"\n", Request{}, []string{"train.epochs", "this is text"}},
		{"fraction for whole number", "train:\n  epochs: 2.5\n", Request{}, []string{"train.epochs = 2.5", "fraction"}},
		{"number for text", "model:\n  name: 5\n", Request{}, []string{"model.name = 5", "quotes"}},
		{"list for number", "train:\n  epochs: [1, 2]\n", Request{}, []string{"train.epochs", "this is a list"}},
		{"section for number", "train:\n  epochs:\n    a: 1\n", Request{}, []string{"train.epochs", "this is a section"}},
		{"value for section", "train: 3\n", Request{}, []string{"train", "is a section"}},
		{"yes for true", "data:\n  flip: yes\n", Request{}, []string{"data.flip = yes", "neither true nor false"}},
		{"not finite", "train:\n  lr: .nan\n", Request{}, []string{"train.lr = .nan", "finite"}},
		{"out of range", "train:\n  batch_size: 0\n", Request{}, []string{"run.yaml:2", "train.batch_size = 0", "out of range", "1 to 1000000"}},
		{"list out of range", "data:\n  crop_scale: [0.2, 1.5]\n", Request{}, []string{"data.crop_scale = [0.2, 1.5]", "out of range"}},
		{"list length", "data:\n  crop_scale: [0.2]\n", Request{}, []string{"data.crop_scale", "holds 1 values", "it takes 2"}},
		{"not one of", "train:\n  optimizer: adam\n", Request{}, []string{"train.optimizer = adam", "did you mean adamw?"}},
		{"interval", "run:\n  checkpoint_every: often\n", Request{}, []string{"run.checkpoint_every = often", "500 steps"}},
		{"set twice", "train:\n  epochs: 3\n  epochs: 4\n", Request{}, []string{"run.yaml:3", "train.epochs", "set twice", "run.yaml:2"}},
		{"alias", "train: &a\n  epochs: 3\nmodel: *a\n", Request{}, []string{"aliases"}},
		{"not YAML", "train: [\n", Request{}, []string{"run.yaml", "not valid YAML"}},
		{"not a mapping", "- train\n", Request{}, []string{"does not hold settings"}},
		{"two documents", "train:\n  epochs: 3\n---\ntrain:\n  epochs: 4\n", Request{}, []string{"more than one"}},
		{"unknown preset in file", "preset: mae-micro\n", Request{}, []string{"run.yaml:1", "did you mean mae-micro-32?"}},
		{"several at once", "train:\n  epochs: -1\n  batch_size: 0\nmodel:\n  drop_path: 2\n", Request{}, []string{"3 problems", "train.epochs", "train.batch_size", "model.drop_path"}},
		{"unknown preset", "", Request{Configs: []string{"mae-23"}}, []string{"mae-23", "neither a preset nor a file", "did you mean mae-32?"}},
		{"missing file", "", Request{Configs: []string{"nowhere/x.yaml"}}, []string{"nowhere/x.yaml", "check the path"}},
		{"environment", "", Request{Environ: []string{"VITTOOL_TRAIN_EPOCH=3"}}, []string{"environment VITTOOL_TRAIN_EPOCH", "did you mean train.epochs?"}},
		{"environment type", "", Request{Environ: []string{"VITTOOL_TRAIN_EPOCHS=x"}}, []string{"environment VITTOOL_TRAIN_EPOCHS", `"x" is not a whole number`}},
		{"override without =", "", Request{Overrides: []string{"train.epochs"}}, []string{"argument train.epochs", "key=value"}},
		{"override unknown", "", Request{Overrides: []string{"train.epoch=2"}}, []string{"argument train.epoch=2", "did you mean train.epochs?"}},
		{"unknown model", "", Request{Flags: []Setting{{"model.name", "vit_tinny_patch4_32", "flag --model"}}}, []string{"flag --model", "model.name = vit_tinny_patch4_32", "did you mean vit_tiny_patch4_32?"}},
		{"width of a transformer", "", Request{Overrides: []string{"model.width=0.5"}}, []string{"model.width=0.5", "the width of vit_tiny_patch4_32 is a part of its name"}},
		{"batch norms of a transformer", "", Request{Overrides: []string{"model.zero_init_last=true"}}, []string{"model.zero_init_last", "has no batch norms"}},
		{"layer scale of a residual network", "", Request{Overrides: []string{"model.name=resnet50", "model.layer_scale=0.1"}}, []string{"model.layer_scale", "resnet50 has no layer scale"}},
		{"too wide", "", Request{Overrides: []string{"model.name=resnet50", "model.width=65"}}, []string{"model.width"}},
		{"patch and size", "", Request{Overrides: []string{"model.image_size=30"}}, []string{"argument model.image_size=30", "not a multiple of the patch size 4"}},
		{"milestone order", "", Request{Overrides: []string{"train.milestones=8,6"}}, []string{"argument train.milestones=8,6", "has 6 after 8"}},
		{"milestones beside a cosine", "", Request{Overrides: []string{"train.milestones=6,8", "train.min_lr=1e-5"}}, []string{"argument train.min_lr=1e-5", "train.milestones replaces"}},
		{"crop order", "", Request{Overrides: []string{"data.crop_scale=1,0.2"}}, []string{"argument data.crop_scale=1,0.2", "did you mean [0.2, 1.0]?"}},
		{"mean and channels", "", Request{Overrides: []string{"data.mean=0.1,0.2"}}, []string{"data.mean", "2 values for 3 channels"}},
		{"warm-up", "", Request{Overrides: []string{"train.epochs=2", "train.warmup_epochs=3"}}, []string{"train.warmup_epochs", "longer than the run"}},
		{"nothing to do", "", Request{Overrides: []string{"train.epochs=0"}}, []string{"train.epochs", "nothing to train"}},
		{"plugin inproc", "", Request{Overrides: []string{"objective.plugin=./x", "objective.mode=inproc"}}, []string{"objective.mode", "process of its own"}},
		{"options is a section", "", Request{Overrides: []string{"objective.options=3"}}, []string{"objective.options", "is a section"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.file != "" {
				c.req.Configs = append(c.req.Configs, write(t, c.file))
			}
			c.req.Presets = all
			_, err := Load(c.req)
			var typed *Error
			if !errors.As(err, &typed) {
				t.Fatalf("error %v (%T) holds no *Error", err, err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("message lacks %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestOptionsKeepTheirCase(t *testing.T) {
	file := write(t, "objective:\n  options:\n    maskRatio: 0.5\n    Names: {Cat: 1, dog: two}\n    deep: 3\n")
	r := mustLoad(t, Request{
		Configs:   []string{file},
		Environ:   []string{"VITTOOL_OBJECTIVE_OPTIONS_DEEP=4"},
		Overrides: []string{"objective.options.maskratio=0.75", "objective.options.text=\"12\"", "objective.options.list=[1, 2.5]"},
	})
	want := map[string]any{
		"maskratio": 0.75, "Names": map[string]any{"Cat": 1, "dog": "two"}, "deep": 4, "text": "12", "list": []any{1, 2.5},
	}
	if !reflect.DeepEqual(r.Config.Objective.Options, want) {
		t.Errorf("options %#v, want %#v", r.Config.Objective.Options, want)
	}
}

func TestOptionsOfAnotherObjective(t *testing.T) {
	for _, set := range []string{"objective.name=simmim", "objective.plugin=./simmim"} {
		r := mustLoad(t, Request{Presets: all, Configs: []string{"demo"}, Overrides: []string{set, "objective.options.ratio=0.5"}})
		if want := map[string]any{"ratio": 0.5}; !reflect.DeepEqual(r.Config.Objective.Options, want) {
			t.Errorf("%s: options %v, want only the user's, %v", set, r.Config.Objective.Options, want)
		}
	}
}

func TestPresets(t *testing.T) {
	for _, p := range all.All() {
		t.Run(p.Name, func(t *testing.T) {
			r := mustLoad(t, Request{Presets: all, Configs: []string{p.Name}})
			for _, word := range []string{"Source:", "Cost:", "Result:"} {
				if !strings.Contains(p.About, word) {
					t.Errorf("the head comment does not state %s", word)
				}
			}
			roundTrip(t, r.Config)
		})
	}
}

func TestRoundTrip(t *testing.T) {
	c := Default()
	c.Objective.Options = map[string]any{
		"whole": 3, "float": 3.0, "text": "3", "truth": true, "list": []any{1, "a", 0.5}, "deep": map[string]any{"Key": "x: y"}, "odd": "line\nbreak",
	}
	c.Data.Path = `C:\pictures #1: "mine"`
	c.Data.Mean = []float64{0.1, 1e-9, 1}
	c.Model.ImageSize = []int{32, 64}
	c.Train.LR = 1.0 / 3
	c.Run.CheckpointEvery = Interval{}
	c.Run.PicturesEvery = Interval{Steps: 1}
	roundTrip(t, &c)
	for _, path := range []string{"~", "null", "true", "12", "- a", "# x", " lead", "a: b", "*x", "é", ""} {
		c := Default()
		c.Run.Out = path
		roundTrip(t, &c)
	}
}

func roundTrip(t *testing.T, c *Config) {
	t.Helper()
	written := c.YAML()
	back := mustLoad(t, Request{Presets: all, Configs: []string{write(t, string(written))}})
	if !reflect.DeepEqual(back.Config, c) {
		t.Errorf("read back\n%+v, want\n%+v\nfrom\n%s", back.Config, c, written)
	}
	if parsed, err := Parse("settings", written); err != nil || !reflect.DeepEqual(parsed, c) {
		t.Errorf("Parse gives %+v (%v), want %+v", parsed, err, c)
	}
	if again := back.Config.YAML(); !bytes.Equal(again, written) {
		t.Errorf("written again\n%s\nfirst\n%s", again, written)
	}
	if explained := mustLoad(t, Request{Presets: all, Configs: []string{write(t, string(back.Explain()))}}); !reflect.DeepEqual(explained.Config, c) {
		t.Error("the explained form reads back otherwise")
	}
}

func TestEveryKeyIsExplained(t *testing.T) {
	for _, k := range Keys() {
		if !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s: doc comment %q is no sentence", k.Path, k.Doc)
		}
	}
}

func TestResumeDifferences(t *testing.T) {
	old := Default()
	free := Default()
	free.Run.Threads, free.Run.Out, free.Data.Workers = 7, "elsewhere", 3
	if d := free.ResumeDifferences(&old); len(d) != 0 {
		t.Errorf("free settings reported: %v", d)
	}
	other := Default()
	other.Model.Name = "vit_base_patch16_224"
	other.Objective.Options = map[string]any{"mask_ratio": 0.5}
	d := other.ResumeDifferences(&old)
	if len(d) != 2 || d[0].Key != "model.name" || d[1].Key != OptionsKey+".mask_ratio" {
		t.Errorf("differences %v, want model.name and the options", d)
	}
}

func TestPeakLR(t *testing.T) {
	c := Default()
	c.Train.BaseLR, c.Train.BatchSize, c.Train.Accumulate = 1.5e-4, 64, 64
	if got, want := c.Train.PeakLR(), 2.4e-3; got != want {
		t.Errorf("scaled rate %g, want %g", got, want)
	}
	c.Train.LR = 0.5
	if got := c.Train.PeakLR(); got != 0.5 {
		t.Errorf("rate %g, want train.lr as it is", got)
	}
}

func TestNormalization(t *testing.T) {
	cases := []struct {
		channels int
		set      []float64
		want     []float64
	}{
		{3, nil, imageNetMean},
		{1, nil, []float64{0.5}},
		{4, []float64{0.2}, []float64{0.2, 0.2, 0.2, 0.2}},
		{2, []float64{0.1, 0.3}, []float64{0.1, 0.3}},
	}
	for _, c := range cases {
		mean, _ := Data{Channels: c.channels, Mean: c.set}.Normalization()
		if !reflect.DeepEqual(mean, c.want) {
			t.Errorf("%d channels, mean %v: %v, want %v", c.channels, c.set, mean, c.want)
		}
	}
}

func TestInterval(t *testing.T) {
	cases := []struct {
		text string
		want Interval
		ok   bool
	}{
		{"500", Interval{Steps: 500}, true},
		{"1 step", Interval{Steps: 1}, true},
		{"2  Epochs", Interval{Epochs: 2}, true},
		{"never", Interval{}, true},
		{"0 steps", Interval{}, true},
		{"-1 steps", Interval{}, false},
		{"", Interval{}, false},
		{"2 days", Interval{}, false},
	}
	for _, c := range cases {
		got, err := ParseInterval(c.text)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %v, %v; want %v, ok %v", c.text, got, err, c.want, c.ok)
		}
		if back, err := ParseInterval(got.String()); err != nil || back != got {
			t.Errorf("%v is written %q and read back %v", got, got.String(), back)
		}
	}
}

// FuzzReadYAML: the loader never panics; an accepted configuration is valid, and is the same after
// being written and read.
func FuzzReadYAML(f *testing.F) {
	for _, p := range all.All() {
		f.Add(p.YAML)
	}
	d := Default()
	f.Add(d.YAML())
	f.Add([]byte("train.epochs: 3\nobjective:\n  options: {a: [1, {b: c}]}\n"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("preset: demo\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		m := newMerger(all)
		l, _, errs := readYAML("fuzz", content)
		if len(errs) > 0 {
			_ = errs.Error()
			return
		}
		m.add(l)
		cfg, err := m.merged()
		if err != nil {
			t.Fatalf("checked layer refused by viper: %v", err)
		}
		if cfg.Validate() != nil {
			return
		}
		again := newMerger(all)
		l, _, errs = readYAML("again", cfg.YAML())
		if len(errs) > 0 {
			t.Fatalf("own output refused: %v\n%s", errs, cfg.YAML())
		}
		again.add(l)
		back, err := again.merged()
		if err != nil || !reflect.DeepEqual(back, cfg) {
			t.Fatalf("read back %+v (%v), want %+v", back, err, cfg)
		}
	})
}

func FuzzOverride(f *testing.F) {
	f.Add("train.epochs=3")
	f.Add("data.mean=[0.1, 0.2, 0.3]")
	f.Add("objective.options.x=[1, {a: b}]")
	f.Add("run.checkpoint_every=2 epochs")
	f.Fuzz(func(t *testing.T, arg string) {
		if _, err := Load(Request{Overrides: []string{arg}}); err != nil {
			var typed *Error
			if !errors.As(err, &typed) {
				t.Fatalf("untyped error %v", err)
			}
		}
	})
}

// TestSizes: a size may be written as people write it.
func TestSizes(t *testing.T) {
	for text, want := range map[string][]int{"160x224": {160, 224}, "160X224": {160, 224}, "[160, 224]": {160, 224}, "224": {224}} {
		r, err := Load(Request{Overrides: []string{"model.name=vit_tiny_patch16_224", "model.image_size=" + text}})
		if err != nil || !slices.Equal(r.Config.Model.ImageSize, want) {
			t.Errorf("argument %s: %v", text, err)
		}
		r, err = Load(Request{Presets: all, Configs: []string{write(t, "model:\n  name: vit_tiny_patch16_224\n  image_size: "+text+"\n")}})
		if err != nil || !slices.Equal(r.Config.Model.ImageSize, want) {
			t.Errorf("file %s: %v", text, err)
		}
	}
	for _, text := range []string{"160x", "x224", "1x2x3", "160y224"} {
		if _, err := Load(Request{Overrides: []string{"model.image_size=" + text}}); err == nil || text != "160y224" && !strings.Contains(err.Error(), "height and width as in 160x224") {
			t.Errorf("%s is a size: %v", text, err)
		}
	}
}

// TestGroups: settings of a group inside a section are set from every source, written where they
// have a meaning, and read back.
func TestGroups(t *testing.T) {
	r := must.Get(Load(Request{Environ: []string{"VITTOOL_TRAIN_LARS_EPS=1e-8"}, Overrides: []string{"train.optimizer=lars", "train.lars.ratio=raw", "train.lars.all=true"}}))(t)
	want := LARS{Trust: 0.001, Ratio: "raw", Eps: 1e-8, Accumulate: "gradient", All: true}
	if r.Config.Train.LARS != want {
		t.Errorf("got %+v, want %+v", r.Config.Train.LARS, want)
	}
	text := r.Config.YAML()
	if !strings.Contains(string(text), "  lars:\n    trust: 0.001\n    ratio: raw\n") {
		t.Errorf("the group is not written:\n%s", text)
	}
	back := must.Get(Parse("written", text))(t)
	if back.Train.LARS != want {
		t.Errorf("read back %+v, want %+v", back.Train.LARS, want)
	}
	r.Config.Train.LARS, r.Config.Train.Optimizer = Default().Train.LARS, "adamw"
	if text := string(r.Config.YAML()); strings.Contains(text, "lars:") {
		t.Errorf("a group without a meaning is written:\n%s", text)
	}
	for setting, hint := range map[string]string{
		"train.lars.trusty=1": "train.lars.trust", "train.lars.coefficient=1": "there is no such key; valid are: train.lars.trust, train.lars.ratio,", "train.lars=1": "train.lars.NAME=VALUE", "train.lars.ratio=both": "decayed, raw",
	} {
		if _, err := Load(Request{Overrides: []string{setting}}); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: error %v, want one with %q", setting, err, hint)
		}
	}
	if _, err := Parse("file", []byte("train:\n  lars: raw\n")); err == nil || !strings.Contains(err.Error(), "section") {
		t.Errorf("a value in the place of a group: %v", err)
	}
}

// The factor of the width reaches a residual network, any image size is its own.
func TestResidualNetwork(t *testing.T) {
	r, err := Load(Request{Overrides: []string{"model.name=resnet18_cifar", "model.width=0.25", "model.image_size=30", "model.zero_init_last=true", "data.channels=1"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Config.Backbone()
	if err != nil {
		t.Fatal(err)
	}
	if i := c.Info(); i.Dim != 128 || i.ImageH != 30 || i.Channels != 1 {
		t.Errorf("it is %+v", i)
	}
	text := r.Config.YAML()
	if back, err := Parse("written", text); err != nil || !strings.Contains(string(text), "  width: 0.25\n  zero_init_last: true\n") || !bytes.Equal(back.YAML(), text) {
		t.Errorf("it is written as\n%s\nand read with %v", text, err)
	}
	plain := Default()
	if text := string(plain.YAML()); strings.Contains(text, "width:") {
		t.Errorf("settings without an effect are written:\n%s", text)
	}
	if text, err := backbone.Encode(c); err != nil || !strings.Contains(string(text), `"zero_init_last":true`) {
		t.Errorf("it is %s, %v", text, err)
	}
}
