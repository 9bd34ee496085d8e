package tasks

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"math"
	"path/filepath"
	"sort"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/tasks/pictures"
	"github.com/vittool/vittool/tensor"
)

// AttentionOptions are the settings of Attention.
type AttentionOptions struct {
	Images data.Source
	IDs    []int // samples that are drawn; nil means Count of them, spread evenly
	Count  int   // 0 means 8
	// Height and Width of the view in pixels; 0 means the model's. A larger view gives finer maps.
	Height, Width int
	Fitting       *data.Fitting // brings images to that size; nil means the model's
	Block         int           // from 0; negative counts from the end: -1 is the last
	Mass          float64       // share of the attention whose patches are cut out; 0 draws coloured maps
	// OnSkip, if set, is called for each unreadable image, which is left out.
	OnSkip func(name string, err error)
}

// AttentionMaps hold the attention of the heads of one block.
type AttentionMaps struct {
	Names      []string // of the images
	Heads      int
	Rows, Cols int       // grid of the patches
	Weights    []float32 // [images, heads, Rows·Cols]
	Fitting    data.Fitting
	Grid       *image.RGBA
}

// Attention draws the attention of each head of a block, a row per image: the softmax weights of
// the class token on the patches, as Caron et al. show them for DINO, and their mean over the
// heads. In a network without a class token it is the mean over all patches as queries. With Mass
// the strongest patches are cut out that together have that share of a head's attention.
func (m *Model) Attention(ctx context.Context, dev *device.CPU, o AttentionOptions) (*AttentionMaps, error) {
	if err := m.attentionDefaults(&o); err != nil {
		return nil, err
	}
	normalization := pictures.Normalization{Mean: m.Mean, Std: m.Std}
	source := data.Subset(o.Images, o.IDs)
	view := data.EvalView("images", o.Height, o.Width, *o.Fitting, float32s(m.Mean), float32s(m.Std))
	loader, err := data.NewLoader(source, data.LoaderOptions{Views: []data.ViewSpec{view}, BatchSize: 1, Epochs: 1, OnError: data.Skip, MaxFailed: 1, OnSkip: skipReporter(o.OnSkip)})
	if err != nil {
		return nil, err
	}
	defer loader.Close()
	graph, err := m.attentionGraph(dev, o)
	if err != nil {
		return nil, err
	}
	maps := &AttentionMaps{Heads: m.Info.Heads, Fitting: *o.Fitting, Rows: o.Height / m.Info.Patch, Cols: o.Width / m.Info.Patch}
	table := pictures.Grid{
		Title:   fmt.Sprintf("%s, block %d of %d: attention of %s", m.Info.Name, o.Block+1, m.Info.Depth, m.query()),
		Columns: []string{"input", "mean"},
	}
	for h := range maps.Heads {
		table.Columns = append(table.Columns, fmt.Sprintf("head %d", h+1))
	}
	if err := checkGridSize(table, len(o.IDs), o.Height, o.Width); err != nil {
		return nil, err
	}
	for i := range o.IDs {
		batch, err := loader.Next(ctx)
		if err != nil {
			return nil, err
		}
		copy(graph.images.Value(), batch.Views[0])
		id := int(batch.IDs[0])
		batch.Release()
		if id != i { // an unreadable image was replaced by another one
			continue
		}
		name := source.Name(id)
		if err := graph.exec.Run(); err != nil {
			return nil, fmt.Errorf("attention of %s: %w", m.Info.Name, err)
		}
		weights := m.received(graph.attention.Value(), maps.Rows*maps.Cols)
		input, err := normalization.Image(graph.images.Value(), o.Height, o.Width)
		if err != nil {
			return nil, err
		}
		table.Rows = append(table.Rows, maps.row(filepath.ToSlash(name), input, weights, o.Mass))
		maps.Names, maps.Weights = append(maps.Names, name), append(maps.Weights, weights...)
	}
	maps.Grid, err = table.Draw()
	return maps, err
}

func (m *Model) attentionDefaults(o *AttentionOptions) error {
	err := m.viewDefaults(&o.Height, &o.Width, &o.Fitting, o.Images)
	if err != nil {
		return fmt.Errorf("attention: %w", err)
	}
	if o.Block, err = m.ResolveBlock(o.Block); err != nil {
		return fmt.Errorf("attention: %w", err)
	}
	if o.Mass < 0 || o.Mass >= 1 || math.IsNaN(o.Mass) {
		return fmt.Errorf("attention: a share of %g: it must be at least 0 and below 1", o.Mass)
	}
	if o.IDs, err = chosenIDs(o.Images, o.IDs, o.Count); err != nil {
		return fmt.Errorf("attention: %w", err)
	}
	return nil
}

