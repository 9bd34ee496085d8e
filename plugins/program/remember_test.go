package program_test

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/vit"
)

// memory is a program.Memory that counts.
type memory struct {
	values    map[string][]int32
	hits, put int
}

func (m *memory) Get(kind string, key [sha256.Size]byte, value []int32) bool {
	v, ok := m.values[kind+string(key[:])]
	if ok {
		m.hits++
		copy(value, v)
	}
	return ok
}

func (m *memory) Put(kind string, key [sha256.Size]byte, value []int32) {
	m.put++
	m.values[kind+string(key[:])] = slices.Clone(value)
}

// remembering is a plan whose loss compares features with floats, and with the rows that integers
// choose, both made by a frozen layer from a file.
func remembering(path string) func(b *sdk.Builder) error {
	return func(b *sdk.Builder) error {
		w, err := sdk.OpenWeights(path)
		if err != nil {
			return err
		}
		frozen := b.Param("frozen", w.Shape("w"), w.Init("w"), sdk.Frozen()).Tensor() // [3,8]
		image := b.View("image")
		seen := b.MatMul(b.Reshape(b.Patches(image, sdk.ChannelLast), -1, 8), frozen, false, true) // [B*S,3]
		length := b.Backbone().Height * b.Backbone().Width * b.Backbone().Channels / 8
		floats := b.CacheTarget("floats", image, b.Reshape(seen, -1, length, 3), sdk.F32, length, 3)
		numbers := b.CacheTarget("numbers", image, b.Reshape(b.ArgMax(seen), -1, length), sdk.I32, length)
		x := b.Student("pass", image).Class()
		table := b.Param("table", []int{3, x.Dim()}, sdk.InitNormal(1)).Tensor()
		return b.Minimize(b.Add(b.Mean(b.MatMul(b.GatherRows(table, b.Reshape(numbers, -1)), x, false, true)), b.Mean(b.Mul(floats, floats))))
	}
}

// TestRemember: a remembered target has the bits of one that is computed, and is computed only for
// pixels that were not seen before.
func TestRemember(t *testing.T) {
	plan := remembering(weightsFile(t, 1))
	inline, _ := compiled(t, plan, func(_ *vit.Config, o *program.Options) { o.Train = false })
	mustRun(t, inline)

	m, _ := compiled(t, plan, nil)
	if err := m.Run(); err == nil || !strings.Contains(err.Error(), "before Remember") {
		t.Errorf("Run alone: %v", err)
	}
	kept := &memory{values: map[string][]int32{}}
	remember := func(hits, put int) {
		t.Helper()
		kept.hits, kept.put = 0, 0
		if err := m.Remember(kept); err != nil {
			t.Fatal(err)
		}
		if kept.hits != hits || kept.put != put {
			t.Errorf("%d values found and %d kept, want %d and %d", kept.hits, kept.put, hits, put)
		}
		mustRun(t, m)
	}
	remember(0, 2*tinyBatch)
	if m.Loss() != inline.Loss() {
		t.Errorf("loss %v, computed in place %v", m.Loss(), inline.Loss())
	}
	floats, numbers := slices.Clone(m.Target("floats")), slices.Clone(m.TargetInts("numbers"))
	clear(m.Target("floats"))
	clear(m.TargetInts("numbers"))
	remember(2*tinyBatch, 0)
	if m.Loss() != inline.Loss() || !slices.Equal(m.Target("floats"), floats) || !slices.Equal(m.TargetInts("numbers"), numbers) {
		t.Error("remembered values differ from computed ones")
	}
	m.View("image")[0]++ // of the first sample
	remember(0, 2*tinyBatch)
	if slices.Equal(m.Target("floats"), floats) || !slices.Equal(m.Target("floats")[len(floats)/2:], floats[len(floats)/2:]) {
		t.Error("other pixels don't have other values, or not they alone")
	}
	if err := m.Remember(nil); err != nil {
		t.Fatal(err)
	}

	// Another file is another computation.
	other, _ := compiled(t, remembering(weightsFile(t, 2)), nil)
	kept.hits = 0
	if err := other.Remember(kept); err != nil || kept.hits != 0 {
		t.Errorf("another file: %v, %d values found", err, kept.hits)
	}
	// The same file elsewhere is the same.
	same, _ := compiled(t, remembering(weightsFile(t, 1)), nil)
	if err := same.Remember(kept); err != nil || kept.hits != 2*tinyBatch {
		t.Errorf("the same file elsewhere: %v, %d values found", err, kept.hits)
	}
}

// TestRememberRefuses: what is remembered must follow from pixels and files.
func TestRememberRefuses(t *testing.T) {
	path := weightsFile(t, 1)
	for _, tc := range []struct {
		name, want string
		plan       func(b *sdk.Builder, image sdk.View, x sdk.Tensor) sdk.Tensor
	}{
		{"features", "no pass", func(b *sdk.Builder, image sdk.View, x sdk.Tensor) sdk.Tensor {
			return b.CacheTarget("t", image, b.ArgMax(x), sdk.I32)
		}},
		{"a trained parameter", `no parameter "w"`, func(b *sdk.Builder, image sdk.View, x sdk.Tensor) sdk.Tensor {
			w := b.Param("w", []int{48, 3}, sdk.InitNormal(1)).Tensor()
			return b.CacheTarget("t", image, b.Reshape(b.ArgMax(b.MatMul(b.Reshape(b.Patches(image, sdk.ChannelLast), -1, 48), w, false, false)), -1, 4), sdk.I32, 4)
		}},
		{"random numbers", "random", func(b *sdk.Builder, image sdk.View, x sdk.Tensor) sdk.Tensor {
			return b.CacheTarget("t", image, b.ArgMax(b.Random(sdk.Normal, 3)), sdk.I32)
		}},
		{"another shape", "declared is", func(b *sdk.Builder, image sdk.View, x sdk.Tensor) sdk.Tensor {
			return b.CacheTarget("t", image, b.ArgMax(b.Patches(image, sdk.ChannelLast)), sdk.I32, 5)
		}},
		{"another type", "declared is", func(b *sdk.Builder, image sdk.View, x sdk.Tensor) sdk.Tensor {
			return b.CacheTarget("t", image, b.ArgMax(b.Patches(image, sdk.ChannelLast)), sdk.F32, 4)
		}},
	} {
		plan := planOf(t, &objective{func(b *sdk.Builder) error {
			w, err := sdk.OpenWeights(path)
			if err != nil {
				return err
			}
			b.Param("frozen", w.Shape("w"), w.Init("w"), sdk.Frozen())
			image := b.View("image")
			x := b.Student("pass", image).Class()
			tc.plan(b, image, x)
			return b.Minimize(b.Mean(x))
		}}, "{}")
		_, err := program.Build(newEngine(t), param.NewStore(), plan, tiny(), tinyBatch, 1, program.Options{Plugin: "test", Train: true})
		if err == nil || !strings.Contains(err.Error(), "target t is remembered") || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}
