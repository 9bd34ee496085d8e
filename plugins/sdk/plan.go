package sdk

import "github.com/vittool/vittool/plugins/plan"

// Types of plans that an objective's own code reads or writes; the host reads the same.
type (
	// Plan is everything that an objective asks of the host. A Builder writes it, Try shows it to
	// tests. Parts stand in the order in which they were declared.
	Plan = plan.Plan
	// Run describes a run to an objective.
	Run = plan.Run
	// Backbone describes the network that features come from.
	Backbone = plan.Backbone
	// Requirements are settings of the network that belong to a recipe. Zero values leave the choice
	// to the model and the user.
	Requirements = plan.Requirements
	// InitRule gives the initial values of the network's weights whose names match a path pattern,
	// such as blocks.*.mlp.*.weight (a * matches dots too). Of each weight the first rule that
	// matches its name counts; weights that no rule matches start as the network has it, fixed
	// tables always do. Init is neither a table nor from a file.
	InitRule = plan.InitRule
	// Init is the initial value of a parameter or buffer, made by one of the Init functions or by
	// Weights.Init.
	Init = plan.Init
	// Augmentation is a random change of a view. Flip, ColorJitter, Grayscale, GaussianBlur and
	// Solarize make the usual ones; fields that they leave at zero are set with Augment.
	Augmentation = plan.Augmentation
	// BufferSpec is state that is not trained, kept by the host: centers, queues, memory banks.
	BufferSpec = plan.Buffer
	// Schedule is a number that changes with the step, made by ConstantSchedule, LinearSchedule,
	// CosineSchedule or TableSchedule.
	Schedule = plan.Schedule
	// MaskValues is a mask drawn for a batch.
	MaskValues = plan.MaskSet
	// Box is the part of an image that a view shows, in pixels of the image.
	Box = plan.Box

	// Network is the trained network or its average.
	Network = plan.Network
	// Feature is an output of the network; see the methods of Pass for shapes.
	Feature = plan.Feature
	// DType is the type of a tensor's elements.
	DType = plan.DType
	// PosEmbed is a kind of absolute position embedding.
	PosEmbed = plan.PosEmbed
	// RelPos is a kind of relative position bias.
	RelPos = plan.RelPos
	// Interpolation is a filter that images are resized with, one of Pillow's.
	Interpolation = plan.Interpolation
	// Layout is the order of the values of a predicted picture.
	Layout = plan.Layout
	// When is the moment in a step at which the teacher follows.
	When = plan.When
)

// The trained network and its moving average.
const (
	StudentNetwork = plan.NetworkStudent
	TeacherNetwork = plan.NetworkTeacher
)

// Features for Builder.Recommend: the class token and the mean of the patch tokens.
const (
	ClassFeature  = plan.FeatureClass
	PooledFeature = plan.FeaturePooled
)

// Types of elements: numbers of 32 bits, floating-point and integer, and bytes.
const (
	F32 = plan.F32
	I32 = plan.I32
	U8  = plan.U8
)

// Position embeddings: learned, fixed 2-D sine-cosine with the column part first or the row part
// first, or none.
const (
	PosEmbedDefault      = plan.PosEmbedDefault
	PosEmbedLearned      = plan.PosEmbedLearned
	PosEmbedSinCosColumn = plan.PosEmbedSinCosColumn
	PosEmbedSinCosRow    = plan.PosEmbedSinCosRow
	PosEmbedNone         = plan.PosEmbedNone
)

// A class token as the model has it, required, or left out.
const (
	ClassTokenDefault  = plan.ClassTokenDefault
	ClassTokenRequired = plan.ClassTokenRequired
	ClassTokenNone     = plan.ClassTokenNone
)

// Relative position biases: none, one table for all blocks, one for each block, or the sum of both.
const (
	RelPosDefault  = plan.RelPosDefault
	RelPosNone     = plan.RelPosNone
	RelPosShared   = plan.RelPosShared
	RelPosPerBlock = plan.RelPosPerBlock
	RelPosBoth     = plan.RelPosBoth
)

// Weight decay of all parameters but biases and those with one dimension, of all, or of none.
const (
	DecayMatrices = plan.DecayMatrices
	DecayAll      = plan.DecayAll
	DecayNone     = plan.DecayNone
)

// Filters.
const (
	Bicubic   = plan.InterpolationBicubic
	Bilinear  = plan.InterpolationBilinear
	Lanczos   = plan.InterpolationLanczos
	BoxFilter = plan.InterpolationBox
	Nearest   = plan.InterpolationNearest
)

// Kinds of augmentations, each with the function that makes it.
const (
	FlipAugmentation  = plan.Flip
	ColorAugmentation = plan.ColorJitter
	GrayAugmentation  = plan.Grayscale
	BlurAugmentation  = plan.GaussianBlur
	SolarAugmentation = plan.Solarize
)

// Updates of a whole buffer, of numbered rows, of the rows that follow the last ones written,
// wrapping round, or of rows in front, where all others move back and the last ones fall out. Rows
// change once a step, after it, with those of all micro-batches in their order. So does a whole
// buffer with a reduction; without one it changes with each micro-batch.
const (
	UpdateAll         = plan.UpdateReplace
	UpdateRows        = plan.UpdateRows
	UpdateRing        = plan.UpdateRing
	UpdateNewestFirst = plan.UpdateNewestFirst
)

// Reductions of the updates of processes that train together, and of a step's micro-batches: none,
// because all compute the same; mean; sum; rows in order.
const (
	ReduceNone   = plan.ReductionNone
	ReduceMean   = plan.ReductionMean
	ReduceSum    = plan.ReductionSum
	ReduceGather = plan.ReductionGather
)

// Layouts: pixels of patches [B,L,p*p*C] with the channel last (MAE) or [B,L,C*p*p] with the channel first,
// or images [B,C,H,W].
const (
	PatchesChannelLast  = plan.LayoutChannelLast
	PatchesChannelFirst = plan.LayoutChannelFirst
	WholeImages         = plan.LayoutImage
)

// AfterStep follows the optimizer (DINO, BYOL); BeforeForward comes before the teacher's forward
// pass and reads the student that is not updated yet.
const (
	AfterStep     = plan.WhenAfterStep
	BeforeForward = plan.WhenBeforeForward
)

// Tensor is a value of the program.
type Tensor struct {
	ref plan.Ref
	dim int // size of the last axis; 0: not known here
}

// Dim is the size of the last axis, 0 when it is not known.
func (t Tensor) Dim() int { return t.dim }

// Output returns the i-th result of the node that t came from.
func (t Tensor) Output(i, dim int) Tensor {
	t.ref.Output, t.dim = i, dim
	return t
}

// Input is a named argument of an operator.
type Input struct {
	Name     string
	Value    Tensor
	Optional bool // may be a zero Tensor, which is left out
}

// Attribute is a constant of an operator, made by Attr.
type Attribute struct {
	Name  string
	value any
}

// Attr gives an operator a constant.
func Attr[T int | float64 | bool | string | []int | []float64](name string, value T) Attribute {
	return Attribute{name, value}
}
