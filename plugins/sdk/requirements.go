package sdk

import "github.com/vittool/vittool/plugins/plan"

// Require sets the network's part of the recipe.
func (b *Builder) Require(r Requirements) {
	b.plan.Requirements = r
	if err := r.CheckFamily(b.Backbone()); err != nil {
		b.Failf("%w", err)
	}
}

// RequireViT is Require for objectives that work with Vision Transformers alone.
func (b *Builder) RequireViT(r Requirements) {
	r.Families = []string{plan.FamilyViT}
	b.Require(r)
}
