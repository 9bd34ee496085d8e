// Package plan holds an objective's plan as the rest of the program reads it: typed, complete and
// checked.
//
// The SDK writes a Plan and ToProto makes a message of it; on the other side FromProto makes a Plan
// of the message that a plugin sent (plugins/objective.proto explains every field). All that can be
// decided without the shapes of the program's values is decided there, once: names, references,
// numbers, sizes of views and parameters, and each node's row in the operator table. Fields that the
// message leaves out are filled in: sizes of views, grids of masks, default attributes. The compiler
// (plugins/program) adds the shapes.
//
// A Plan must not be changed after it was checked.
package plan

import "slices"

// MaxElements bounds the number of elements of one tensor, so that a mistaken plan is refused
// before its memory is asked for.
const MaxElements = 1 << 31

// MaxShared bounds the bytes of one piece of shared memory.
const MaxShared = 1 << 40

// OperatorVersion is the version of the operator table. A plan for another version is refused;
// within a version operators are only ever added.
const OperatorVersion = 1

// Plan describes how an objective trains a network.
type Plan struct {
	Requirements Requirements // of the network
	Views        []*View
	Passes       []*Pass
	Masks        []*Mask
	Targets      []*Target
	Params       []*Param
	Buffers      []*Buffer
	Schedules    []*Schedule
	Teacher      *Teacher // nil: no teacher network
	Nodes        []*Node  // of the program; a node reads earlier ones only
	Results      Results
	Evaluate     *Evaluate // nil: the program computes everything
	Exports      []*Export
	Recommended  *Recommended // nil: nothing is recommended
}

// Requirements are the recipe's demands on the network itself.
type Requirements struct {
	Families     []string // that the objective works with; empty: any
	PosEmbed     PosEmbed
	ClassToken   ClassToken
	Init         []InitRule // initial weights of the recipe, as differences from the model's
	RelPos       RelPos
	LayerScale   float64 // initial value; 0: none
	DropPath     float64 // recommended rate, in effect where the user sets none
	Decay        DecayRule
	NoDecay      []string // path patterns of further names without weight decay
	Frozen       []string // path patterns of names that are not trained
	SplitQKVBias bool     // bias [q, 0, v]
	Unused       bool     // no backbone is built or stored
}

// InitRule gives the initial values of the weights whose names match a path pattern. Of each weight
// the first rule that matches counts; weights that no rule matches start as the family has it.
type InitRule struct {
	Weights string
	Init    *Init // that follows from the shape and numbers
	Stacked int   // matrices that lie one below the other in each weight; fan-out is that of one. 0: 1
	ByDepth bool  // A and B are divided by sqrt(2l) in block l, counted from 1
}

// View is one image tensor [B, C, Height, Width] made from each sample.
type View struct {
	Name           string
	Height, Width  int // in pixels
	Crop           Crop
	ScaleMin       float64 // of the area; both 0: as the user's data settings have it
	ScaleMax       float64
	RatioMin       float64 // width / height; both 0: 3/4 .. 4/3
	RatioMax       float64
	Interpolation  Interpolation
	Augmentations  []*Augmentation // in order, after the crop (see ColorsFirst)
	SameGeometryAs string          // an earlier view whose box and flip it shares
	SameColors     bool            // and whose colors it shares
	Mean, Std      []float64       // per channel; empty: of the run
	ResizeFactor   float64         // of CropCenter; 0: 256/224
	Attempts       int             // of CropRandomResized; 0: 10
	ColorsFirst    bool            // augmentations but the flip come before the crop
}

// Augmentation is one random change of a view's pixels. Fields that its kind does not use are zero.
type Augmentation struct {
	Kind          AugmentationKind
	Probability   float64
	Brightness    float64 // factor uniform in [max(0, 1-x), 1+x]; Contrast and Saturation likewise
	Contrast      float64
	Saturation    float64
	Hue           float64 // shift uniform in [-x, x], at most 0.5
	FixedOrder    bool    // of the four operations of ColorJitter
	SigmaMin      float64
	SigmaMax      float64
	Kernel        int  // 0: Pillow's three box blurs; else an odd number of taps
	SigmaPerBatch bool // one sigma for the whole batch
	ZeroBorder    bool // zeros lie around the image, with a kernel
	Threshold     int  // of Solarize, 0..255; 0 stands for 128
}

