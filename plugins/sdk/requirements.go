package sdk

import "slices"

// Requirements are settings of the network that belong to a recipe. Zero values leave the choice to
// the model and the user.
type Requirements struct {
	Families     []string // network families that the objective works with; empty: any
	PosEmbed     PosEmbed
	ClassToken   ClassToken
	Init         []InitRule // of the network's weights, as differences from the usual values
	RelPos       RelPos
	LayerScale   float64 // initial value of layer scale; 0: none
	DropPath     float64 // rate of stochastic depth where the user sets none
	Decay        DecayRule
	NoDecay      []string // further parameters without weight decay, as path patterns
	Frozen       []string // parameters that are not trained, as path patterns such as patch_embed.proj.*
	SplitQKVBias bool     // attention biases are [q, 0, v], as in BEiT
	Unused       bool     // the program reads no features, so that no network is built or stored
}

// InitRule gives the initial values of the network's weights whose names match a path pattern, such
// as blocks.*.mlp.*.weight (a * matches dots too). Of each weight the first rule that matches its
// name counts; weights that no rule matches start as the network has it, fixed tables always do.
type InitRule struct {
	Weights string
	Init    *Init // neither a table nor from a file; a weight is taken as a matrix [first dimension, all others]
	Stacked int   // matrices that lie one below the other in each weight, such as 3 for queries, keys and values; 0: 1
	ByDepth bool  // the numbers of Init are divided by sqrt(2l) in block l, counted from 1
}

// PosEmbed is a kind of absolute position embedding.
type PosEmbed int

// Position embeddings: learned, fixed 2-D sine-cosine with the column part first or the
// row part first, or none.
const (
	PosEmbedDefault PosEmbed = iota
	PosEmbedLearned
	PosEmbedSinCosColumn
	PosEmbedSinCosRow
	PosEmbedNone
)

// ClassToken is whether the network has a class token.
type ClassToken int

// A class token as the model says, required, or left out.
const (
	ClassTokenDefault ClassToken = iota
	ClassTokenRequired
	ClassTokenNone
)

// RelPos is a kind of relative position bias.
type RelPos int

// Relative position biases: none, one table for all blocks, one for each block, or the sum of both.
const (
	RelPosDefault RelPos = iota
	RelPosNone
	RelPosShared
	RelPosPerBlock
	RelPosBoth
)

// DecayRule selects the network's parameters that weight decay applies to.
type DecayRule int

// Weight decay of all parameters but biases and those with one dimension, of all, or of none.
const (
	DecayMatrices DecayRule = iota
	DecayAll
	DecayNone
)

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
