package core

import (
	"strings"
	"testing"
)

// TestCollisionsAreSeen: gorgonia's compiler would merge nodes of equal hash.
func TestCollisionsAreSeen(t *testing.T) {
	g := NewGraph(testEngine(t, 1))
	x := g.Input("x", Shape{2})
	p, err := g.plan(nil, []*Node{g.Add(g.Relu(x), g.Gelu(x))})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.place(); err != nil {
		t.Fatal(err)
	}
	b := newBuilder(p.executable(), 0)
	for _, s := range p.steps {
		if err := b.add(s); err != nil {
			t.Fatal(err)
		}
	}
	if c := b.collision(); c != "" {
		t.Fatal(c)
	}
	for range 2 { // as if two serial numbers had the same hash
		b.serial = 1000
		if _, err := b.pick(b.nodes[x], "same", Shape{2}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if c := b.collision(); !strings.Contains(c, "merged") {
		t.Errorf("two equal nodes are not noticed: %q", c)
	}
}

// TestSaltChangesEveryHash: building again with another salt moves all nodes, so
// a collision is resolved.
func TestSaltChangesEveryHash(t *testing.T) {
	m, g := recordTransformer(testEngine(t, 1), parametersOf(t, 1), 2, 1)
	p, err := g.plan(m.loss, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.place(); err != nil {
		t.Fatal(err)
	}
	e := p.executable()
	var seen map[uint32]bool
	for salt := range uint64(2) {
		b := newBuilder(e, salt)
		for _, s := range p.steps {
			if err := b.add(s); err != nil {
				t.Fatal(err)
			}
		}
		if c := b.collision(); c != "" {
			t.Fatal(c)
		}
		hashes := map[uint32]bool{}
		for _, n := range b.graph.AllNodes() {
			hashes[n.Hashcode()] = true
			if seen[n.Hashcode()] {
				t.Errorf("%s has the same hash with both salts", n.Name())
			}
		}
		seen = hashes
	}
}
