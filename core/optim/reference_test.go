package optim_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tensor"
)

// TestReference holds optimizers and schedules against the reference numbers.
func TestReference(t *testing.T) {
	for _, path := range golden.Files(t, "optim") {
		t.Run(golden.Name(path), func(t *testing.T) {
			if filepath.Ext(path) != ".safetensors" {
				t.Fatalf("%s: no test reads files of this kind", path)
			}
			c := golden.Whole(t, path)
			switch {
			case c.Meta["objective"] == "optim":
				optimizers(t, c)
			case c.Meta["objective"] == "schedules":
				schedules(t, c)
			default:
				t.Fatalf("%s: objective %q is not known to this test", path, c.Meta["objective"])
			}
		})
	}
}

// optimizerConfig is an entry of the file's config.
type optimizerConfig struct {
	Kind        string     `json:"kind"`
	LR          float64    `json:"lr"`
	LRs         []float64  `json:"lrs"`
	Momentum    float64    `json:"momentum"`
	Dampening   float64    `json:"dampening"`
	Nesterov    bool       `json:"nesterov"`
	WeightDecay float64    `json:"weight_decay"`
	Betas       [2]float64 `json:"betas"`
	Eps         float64    `json:"eps"`
	NoDecay     string     `json:"no_decay"`
	Exclude     string     `json:"exclude"`
	Trust       float64    `json:"trust"`
	ClipLR      bool       `json:"clip_lr"`
	MaxNorm     float64    `json:"max_norm"`
}

func optimizers(t *testing.T, c *golden.Case) {
	var config map[string]json.RawMessage
	c.ConfigInto(t, &config)
	if len(config) == 0 {
		t.Fatal("the config has no entries")
	}
	for name := range config { // read by the subtests, of which a run may choose some
		for _, p := range c.Names("param.") {
			p = strings.TrimPrefix(p, "param.")
			c.Beside("param."+p, "grad."+p, "out."+name+"."+p)
		}
	}
	c.Beside("out.global_grad_norm")
	for name, raw := range config {
		t.Run(name, func(t *testing.T) {
			var o optimizerConfig
			d := json.NewDecoder(strings.NewReader(string(raw)))
			d.DisallowUnknownFields()
			if err := d.Decode(&o); err != nil {
				t.Fatalf("config %s: %v", raw, err)
			}
			runOptimizer(t, c, name, o)
		})
	}
	for _, name := range c.Names("out.") {
		variant, _, _ := strings.Cut(strings.TrimPrefix(name, "out."), ".")
		if _, ok := config[variant]; !ok && variant != "global_grad_norm" {
			t.Errorf("%s belongs to no entry of the config", name)
		}
	}
	if c.Has("out.global_grad_norm") {
		t.Run("global_grad_norm", func(t *testing.T) { gradientNorm(t, c) })
	}
}

// gradientNorm checks the norm over all tensors that clipping starts from.
func gradientNorm(t *testing.T, c *golden.Case) {
	cpu := devicetest.New(t, 1)
	got := make([]float64, len(c.F64(t, "out.global_grad_norm")))
	for s := range got {
		var params []*param.Parameter
		for _, n := range c.Names("grad.") {
			params = append(params, &param.Parameter{Name: n, Data: stepOf(t, c, n, s)})
		}
		got[s] = optim.ClipGlobalNorm(cpu, params, func(p *param.Parameter) []float32 { return p.Data }, 0)
	}
	c.CompareFloat64(t, "out.global_grad_norm", got)
}

// stepOf copies one step of a tensor whose first dimension counts steps.
func stepOf(t *testing.T, c *golden.Case, name string, step int) []float32 {
	all := c.F32(t, name)
	n := len(all) / c.Tensor(t, name).Shape[0]
	return append([]float32{}, all[step*n:(step+1)*n]...)
}

func runOptimizer(t *testing.T, c *golden.Case, name string, o optimizerConfig) {
	cpu := devicetest.New(t, 2)
	optimizer := newOptimizer(t, cpu, o)
	store := param.NewStore()
	for _, n := range c.Names("param.") {
		x := c.Tensor(t, n)
		p := must.Get(store.Add(strings.TrimPrefix(n, "param."), x.Shape, param.Init{Kind: "data"}, 0))(t)
		copy(p.Data, c.F32(t, n))
		p.Decay = decays(t, o, len(x.Shape))
	}
	params := store.Parameters()
	first := params[0].Name
	steps := c.Tensor(t, "grad."+first).Shape[0]
	got := map[string][]float32{}
	for s := range steps {
		grads := map[*param.Parameter][]float32{}
		for _, p := range params {
			grads[p] = stepOf(t, c, "grad."+p.Name, s)
		}
		of := func(p *param.Parameter) []float32 { return grads[p] }
		switch {
		case strings.Contains(o.Kind, "global norm"):
			optim.ClipGlobalNorm(cpu, params, of, o.MaxNorm)
		case strings.Contains(o.Kind, "separately"):
			optim.ClipPerTensor(cpu, params, of, o.MaxNorm)
		case o.MaxNorm != 0:
			t.Fatalf("max_norm is set but kind %q says nothing about clipping", o.Kind)
		}
		lr := o.LR
		if len(o.LRs) > 0 {
			lr = o.LRs[s]
		}
		optimizer.Step(params, of, optim.Rate{Now: lr}, o.WeightDecay)
		for _, p := range params {
			got[p.Name] = append(got[p.Name], p.Data...)
		}
	}
	for _, p := range params {
		c.Compare(t, "out."+name+"."+p.Name, got[p.Name])
	}
}

