// Package check is the conformance suite of objectives: every built-in one joins it in its tests,
// and `vittool plugin check` runs it on a third party's program.
//
// It opens the objective for several backbones and batch sizes and checks the contract: a valid
// description, plans and masks that follow from the request alone, valid masks, wrong options
// refused by name, the same bits in two processes and, for built-in objectives, inside the host,
// and a program that compiles and gives a finite loss and finite gradients.
package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/backbone/families"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/schema"
)

// Result is the outcome of one check.
type Result struct {
	Name string
	Err  error // nil: passed
	Note string
	Took time.Duration
}

// Backbones are the networks that an objective is tried with: the samples of every family.
func Backbones() []backbone.Config {
	var all []backbone.Config
	for _, f := range families.All() {
		all = append(all, f.Samples()...)
	}
	return all
}

// infoOf is the description of a network that an objective gets.
func infoOf(c backbone.Config) plan.Backbone {
	channels := c.Info().Channels
	return program.BackboneInfo(c, slices.Repeat([]float64{.5}, channels), slices.Repeat([]float64{.25}, channels))
}

// Run runs the suite on the objective that o names; its other fields (Config, Env, deadlines, ...)
// are used as they are, run and backbone are the suite's.
func Run(ctx context.Context, o host.Options) []Result {
	s := &suite{ctx: ctx, o: o}
	s.check("description", s.description)
	if s.results[0].Err != nil {
		return s.results
	}
	s.check("wrong options are refused", s.options)
	for _, b := range Backbones() {
		s.check("plan and masks, "+b.Info().Name, func() (string, error) { return s.backbone(b) })
		if s.results[len(s.results)-1].Err != nil {
			return s.results // the other backbones would fail in the same way
		}
	}
	s.check("masks vary", s.variety)
	return s.results
}

type suite struct {
	ctx     context.Context
	o       host.Options
	masked  bool // some plan has masks
	varied  bool // these masks differed between steps
	desc    *host.Description
	results []Result
}

func (s *suite) check(name string, f func() (string, error)) {
	start := time.Now()
	note, err := f()
	s.results = append(s.results, Result{Name: name, Err: err, Note: note, Took: time.Since(start)})
}

func (s *suite) run(b backbone.Config) host.Options {
	o := s.o
	o.Run = host.Run{Backbone: infoOf(b), Seed: 42, Batch: 8, Steps: 1000, StepsPerEpoch: 100, DatasetSize: dataSet}
	return o
}

func (s *suite) description() (string, error) {
	d, err := host.Describe(s.ctx, s.o)
	if err != nil {
		return "", err
	}
	s.desc = d
	return fmt.Sprintf("%s %s, %d options", d.Name, d.Version, len(d.Options)), nil
}

// options: an unknown key and a value out of range must be refused with the key's name.
func (s *suite) options() (string, error) {
	wrong := []map[string]any{{"no_such_option": 1}}
	for _, o := range s.desc.Options {
		switch {
		case o.Type == schema.String && len(o.Choices) > 0:
			wrong = append(wrong, map[string]any{o.Key: "no such choice"})
		case o.Type == schema.Bool:
			wrong = append(wrong, map[string]any{o.Key: "perhaps"})
		case o.Min != nil && o.Type != schema.String:
			wrong = append(wrong, map[string]any{o.Key: *o.Min - 1})
		}
	}
	for _, w := range wrong {
		_, err := schema.Complete(s.desc.Options, w)
		var e *schema.Error
		if !errors.As(err, &e) {
			return "", fmt.Errorf("the options %v were accepted", w)
		}
	}
	return fmt.Sprintf("%d tried", len(wrong)), nil
}

// backbone opens the objective twice in processes (and once inside the host when that is possible)
// and compares everything.
func (s *suite) backbone(b backbone.Config) (string, error) {
	o := s.run(b)
	first, err := host.Open(s.ctx, o)
	if err != nil {
		var e *host.PluginError
		if errors.As(err, &e) && e.Kind == host.Refused && s.oneWorked() {
			return "refused: " + e.Text, nil // an objective need not work with every backbone
		}
		return "", err
	}
	defer first.Close()
	others := []host.Options{o}
	if o.Name != "" {
		inproc := o
		inproc.Mode = host.Inproc
		others = append(others, inproc)
	}
	for _, other := range others {
		second, err := host.Open(s.ctx, other)
		if err != nil {
			return "", err
		}
		err = s.compare(first, second)
		second.Close()
		if err != nil {
			return "", fmt.Errorf("mode %q: %w", second.Mode(), err)
		}
	}
	p := first.Plan()
	note := fmt.Sprintf("%d views, %d passes, %d parameters, %d nodes", len(p.Views), len(p.Passes), len(p.Params), len(p.Nodes))
	tried, err := s.try(first, b)
	return note + tried, err
}

// oneWorked reports whether an earlier backbone was accepted.
func (s *suite) oneWorked() bool {
	return slices.ContainsFunc(s.results[2:], func(r Result) bool { return r.Err == nil })
}

// compare asks both for the same masks, in different orders, and for others that must differ.
func (s *suite) compare(a, b *host.Objective) error {
	if d := a.PlanDifference(b); d != "" {
		return errors.New("two runs gave different plans: Plan must follow from the request alone: " + d)
	}
	if len(a.Plan().Masks) == 0 {
		return nil
	}
	const steps = 6
	replies := make([][]plan.MaskSet, steps)
	for step := range replies {
		var err error
		if replies[step], err = a.Mask(s.ctx, request(uint64(step), 8)); err != nil {
			return err
		}
	}
	for step := steps - 1; step >= 0; step-- { // backwards: nothing may depend on earlier calls
		got, err := b.Mask(s.ctx, request(uint64(step), 8))
		if err != nil {
			return err
		}
		if different(got, replies[step]) {
			return fmt.Errorf("step %d: two runs gave different masks: Mask must follow from step, seed and sample ids alone", step)
		}
	}
	if _, err := a.Mask(s.ctx, request(steps, 3)); err != nil { // a smaller last batch
		return fmt.Errorf("a batch of 3 samples: %w", err)
	}
	s.masked = true
	s.varied = s.varied || slices.ContainsFunc(replies[1:], func(r []plan.MaskSet) bool { return different(r, replies[0]) })
	return nil
}

// variety: for one backbone there may be only one mask to draw, not for all.
func (s *suite) variety() (string, error) {
	if s.masked && !s.varied {
		return "", errors.New("the masks of all steps are the same; draw random numbers from the call's generator")
	}
	return "", nil
}

func different(a, b []plan.MaskSet) bool {
	return !slices.EqualFunc(a, b, func(x, y plan.MaskSet) bool {
		return x.Name == y.Name && slices.Equal(x.Values, y.Values) && bytes.Equal(x.Bitmap, y.Bitmap)
	})
}

// dataSet is the number of samples of the data set that the objective is opened for.
const dataSet = 800

// request is that of a batch of samples of the data set.
func request(step uint64, samples int) *plan.MaskRequest {
	r := &plan.MaskRequest{MicroBatch: step, Seed: 42}
	for i := range samples {
		r.SampleIDs = append(r.SampleIDs, (1000*step+uint64(7*i))%dataSet)
	}
	return r
}
