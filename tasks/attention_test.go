package tasks

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/tasks/pictures"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// attentionModel is a network with random weights, so large that its heads differ.
func attentionModel(t *testing.T, change func(*vit.Config)) *Model {
	t.Helper()
	c := vit.Config{Name: "looking", ImageH: 32, ImageW: 32, Patch: 8, Channels: 3, Dim: 24, Depth: 3, Heads: 3, QKVBias: true, ClassToken: true}
	if change != nil {
		change(&c)
	}
	m := newModel(t, c, nil, nil, 4)
	for _, p := range m.Backbone.Parameters() {
		if strings.HasSuffix(p.Name, "attn.qkv.weight") {
			for i := range p.Data {
				p.Data[i] *= 30
			}
		}
	}
	return m
}

// TestAttention: the maps are the softmax weights of the given block, from the class token or,
// without one, the mean of all queries.
func TestAttention(t *testing.T) {
	src := openData(t, "demo:?count=9&size=40")
	for name, tc := range map[string]struct {
		change        func(*vit.Config)
		block, number int
		height, width int
	}{
		"last block":       {nil, -1, 2, 0, 0},
		"first block":      {nil, 0, 0, 0, 0},
		"larger":           {nil, -2, 1, 48, 64},
		"no class token":   {func(c *vit.Config) { c.ClassToken = false }, -1, 2, 0, 0},
		"relative shared":  {func(c *vit.Config) { c.RelPos = vit.RelPosShared }, -1, 2, 0, 0},
		"fixed positions":  {func(c *vit.Config) { c.PosEmbed = vit.PosSinCos }, -1, 2, 0, 0},
		"not square":       {func(c *vit.Config) { c.ImageW = 48 }, -1, 2, 0, 0},
		"no positions":     {func(c *vit.Config) { c.PosEmbed = vit.PosNone }, -1, 2, 0, 0},
		"learned for gray": {func(c *vit.Config) { c.Channels = 1 }, -1, 2, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := attentionModel(t, tc.change)
			images := src
			if m.Info.Channels != 3 {
				var err error
				if images, err = data.Open(data.Options{Path: "demo:?count=9&size=40", Channels: m.Info.Channels}); err != nil {
					t.Fatal(err)
				}
			}
			got := must.Get(m.Attention(context.Background(), devicetest.New(t, 2), AttentionOptions{Images: images, IDs: []int{7, 2}, Block: tc.block, Height: tc.height, Width: tc.width}))(t)
			h, w := tc.height, tc.width
			if h == 0 {
				h, w = m.Info.ImageH, m.Info.ImageW
			}
			want := plainAttentionMaps(t, m, images, []int{7, 2}, h, w, tc.number)
			if len(got.Weights) != len(want) || got.Rows != h/8 || got.Cols != w/8 || got.Heads != 3 {
				t.Fatalf("%d weights on %d×%d patches, want %d", len(got.Weights), got.Rows, got.Cols, len(want))
			}
			spread := 0.0
			for i, v := range got.Weights {
				if math.Abs(float64(v)-want[i]) > 1e-6 {
					t.Fatalf("weight %d is %v, want %v", i, v, want[i])
				}
				spread = max(spread, math.Abs(float64(v)-want[0]))
			}
			if spread < 1e-3 {
				t.Errorf("all weights are alike: this case shows nothing")
			}
			if names := []string{images.Name(7), images.Name(2)}; !slices.Equal(got.Names, names) {
				t.Errorf("images %v, want %v", got.Names, names)
			}
			one, err := m.Attention(context.Background(), devicetest.New(t, 1), AttentionOptions{Images: images, IDs: []int{7, 2}, Block: tc.block, Height: tc.height, Width: tc.width})
			if err != nil || !slices.Equal(one.Grid.Pix, got.Grid.Pix) {
				t.Errorf("one thread draws another picture, %v", err)
			}
		})
	}
}

// plainAttentionMaps computes the maps in one forward pass over all images.
func plainAttentionMaps(t *testing.T, m *Model, src data.Source, ids []int, h, w, block int) []float64 {
	t.Helper()
	view := data.EvalView("x", h, w, ownFitting, float32s(m.Mean), float32s(m.Std))
	loader := must.Get(data.NewLoader(data.Subset(src, ids), data.LoaderOptions{Views: []data.ViewSpec{view}, BatchSize: len(ids), Epochs: 1}))(t)
	defer loader.Close()
	batch := must.Get(loader.Next(context.Background()))(t)
	g := core.NewGraph(devicetest.New(t, 1))
	images := g.Input("images", tensor.Shape{len(ids), m.Info.Channels, h, w})
	copy(images.Value(), batch.Views[0])
	out := must.Get(m.Backbone.Forward(g, images, backbone.Options{}))(t)
	weights := must.Get(out.Attention(block))(t)
	exec := must.Get(g.Compile(nil, weights))(t)
	must.Do(t, exec.Run())
	n := weights.Shape()[3]
	var maps []float64
	for row := 0; row < len(ids)*m.Info.Heads; row++ {
		all := weights.Value()[row*n*n:][:n*n]
		for k := m.Info.PrefixTokens; k < n; k++ {
			v := float64(all[k])
			if m.Info.PrefixTokens == 0 {
				v = 0
				for q := range n {
					v += float64(all[q*n+k]) / float64(n)
				}
			}
			maps = append(maps, v)
		}
	}
	return maps
}

