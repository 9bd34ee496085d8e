package sdk

import "github.com/vittool/vittool/plugins/plan"

// Require sets the network's part of the recipe.
func (b *Builder) Require(r Requirements) {
	b.plan.Requirements = r
	if err := r.CheckFamily(b.Backbone()); err != nil {
		b.Failf("%w", err)
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
	r.Families = []string{plan.FamilyViT}
	b.Require(r)
}
