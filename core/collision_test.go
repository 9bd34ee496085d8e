package core_test

import (
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tensor"
)

// TestCollisionsAreSeen: gorgonia's compiler would merge nodes of equal hash.
func TestCollisionsAreSeen(t *testing.T) {
	g := core.NewGraph(devicetest.New(t, 1))
	x := g.Input("x", tensor.Shape{2})
	report := must.Get(g.CollisionOf(x, ops.Add(g, ops.Relu(g, x), ops.Gelu(g, x))))(t)
	if !strings.Contains(report, "merged") {
		t.Errorf("two equal nodes are not noticed: %q", report)
	}
}

// TestSaltChangesEveryHash: building again with another salt moves all nodes, so a collision is
// resolved.
func TestSaltChangesEveryHash(t *testing.T) {
	m, g := recordTransformer(devicetest.New(t, 1), parametersOf(t, 1), 2, 1)
	hashes := must.Get(g.Hashes(m.loss, 2))(t)
	for h, name := range hashes[0] {
		if hashes[1][h] != "" {
			t.Errorf("%s has the same hash with both salts", name)
		}
	}
}
