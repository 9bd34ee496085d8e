package beit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives/tokenizer"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// probe is an objective that does nothing but run the encoder of a tokenizer file.
type probe struct {
	Tokenizer string `option:"tokenizer" help:"file"`
}

func (p *probe) Info() sdk.Info { return sdk.Info{Name: "probe", Version: "1.0.0"} }

func (p *probe) Plan(b *sdk.Builder) error {
	b.Require(sdk.Requirements{Unused: true})
	file, err := tokenizer.Open(p.Tokenizer)
	if err != nil {
		return err
	}
	image := b.View("image", sdk.Normalize(file.Mean, file.Std))
	logits := file.Net(b, "").Logits(image.Pixels())
	b.ArgMax(logits)
	return b.Minimize(b.Mean(logits))
}

// dalleFile is an encoder of the published shape with zero weights.
func dalleFile(t *testing.T, width, blocks, vocabulary int) string {
	t.Helper()
	c := tokenizer.Config{Kind: tokenizer.DALLE, Patch: 8, Channels: 3, Width: width, Blocks: blocks, Vocabulary: vocabulary}
	var tensors []tensor.Tensor
	for name, shape := range c.DALLEShapes() {
		tensors = append(tensors, tensor.NewF32(name, shape, make([]float32, tensor.Shape(shape).Size())))
	}
	return programtest.Tokenizer(t, tensors, c, tokenizer.DALLEMean, tokenizer.DALLEStd)
}

// dalleCase is the description of a case of the encoder.
type dalleCase struct {
	Size       programtest.ImageSize `json:"img_size"`
	Width      int                   `json:"n_hid"`
	Blocks     int                   `json:"blocks_per_group"`
	Vocabulary int                   `json:"vocab"`
	Batch      int                   `json:"batch"`
}

// file writes the weights of a case as they are imported.
func (cfg dalleCase) file(t *testing.T, c *golden.Case) string {
	t.Helper()
	var tensors []tensor.Tensor
	shapes := map[string][]int{}
	for _, name := range c.Names("param.") {
		x := c.Tensor(t, name)
		short := strings.TrimPrefix(name, "param.")
		shapes[short] = x.Shape
		tensors = append(tensors, tensor.NewF32(short, x.Shape, c.F32(t, name)))
	}
	description := must.Get(tokenizer.DescribeDALLE(shapes))(t)
	if description.Width != cfg.Width || description.Blocks != cfg.Blocks || description.Vocabulary != cfg.Vocabulary {
		t.Fatalf("the weights are described as %+v, the case says %+v", description, cfg)
	}
	return programtest.Tokenizer(t, tensors, description, tokenizer.DALLEMean, tokenizer.DALLEStd)
}

// dalleNodes are the intermediate results of the encoder under their names in the reference.
func dalleNodes(p *program.Compiler) (map[string]*core.Node, error) {
	out := map[string]*core.Node{}
	group := 0
	for _, n := range p.Plan.Nodes {
		made, err := p.Outputs(n.Name)
		if err != nil {
			return nil, err
		}
		switch {
		case n.Op == "conv2d" && out["out.input"] == nil:
			out["out.input"] = made[0]
		case n.Op == "max_pool2d":
			group++
			out[fmt.Sprintf("out.group_%d", group)] = made[0]
		case n.Op == "add":
			out["out.group_4"] = made[0] // the last one stays
		case n.Op == "conv2d":
			out["out.logits"] = made[0] // here too
		case n.Op == "arg_max":
			out["out.tokens"] = made[0]
		}
	}
	return out, nil
}

// dalleEncoder runs the published encoder, as it is imported, over the images of a case.
func dalleEncoder(t *testing.T, c *golden.Case) {
	var cfg dalleCase
	c.ConfigInto(t, &cfg)
	c.Describes("min_top2_margin")
	c.Fixed(t, map[string]any{"group_count": 4, "logit_laplace_eps": .1})
	if s := c.Tensor(t, "input.images").Shape; !s.Equal(tensor.Shape{cfg.Batch, 3, cfg.Size.H, cfg.Size.W}) {
		t.Fatalf("%s: input.images is %v, the config says %d of %d×%d", c, s, cfg.Batch, cfg.Size.H, cfg.Size.W)
	}
	network := vit.Config{Name: "none", ImageH: cfg.Size.H, ImageW: cfg.Size.W, Patch: 8, Dim: 8, Depth: 1, Heads: 1, ClassToken: true}.Normalized()
	opened := programtest.Opening{Objective: &probe{}, Options: map[string]any{"tokenizer": cfg.file(t, c)}, Network: network, Batch: cfg.Batch}.Plan(t)
	var out map[string]*core.Node
	m, err := program.Build(devicetest.New(t, 0), param.NewStore(), opened, network, cfg.Batch, 1, program.Options{
		Plugin: "probe",
		Extra: func(p *program.Compiler) (all []*core.Node, err error) {
			if out, err = dalleNodes(p); err != nil {
				return nil, err
			}
			for _, name := range programtest.SortedKeys(out) {
				all = append(all, out[name])
			}
			return all, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	view := opened.Views[0]
	pixels := m.View(view.Name)
	for i, v := range c.F32(t, "input.images") {
		ch := i / (cfg.Size.H * cfg.Size.W) % 3
		pixels[i] = float32((float64(v) - view.Mean[ch]) / view.Std[ch])
	}
	programtest.Step(t, m, program.Inputs{})
	programtest.RequireOutputs(t, c, out, "out.mapped")
	for _, name := range c.Names("out.") {
		switch {
		case name == "out.mapped":
			c.Compare(t, name, pixels)
		case out[name] == nil:
			t.Errorf("%s: there is no test for %s", c, name)
		case name == "out.tokens":
			programtest.CompareInts(t, c, name, out[name].Ints())
		default:
			c.Compare(t, name, out[name].Value())
		}
	}
}
