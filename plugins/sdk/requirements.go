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

// RequireViT is Require for objectives that work with Vision Transformers alone.
func (b *Builder) RequireViT(r Requirements) {
	r.Families = []string{"vit"}
	b.Require(r)
}
