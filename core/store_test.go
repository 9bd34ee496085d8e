package core

import (
	"strings"
	"testing"
)

func TestStore(t *testing.T) {
	s := NewStore()
	asked := 0
	s.Alloc = func(n int) []float32 { asked += n; return make([]float32, n) }
	w, err := s.Add("w", Shape{2, 3}, Init{Kind: "ones"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := s.Add("b", Shape{3}, Init{Kind: "zeros"}, 0)
	m, _ := s.AddBuffer("mean", Shape{3}, Init{Kind: "zeros"}, 0)
	if asked != 12 || !w.Decay || b.Decay || !m.Frozen || w.LRScale != 1 {
		t.Errorf("asked for %d floats; %+v %+v %+v", asked, w, b, m)
	}
	if s.Get("mean") != m || s.Get("nothing") != nil || len(s.Parameters()) != 2 || len(s.Buffers()) != 1 {
		t.Error("parameters are not found by name")
	}
	if _, err := s.Add("w", Shape{1}, Init{Kind: "zeros"}, 0); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a second w: %v", err)
	}
	if _, err := s.Add("", Shape{1}, Init{Kind: "zeros"}, 0); err == nil {
		t.Error("a parameter without name passes")
	}
	if _, err := s.Add("x", Shape{-1}, Init{Kind: "zeros"}, 0); err == nil {
		t.Error("a negative dimension passes")
	}
}

func TestLoadIntoNamesEveryFault(t *testing.T) {
	s := NewStore()
	a, _ := s.Add("a", Shape{2}, Init{Kind: "zeros"}, 0)
	s.Add("b", Shape{2}, Init{Kind: "zeros"}, 0)
	s.Add("c", Shape{2}, Init{Kind: "zeros"}, 0)
	file := func(tensors ...Tensor) *File { return NewFile("weights.safetensors", tensors, nil) }
	two := []float32{1, 2}
	err := LoadInto(s, file(NewF32("a", Shape{2}, two), NewF32("b", Shape{1, 2}, two), NewF32("extra", Shape{2}, two)), nil, true)
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"weights.safetensors", "b has shape [1, 2], [2] is wanted", "c is missing", "extra, of shape [2], belongs to nothing"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if a.Data[0] != 0 {
		t.Error("a failed load changed a parameter")
	}
	f := file(NewF32("x.a", Shape{2}, two), NewF32("x.b", Shape{2}, two), NewF32("x.c", Shape{2}, two))
	if err := LoadInto(s, f, func(n string) string { return "x." + n }, true); err != nil || a.Data[1] != 2 {
		t.Errorf("renamed: %v, %v", err, a.Data)
	}
}
