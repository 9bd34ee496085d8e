package plan

import (
	"cmp"
	"fmt"
	"math"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/vittool/vittool/internal/edit"
	"github.com/vittool/vittool/plugins/pb"
)

// FromProto converts the plan that a plugin sent and checks it, for a run with the given backbone.
// An error names the part of the plan and the fault.
func FromProto(m *pb.Plan, backbone Backbone) (*Plan, error) {
	if m == nil {
		return nil, fmt.Errorf("the reply holds no plan; return one from Open")
	}
	if m.OperatorVersion != OperatorVersion {
		return nil, fmt.Errorf("field operator_version is %d, and this vittool has version %d of the operators; use a vittool or a plugin of the other version", m.OperatorVersion, OperatorVersion)
	}
	if err := checkValues(m.ProtoReflect(), "plan"); err != nil {
		return nil, err
	}
	c := &converter{backbone: backbone}
	p := c.plan(m)
	if c.err != nil {
		return nil, c.err
	}
	if err := check(p, backbone); err != nil {
		return nil, err
	}
	return p, nil
}

// checkValues refuses NaN, infinity and unknown enumeration values anywhere in a message.
func checkValues(m protoreflect.Message, path string) (err error) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		p := path + "." + string(f.Name())
		switch {
		case f.IsMap():
		case f.IsList():
			if k := f.Kind(); k != protoreflect.MessageKind && k != protoreflect.EnumKind && k != protoreflect.DoubleKind && k != protoreflect.FloatKind {
				break
			}
			for i := 0; i < v.List().Len() && err == nil; i++ {
				if e := v.List().Get(i); !known(f, e) || f.Kind() == protoreflect.MessageKind {
					err = checkValue(f, e, fmt.Sprintf("%s[%d]", p, i))
				}
			}
		default:
			err = checkValue(f, v, p)
		}
		return err == nil
	})
	return err
}

func checkValue(f protoreflect.FieldDescriptor, v protoreflect.Value, path string) error {
	switch {
	case f.Kind() == protoreflect.MessageKind:
		return checkValues(v.Message(), path)
	case known(f, v):
		return nil
	case f.Kind() == protoreflect.EnumKind:
		return fmt.Errorf("field %s is %d, which this vittool does not know: is it older than the plugin?", path, v.Enum())
	}
	return fmt.Errorf("field %s is %v: it must be finite", path, v.Float())
}

// known reports whether a single value is neither NaN nor infinite nor unknown.
func known(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
	switch f.Kind() {
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return !math.IsNaN(v.Float()) && !math.IsInf(v.Float(), 0)
	case protoreflect.EnumKind:
		return f.Enum().Values().ByNumber(v.Enum()) != nil
	}
	return true
}

// converter keeps the first value that does not fit the typed plan.
type converter struct {
	backbone Backbone
	err      error
}

func (c *converter) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// each converts a list.
func each[M, T any](list []M, convert func(M) T) []T {
	if len(list) == 0 {
		return nil
	}
	out := make([]T, len(list))
	for i, m := range list {
		out[i] = convert(m)
	}
	return out
}

// numbers converts a list of numbers or enumerations.
func numbers[T, M ~int | ~int32 | ~uint32 | ~int64 | ~uint64](list []M) []T {
	return each(list, func(v M) T { return T(v) })
}

// shape refuses dimensions whose product is no number of elements that a tensor can have.
func (c *converter) shape(owner string, dims []uint64) []int {
	total := uint64(1)
	for _, d := range dims {
		if d == 0 || d > MaxElements || total > MaxElements/d {
			c.fail("%s has the impossible shape %v: dimensions must be positive and their product at most 2^31", owner, dims)
			return nil
		}
		total *= d
	}
	return numbers[int](dims)
}