// Pass is one run of a backbone over one or several views of equal size, stacked along the batch.
type Pass struct {
	Name         string
	Network      Network
	Views        []string
	MaskUse      MaskUse
	Masks        []string  // one per view for MaskUseDrop and MaskUseToken
	MaskToken    string    // parameter [1, 1, D], for MaskUseToken
	Outputs      []Feature // that the program reads
	Taps         []int     // blocks whose output is read
	StopGradient bool
	Eval         bool // no stochastic depth, running statistics
	NoDropPath   bool
	// SubBatches are equal parts of the micro-batch that have batch statistics of their own, as on
	// so many devices; 0 stands for one.
	SubBatches  int
	Interleaved bool // part k of n sub-batches are the images k, k+n, k+2n, …
}

// Mask is a choice that the objective makes anew for each batch.
type Mask struct {
	Name       string
	View       string
	Kind       MaskKind
	Length     int // numbers or rectangles per sample; of a bitmap the most masked cells, 0: any
	Rows, Cols int // cells
	Limit      int // of MaskIndices: numbers lie in 0..Limit-1
}

// Target is an input that is neither pixels nor mask: [B] integers for sample ids and labels, [B,
// 7] for geometry, [B] + Shape otherwise.
type Target struct {
	Name   string
	Source Source
	View   string
	Shape  []int
	DType  DType
	Value  Ref // of SourceCached
}

// Init is the rule for initial values.
type Init struct {
	Kind               InitKind
	A, B               float64
	FanIn, FanOut      int // 0: from the shape [out, in, ...]
	Rows, Cols, Prefix int // of the sine-cosine tables
	Values             []float32
	Path               string // of InitFile
	Tensor             string
	Digest             string // entry "digest" of the file's metadata
}

// Param is a parameter of the objective.
type Param struct {
	Name         string
	Shape        []int
	Init         *Init // nil only before the plan is checked: zeros
	Decay        bool
	LRScale      float64 // 0 stands for 1
	Frozen       bool
	FreezeUntil  int // first step in which it is trained
	TeacherCopy  bool
	UnitNormRows bool // rows are L2-normalized before each forward pass
	ConstantLR   bool // the learning rate stays at its peak
}

// Buffer is state that is not trained.
type Buffer struct {
	Name         string
	Shape        []int
	Init         *Init // nil only before the plan is checked: zeros
	Update       Update
	Reduction    Reduction
	UnitNormRows bool // of the initial values
}

// Waits reports whether updates of the buffer wait for the end of a step of several micro-batches:
// those of rings and of rows, and those that are a mean or a sum over the batch.
func (b *Buffer) Waits() bool {
	return b.Update != UpdateReplace || b.Reduction == ReductionMean || b.Reduction == ReductionSum
}

// Teacher is the exponential moving average of the student.
type Teacher struct {
	Momentum string // schedule
	When     When
}

// Ref names a value that the program reads. The zero value names nothing.
type Ref struct {
	Of      RefKind
	Name    string  // of the node, pass, parameter, buffer, target, mask, view or schedule
	Output  int     // of a node
	Feature Feature // of a pass
	Tap     int     // block of FeatureTap
	Form    Form    // of a mask
}

// Node is one operator of the program.
type Node struct {
	Name       string
	Op         string
	Inputs     []Argument
	Attributes map[string]any // all of the operator: int, float64, bool, string or []int
}

// Argument is one named input of a node.
type Argument struct {
	Name string
	Ref  Ref
}

// Results are the values that a step yields.
type Results struct {
	Loss     Ref // one number
	Metrics  []*Metric
	Updates  []*BufferUpdate
	Images   []*Images
	Pictures []*Picture
}

// Metric is a named number.
type Metric struct {
	Name  string
	Value Ref
}

// BufferUpdate is a value that goes into a buffer after the step.
type BufferUpdate struct {
	Buffer string
	Value  Ref
	Rows   Ref // integers [R], for UpdateRows
}

