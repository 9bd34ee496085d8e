package program_test

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/vit"
)

// countingCache is a program.TargetCache that counts.
type countingCache struct {
	values    map[string][]int32
	hits, put int
}

func (m *countingCache) Get(kind string, key [sha256.Size]byte, value []int32) bool {
	v, ok := m.values[kind+string(key[:])]
	if ok {
		m.hits++
		copy(value, v)
	}
	return ok
}

func (m *countingCache) Put(kind string, key [sha256.Size]byte, value []int32) {
	m.put++
	m.values[kind+string(key[:])] = slices.Clone(value)
}

// caching is a plan whose loss compares features with floats, and with the rows that integers
// choose, both made by a frozen layer from a file.
func caching(path string) func(b *sdk.Builder) error {
	return func(b *sdk.Builder) error {
		w, err := sdk.OpenWeights(path)
		if err != nil {
			return err
		}
		frozen := b.Param("frozen", w.Shape("w"), w.Init("w"), sdk.Frozen()).Tensor() // [3,8]
		image := b.View("image")
		seen := b.MatMul(b.Reshape(b.PatchPixels(image, sdk.ChannelLast), -1, 8), frozen, false, true) // [B*S,3]
		length := int(b.Backbone().Height*b.Backbone().Width*b.Backbone().Channels) / 8
		floats := b.CacheTarget("floats", image, b.Reshape(seen, -1, length, 3), sdk.F32, length, 3)
		numbers := b.CacheTarget("numbers", image, b.Reshape(b.ArgMax(seen), -1, length), sdk.I32, length)
		x := b.Student("pass", image).Class()
		table := b.Param("table", []int{3, x.Dim()}, sdk.InitNormal(1)).Tensor()
		return b.Minimize(b.Add(b.Mean(b.MatMul(b.GatherRows(table, b.Reshape(numbers, -1)), x, false, true)), b.Mean(b.Mul(floats, floats))))
	}
}

// TestCachedTarget: a cached target has the bits of one that is computed, and is computed only for
// pixels that were not seen before.
func TestCachedTarget(t *testing.T) {
	planned := caching(weightsFile(t, 1))
	inline, _ := compiled(t, planned, func(_ *vit.Config, o *program.Options) { o.Train = false })
	mustRun(t, inline)

	m, _ := compiled(t, planned, nil)
	kept := &countingCache{values: map[string][]int32{}}
	step := func(hits, put int) {
		t.Helper()
		kept.hits, kept.put = 0, 0
		programtest.Step(t, m, program.Inputs{TargetCache: kept})
		if kept.hits != hits || kept.put != put {
			t.Errorf("%d values found and %d kept, want %d and %d", kept.hits, kept.put, hits, put)
		}
	}
	step(0, 2*tinyBatch)
	if m.Loss() != inline.Loss() {
		t.Errorf("loss %v, computed in place %v", m.Loss(), inline.Loss())
	}
	floats, numbers := slices.Clone(m.Target("floats")), slices.Clone(m.TargetInts("numbers"))
	clear(m.Target("floats"))
	clear(m.TargetInts("numbers"))
	step(2*tinyBatch, 0)
	if m.Loss() != inline.Loss() || !slices.Equal(m.Target("floats"), floats) || !slices.Equal(m.TargetInts("numbers"), numbers) {
		t.Error("cached values differ from computed ones")
	}
	m.View("image")[0]++ // of the first sample
	step(0, 2*tinyBatch)
	if slices.Equal(m.Target("floats"), floats) || !slices.Equal(m.Target("floats")[len(floats)/2:], floats[len(floats)/2:]) {
		t.Error("other pixels don't have other values, or not they alone")
	}
	programtest.Step(t, m, program.Inputs{})

	// Another file is another computation.
	other, _ := compiled(t, caching(weightsFile(t, 2)), nil)
	kept.hits = 0
	if err := other.Step(program.Inputs{TargetCache: kept}); err != nil || kept.hits != 0 {
		t.Errorf("another file: %v, %d values found", err, kept.hits)
	}
	// The same file elsewhere is the same.
	same, _ := compiled(t, caching(weightsFile(t, 1)), nil)
	if err := same.Step(program.Inputs{TargetCache: kept}); err != nil || kept.hits != 2*tinyBatch {
		t.Errorf("the same file elsewhere: %v, %d values found", err, kept.hits)
	}
}

// TestCachedTargetRefuses: a cached target has the declared shape and type.
func TestCachedTargetRefuses(t *testing.T) {
	path := weightsFile(t, 1)
	for _, tc := range []struct {
		name, want string
		plan       func(b *sdk.Builder, image sdk.View, x sdk.Tensor) sdk.Tensor
	}{
		{"another shape", "declared is", func(b *sdk.Builder, image sdk.View, x sdk.Tensor) sdk.Tensor {
			return b.CacheTarget("t", image, b.ArgMax(b.PatchPixels(image, sdk.ChannelLast)), sdk.I32, 5)
		}},
		{"another type", "declared is", func(b *sdk.Builder, image sdk.View, x sdk.Tensor) sdk.Tensor {
			return b.CacheTarget("t", image, b.ArgMax(b.PatchPixels(image, sdk.ChannelLast)), sdk.F32, 4)
		}},
	} {
		p := planOf(t, &objective{func(b *sdk.Builder) error {
			w, err := sdk.OpenWeights(path)
			if err != nil {
				return err
			}
			b.Param("frozen", w.Shape("w"), w.Init("w"), sdk.Frozen())
			image := b.View("image")
			x := b.Student("pass", image).Class()
			tc.plan(b, image, x)
			return b.Minimize(b.Mean(x))
		}}, nil)
		_, err := program.Build(devicetest.New(t, 0), param.NewStore(), p, tiny(), tinyBatch, 1, program.Options{Plugin: "test", Train: true})
		if err == nil || !strings.Contains(err.Error(), "target t: ") || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}
