package core_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/internal/golden"
)

// TestReference holds optimizers and schedules against the reference numbers.
func TestReference(t *testing.T) {
	for _, path := range golden.Files(t, "optim") {
		t.Run(golden.Name(path), func(t *testing.T) {
			if filepath.Ext(path) != ".safetensors" {
				t.Fatalf("%s: no test knows how to read this file", path)
			}
			c := golden.Open(t, path)
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
}

func runOptimizer(t *testing.T, c *golden.Case, name string, o optimizerConfig) {
	engine, err := core.NewEngine(2)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	optimizer := newOptimizer(t, engine, o)
	store := core.NewStore()
	for _, n := range c.Names("param.") {
		x := c.Tensor(t, n)
		p, err := store.Add(strings.TrimPrefix(n, "param."), x.Shape, core.Init{Kind: "data"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		copy(p.Data, c.F32(t, n))
		p.Decay = decays(t, o, len(x.Shape))
	}
	params := store.Parameters()
	first := params[0].Name
	steps := c.Tensor(t, "grad."+first).Shape[0]
	got := map[string][]float32{}
	norms := make([]float64, steps)
	for s := range steps {
		grads := map[*core.Parameter][]float32{}
		for _, p := range params {
			all := c.F32(t, "grad."+p.Name)
			grads[p] = append([]float32{}, all[s*len(p.Data):(s+1)*len(p.Data)]...)
		}
		of := func(p *core.Parameter) []float32 { return grads[p] }
		switch {
		case strings.Contains(o.Kind, "global norm"):
			norms[s] = core.ClipGlobalNorm(engine, params, of, o.MaxNorm)
		case strings.Contains(o.Kind, "separately"):
			core.ClipPerTensor(engine, params, of, o.MaxNorm)
		case o.MaxNorm != 0:
			t.Fatalf("max_norm is set but kind %q says nothing about clipping", o.Kind)
		}
		lr := o.LR
		if len(o.LRs) > 0 {
			lr = o.LRs[s]
		}
		optimizer.Step(params, of, lr, o.WeightDecay)
		for _, p := range params {
			got[p.Name] = append(got[p.Name], p.Data...)
		}
	}
	for _, p := range params {
		c.Compare(t, golden.CNN, "out."+name+"."+p.Name, got[p.Name])
	}
	if strings.Contains(o.Kind, "global norm") {
		c.CompareFloat64(t, golden.CNN, "out.global_grad_norm", norms)
	}
}

func newOptimizer(t *testing.T, engine *core.Engine, o optimizerConfig) core.Optimizer {
	lars := func(v core.LARSVariant) core.Optimizer {
		l, err := core.NewLARS(engine, core.LARSOptions{Variant: v, Momentum: o.Momentum, Trust: o.Trust, Nesterov: o.Nesterov, ClipLR: o.ClipLR})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	switch {
	case o.Kind == "AdamW" || o.Kind == "Adam":
		return core.NewAdamW(engine, core.AdamWOptions{Beta1: o.Betas[0], Beta2: o.Betas[1], Eps: o.Eps, L2: o.Kind == "Adam"})
	case strings.HasPrefix(o.Kind, "SGD"):
		return core.NewSGD(engine, core.SGDOptions{Momentum: o.Momentum, Dampening: o.Dampening, Nesterov: o.Nesterov})
	case strings.Contains(o.Kind, "moco-v3"):
		return lars(core.LARSMoCoV3)
	case strings.Contains(o.Kind, "google-research/simclr"):
		return lars(core.LARSTF)
	case strings.Contains(o.Kind, "solo-learn"):
		return lars(core.LARSSolo)
	case strings.Contains(o.Kind, "PixPro"):
		return lars(core.LARSPixPro)
	case strings.Contains(o.Kind, "LARC"):
		return lars(core.LARC)
	}
	t.Fatalf("optimizer kind %q is not known to this test", o.Kind)
	return nil
}

// decays tells whether a parameter of that many dimensions is decayed (and,
// for LARS, adapted).
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

// scheduleConfig is an entry of the schedules' config.
type scheduleConfig struct {
	Base          float64  `json:"base"`
	Final         float64  `json:"final"`
	Start         float64  `json:"start"`
	StartWarmup   float64  `json:"start_warmup"`
	Warmup        float64  `json:"warmup"`
	LR            float64  `json:"lr"`
	MinLR         float64  `json:"min_lr"`
	EtaMin        float64  `json:"eta_min"`
	Multiplier    float64  `json:"multiplier"`
	LRScale       float64  `json:"lr_scale"`
	Epochs        int      `json:"epochs"`
	WarmupEpochs  int      `json:"warmup_epochs"`
	WarmupEpoch   int      `json:"warmup_epoch"`
	NiterPerEp    int      `json:"niter_per_ep"`
	ItersPerEpoch int      `json:"iters_per_epoch"`
	Iters         int      `json:"iters"`
	Total         int      `json:"total"`
	Milestones    []int    `json:"milestones"`
	Depth         int      `json:"depth"`
	LayerDecay    float64  `json:"layer_decay"`
	Names         []string `json:"names"`
	WeightDecay   float64  `json:"weight_decay"`
	NoDecay       string   `json:"no_decay"`
	SameAs        string   `json:"same_as"`
	Source        string   `json:"source"`
	Meaning       string   `json:"meaning"`
}

func schedules(t *testing.T, c *golden.Case) {
	config := map[string]scheduleConfig{}
	d := json.NewDecoder(strings.NewReader(string(c.Config)))
	d.DisallowUnknownFields()
	if err := d.Decode(&config); err != nil {
		t.Fatal(err)
	}
	for _, name := range c.Names("out.") {
		if _, ok := config[name]; !ok {
			t.Errorf("%s belongs to no entry of the config", name)
		}
	}
	for name, o := range config {
		t.Run(strings.TrimPrefix(name, "out."), func(t *testing.T) {
			n := c.Tensor(t, name).Len()
			var schedule core.Schedule
			switch name {
			case "out.dino_lr", "out.dino_wd", "out.dino_momentum":
				schedule = core.Cosine{Start: o.StartWarmup, Base: o.Base, Final: o.Final, Warmup: o.WarmupEpochs * o.NiterPerEp, Total: o.Epochs * o.NiterPerEp}
			case "out.swav_lr":
				schedule = core.Cosine{Start: o.Start, Base: o.LR, Final: o.Final, Warmup: o.WarmupEpochs * o.Iters, Total: o.Epochs * o.Iters}
			case "out.dino_teacher_temp_per_epoch":
				schedule = core.EpochWarmup{Start: o.Warmup, Final: o.Final, WarmupEpochs: o.WarmupEpochs, PerEpoch: 1}
			case "out.mae_lr", "out.mae_lr_scaled_half":
				scale := 1.0
				if o.SameAs != "" {
					scale = o.LRScale
					o = config[o.SameAs]
				}
				s := core.EpochCosine{LR: o.LR, Min: o.MinLR, WarmupEpochs: float64(o.WarmupEpochs), Epochs: float64(o.Epochs), PerEpoch: o.ItersPerEpoch}
				schedule = scaled{s, scale}
			case "out.epoch_cosine":
				schedule = core.EpochCosine{LR: o.LR, Epochs: float64(o.Epochs), PerEpoch: 1, Whole: true}
			case "out.epoch_steps":
				schedule = core.EpochSteps{LR: o.LR, Factor: 0.1, Milestones: o.Milestones, PerEpoch: 1}
			case "out.pixpro_lr":
				schedule = core.PixProCosine{LR: o.LR, Min: o.EtaMin, Multiplier: o.Multiplier, Warmup: o.WarmupEpoch * o.Iters, Total: o.Epochs * o.Iters}
			case "out.byol_tau":
				schedule = core.MomentumCosine{Base: o.Base, Total: o.Total}
			case "out.mocov3_m_cos":
				schedule = core.MomentumCosine{Base: o.Base, Total: o.Epochs * o.Iters}
			case "out.lrd_scales":
				c.CompareFloat64(t, golden.CNN, name, core.LayerDecayScales(o.Depth, o.LayerDecay))
				return
			case "out.lrd_param_scale", "out.lrd_param_wd":
				params := namedParameters(o.Names)
				scales := config["out.lrd_scales"]
				got := make([]float64, len(params))
				core.ApplyLayerDecay(params, "", scales.Depth, scales.LayerDecay)
				core.ApplyDecayRule(params, "", "pos_embed", "cls_token")
				for i, p := range params {
					got[i] = p.LRScale
					if name == "out.lrd_param_wd" {
						got[i] = 0
						if p.Decay {
							got[i] = o.WeightDecay
						}
					}
				}
				c.CompareFloat64(t, golden.CNN, name, got)
				return
			default:
				t.Fatalf("schedule %s is not known to this test", name)
			}
			got := make([]float64, n)
			for i := range got {
				got[i] = schedule.At(i)
			}
			c.CompareFloat64(t, golden.CNN, name, got)
		})
	}
}

type scaled struct {
	core.Schedule
	factor float64
}

func (s scaled) At(it int) float64 { return s.factor * s.Schedule.At(it) }

// namedParameters makes parameters with the number of dimensions that names of a
// ViT imply.
func namedParameters(names []string) []*core.Parameter {
	var params []*core.Parameter
	for _, n := range names {
		shape := core.Shape{2, 2}
		switch {
		case n == "cls_token" || n == "pos_embed":
			shape = core.Shape{1, 1, 2}
		case strings.HasSuffix(n, ".bias") || strings.Contains(n, "norm"):
			shape = core.Shape{2}
		}
		params = append(params, &core.Parameter{Name: n, Shape: shape})
	}
	return params
}
