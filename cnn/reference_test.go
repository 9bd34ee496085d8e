package cnn_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/cnn"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/tensor"
)

// TestReference runs every file of the reference folder. The objective of a file selects its test;
// an unknown one fails.
func TestReference(t *testing.T) {
	for _, path := range golden.Files(t, "resnet") {
		t.Run(golden.Name(path), func(t *testing.T) {
			c := golden.Whole(t, path)
			switch kind := c.Objective(t); kind {
			case "resnet":
				resnetReference(t, c)
			case "resnet_full":
				fullReference(t, c)
			default:
				t.Fatalf("%s: there is no test for a case of objective %q", path, kind)
			}
		})
	}
}

// TestReferenceRefusals: a damaged case is refused.
func TestReferenceRefusals(t *testing.T) {
	const file = "a_rn18_cifar_w4"
	training := func(key string, value any) func(c *programtest.EditedCase) {
		return func(c *programtest.EditedCase) { c.Config["opt"].(map[string]any)[key] = value }
	}
	programtest.Refusals(t, "resnet", []programtest.Refusal{
		{Name: "as it is", File: file, Edit: func(*programtest.EditedCase) {}, Want: ""},
		{Name: "activation", File: file, Edit: programtest.Set("activation", "gelu"), Want: "activation"},
		{Name: "batch", File: file, Edit: programtest.Set("batch", 5), Want: "input.view0"},
		{Name: "size", File: file, Edit: programtest.Set("size", []int{32, 16}), Want: "input.view0"},
		{Name: "stem", File: file, Edit: programtest.Set("stem", "imagenet"), Want: "conv1.weight"},
		{Name: "fewer blocks", File: file, Edit: programtest.Set("layers", []int{2, 2, 2, 1}), Want: "the network has no"},
		{Name: "training", File: file, Edit: training("nesterov", true), Want: "traj.losses"},
		{Name: "unknown setting of the training", File: file, Edit: training("dampening", .5), Want: "dampening"},
		{Name: "no features", File: file, Edit: programtest.Drop("out.features"), Want: "out.features"},
		{Name: "extra tensor", File: file, Edit: func(c *programtest.EditedCase) {
			c.Tensors = append(c.Tensors, tensor.NewF32("bogus.thing", tensor.Shape{1}, []float32{1}))
		}, Want: "bogus.thing"},
	})
}

// caseConfig describes the network of a case and its training.
type caseConfig struct {
	Block  string `json:"block"`
	Layers [4]int `json:"layers"`
	Width  int    `json:"width"`
	Stem   string `json:"stem"`
	Batch  int    `json:"batch"`
	Size   [2]int `json:"size"`
	Opt    *struct {
		LR          float64 `json:"lr"`
		Momentum    float64 `json:"momentum"`
		WeightDecay float64 `json:"wd"`
		Nesterov    bool    `json:"nesterov"`
	} `json:"opt"`
}

// namePrefix begins the names of the tensors of a case's network.
const namePrefix = "backbone."

// resnetCase is a case with its network and inputs.
type resnetCase struct {
	*golden.Case
	config  caseConfig
	images  tensor.Tensor
	store   *param.Store
	network *cnn.Network
}

// newResnetCase makes the network that a case describes, with the case's tensors.
func newResnetCase(t *testing.T, c *golden.Case) *resnetCase {
	t.Helper()
	r := &resnetCase{Case: c, images: c.Tensor(t, "input.view0"), store: param.NewStore()}
	c.ConfigInto(t, &r.config)
	if s := r.images.Shape; len(s) != 4 || r.config.Batch != s[0] || r.config.Size != [2]int{s[2], s[3]} {
		t.Fatalf("%s: the config says %d images of %v, input.view0 is %v", c, r.config.Batch, r.config.Size, s)
	}
	var err error
	r.network, err = cnn.New(r.store, namePrefix, cnn.Config{
		Name: "reference", ImageH: r.config.Size[0], ImageW: r.config.Size[1], Channels: r.images.Shape[1],
		Stem: cnn.Stem(r.config.Stem), Block: cnn.BlockKind(r.config.Block), Layers: r.config.Layers, Width: r.config.Width,
	}, backbone.Zeros, 1)
	if err != nil {
		t.Fatal(err)
	}
	r.load(t)
	return r
}

// load fills the network from the case, which must hold the same tensors.
func (r *resnetCase) load(t *testing.T) {
	t.Helper()
	for prefix, list := range map[string][]*param.Parameter{"param.": r.network.Parameters(), "buffer.": r.network.Buffers()} {
		names := map[string]bool{}
		for _, p := range list {
			names[prefix+p.Name] = true
			if s := r.Tensor(t, prefix+p.Name).Shape; !s.Equal(p.Shape) {
				t.Fatalf("%s: %s%s is %v, the network has %v", r, prefix, p.Name, s, p.Shape)
			}
			copy(p.Data, r.F32(t, prefix+p.Name))
		}
		for _, name := range r.Names(prefix) {
			if !names[name] {
				t.Fatalf("%s: the network has no %s", r, name)
			}
		}
	}
}

