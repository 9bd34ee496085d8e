package tasks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// Pool selects the tokens after the final LayerNorm that become the feature.
type Pool string

// The ways to pool. Width is D, or 2·D for PoolBoth, for each block.
const (
	PoolMean  Pool = runs.PoolMean  // mean of the patch tokens, the class token left out, or of a map
	PoolClass Pool = runs.PoolClass // the class token
	PoolBoth  Pool = runs.PoolBoth  // class token, then mean
)

// pooled lists the outputs of the network in a feature.
var pooled = map[Pool][]backbone.Output{
	PoolMean:  {backbone.Pooled},
	PoolClass: {backbone.Class},
	PoolBoth:  {backbone.Class, backbone.Pooled},
}

// Pools lists the valid values of Pool.
func Pools() []Pool { return []Pool{PoolMean, PoolClass, PoolBoth} }

// ExtractOptions are the settings of Extract.
type ExtractOptions struct {
	Pool Pool // empty: the recommendation of the objective, or else PoolMean
	// Blocks are the transformer blocks whose tokens are pooled, each after the final LayerNorm, or
	// the stages whose maps are; negative indices count from the end. A feature holds them side by side, in this order. Empty
	// means the last block.
	Blocks []int
	// Height and Width of the evaluation view in pixels; 0 means the model's.
	Height, Width int
	// Fitting brings images to that size; nil means the model's. It is the same for every image.
	Fitting   *data.Fitting
	BatchSize int // images of a forward pass; 0 means 64. The features do not depend on it
	Workers   int // decoding goroutines; 0 means GOMAXPROCS
	// OnError decides about unreadable images: data.Skip (the default) leaves them out and lists
	// them, up to the share MaxFailed of all images; data.Fail stops at the first one.
	OnError   data.OnError
	MaxFailed float64                    // 0 means 0.01 where OnError is empty
	Progress  func(done, total int)      // called after each batch, if set
	OnSkip    func(name string, e error) // called for each image left out, if set
}

// Extract computes the feature of every image of src, in the order of src. The result depends on
// weights and images alone, not on batch size, threads or workers.
func (m *Model) Extract(ctx context.Context, dev *device.CPU, src data.Source, o ExtractOptions) (*Features, error) {
	if err := m.extractDefaults(&o, src); err != nil {
		return nil, err
	}
	loader, err := data.NewLoader(src, data.LoaderOptions{
		Views:     []data.ViewSpec{data.EvalView("images", o.Height, o.Width, *o.Fitting, float32s(m.Mean), float32s(m.Std))},
		BatchSize: min(o.BatchSize, max(src.Len(), 1)), Epochs: 1, Workers: o.Workers,
		OnError: o.OnError, MaxFailed: o.MaxFailed,
		OnSkip: skipReporter(o.OnSkip),
	})
	if err != nil {
		return nil, err
	}
	defer loader.Close()

	features := &Features{Classes: src.Classes(), Pool: o.Pool, Blocks: o.Blocks, Height: o.Height, Width: o.Width, Fitting: *o.Fitting}
	graphs := map[int]*featureGraph{}
	for done := 0; ; {
		batch, err := loader.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		graph := graphs[len(batch.IDs)]
		if graph == nil { // the full size, and a smaller one at the end
			if graph, err = m.featureGraph(dev, len(batch.IDs), o); err != nil {
				return nil, err
			}
			graphs[len(batch.IDs)] = graph
		}
		copy(graph.images.Value(), batch.Views[0])
		if err := graph.exec.Run(); err != nil {
			return nil, fmt.Errorf("features of %s: %w", m.Info.Name, err)
		}
		firstRow := features.Rows
		for i, id := range batch.IDs {
			// The loader replaces an unreadable image by another one.
			if int(id) == done+i {
				features.add(src, int(id), batch.Labels[i], graph.row(i))
			}
		}
		if err := features.checkFinite(firstRow); err != nil {
			return nil, err
		}
		done += len(batch.IDs)
		batch.Release()
		if o.Progress != nil {
			o.Progress(done, src.Len())
		}
	}
	if features.Rows == 0 {
		return nil, &data.Error{Problem: "none of the images can be read"}
	}
	return features, nil
}

// add appends one row.
func (f *Features) add(src data.Source, id int, label int32, parts [][]float32) {
	f.Rows++
	f.Names = append(f.Names, src.Name(id))
	f.IDs = append(f.IDs, id)
	if f.Classes != nil {
		f.Labels = append(f.Labels, label)
	}
	f.Dim = 0
	for _, p := range parts {
		f.Data = append(f.Data, p...)
		f.Dim += len(p)
	}
}

