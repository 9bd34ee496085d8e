package bench

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/internal/must"
)

// TestStepShapes: the shapes are those of the networks, in all three forms.
func TestStepShapes(t *testing.T) {
	shapes := must.Get(stepShapes())(t)
	for _, s := range []shape{
		{m: 2176, n: 768, k: 192, transB: true},  // ViT-Ti, fc1
		{m: 2176, n: 768, k: 192},                // gradient of fc2's input
		{m: 768, n: 192, k: 2176, transA: true},  // gradient of fc1's weight
		{m: 400, n: 3072, k: 768, transB: true},  // ViT-B, fc1
		{m: 768, n: 768, k: 400, transA: true},   // gradient of proj's weight
		{m: 1576, n: 512, k: 2048, transB: true}, // fc2 of the decoder
		{m: 400, n: 1152, k: 384, transB: true},  // ViT-S, qkv
	} {
		if !slices.Contains(shapes, s) {
			t.Errorf("%+v is not among the %d shapes", s, len(shapes))
		}
	}
	for i, s := range shapes {
		if slices.Contains(shapes[:i], s) {
			t.Errorf("%+v comes twice", s)
		}
	}
}

// TestAgainst compares one small kernel with baselines in which it was slower, equally fast and
// much faster.
func TestAgainst(t *testing.T) {
	e := must.Get(device.NewCPU(0))(t)
	defer e.Close()
	list := must.Get(recipes())(t)
	k := must.Get(measure(e, list[1], e.Peak(), 2))(t)
	if k.Cost <= 0 {
		t.Fatalf("%+v has no cost", k)
	}
	for _, c := range []struct {
		factor float64 // of the cost then
		slower int
	}{{100, 0}, {1, 0}, {0.01, 1}} {
		then := k
		then.Cost *= c.factor
		file := filepath.Join(t.TempDir(), "baseline.json")
		must.Do(t, (&Report{Kernels: []Kernel{then}}).Save(file))
		base := must.Get(Load(file))(t)
		slower, err := Against(t.Context(), e, []Kernel{{Name: "not in the baseline"}, k}, base)
		if err != nil || len(slower) != c.slower {
			t.Errorf("a baseline of %v times the cost: %v, %v; want %d", c.factor, slower, err, c.slower)
		}
		if len(slower) > 0 && (slower[0].Shape != k.Shape || slower[0].Ratio < 2) {
			t.Errorf("%+v", slower[0])
		}
	}
}

// TestBaselineThatIsNone: the message names the file and the remedy.
func TestBaselineThatIsNone(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"text": "fast", "empty": "{}"} {
		file := filepath.Join(dir, name)
		must.Do(t, os.WriteFile(file, []byte(content), 0o600))
		if _, err := Load(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Machine{Kernels: "avx2", Threads: 2}).comparable(Machine{Kernels: "avx2", Threads: 1}); err == nil {
		t.Error("reports of different threads were compared")
	}
}
