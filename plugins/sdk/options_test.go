package sdk

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// Shared is embedded, as an objective embeds options of this package.
type Shared struct {
	Range []float64 `option:"range" min:"0" length:"2" order:"rising" help:"h"`
	Even  int       `option:"even" help:"h"`
}

func (s Shared) Validate() error {
	if s.Even%2 != 0 {
		return errors.New("even is odd")
	}
	return nil
}

type embedding struct {
	First  int `option:"first" help:"h"`
	Shared `even:"another help"`
	Last   int `option:"last" help:"h"`
	got    *embedding
}

func (embedding) Info() Info { return Info{Name: "embedding"} }
func (o embedding) Plan(b *Builder) error {
	*o.got = o
	return b.Minimize(b.Mean(b.View("image").Pixels()))
}

type doubled struct {
	Even int `option:"even" help:"h"`
	Shared
}

func (doubled) Info() Info          { return Info{Name: "doubled"} }
func (doubled) Plan(*Builder) error { return nil }

type renamed struct {
	ProjectionHead `keys:"out_dim=dim head_layers=-" dim:"another help"`
	got            *renamed
}

func (renamed) Info() Info { return Info{Name: "renamed"} }
func (o renamed) Plan(b *Builder) error {
	*o.got = o
	return b.Minimize(b.Mean(b.View("image").Pixels()))
}

type misnamed struct {
	ProjectionHead `keys:"dim=out_dim"`
}

func (misnamed) Info() Info          { return Info{Name: "misnamed"} }
func (misnamed) Plan(*Builder) error { return nil }

// An embedding field renames options and leaves others out, at their default.
func TestRenamedOptions(t *testing.T) {
	var got renamed
	o := renamed{ProjectionHead{Dim: 8, Layers: 3, Hidden: 16}, &got}
	s := server(t, o)
	if len(s.options) != 2 || s.options[0].Key != "dim" || s.options[0].Help != "another help" || s.options[1].Key != "head_hidden" {
		t.Errorf("options %+v", s.options)
	}
	if _, err := Try(o, Run{}, map[string]any{"dim": 4}); err != nil || got.ProjectionHead != (ProjectionHead{4, 3, 16}) {
		t.Errorf("options arrived as %+v, %v", got, err)
	}
	if _, err := Try(o, Run{}, map[string]any{"head_layers": 4}); err == nil {
		t.Error("an option that was left out is set")
	}
	if _, err := NewServer(misnamed{}, nil); err == nil || !strings.Contains(err.Error(), `renames "dim"`) {
		t.Errorf("a key that the embedded struct lacks: %v", err)
	}
}

// Options of an embedded struct stand in its place, with the defaults of the objective.
func TestEmbeddedOptions(t *testing.T) {
	var got embedding
	o := embedding{First: 1, Shared: Shared{Range: []float64{.1, .9}, Even: 4}, Last: 3, got: &got}
	s := server(t, o)
	var keys []string
	for _, option := range s.options {
		keys = append(keys, option.Key+"="+option.Default)
	}
	if want := []string{"first=1", "range=[0.1,0.9]", "even=4", "last=3"}; !slices.Equal(keys, want) {
		t.Errorf("options %v, want %v", keys, want)
	}
	if _, err := Try(o, Run{}, map[string]any{"even": 6, "last": 5}); err != nil || got.Even != 6 || got.Last != 5 || got.Range[1] != .9 {
		t.Errorf("options arrived as %+v, %v", got, err)
	}
	if s.options[1].Help != "h" || s.options[2].Help != "another help" {
		t.Errorf("help texts %v", s.options)
	}
	for want, options := range map[string]map[string]any{
		"range has 1 values; it takes 2": {"range": []float64{1}},
		"range is [0.9, 0.2]":            {"range": []float64{.9, .2}},
		"element 0 (-1) is out of range": {"range": []float64{-1, 1}},
		"even is odd":                    {"even": 3},
	} {
		if _, err := Try(o, Run{}, options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q in it", options, err, want)
		}
	}
	if _, err := NewServer(doubled{}, nil); err == nil || !strings.Contains(err.Error(), "declared twice") {
		t.Errorf("a key of an embedded struct and of the objective: %v", err)
	}
}