// A share of the attention keeps the fewest patches visible that have this share.
func TestAttentionMass(t *testing.T) {
	a := &AttentionMaps{Heads: 1, Rows: 2, Cols: 2}
	input := image.NewRGBA(image.Rect(0, 0, 8, 8))
	draw.Draw(input, input.Bounds(), image.NewUniform(color.RGBA{200, 200, 200, 255}), image.Point{}, draw.Src)
	for mass, want := range map[float64]int{0.3: 1, 0.39: 1, 0.5: 2, 0.7: 2, 0.71: 3, 0.999: 4} {
		img := a.cutOut(input, []float32{.1, .4, .3, .2}, mass)
		visible := 0
		for _, p := range [][2]int{{0, 0}, {4, 0}, {0, 4}, {4, 4}} {
			if img.RGBAAt(p[0], p[1]) == (color.RGBA{200, 200, 200, 255}) {
				visible++
			}
		}
		if visible != want {
			t.Errorf("mass %v: %d patches are visible, want %d", mass, visible, want)
		}
	}
	hot := a.heat(input.Bounds(), []float32{.1, .4, .3, .2})
	if hot.RGBAAt(7, 0) != pictures.Heat(1) || hot.RGBAAt(0, 0) != pictures.Heat(0) {
		t.Error("the largest weight has not the color of 1, or the smallest not that of 0")
	}
}

func TestAttentionRefuses(t *testing.T) {
	m := attentionModel(t, nil)
	src := openData(t, "demo:?count=4&size=32")
	for want, o := range map[string]AttentionOptions{
		"block 3: looking has 3": {Block: 3},
		"block -4":               {Block: -4},
		"no image 4 among 4":     {IDs: []int{4}},
		"-1 images":              {Count: -1},
		"a share of 1":           {Mass: 1},
		"not a multiple":         {Height: 30, Width: 32},
	} {
		o.Images = src
		if _, err := m.Attention(context.Background(), devicetest.New(t, 1), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	relative := attentionModel(t, func(c *vit.Config) { c.RelPos = vit.RelPosShared })
	if _, err := relative.Attention(context.Background(), devicetest.New(t, 1), AttentionOptions{Images: src, Height: 64, Width: 64}); err == nil || !strings.Contains(err.Error(), "relative position bias") {
		t.Errorf("another size with a relative position bias: %v", err)
	}
}

// TestPicturesLeaveOutUnreadable: attention maps and reconstructions leave out an unreadable image
// and report it.
func TestPicturesLeaveOutUnreadable(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		writeTestImage(t, filepath.Join(dir, fmt.Sprintf("%d.png", i)), 32, 32, i)
	}
	must.Do(t, os.WriteFile(filepath.Join(dir, "1.png"), []byte("no image"), 0o644))
	images, want := openData(t, dir), []string{"0.png", "2.png"}
	var skipped []string
	report := func(name string, _ error) { skipped = append(skipped, name) }
	maps, err := smallModel(t).Attention(context.Background(), devicetest.New(t, 1), AttentionOptions{Images: images, OnSkip: report})
	if err != nil || !slices.Equal(maps.Names, want) || !slices.Equal(skipped, []string{"1.png"}) {
		t.Errorf("attention of %v, skipped %v, %v", maps.Names, skipped, err)
	}
	run := must.Get(OpenRun(maeRun(t, 7), nil))(t)
	skipped = nil
	all, err := run.Reconstruct(context.Background(), devicetest.New(t, 1), ReconstructOptions{Images: images, Mode: host.Inproc, OnSkip: report})
	if err != nil || !slices.Equal(skipped, []string{"1.png"}) {
		t.Fatalf("reconstruction skipped %v, %v", skipped, err)
	}
	two, err := run.Reconstruct(context.Background(), devicetest.New(t, 1), ReconstructOptions{Images: images, Mode: host.Inproc, IDs: []int{0, 2}})
	if err != nil || all[0].Error != two[0].Error || !slices.Equal(all[0].Grid.Pix, two[0].Grid.Pix) {
		t.Errorf("the readable images alone have another picture: error %g and %g, %v", all[0].Error, two[0].Error, err)
	}
}

// TestPicturesRefuseLargeGrids before they compute one.
func TestPicturesRefuseLargeGrids(t *testing.T) {
	images := openData(t, "demo:?count=4&size=32")
	ids := make([]int, 2000)
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the first image would be an error
	_, err := smallModel(t).Attention(ctx, devicetest.New(t, 1), AttentionOptions{Images: images, IDs: ids})
	if err == nil || !strings.Contains(err.Error(), "draw fewer pictures") {
		t.Errorf("attention: %v", err)
	}
}