func newOptimizer(t *testing.T, cpu *device.CPU, o optimizerConfig) optim.Optimizer {
	lars := func(form optim.LARSOptions) optim.Optimizer {
		form.Momentum, form.Trust, form.Nesterov, form.ClipLR = o.Momentum, o.Trust, o.Nesterov, o.ClipLR
		return optim.NewLARS(cpu, form)
	}
	switch {
	case strings.HasPrefix(o.Kind, "Adam"):
		return optim.NewAdamW(cpu, optim.AdamWOptions{Beta1: o.Betas[0], Beta2: o.Betas[1], Eps: o.Eps, L2: !strings.HasPrefix(o.Kind, "AdamW")})
	case strings.HasPrefix(o.Kind, "SGD"):
		return optim.NewSGD(cpu, optim.SGDOptions{Momentum: o.Momentum, Dampening: o.Dampening, Nesterov: o.Nesterov})
	case strings.Contains(o.Kind, "moco-v3"):
		return lars(optim.LARSOptions{})
	case strings.Contains(o.Kind, "google-research/simclr"):
		return lars(optim.LARSOptions{StepMomentum: true})
	case strings.Contains(o.Kind, "solo-learn"):
		return lars(optim.LARSOptions{RawRatio: true, Eps: 1e-8})
	case strings.Contains(o.Kind, "PixPro"):
		return lars(optim.LARSOptions{Eps: 1e-8})
	case strings.Contains(o.Kind, "LARC"):
		return lars(optim.LARSOptions{RawRatio: true, Eps: 1e-8, All: true})
	}
	t.Fatalf("optimizer kind %q is not known to this test", o.Kind)
	return nil
}

// decays reports whether a parameter of that many dimensions takes weight decay and, with LARS, the
// trust ratio.
func decays(t *testing.T, o optimizerConfig, dims int) bool {
	rule := o.NoDecay + o.Exclude
	switch {
	case rule == "" || rule == "nothing":
		return true
	case strings.Contains(rule, "ndim<=1") || strings.Contains(rule, "ndim==1"):
		return dims > 1
	}
	t.Fatalf("the rule %q is not known to this test", rule)
	return false
}

// scheduleConfig is an entry of the config of the schedules. The fields that are present tell its
// kind.
type scheduleConfig struct {
	scheduleValues
	scheduleLengths
	perParameterConfig
	SameAs  string `json:"same_as"`
	Source  string `json:"source"`
	Meaning string `json:"meaning"`
}

// scheduleValues are the values that a schedule passes through.
type scheduleValues struct {
	Base        *float64 `json:"base"`
	Final       float64  `json:"final"`
	Start       *float64 `json:"start"`
	StartWarmup float64  `json:"start_warmup"`
	Warmup      *float64 `json:"warmup"`
	LR          float64  `json:"lr"`
	MinLR       float64  `json:"min_lr"`
	EtaMin      float64  `json:"eta_min"`
	Multiplier  *float64 `json:"multiplier"`
	LRScale     float64  `json:"lr_scale"`
}

// scheduleLengths are the epochs and iterations of a schedule.
type scheduleLengths struct {
	Epochs        int   `json:"epochs"`
	WarmupEpochs  int   `json:"warmup_epochs"`
	WarmupEpoch   int   `json:"warmup_epoch"`
	NiterPerEp    int   `json:"niter_per_ep"`
	ItersPerEpoch int   `json:"iters_per_epoch"`
	Iters         int   `json:"iters"`
	Total         int   `json:"total"`
	Milestones    []int `json:"milestones"`
}

// perParameterConfig describes learning-rate factors and weight decays by parameter.
type perParameterConfig struct {
	Depth       int      `json:"depth"`
	LayerDecay  *float64 `json:"layer_decay"`
	Names       []string `json:"names"`
	WeightDecay *float64 `json:"weight_decay"`
	NoDecay     string   `json:"no_decay"`
}

