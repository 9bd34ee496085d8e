package sdk

import (
	"slices"
	"testing"
)

// An objective that reads one vector of an image gets the class token of a transformer, with the
// requirements of its recipe, and the pooled output of other networks, without them.
func TestRequireAny(t *testing.T) {
	recipe := Requirements{ClassToken: ClassTokenRequired, PosEmbed: PosEmbedLearned, LayerScale: .1, DropPath: .1, Decay: DecayAll, Frozen: []string{"conv1.weight"}}
	none := recipe
	none.ClassToken = ClassTokenNone
	transformer := Backbone{Name: "vit", Family: "vit", Dim: 8, Depth: 2, Heads: 2, Patch: 4, Height: 8, Width: 8, Channels: 3, PrefixTokens: 1}
	network := Backbone{Name: "resnet", Family: "cnn", Dim: 8, Depth: 4, Patch: 8, Height: 9, Width: 10, Channels: 3, StageDims: []int{1, 2, 4, 8}}
	for _, c := range []struct {
		network Backbone
		require Requirements
		image   Feature
		kept    Requirements
		feature []Feature
	}{
		{transformer, recipe, ClassFeature, recipe, []Feature{ClassFeature, PooledFeature}},
		{transformer, none, PooledFeature, none, []Feature{ClassFeature, PooledFeature}},
		{transformer, Requirements{}, ClassFeature, Requirements{}, []Feature{ClassFeature, PooledFeature}},
		{network, recipe, PooledFeature, Requirements{Decay: DecayAll, Frozen: recipe.Frozen}, []Feature{PooledFeature}},
	} {
		o := sample{Ratio: .5, Kind: "a", plan: func(_ sample, b *Builder) error {
			b.RequireAny(c.require)
			b.WholePatches("size", 8)
			b.Recommend(StudentNetwork, ClassFeature, PooledFeature)
			return b.Minimize(b.Mean(b.Student("s", b.View("image")).Image()))
		}}
		trial, err := Try(&o, Run{Batch: 2, Backbone: c.network}, nil)
		if err != nil {
			t.Errorf("%s: %v", c.network.Name, err)
			continue
		}
		p := trial.Plan
		if r := p.Requirements; r.ClassToken != c.kept.ClassToken || r.PosEmbed != c.kept.PosEmbed || r.LayerScale != c.kept.LayerScale ||
			r.DropPath != c.kept.DropPath || r.Decay != c.kept.Decay || !slices.Equal(r.Frozen, c.kept.Frozen) {
			t.Errorf("%s: it requires %+v, want %+v", c.network.Name, r, c.kept)
		}
		if !slices.Equal(p.Passes[0].Outputs, []Feature{c.image}) || !slices.Equal(p.Recommended.Features, c.feature) {
			t.Errorf("%s: it reads %v and recommends %v", c.network.Name, p.Passes[0].Outputs, p.Recommended.Features)
		}
	}
}