func (c *converter) plan(m *pb.Plan) *Plan {
	p := &Plan{
		Requirements: c.requirements(m.GetBackbone()), Views: each(m.Views, c.view), Passes: each(m.Passes, pass), Targets: each(m.Targets, c.target),
		Params: each(m.Params, c.param), Buffers: each(m.Buffers, c.buffer), Schedules: each(m.Schedules, schedule),
		Nodes: each(m.Nodes, c.node), Results: results(m.GetResults()), Evaluate: evaluate(m.Evaluate), Exports: each(m.Exports, export),
	}
	p.Masks = each(m.Masks, func(s *pb.MaskSpec) *Mask { return c.mask(p, s) })
	if t := m.Teacher; t != nil {
		p.Teacher = &Teacher{Momentum: t.Momentum, When: When(t.When)}
	}
	if r := m.Recommended; r != nil {
		p.Recommended = &Recommended{Network: Network(r.Network), Features: numbers[Feature](r.Features), LinearBlocks: int(r.LinearBlocks)}
	}
	return p
}

func (c *converter) requirements(m *pb.BackboneRequirements) Requirements {
	r := Requirements{
		Families: m.GetFamilies(), PosEmbed: PosEmbed(m.GetPosEmbed()), ClassToken: ClassToken(m.GetClassToken()),
		RelPos: RelPos(m.GetRelPos()), LayerScale: m.GetLayerScale(), DropPath: m.GetDropPath(), Decay: DecayRule(m.GetDecayRule()),
		NoDecay: m.GetNoDecay(), Frozen: m.GetFrozen(), SplitQKVBias: m.GetSplitQkvBias(), Unused: m.GetUnused(),
	}
	if name := m.GetInit(); name != "" && name != "timm" {
		c.fail("field backbone.init names %q: want \"timm\" or nothing, and the initialization of a recipe in init_rules", name)
	}
	for i, rule := range m.GetInitRules() {
		r.Init = append(r.Init, InitRule{
			Weights: rule.GetWeights(), Init: c.initial(fmt.Sprintf("field backbone.init_rules[%d]", i), rule.GetInit()),
			Stacked: int(rule.GetStacked()), ByDepth: rule.GetByDepth(),
		})
	}
	return r
}

// view fills in the image size of the model.
func (c *converter) view(m *pb.ViewSpec) *View {
	v := &View{
		Name: m.GetName(), Height: int(m.GetHeight()), Width: int(m.GetWidth()), Crop: Crop(m.GetCrop()),
		ScaleMin: m.GetScaleMin(), ScaleMax: m.GetScaleMax(), RatioMin: m.GetRatioMin(), RatioMax: m.GetRatioMax(),
		Interpolation: Interpolation(m.GetInterpolation()), Augmentations: each(m.GetAugmentations(), augmentation),
		SameGeometryAs: m.GetSameGeometryAs(), SameColors: m.GetSameColors(), Mean: m.GetMean(), Std: m.GetStd(),
		ResizeFactor: m.GetResizeFactor(), Attempts: int(m.GetAttempts()), ColorsFirst: m.GetColorsFirst(),
	}
	if v.Height == 0 {
		v.Height = c.backbone.Height
	}
	if v.Width == 0 {
		v.Width = c.backbone.Width
	}
	return v
}

func augmentation(m *pb.Augmentation) *Augmentation {
	switch k := m.GetKind().(type) {
	case *pb.Augmentation_Flip_:
		return &Augmentation{Kind: Flip, Probability: k.Flip.GetProbability()}
	case *pb.Augmentation_ColorJitter_:
		j := k.ColorJitter
		return &Augmentation{Kind: ColorJitter, Probability: j.GetProbability(), Brightness: j.GetBrightness(), Contrast: j.GetContrast(),
			Saturation: j.GetSaturation(), Hue: j.GetHue(), FixedOrder: j.GetFixedOrder()}
	case *pb.Augmentation_Grayscale_:
		return &Augmentation{Kind: Grayscale, Probability: k.Grayscale.GetProbability()}
	case *pb.Augmentation_GaussianBlur_:
		g := k.GaussianBlur
		return &Augmentation{Kind: GaussianBlur, Probability: g.GetProbability(), SigmaMin: g.GetSigmaMin(), SigmaMax: g.GetSigmaMax(),
			Kernel: int(g.GetKernel()), SigmaPerBatch: g.GetSigmaPerBatch(), ZeroBorder: g.GetZeroBorder()}
	case *pb.Augmentation_Solarize_:
		return &Augmentation{Kind: Solarize, Probability: k.Solarize.GetProbability(), Threshold: int(k.Solarize.GetThreshold())}
	}
	return &Augmentation{}
}

