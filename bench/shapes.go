package bench

import (
	"context"
	"fmt"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/objectives"
)

// measured are the steps whose matrix products are measured: a preset of MAE and the batch that
// fits the machines it is meant for.
var measured = []struct {
	preset string
	batch  int
}{
	{"mae-32", 128},
	{"mae-small-224", 8},
	{"mae-224", 8},
}

// shape is a matrix product: op(A) is [m, k], op(B) [k, n].
type shape struct {
	m, n, k        int
	transA, transB bool
}

// stepShapes returns every matrix product of a step of the presets above, each once, from the sizes
// of their networks: of every layer the product itself (x·Wᵀ), that of its input's gradient (dy·W)
// and that of its weight's (dyᵀ·x).
func stepShapes() ([]shape, error) {
	var all []shape
	seen := map[shape]bool{}
	layer := func(rows, in, out int) {
		for _, s := range []shape{
			{m: rows, n: out, k: in, transB: true},
			{m: rows, n: in, k: out},
			{m: out, n: in, k: rows, transA: true},
		} {
			if !seen[s] {
				seen[s] = true
				all = append(all, s)
			}
		}
	}
	for _, step := range measured {
		r, err := configs.Load(configs.Request{Presets: objectives.Presets(), Configs: []string{step.preset}})
		if err != nil {
			return nil, err
		}
		network, err := r.Config.Backbone()
		if err != nil {
			return nil, err
		}
		c := network.Info()
		options := r.Config.Objective.Options
		ratio, ok1 := options["mask_ratio"].(float64)
		dim, ok2 := options["decoder_dim"].(int)
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("preset %s says neither mask_ratio nor decoder_dim as a number: %v", step.preset, options)
		}
		rows, cols := c.Grid()
		patches := rows * cols
		kept := int(float64(patches) * (1 - ratio))
		block := func(rows, dim int) {
			layer(rows, dim, 3*dim) // qkv
			layer(rows, dim, dim)   // proj
			layer(rows, dim, 4*dim) // fc1
			layer(rows, 4*dim, dim) // fc2
		}
		seenRows, allRows := step.batch*(kept+c.PrefixTokens), step.batch*(patches+c.PrefixTokens)
		pixels := c.Channels * c.Patch * c.Patch
		layer(step.batch*kept, pixels, c.Dim)
		block(seenRows, c.Dim)
		layer(seenRows, c.Dim, dim)
		block(allRows, dim)
		layer(allRows, dim, pixels)
	}
	return all, nil
}

// A recipe makes a kernel ready to run.
type recipe func(*device.CPU) (job, error)

// recipes are the kernels that are measured, in the order of the report.
func recipes() ([]recipe, error) {
	shapes, err := stepShapes()
	if err != nil {
		return nil, err
	}
	list := []recipe{product(shape{m: 2048, n: 2048, k: 2048})}
	for _, s := range shapes {
		list = append(list, product(s))
	}
	list = append(list, linear(400, 768, 3072), linear(2176, 192, 768), mlp(400, 768), mlp(2176, 192))
	for _, s := range attentionShapes {
		list = append(list, attention(s[0], s[1], s[2], s[3]))
	}
	return append(list, layerNorm(2176, 192), layerNorm(400, 768), adamW(5_800_000)), nil
}

// Kernels measures the kernels that a step of training spends its time in: every matrix product of
// the steps of ViT-Ti, ViT-S and ViT-B, and the rest in the shapes of ViT-Ti/4 on 32 pixels (batch
// 128, 17 tokens kept) and of ViT-B/16 on 224 pixels (batch 8, 50 tokens kept). Each is timed
// samples times.
func Kernels(ctx context.Context, dev *device.CPU, samples int) ([]Kernel, error) {
	list, err := recipes()
	if err != nil {
		return nil, err
	}
	return measureAll(ctx, dev, list, samples)
}

// measureAll times kernels one after the other.
func measureAll(ctx context.Context, dev *device.CPU, list []recipe, samples int) (out []Kernel, err error) {
	for _, r := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		k, err := measure(dev, r, dev.Peak(), samples)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}

// measure times one kernel. Its cost is in units of the given peak, its share in those of the peaks
// before and after each sample.
func measure(dev *device.CPU, r recipe, peak float64, samples int) (Kernel, error) {
	j, err := r(dev)
	if err != nil {
		return Kernel{}, err
	}
	s, peaks, err := timed(j.run, dev.PeakNow, samples)
	if err != nil {
		return Kernel{}, fmt.Errorf("%s %s: %w", j.name, j.shape, err)
	}
	k := Kernel{Name: j.name, Shape: j.shape, Time: s.Summary(), Cost: s.Min() * peak * 1e9}
	if j.flops > 0 {
		k.GFLOPs = j.flops / s.Median() / 1e9
		k.OfPeak = shareOfPeak(j.flops, s, peaks).Summary()
	}
	k.GigaBytes = j.bytes / s.Median() / 1e9
	if j.values > 0 {
		k.NsPerValue = s.Median() * 1e9 / j.values
	}
	return k, nil
}