func (m *Model) extractDefaults(o *ExtractOptions, src data.Source) error {
	if o.Pool = cmp.Or(o.Pool, m.Pool, PoolMean); !slices.Contains(Pools(), o.Pool) {
		return fmt.Errorf("pool %q: want one of %v", o.Pool, Pools())
	}
	if o.Pool != PoolMean && m.Info.PrefixTokens == 0 {
		return fmt.Errorf("pool %q: %s has no class token; use %q", o.Pool, m.Info.Name, PoolMean)
	}
	if len(o.Blocks) == 0 {
		o.Blocks = []int{-1}
	}
	var err error
	if o.Blocks, err = m.ResolveBlocks(o.Blocks); err != nil {
		return err
	}
	if o.BatchSize = cmp.Or(o.BatchSize, 64); o.BatchSize < 0 {
		return fmt.Errorf("batch size %d: it must be positive", o.BatchSize)
	}
	if o.OnError == "" && o.MaxFailed == 0 {
		o.MaxFailed = 0.01
	}
	return m.viewDefaults(&o.Height, &o.Width, &o.Fitting, src)
}

// viewDefaults sets the size of the view and the fitting to those of the model where they are left
// open, and refuses a size and images that the model can't read.
func (m *Model) viewDefaults(height, width *int, fitting **data.Fitting, src data.Source) error {
	if *height == 0 && *width == 0 {
		*height, *width = m.Info.ImageH, m.Info.ImageW
	}
	if err := m.Config.CheckImage(*height, *width); err != nil {
		return err
	}
	if src.Channels() != m.Info.Channels {
		return fmt.Errorf("%s reads images of %d channels, the data is opened with %d", m.Info.Name, m.Info.Channels, src.Channels())
	}
	f, err := m.Input.fitting(*fitting)
	*fitting = &f
	return err
}

// RecommendedLinearBlocks returns the negative indices of the blocks that a linear classifier
// reads.
func (m *Model) RecommendedLinearBlocks() []int {
	var blocks []int
	for n := min(max(1, m.LinearBlocks), m.Info.Depth); n > 0; n-- {
		blocks = append(blocks, -n)
	}
	return blocks
}

// ResolveBlock returns the index of a block from 0; a negative n counts from the end.
func (m *Model) ResolveBlock(n int) (int, error) {
	block := n
	if n < 0 {
		block += m.Info.Depth
	}
	if block < 0 || block >= m.Info.Depth {
		part := m.Info.Part()
		return 0, fmt.Errorf("%s %d: %s has %d %ss; they are numbered from 0, and -1 is the last", part, n, m.Info.Name, m.Info.Depth, part)
	}
	return block, nil
}

// ResolveBlocks returns the indices of several blocks and refuses duplicates.
func (m *Model) ResolveBlocks(blocks []int) ([]int, error) {
	var out []int
	for _, n := range blocks {
		block, err := m.ResolveBlock(n)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out, block) {
			return nil, fmt.Errorf("block %d stands twice in the list", n)
		}
		out = append(out, block)
	}
	return out, nil
}

// featureGraph is the forward pass for one batch size.
type featureGraph struct {
	images  *core.Node   // [B, C, H, W]
	outputs []*core.Node // each [B, D]
	exec    *core.Executable
}

func (m *Model) featureGraph(dev *device.CPU, batch int, o ExtractOptions) (*featureGraph, error) {
	g := core.NewGraph(dev)
	f := &featureGraph{images: g.Input("images", tensor.Shape{batch, m.Info.Channels, o.Height, o.Width})}
	out, err := m.Backbone.Forward(g, f.images, backbone.Options{})
	if err != nil {
		return nil, err
	}
	for _, n := range o.Blocks {
		at, err := out.After(n)
		if err != nil {
			return nil, err
		}
		for _, name := range pooled[o.Pool] {
			part, err := at.Output(name)
			if err != nil {
				return nil, err
			}
			f.outputs = append(f.outputs, part)
		}
	}
	if f.exec, err = g.Compile(nil, f.outputs...); err != nil {
		return nil, fmt.Errorf("features of %s: %w", m.Info.Name, err)
	}
	return f, nil
}

// row returns the parts of feature i.
func (f *featureGraph) row(i int) [][]float32 {
	parts := make([][]float32, len(f.outputs))
	for k, out := range f.outputs {
		d := out.Shape()[1]
		parts[k] = out.Value()[i*d : (i+1)*d]
	}
	return parts
}

func float32s(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}