// attentionGraph is the forward pass of one image up to the attention of a block.
type attentionGraph struct {
	images, attention *core.Node // [1, C, H, W] and [1, heads, N, N]
	exec              *core.Executable
}

func (m *Model) attentionGraph(dev *device.CPU, o AttentionOptions) (*attentionGraph, error) {
	g := core.NewGraph(dev)
	a := &attentionGraph{images: g.Input("images", tensor.Shape{1, m.Info.Channels, o.Height, o.Width})}
	out, err := m.Backbone.Forward(g, a.images, backbone.Options{})
	if err != nil {
		return nil, err
	}
	if a.attention, err = out.Attention(o.Block); err != nil {
		return nil, err
	}
	if a.exec, err = g.Compile(nil, a.attention); err != nil {
		return nil, fmt.Errorf("attention of %s: %w", m.Info.Name, err)
	}
	return a, nil
}

func (m *Model) query() string {
	if m.Info.PrefixTokens > 0 {
		return "the class token"
	}
	return "all patches, on average"
}

// received reduces the weights [heads, N, N] to the attention on each patch, [heads, patches]: that
// of the class token, or the mean over all patches.
func (m *Model) received(weights []float32, patches int) []float32 {
	prefix := m.Info.PrefixTokens
	n := patches + prefix
	out := make([]float32, m.Info.Heads*patches)
	for h := range m.Info.Heads {
		queries, dst := weights[h*n*n:(h+1)*n*n], out[h*patches:(h+1)*patches]
		if prefix > 0 {
			copy(dst, queries[prefix:n])
			continue
		}
		for k := range dst {
			sum := 0.0
			for q := range n {
				sum += float64(queries[q*n+k])
			}
			dst[k] = float32(sum / float64(n))
		}
	}
	return out
}

// row draws one image: the input, the mean over the heads, and each head.
func (a *AttentionMaps) row(name string, input *image.RGBA, weights []float32, mass float64) pictures.Row {
	patches := a.Rows * a.Cols
	mean := make([]float32, patches)
	for i, w := range weights {
		mean[i%patches] += w / float32(a.Heads)
	}
	show := func(w []float32) pictures.Cell {
		if mass > 0 {
			return pictures.Cell{Image: a.cutOut(input, w, mass)}
		}
		return pictures.Cell{Image: a.heat(input.Bounds(), w)}
	}
	row := pictures.Row{Caption: name, Cells: []pictures.Cell{{Image: input}, show(mean)}}
	for h := range a.Heads {
		row.Cells = append(row.Cells, show(weights[h*patches:(h+1)*patches]))
	}
	return row
}

// heat colours each patch by its weight, from the smallest to the largest.
func (a *AttentionMaps) heat(b image.Rectangle, w []float32) *image.RGBA {
	low, high := w[0], w[0]
	for _, v := range w {
		low, high = min(low, v), max(high, v)
	}
	img := image.NewRGBA(b)
	a.eachPixel(img, func(x, y, patch int) {
		share := 0.0
		if high > low {
			share = float64(w[patch]-low) / float64(high-low)
		}
		img.SetRGBA(x, y, pictures.Heat(share))
	})
	return img
}

// cutOut keeps the strongest patches that together have the given share of the weight, and darkens
// the others.
func (a *AttentionMaps) cutOut(input *image.RGBA, w []float32, mass float64) *image.RGBA {
	order, total := make([]int, len(w)), 0.0
	for i, v := range w {
		order[i] = i
		total += float64(v)
	}
	sort.SliceStable(order, func(i, j int) bool { return w[order[i]] > w[order[j]] })
	kept, sum := make([]bool, len(w)), 0.0
	for _, i := range order {
		if sum >= mass*total {
			break
		}
		kept[i] = true
		sum += float64(w[i])
	}
	img := image.NewRGBA(input.Bounds())
	copy(img.Pix, input.Pix)
	a.eachPixel(img, func(x, y, patch int) {
		if !kept[patch] {
			c := img.RGBAAt(x, y)
			img.SetRGBA(x, y, color.RGBA{c.R / 6, c.G / 6, c.B / 6, 255})
		}
	})
	return img
}

// eachPixel calls f with every pixel and its patch.
func (a *AttentionMaps) eachPixel(img *image.RGBA, f func(x, y, patch int)) {
	b := img.Bounds()
	for y := range b.Dy() {
		for x := range b.Dx() {
			f(b.Min.X+x, b.Min.Y+y, y*a.Rows/b.Dy()*a.Cols+x*a.Cols/b.Dx())
		}
	}
}