// pass is a compiled pass over the images of a case.
type pass struct {
	images *core.Node
	nodes  map[string]*core.Node // by the names of the case
	loss   *core.Node
	exe    *core.Executable
}

// newPass compiles a pass; without train it has running statistics and no loss.
func (r *resnetCase) newPass(t *testing.T, threads int, train bool) *pass {
	t.Helper()
	g := core.NewGraph(devicetest.New(t, threads))
	p := &pass{images: g.Input("images", r.images.Shape), nodes: map[string]*core.Node{}}
	if train {
		p.images.RequireGrad()
	}
	copy(p.images.Value(), r.F32(t, "input.view0"))
	out := must.Get(r.network.Forward(g, p.images, backbone.Options{Train: train}))(t)
	features, last := must.Get(out.Output(backbone.Pooled))(t), must.Get(out.Output(backbone.Map))(t)
	if !train {
		p.nodes["out.eval_features"], p.nodes["out.eval_c5"] = features, last
	} else {
		stem := out.(*cnn.Outputs).Stem
		s := stem.Shape()
		p.nodes["out.stem"] = ops.TransposeTokens(g, g.Reshape(stem, tensor.Shape{s[0], s[1] * s[2], s[3]}))
		p.nodes["out.features"] = features
		for i := range r.network.Config().Info().Depth {
			p.nodes[fmt.Sprintf("out.c%d", i+2)] = must.Get(out.Tap(i))(t)
		}
		w := g.Input("loss_weight", r.Tensor(t, "input.loss_weight").Shape)
		copy(w.Value(), r.F32(t, "input.loss_weight"))
		p.loss = ops.Scale(g, ops.Dot(g, features, w), 1/float64(r.config.Batch))
	}
	var err error
	if p.exe, err = g.Compile(p.loss, slices.Collect(maps.Values(p.nodes))...); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pass) run(t *testing.T) {
	t.Helper()
	if err := p.exe.Run(); err != nil {
		t.Fatal(err)
	}
}

// resnetReference compares maps, features, loss, gradients, running statistics, evaluation and
// training of a network with weights in the file.
func resnetReference(t *testing.T, c *golden.Case) {
	r := newResnetCase(t, c)
	c.Require(t, "loss", "out.stem", "out.features", "out.grad_input", "out.eval_features", "out.eval_c5")
	evaluation, training := r.newPass(t, 0, false), r.newPass(t, 0, true)
	evaluation.run(t) // before the running statistics move
	training.run(t)
	nodes := maps.Clone(training.nodes)
	maps.Copy(nodes, evaluation.nodes)
	for _, name := range c.Names("out.") {
		switch {
		case name == "out.grad_input":
			c.Compare(t, name, training.exe.GradOf(training.images))
		case nodes[name] == nil:
			t.Errorf("%s: there is no test for %s", c, name)
		default:
			c.Compare(t, name, nodes[name].Value())
		}
	}
	c.Compare(t, "loss", training.loss.Value())
	for _, p := range r.network.Parameters() {
		c.Compare(t, "grad."+p.Name, training.exe.Grad(p))
	}
	training.exe.Commit()
	for _, b := range r.network.Buffers() {
		c.Compare(t, "after.buffer."+b.Name, b.Data)
	}
	r.trajectory(t)
}

// trajectory compares losses, weights and running statistics of a few steps of SGD.
func (r *resnetCase) trajectory(t *testing.T) {
	steps, err := strconv.Atoi(r.Meta["traj_steps"])
	if err != nil {
		t.Fatalf("%s: traj_steps: %v", r, err)
	}
	if steps == 0 {
		if r.config.Opt != nil || len(r.Names("traj.")) > 0 {
			t.Fatalf("%s: a case of no steps has a trajectory", r)
		}
		return
	}
	if r.config.Opt == nil {
		t.Fatalf("%s: the config does not say how its %d steps are taken", r, steps)
	}
	r.load(t)
	o := r.config.Opt
	device := devicetest.New(t, 0)
	sgd := optim.NewSGD(device, optim.SGDOptions{Momentum: o.Momentum, Nesterov: o.Nesterov})
	for _, p := range r.network.Parameters() {
		p.Decay = true
	}
	training := r.newPass(t, 0, true)
	var losses []float64
	for range steps {
		training.run(t)
		losses = append(losses, float64(training.loss.Value()[0]))
		training.exe.Commit()
		sgd.Step(r.network.Parameters(), training.exe.Grad, optim.Rate{Now: o.LR}, o.WeightDecay)
	}
	r.CompareFloat64(t, "traj.losses", losses)
	for _, name := range r.Names("traj.") {
		if name == "traj.losses" {
			continue
		}
		_, ours, _ := strings.Cut(strings.TrimPrefix(name, "traj."), ".")
		p := r.store.Get(ours)
		if p == nil {
			t.Errorf("%s: the network has no %s", r, name)
			continue
		}
		r.Compare(t, name, p.Data)
	}
}
