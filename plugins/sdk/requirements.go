package sdk

import "slices"

// Require sets the network's part of the recipe.
func (b *Builder) Require(r Requirements) {
	b.plan.Requirements = r
	n := b.Backbone()
	if len(r.Families) > 0 && !slices.Contains(r.Families, n.Family) {
		b.Failf("the backbone %s is a %q; this objective works with %v", n.Name, n.Family, r.Families)
	}
}

// RequireAny is Require for objectives that read one vector of an image, see [Pass.Image], and so
// work with any network. Class token, positions, layer scale, stochastic depth and the split bias of
// r are asked of transformers alone.
func (b *Builder) RequireAny(r Requirements) {
	if !b.Backbone().Tokens() {
		r.PosEmbed, r.ClassToken, r.RelPos, r.LayerScale, r.DropPath, r.SplitQKVBias = 0, 0, 0, 0, 0, false
	}
	b.Require(r)
}

// RequireViT is Require for objectives that work with Vision Transformers alone.
func (b *Builder) RequireViT(r Requirements) {
	r.Families = []string{"vit"}
	b.Require(r)
}
