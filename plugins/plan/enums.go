package plan

import "strconv"

// text is the name of an enumeration's value, for errors.
func text[E ~int](e E, names ...string) string {
	if int(e) >= 0 && int(e) < len(names) {
		return names[e]
	}
	return strconv.Itoa(int(e))
}

// The values of all enumerations are those of the protocol.

// PosEmbed is a network's position table.
type PosEmbed int

// The position tables.
const (
	PosEmbedDefault PosEmbed = iota // as the model has it
	PosEmbedLearned
	PosEmbedSinCosColumn // fixed, column part first
	PosEmbedSinCosRow    // fixed, row part first
	PosEmbedNone
)

// ClassToken is a requirement of the class token.
type ClassToken int

// A class token as the model has it, required, or left out.
const (
	ClassTokenDefault ClassToken = iota
	ClassTokenRequired
	ClassTokenNone
)

// RelPos is a network's relative position bias.
type RelPos int

// The relative position biases.
const (
	RelPosDefault RelPos = iota
	RelPosNone
	RelPosShared
	RelPosPerBlock
	RelPosBoth // a shared table and one per block
)

// DecayRule chooses the weights of a network that decay.
type DecayRule int

// The rules of weight decay.
const (
	DecayMatrices DecayRule = iota // all but tensors with one dimension and names that end in .bias
	DecayAll
	DecayNone
)

// Crop is the way from an image to a view.
type Crop int

// The crops.
const (
	CropRandomResized Crop = iota // a random box, resized
	CropCenter                    // the short side resized, the center cut out
	CropSquash                    // the whole image resized
)

func (c Crop) String() string { return text(c, "random_resized", "center", "squash") }

// Interpolation is the filter of a resize.
type Interpolation int

// The filters.
const (
	InterpolationBicubic Interpolation = iota
	InterpolationBilinear
	InterpolationLanczos
	InterpolationBox
	InterpolationNearest
)

func (i Interpolation) String() string {
	return text(i, "bicubic", "bilinear", "lanczos", "box", "nearest")
}

// AugmentationKind is a kind of random change of pixels.
type AugmentationKind int

// The augmentations.
const (
	Flip AugmentationKind = iota + 1 // horizontal; part of the view's geometry
	ColorJitter
	Grayscale
	GaussianBlur
	Solarize
)

func (k AugmentationKind) String() string {
	return text(k, "none", "flip", "color_jitter", "grayscale", "gaussian_blur", "solarize")
}

// Network is the trained network or its average.
type Network int

// The networks.
const (
	NetworkStudent Network = iota
	NetworkTeacher
)

func (n Network) String() string { return text(n, "student", "teacher") }

// MaskUse is the role of a pass's masks.
type MaskUse int

// The roles of masks.
const (
	MaskUseNone      MaskUse = iota
	MaskUseDrop              // only the visible patches of a keep list enter
	MaskUseToken             // masked patches are replaced by the mask token, a parameter
	MaskUseCorrupted         // the pass reads Results.Images instead of the view
)

// Feature is an output of a backbone's pass.
type Feature int

// The outputs of a pass.
const (
	FeatureTokens      Feature = iota + 1 // [B, N, D], prefix tokens first
	FeatureClass                          // [B, D]
	FeaturePooled                         // [B, D]
	FeatureMap                            // [B, D, rows, cols]
	FeatureTap                            // of one block
	FeaturePatchTokens                    // [B, L, D]
)

func (f Feature) String() string {
	return text(f, "none", "tokens", "class", "pooled", "map", "tap", "patch tokens")
}

// MaskKind is the form in which an objective gives a mask.
type MaskKind int

// The kinds of masks.
const (
	MaskKeep       MaskKind = iota + 1 // indices of the visible patches
	MaskBitmap                         // cells, 1 = masked
	MaskIndices                        // free integers
	MaskCorruption                     // rectangles
)

func (k MaskKind) String() string {
	return text(k, "none", "keep list", "bitmap", "indices", "corruption")
}

// Source is the origin of a target.
type Source int

// The origins of targets.
const (
	SourceSampleID Source = iota + 1
	SourceLabel           // -1 where there is none
	SourceGeometry        // top, left, height, width, flip, source height, source width of a view's box
	SourcePlugin          // written by Targets
	SourceCached          // a function of the pixels of a view, computed once for each content
)

// DType is the type of a tensor's elements.
type DType int

// The types of elements.
const (
	F32 DType = iota
	I32
	U8
)

func (d DType) String() string { return text(d, "f32", "i32", "u8") }

// InitKind is a rule for initial values.
type InitKind int

// The rules for initial values.
const (
	InitZeros InitKind = iota
	InitOnes
	InitConstant // A
	InitNormal   // mean 0, standard deviation A
	InitTruncNormal
	InitUniform
	InitXavierUniform
	InitFanInUniform
	InitSinCosColumn
	InitSinCosRow
	InitData
	InitFile
)

// Update is the way a buffer changes.
type Update int

// The updates of buffers.
const (
	UpdateReplace     Update = iota // the whole buffer
	UpdateRows                      // the rows that are named
	UpdateRing                      // rows written at a position that moves with each
	UpdateNewestFirst               // rows put in front, where all others move back
)

func (u Update) String() string { return text(u, "replace", "rows", "ring", "newest first") }

// Reduction joins a buffer's values of several processes, and of the micro-batches of a step.
type Reduction int

// The reductions.
const (
	ReductionNone Reduction = iota
	ReductionMean
	ReductionSum
	ReductionGather
)

// ScheduleKind is the form of a schedule.
type ScheduleKind int

// The forms of schedules.
const (
	ScheduleConstant ScheduleKind = iota
	ScheduleLinear
	ScheduleCosine
	ScheduleTable
)

// When is the moment in which a teacher moves.
type When int

// The moments in which a teacher moves.
const (
	WhenAfterStep     When = iota
	WhenBeforeForward      // from the student that is not yet updated
)

func (w When) String() string { return text(w, "after the step", "before the forward pass") }

// RefKind is the kind of value that a Ref names.
type RefKind int

// The kinds of values.
const (
	RefNone RefKind = iota
	RefNode
	RefFeature
	RefParam
	RefTeacherParam
	RefBuffer
	RefTarget
	RefMask
	RefView
	RefScalar
)

func (k RefKind) String() string {
	return text(k, "none", "node", "pass", "parameter", "teacher's parameter", "buffer", "target", "mask", "view", "schedule")
}

// Form is a form in which the program reads a mask.
type Form int

// The forms of masks.
const (
	FormValues      Form = iota // integers as the objective gave them
	FormMasked                  // float [B, rows·cols], 1 = masked
	FormChanged                 // of a corruption: float [B, H, W]
	FormMaskedCells             // of a bitmap with a length: integers [B, length]
	FormCounted                 // of the same: float [B, length], 1 for each of these cells
)

func (f Form) String() string {
	return text(f, "values", "masked", "changed pixels", "masked cells", "counted cells")
}

// Layout is the order of a picture's values.
type Layout int

// The orders of a picture's values.
const (
	LayoutChannelLast  Layout = iota // [B, L, p·p·C], channel fastest
	LayoutChannelFirst               // [B, L, C·p·p]
	LayoutImage                      // [B, C, H, W]
)