func pass(m *pb.PassSpec) *Pass {
	return &Pass{
		Name: m.GetName(), Network: Network(m.GetNetwork()), Views: m.GetViews(), MaskUse: MaskUse(m.GetMaskUse()), Masks: m.GetMasks(),
		MaskToken: m.GetMaskToken(), Outputs: numbers[Feature](m.GetOutputs()), Taps: numbers[int](m.GetTaps()),
		StopGradient: m.GetStopGradient(), Eval: m.GetMode() == pb.PassSpec_MODE_EVAL, NoDropPath: m.GetNoDropPath(),
		SubBatches: int(m.GetSubBatches()), Interleaved: m.GetInterleaved(),
	}
}

// mask fills in the patch grid of its view.
func (c *converter) mask(p *Plan, m *pb.MaskSpec) *Mask {
	k := &Mask{
		Name: m.GetName(), View: m.GetView(), Kind: MaskKind(m.GetKind()), Length: int(m.GetLength()),
		Rows: int(m.GetRows()), Cols: int(m.GetCols()), Limit: int(min(m.GetLimit(), math.MaxInt)),
	}
	if v := p.View(k.View); v != nil && k.Rows == 0 && k.Cols == 0 {
		k.Rows, k.Cols = v.Height/max(1, c.backbone.Patch), v.Width/max(1, c.backbone.Patch)
	}
	return k
}

func (c *converter) target(m *pb.TargetSpec) *Target {
	return &Target{
		Name: m.GetName(), Source: Source(m.GetSource()), View: m.GetView(),
		Shape: c.shape(fmt.Sprintf("target %q", m.GetName()), m.GetShape()), DType: DType(m.GetDtype()), Value: ref(m.GetValue()),
	}
}

func (c *converter) initial(owner string, m *pb.Init) *Init {
	if max(m.GetFanIn(), m.GetFanOut()) > MaxElements {
		c.fail("%s: fields init.fan_in and init.fan_out are %d and %d: want at most 2^31", owner, m.GetFanIn(), m.GetFanOut())
	}
	return &Init{
		Kind: InitKind(m.GetKind()), A: m.GetA(), B: m.GetB(), FanIn: int(m.GetFanIn()), FanOut: int(m.GetFanOut()),
		Rows: int(m.GetRows()), Cols: int(m.GetCols()), Prefix: int(m.GetPrefix()), Values: m.GetValues(),
		Path: m.GetPath(), Tensor: m.GetTensor(), Digest: m.GetDigest(),
	}
}

func (c *converter) param(m *pb.ParamSpec) *Param {
	owner := fmt.Sprintf("param %q", m.GetName())
	return &Param{
		Name: m.GetName(), Shape: c.shape(owner, m.GetShape()), Init: c.initial(owner, m.GetInit()), Decay: m.GetDecay(), LRScale: m.GetLrScale(),
		Frozen: m.GetFrozen(), FreezeUntil: int(min(m.GetFreezeUntil(), math.MaxInt)), TeacherCopy: m.GetTeacherCopy(), UnitNormRows: m.GetUnitNormRows(),
		ConstantLR: m.GetConstantLr(),
	}
}

func (c *converter) buffer(m *pb.BufferSpec) *Buffer {
	owner := fmt.Sprintf("buffer %q", m.GetName())
	if d := DType(m.GetDtype()); d != F32 {
		c.fail("%s has elements of type %v; buffers hold 32-bit floats", owner, d)
	}
	return &Buffer{
		Name: m.GetName(), Shape: c.shape(owner, m.GetShape()), Init: c.initial(owner, m.GetInit()),
		Update: Update(m.GetUpdate()), Reduction: Reduction(m.GetReduction()), UnitNormRows: m.GetUnitNormRows(),
	}
}

