package configs

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/vittool/vittool/backbone/families"
	"github.com/vittool/vittool/internal/edit"
)

// Validate reports every problem of the configuration at once, as [Errors], or nil. It checks the
// values alone: folders and the objective's options are checked where they are opened.
func (c *Config) Validate() error { return c.problems(nil).err() }

// problems checks each setting by itself, then the relations between settings. sources (which may
// be nil) says where settings came from.
func (c *Config) problems(sources map[string]string) Errors {
	v := checker{config: c, sources: sources}
	for _, k := range Keys() {
		v.key(k)
	}
	if len(v.errs) == 0 { // relations between values that are wrong by themselves would only confuse
		v.relations()
	}
	return v.errs
}

type checker struct {
	config  *Config
	sources map[string]string
	errs    Errors
}

func (v *checker) fail(path, problem, hint string) {
	e := &Error{Key: path, Problem: problem, Hint: hint, Source: v.sources[path]}
	if k, ok := Lookup(path); ok {
		e.Value = formatValue(reflect.ValueOf(v.config).Elem().FieldByIndex(k.field))
		if e.Value == "" {
			e.Value = `""`
		}
	}
	v.errs = append(v.errs, e)
}

func (v *checker) key(k Key) {
	value := reflect.ValueOf(v.config).Elem().FieldByIndex(k.field)
	switch x := value.Interface().(type) {
	case string:
		switch {
		case k.OneOf != nil && !slices.Contains(k.OneOf, x):
			v.fail(k.Path, "is not one of its values", edit.Suggest(x, k.OneOf))
		case strings.ContainsAny(x, "\x00\r\n"):
			v.fail(k.Path, "holds a line break or a zero byte", "")
		}
	case int:
		v.number(k, float64(x))
	case float64:
		v.number(k, x)
	case []int:
		v.length(k, len(x))
		for _, n := range x {
			v.number(k, float64(n))
		}
	case []float64:
		v.length(k, len(x))
		for _, f := range x {
			v.number(k, f)
		}
	}
}

func (v *checker) number(k Key, x float64) {
	if !k.valid.Holds(x) {
		v.fail(k.Path, edit.OutOfRange, k.permitted())
	}
}

func (v *checker) length(k Key, n int) {
	if k.lengths == nil || slices.Contains(k.lengths, n) {
		return
	}
	var valid []string
	for _, l := range k.lengths {
		valid = append(valid, strconv.Itoa(l))
	}
	v.fail(k.Path, fmt.Sprintf("holds %d values", n), "it takes "+strings.Join(valid, " or "))
}

func (v *checker) relations() {
	v.objective()
	v.model()
	v.data()
	v.train()
	v.eval()
	if out := v.config.Run.Out; out != "" {
		if info, err := os.Stat(out); err == nil && !info.IsDir() {
			v.fail("run.out", "is a file", "name a folder")
		}
	}
}

func (v *checker) objective() {
	o := v.config.Objective
	if o.Name == "" && o.Plugin == "" {
		v.fail("objective.name", "is empty", "name an objective (see `vittool plugin list`) or set objective.plugin")
	}
	if o.Plugin != "" && o.Mode == "inproc" {
		v.fail("objective.mode", "can't be used with objective.plugin: a third-party program runs in a process of its own", "set objective.mode=process")
	}
	for name := range o.Options {
		if name == "" || strings.ContainsAny(name, " \t\r\n\x00") {
			v.errs = append(v.errs, &Error{Key: OptionsKey + "." + name, Problem: "is no name for an option"})
		}
	}
}

func (v *checker) data() {
	d := v.config.Data
	if d.Path == "" {
		v.fail("data.path", "is empty", "name a folder of images, a list file, or demo:")
	}
	for path, list := range map[string][]float64{"data.mean": d.Mean, "data.std": d.Std} {
		if n := len(list); n > 1 && n != d.Channels {
			v.fail(path, fmt.Sprintf("holds %d values for %d channels", n, d.Channels), "give one for each channel, or one for all, or change data.channels")
		}
	}
	if s := d.CropScale; len(s) == 2 && s[0] > s[1] {
		v.fail("data.crop_scale", "has its smallest share above its largest", fmt.Sprintf("did you mean [%s, %s]?", formatFloat(s[1]), formatFloat(s[0])))
	}
}

func (v *checker) train() {
	t := v.config.Train
	if t.GradCache && !t.DropLast {
		v.fail("train.grad_cache", "needs full micro-batches", "set train.drop_last=true")
	}
	if t.Epochs == 0 && t.Steps == 0 {
		v.fail("train.epochs", "and train.steps are both 0: there is nothing to train", "set one of them")
	}
	if t.BaseLR == 0 && t.LR == 0 {
		v.fail("train.base_lr", "and train.lr are both 0: nothing would be learned", "set one of them, for instance train.base_lr=1.5e-4")
	}
	if peak := t.PeakLR(); peak > 0 && t.MinLR > peak {
		v.fail("train.min_lr", fmt.Sprintf("is above the peak learning rate %s", formatFloat(peak)), "lower it")
	}
	for i, m := range t.Milestones {
		if i > 0 && m <= t.Milestones[i-1] {
			v.fail("train.milestones", fmt.Sprintf("has %d after %d", m, t.Milestones[i-1]), "give rising numbers of epochs")
		}
	}
	if len(t.Milestones) > 0 && t.MinLR > 0 {
		v.fail("train.min_lr", "is the end of the cosine, which train.milestones replaces", "leave one of them out")
	}
	if t.Steps == 0 && t.WarmupEpochs > float64(t.Epochs) {
		v.fail("train.warmup_epochs", fmt.Sprintf("is longer than the run of %d epochs", t.Epochs), "lower it, or raise train.epochs")
	}
}

// eval refuses an interval without images. Those of data.path are trained on, so that none of them are
// split off for a test.
func (v *checker) eval() {
	if e := v.config.Eval; e.Data == "" && e.Every != (Interval{}) {
		v.fail("eval.every", "needs labelled images, and eval.data names none", "set eval.data to a folder with subfolders train and test (or val), as of `vittool eval knn --data`, or leave eval.every out")
	}
}

// model checks the settings of the network before it is built.
func (v *checker) model() {
	if v.config.Model.Name == "" {
		v.fail("model.name", "is empty", "name a model, for instance "+families.Or(v.config.Model.Families).Example())
		return
	}
	if _, e := v.config.backbone(); e != nil {
		v.fail(e.Key, e.Problem, e.Hint)
	}
}
