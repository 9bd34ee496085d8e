package core

import (
	"strings"
	"testing"
)

// TestBudget refuses parameters, inputs and activations each before their memory is
// taken, and nothing that fits.
func TestBudget(t *testing.T) {
	build := func(limit int64) (*Budget, error) {
		e := testEngine(t, 1)
		e.Budget = &Budget{Limit: limit}
		s := NewStore()
		s.Alloc = e.Budget.Alloc
		w, err := s.Add("w", Shape{1000, 100}, Init{Kind: "ones"}, 1)
		if err != nil {
			return e.Budget, err
		}
		g := NewGraph(e)
		y := g.Gelu(g.Linear(g.Input("x", Shape{500, 100}), g.Param(w), nil))
		_, err = g.Compile(nil, y)
		return e.Budget, err
	}
	whole, err := build(1 << 40)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := build(whole.Used); err != nil || whole.Wanted != 0 {
		t.Errorf("what is needed is not enough: %v, wanted %d", err, whole.Wanted)
	}
	for limit, want := range map[int64]string{
		whole.Used - 1: "activations",
		4*100_000 + 1:  `input "x"`,
		4*100_000 - 1:  `parameter "w"`,
	} {
		b, err := build(limit)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("limit %d: error %v, want one about %s", limit, err, want)
		}
		if b.Wanted <= limit || b.Used > limit {
			t.Errorf("limit %d: used %d, wanted %d", limit, b.Used, b.Wanted)
		}
	}
}