func schedule(m *pb.Schedule) *Schedule {
	return &Schedule{
		Name: m.GetName(), Kind: ScheduleKind(m.GetKind()), From: m.GetFrom(), To: m.GetTo(), Steps: int(min(m.GetSteps(), math.MaxInt)), WarmupSteps: int(min(m.GetWarmupSteps(), math.MaxInt)),
		WarmupFrom: m.GetWarmupFrom(), Values: m.GetValues(), StepsPerValue: cmp.Or(m.GetValueSteps(), float64(m.GetStepsPerValue())),
	}
}

func ref(m *pb.Ref) Ref {
	switch of := m.GetOf().(type) {
	case *pb.Ref_Node:
		return Ref{Of: RefNode, Name: of.Node, Output: int(m.GetOutput())}
	case *pb.Ref_Feature:
		return Ref{Of: RefFeature, Name: of.Feature.GetPass(), Feature: Feature(of.Feature.GetOutput()), Tap: int(of.Feature.GetTap())}
	case *pb.Ref_Param:
		return Ref{Of: RefParam, Name: of.Param}
	case *pb.Ref_TeacherParam:
		return Ref{Of: RefTeacherParam, Name: of.TeacherParam}
	case *pb.Ref_Buffer:
		return Ref{Of: RefBuffer, Name: of.Buffer}
	case *pb.Ref_Target:
		return Ref{Of: RefTarget, Name: of.Target}
	case *pb.Ref_Mask:
		return Ref{Of: RefMask, Name: of.Mask.GetMask(), Form: Form(of.Mask.GetForm())}
	case *pb.Ref_View:
		return Ref{Of: RefView, Name: of.View}
	case *pb.Ref_Scalar:
		return Ref{Of: RefScalar, Name: of.Scalar}
	}
	return Ref{}
}

// node looks the operator up: its row says which attributes there are and their defaults.
func (c *converter) node(m *pb.Node) *Node {
	n := &Node{Name: m.GetName(), Op: m.GetOp()}
	n.Inputs = each(m.GetInputs(), func(a *pb.Argument) Argument { return Argument{a.GetName(), ref(a.GetRef())} })
	op := Lookup(n.Op)
	if op == nil {
		c.fail("%s: %s in version %d of the operators; %s", n, edit.NoSuch("operator"), OperatorVersion, edit.Suggest(n.Op, operatorNames()))
		return n
	}
	var err error
	if n.Attributes, err = op.attributes(m.GetAttributes()); err != nil {
		c.fail("%s: %w", n, err)
	}
	return n
}

func results(m *pb.Results) Results {
	return Results{
		Loss:    ref(m.GetLoss()),
		Metrics: each(m.GetMetrics(), func(x *pb.Metric) *Metric { return &Metric{x.GetName(), ref(x.GetValue())} }),
		Updates: each(m.GetUpdates(), func(x *pb.BufferResult) *BufferUpdate {
			return &BufferUpdate{x.GetBuffer(), ref(x.GetValue()), ref(x.GetRows())}
		}),
		Images: each(m.GetImages(), func(x *pb.PassImages) *Images { return &Images{x.GetPass(), ref(x.GetImages())} }),
		Pictures: each(m.GetPictures(), func(x *pb.Picture) *Picture {
			return &Picture{x.GetName(), ref(x.GetPrediction()), Layout(x.GetLayout()), x.GetPatchNormalized(), x.GetView(), x.GetMask()}
		}),
	}
}

func export(m *pb.Export) *Export {
	return &Export{Name: m.GetName(), Params: m.GetParams(), Buffers: m.GetBuffers(), Metadata: m.GetMetadata()}
}

func evaluate(m *pb.EvaluateSpec) *Evaluate {
	if m == nil {
		return nil
	}
	return &Evaluate{
		Inputs: each(m.Inputs, func(in *pb.EvaluateInput) EvaluateInput { return EvaluateInput{in.GetName(), in.GetGradient()} }),
		Params: m.Params, Buffers: m.Buffers, Updates: m.Updates, Targets: m.Targets, Masks: m.Masks, Schedules: m.Schedules,
		ScratchBytes: int(min(m.ScratchBytes, math.MaxInt)),
	}
}