// schedule returns the schedule of an entry, nil for another kind of entry.
func (o scheduleConfig) schedule(all map[string]scheduleConfig) optim.Schedule {
	switch {
	case o.SameAs != "":
		same := all[o.SameAs].schedule(all)
		if same == nil {
			return nil
		}
		return scaled{same, o.LRScale}
	case o.NiterPerEp > 0 && o.Base != nil: // DINO
		return optim.Cosine{Start: o.StartWarmup, Base: *o.Base, Final: o.Final, Warmup: o.WarmupEpochs * o.NiterPerEp, Total: o.Epochs * o.NiterPerEp}
	case o.Warmup != nil: // DINO's temperature
		return optim.EpochWarmup{Start: *o.Warmup, Final: o.Final, WarmupEpochs: o.WarmupEpochs, PerEpoch: 1}
	case o.Start != nil: // SwAV
		return optim.Cosine{Start: *o.Start, Base: o.LR, Final: o.Final, Warmup: o.WarmupEpochs * o.Iters, Total: o.Epochs * o.Iters}
	case o.Multiplier != nil: // PixPro
		return optim.PixProCosine{LR: o.LR, Min: o.EtaMin, Multiplier: *o.Multiplier, Warmup: o.WarmupEpoch * o.Iters, Total: o.Epochs * o.Iters}
	case o.ItersPerEpoch > 0: // MAE
		return optim.EpochCosine{LR: o.LR, Min: o.MinLR, WarmupEpochs: float64(o.WarmupEpochs), Epochs: float64(o.Epochs), PerEpoch: o.ItersPerEpoch}
	case len(o.Milestones) > 0:
		return optim.EpochSteps{LR: o.LR, Factor: 0.1, Milestones: o.Milestones, PerEpoch: 1}
	case o.Base != nil && o.Total > 0: // BYOL
		return optim.MomentumCosine{Base: *o.Base, Total: o.Total}
	case o.Base != nil && o.Iters > 0: // MoCo v3
		return optim.MomentumCosine{Base: *o.Base, Total: o.Epochs * o.Iters}
	case o.LR != 0 && o.Epochs > 0: // MoCo v2, SimSiam
		return optim.EpochCosine{LR: o.LR, Epochs: float64(o.Epochs), PerEpoch: 1, Whole: true}
	}
	return nil
}

func schedules(t *testing.T, c *golden.Case) {
	config := map[string]scheduleConfig{}
	d := json.NewDecoder(strings.NewReader(string(c.Config)))
	d.DisallowUnknownFields()
	must.Do(t, d.Decode(&config))
	c.ConfigInto(t, &config)
	for name := range config { // read by the subtests, of which a run may choose some
		c.Beside(name)
	}
	for _, name := range c.Names("out.") {
		if _, ok := config[name]; !ok {
			t.Errorf("%s belongs to no entry of the config", name)
		}
	}
	for name, o := range config {
		t.Run(strings.TrimPrefix(name, "out."), func(t *testing.T) {
			switch {
			case o.LayerDecay != nil:
				c.CompareFloat64(t, name, optim.LayerDecayScales(o.Depth, *o.LayerDecay))
				return
			case len(o.Names) > 0:
				c.CompareFloat64(t, name, perParameter(t, o, config))
				return
			}
			schedule := o.schedule(config)
			if schedule == nil {
				t.Fatalf("the entry %+v is not known to this test", o)
			}
			got := make([]float64, c.Tensor(t, name).Len())
			for i := range got {
				got[i] = schedule.At(i)
			}
			c.CompareFloat64(t, name, got)
		})
	}
}

// perParameter returns the learning-rate factor by the layer of each name, or the weight decay, which
// a store gives to all but vectors.
func perParameter(t *testing.T, o scheduleConfig, all map[string]scheduleConfig) []float64 {
	got := make([]float64, len(o.Names))
	if o.WeightDecay != nil {
		rule := strings.Split(o.NoDecay, ", ")
		if rule[0] != "ndim==1" {
			t.Fatalf("the rule %q is not known to this test", o.NoDecay)
		}
		for i, p := range namedParameters(t, o.Names) {
			if p.Decay && !slices.Contains(rule, p.Name) {
				got[i] = *o.WeightDecay
			}
		}
		return got
	}
	for _, scales := range all {
		if scales.LayerDecay != nil {
			for i, name := range o.Names {
				got[i] = optim.LayerDecayScales(scales.Depth, *scales.LayerDecay)[layerOf(name, scales.Depth)]
			}
			return got
		}
	}
	t.Fatal("no entry gives depth and layer_decay")
	return nil
}

// layerOf returns the layer of a parameter by its name in the reference, which are timm's of Vision
// Transformers.
func layerOf(name string, depth int) int {
	if name == "cls_token" || name == "pos_embed" || strings.HasPrefix(name, "patch_embed") {
		return 0
	}
	if rest, ok := strings.CutPrefix(name, "blocks."); ok {
		number, _, _ := strings.Cut(rest, ".")
		if b, err := strconv.Atoi(number); err == nil && b >= 0 && b < depth {
			return b + 1
		}
	}
	return depth + 1
}

type scaled struct {
	optim.Schedule
	factor float64
}

func (s scaled) At(it int) float64 { return s.factor * s.Schedule.At(it) }

// namedParameters makes parameters with the number of dimensions that names of a ViT imply.
func namedParameters(t *testing.T, names []string) []*param.Parameter {
	store := param.NewStore()
	for _, n := range names {
		shape := tensor.Shape{2, 2}
		switch {
		case n == "cls_token" || n == "pos_embed":
			shape = tensor.Shape{1, 1, 2}
		case strings.HasSuffix(n, ".bias") || strings.Contains(n, "norm"):
			shape = tensor.Shape{2}
		}
		if _, err := store.Add(n, shape, param.Init{Kind: "zeros"}, 1); err != nil {
			t.Fatal(err)
		}
	}
	return store.Parameters()
}
