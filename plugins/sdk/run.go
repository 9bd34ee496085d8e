package sdk

// Run describes a run to an objective.
type Run struct {
	Seed          uint64
	Batch         int     // samples per step and rank
	Steps         int     // of the whole run
	StepsPerEpoch float64 // mean; not whole where an epoch ends within a step, with accumulation
	DatasetSize   int     // samples
	WorldSize     int     // processes that train together, at least 1
	Rank          int     // of this process, from 0
	// FixedViews is set when a view whose crop the plan leaves open shows the same part of an
	// image in every epoch and is never flipped, so that targets made of its pixels can be cached.
	FixedViews bool
	Backbone   Backbone
}

// Backbone is the network that features come from.
type Backbone struct {
	Name          string // such as vit_base_patch16_224
	Family        string // such as vit
	Dim           int    // width of the tokens, or channels of the last feature map
	Depth         int    // blocks
	Heads         int    // attention heads of a block
	Patch         int    // pixels per token side, or the total stride
	Height, Width int    // of images, in pixels
	Channels      int
	Mean, Std     []float64 // per channel, of pixels in 0..1, that views are normalized with
	PrefixTokens  int       // before the patch tokens: 1 with a class token, else 0
	LayerNormEps  float64
	StageDims     []int // channels of each stage, where the network has stages
}

// Tokens reports whether the network computes tokens of patches. One with stages computes maps of
// whole images of any size: no masks, no class token.
func (n Backbone) Tokens() bool { return len(n.StageDims) == 0 }

// Rows is the number of patches of an image from top to bottom.
func (n Backbone) Rows() int { return n.Height / max(1, n.Patch) }

// Cols is the number of patches of an image from left to right.
func (n Backbone) Cols() int { return n.Width / max(1, n.Patch) }

// Patches is the number of patches of an image.
func (n Backbone) Patches() int { return n.Rows() * n.Cols() }

// PatchDim is the number of values of one patch.
func (n Backbone) PatchDim() int { return n.Patch * n.Patch * n.Channels }
