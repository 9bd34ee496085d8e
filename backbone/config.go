package backbone

import "github.com/vittool/vittool/core/param"

// Config describes one network as a value. Its JSON is stored with the weights; see [Encode].
type Config interface {
	// Info returns the network's name and sizes.
	Info() Info
	// With returns the config with a user's settings; those that the network lacks are errors.
	With(s Settings) (Config, error)
	// Require returns the config with a plan's requirements; those it cannot meet are errors.
	Require(r Requirements) (Config, error)
	// CheckImage refuses image sizes in pixels that the network cannot be run at.
	CheckImage(height, width int) error
	// Weights lists all tensors under timm's names, in timm's order, with their usual initial
	// values.
	Weights() []TensorSpec
	// New creates the tensors in the store under prefix + timm's name, with initial values by a
	// scheme; nil is the usual one. See [Create].
	New(store *param.Store, prefix string, s Scheme, seed uint64) (Network, error)
	// ForwardFLOPs counts the forward pass of one image, as 2 × multiply-adds, over the given
	// number of its patches or cells; 0 is all of them. A training step is three times that.
	ForwardFLOPs(cells int) float64
	// Beside reports whether a tensor of this name, in a file of another tool, stands next to the
	// network and changes none of its outputs: a classifier's head, the state of a tool, any name that
	// lies under none of the network's own or of its relatives.
	Beside(name string) bool
}

// Info holds the sizes that every network has.
type Info struct {
	Name   string // such as vit_base_patch16_224
	Family string

	ImageH, ImageW int // image size in pixels that the network is made for
	Channels       int // of the images
	Patch          int // side in pixels of the square that one token, or one cell of the last map, stands for

	Dim          int     // width of the tokens, or channels of the last map
	Depth        int     // number of blocks or stages, that is of taps
	Heads        int     // of attention; 0 without
	PrefixTokens int     // tokens in front of the patches: 1 with a class token
	NormEps      float64 // inside the root of layer norms
	StageDims    []int   // channels after each stage; nil where all blocks have Dim
}

// Grid is the number of rows and columns of patches or cells at the image size that the network is
// made for. A part of a cell at the border counts as one.
func (i Info) Grid() (rows, cols int) {
	return (i.ImageH + i.Patch - 1) / i.Patch, (i.ImageW + i.Patch - 1) / i.Patch
}

// Part is the word for a part of the network that can be tapped: block, or stage of a network of
// maps.
func (i Info) Part() string {
	if len(i.StageDims) > 0 {
		return "stage"
	}
	return "block"
}

// Settings are a user's choices; zero values leave the network as it is.
type Settings struct {
	Height, Width int     // image size in pixels
	Channels      int     // of the images
	DropPath      float64 // rate of stochastic depth in the last block
	LayerScale    float64 // initial value of layer scale
	WidthFactor   float64 // times the channels of a convolutional network
	ZeroInitLast  bool    // the last batch norm of each residual branch starts at zero
}

// Requirements are an objective's demands on the network itself; zero values leave it as it is.
type Requirements struct {
	Positions   string // one of the position tables below
	ClassToken  string // Required or None
	Relative    string // relative position bias: None, or one of those below
	LayerScale  float64
	SplitQVBias bool    // bias [q, 0, v] as in BEiT
	DropPath    float64 // used where the user sets none
}

// Values of Requirements.
const (
	Required = "required"
	None     = "none"

	Learned      = "learned"
	SinCosColumn = "sincos2d"     // fixed 2-D sine-cosine, column part first
	SinCosRow    = "sincos2d_row" // row part first

	RelativeShared   = "shared"
	RelativePerBlock = "per_block"
	RelativeBoth     = "both"
)