// Images are those that a pass with MaskUseCorrupted reads, [B·views, C, H, W].
type Images struct {
	Pass   string
	Images Ref
}

// Picture is a prediction of the program that can be shown.
type Picture struct {
	Name            string
	Prediction      Ref
	Layout          Layout
	PatchNormalized bool // of patches normalized by their own mean and variance
	View            string
	Mask            string // that hid pixels; may be empty
}

// Export is a network of the objective's own that is worth keeping.
type Export struct {
	Name     string
	Params   []string
	Buffers  []string
	Metadata map[string]string
}

// Recommended is the use of the trained network that the objective advises.
type Recommended struct {
	Network      Network
	Features     []Feature // FeatureClass, FeaturePooled, or both in this order; none: pooled
	LinearBlocks int       // last blocks that a linear classifier reads; 0: the last
}

// Evaluate is the part of a step that the plugin computes itself.
type Evaluate struct {
	Inputs       []EvaluateInput
	Params       []string // whose gradients it writes
	Buffers      []string // it reads
	Updates      []string // of these, those it replaces
	Targets      []string
	Masks        []string
	Schedules    []string
	ScratchBytes int
}

// EvaluateInput is an argument of the node "evaluate".
type EvaluateInput struct {
	Name     string
	Gradient bool // the plugin writes the gradient of the loss with respect to it
}

// Pass returns the pass of a name, nil if there is none.
func (p *Plan) Pass(name string) *Pass { return named(p.Passes, name) }

// View returns the view of a name, nil if there is none.
func (p *Plan) View(name string) *View { return named(p.Views, name) }

// Mask returns the mask of a name, nil if there is none.
func (p *Plan) Mask(name string) *Mask { return named(p.Masks, name) }

// Target returns the target of a name, nil if there is none.
func (p *Plan) Target(name string) *Target { return named(p.Targets, name) }

// Param returns the parameter of a name, nil if there is none.
func (p *Plan) Param(name string) *Param { return named(p.Params, name) }

// Buffer returns the buffer of a name, nil if there is none.
func (p *Plan) Buffer(name string) *Buffer { return named(p.Buffers, name) }

// Schedule returns the schedule of a name, nil if there is none.
func (p *Plan) Schedule(name string) *Schedule { return named(p.Schedules, name) }

// Count is the number of nodes with the operator op.
func (p *Plan) Count(op string) int {
	n := 0
	for _, node := range p.Nodes {
		if node.Op == op {
			n++
		}
	}
	return n
}

// Computes reports whether the plugin computes something in each step: targets, or the loss itself.
func (p *Plan) Computes() bool {
	for _, t := range p.Targets {
		if t.Source == SourcePlugin {
			return true
		}
	}
	return p.Evaluate != nil
}

// FixedInStep reports whether a buffer is the same for all micro-batches of a step: its updates wait,
// and neither an operator nor the plugin changes it directly.
func (p *Plan) FixedInStep(b *Buffer) bool {
	if !b.Waits() || p.Evaluate != nil && slices.Contains(p.Evaluate.Updates, b.Name) {
		return false
	}
	for _, n := range p.Nodes {
		for _, in := range Lookup(n.Op).Inputs {
			if in.Buffer && slices.ContainsFunc(n.Inputs, func(a Argument) bool { return a.Name == in.Name && a.Ref.Of == RefBuffer && a.Ref.Name == b.Name }) {
				return false
			}
		}
	}
	return true
}

func named[T interface {
	comparable
	name() string
}](list []T, name string) (none T) {
	for _, x := range list {
		if x.name() == name {
			return x
		}
	}
	return none
}

func (v *View) name() string     { return v.Name }
func (p *Pass) name() string     { return p.Name }
func (m *Mask) name() string     { return m.Name }
func (t *Target) name() string   { return t.Name }
func (p *Param) name() string    { return p.Name }
func (b *Buffer) name() string   { return b.Name }
func (s *Schedule) name() string { return s.Name }
func (n *Node) name() string     { return n.Name }
