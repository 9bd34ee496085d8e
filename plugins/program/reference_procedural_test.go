package program_test

import (
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// proceduralViT is a full-size network whose weights come from a hash; loss = sum(w * class token).
func proceduralViT(t *testing.T, c *golden.Case) {
	var cfg struct {
		programtest.NetworkConfig
		programtest.Procedural
	}
	c.ConfigInto(t, &cfg)
	c.Describes("arch", "formula")
	if cfg.Sample == nil || cfg.Token == nil {
		t.Fatalf("%s: the config does not say which token to sample", c)
	}
	store := param.NewStore()
	b := must.Get(vit.New(store, "", cfg.ViT(3, vit.PosLearned), backbone.Zeros, cfg.Seed))(t)
	cfg.Load(t, b.Weight)

	g := core.NewGraph(devicetest.New(t, 0))
	x := g.Input("images", tensor.Shape{cfg.Batch, 3, cfg.Size.H, cfg.Size.W})
	cfg.Images(t, x.Value())
	w := g.Input("w", tensor.Shape{cfg.Batch, cfg.Dim})
	cfg.Fill(w.Value(), programtest.OutputTensor, programtest.Affine(1, 0))
	outputs := must.Get(b.Forward(g, x, backbone.Options{}))(t)
	out := outputs.(*vit.Outputs)
	class := must.Get(out.Class())(t)
	loss := ops.Dot(g, class, w)
	exe := must.Get(g.Compile(loss, append(out.Blocks, class)...))(t)
	run(t, exe)
	c.Compare(t, "loss", loss.Value())
	got := map[string][]float64{"out.cls": programtest.Wide(class.Value())}
	for k, v := range cfg.BlockSummary(out.Blocks, *cfg.Sample, *cfg.Token) {
		got["out.block_"+k] = v
	}
	programtest.CompareSummary(t, c, got)
	var rows []string
	for _, x := range cfg.Tensors {
		rows = append(rows, x.Name)
	}
	programtest.CompareGradients(t, c, exe, rows, b.Weight)
}
