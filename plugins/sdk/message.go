package sdk

import (
	"cmp"
	"math"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/schema"
)

// This file alone turns the SDK's values into messages of the protocol and back. Enumerations have
// the protocol's numbers (TestEnumerations).

func runOf(r *pb.OpenRequest) Run {
	n := r.GetBackbone()
	return Run{
		Seed: r.GetSeed(), Batch: int(r.GetBatch()), Steps: int(r.GetTotalSteps()), StepsPerEpoch: cmp.Or(r.GetEpochSteps(), float64(r.GetStepsPerEpoch())),
		DatasetSize: int(r.GetDatasetSize()), WorldSize: int(r.GetWorldSize()), Rank: int(r.GetRank()), FixedViews: r.GetFixedViews(),
		Backbone: Backbone{
			Name: n.GetName(), Family: n.GetFamily(), Dim: int(n.GetDim()), Depth: int(n.GetDepth()), Heads: int(n.GetHeads()),
			Patch: int(n.GetPatch()), Height: int(n.GetImageH()), Width: int(n.GetImageW()), Channels: int(n.GetChannels()),
			Mean: n.GetMean(), Std: n.GetStd(), PrefixTokens: int(n.GetPrefixTokens()), LayerNormEps: n.GetLayerNormEps(),
			StageDims: numbers[int](n.GetStageDims()),
		},
	}
}

func boxOf(b *pb.Box) Box {
	return Box{Top: b.Top, Left: b.Left, Height: b.Height, Width: b.Width, Flip: b.Flip,
		SourceHeight: int(b.SourceHeight), SourceWidth: int(b.SourceWidth)}
}

func optionMessages(options []schema.Option) []*pb.Option {
	return each(options, func(o schema.Option) *pb.Option {
		return &pb.Option{
			Key: o.Key, Type: pb.Option_Type(o.Type), DefaultJson: o.Default, Min: o.Min, Max: o.Max,
			ExclusiveMin: o.ExclusiveMin, ExclusiveMax: o.ExclusiveMax, Choices: o.Choices, Help: o.Help,
		}
	})
}

func planMessage(p *Plan) *pb.Plan {
	m := &pb.Plan{
		OperatorVersion: pb.OperatorVersion,
		Backbone:        requirementsMessage(p.Requirements),
		Views:           each(p.Views, viewMessage),
		Passes:          each(p.Passes, passMessage),
		Masks:           each(p.Masks, maskMessage),
		Targets:         each(p.Targets, targetMessage),
		Params:          each(p.Params, paramMessage),
		Buffers:         each(p.Buffers, bufferMessage),
		Schedules:       each(p.Schedules, scheduleMessage),
		Nodes:           each(p.Nodes, nodeMessage),
		Results:         resultsMessage(p),
		Exports: each(p.Exports, func(e Export) *pb.Export {
			return &pb.Export{Name: e.Name, Params: e.Params, Buffers: e.Buffers, Metadata: e.Metadata}
		}),
	}
	if t := p.Teacher; t != nil {
		m.Teacher = &pb.Teacher{Momentum: t.Momentum, When: pb.Teacher_When(t.When)}
	}
	if e := p.Evaluate; e != nil {
		m.Evaluate = evaluateMessage(e)
	}
	if r := p.Recommended; r != nil {
		m.Recommended = &pb.Recommended{Network: pb.Network(r.Network), Features: numbers[pb.Output](r.Features), LinearBlocks: uint32(r.LinearBlocks)}
	}
	return m
}

func requirementsMessage(r Requirements) *pb.BackboneRequirements {
	return &pb.BackboneRequirements{
		Families: r.Families, PosEmbed: pb.BackboneRequirements_PosEmbed(r.PosEmbed),
		ClassToken: pb.BackboneRequirements_ClassToken(r.ClassToken), RelPos: pb.BackboneRequirements_RelPos(r.RelPos),
		LayerScale: r.LayerScale, DropPath: r.DropPath, DecayRule: pb.BackboneRequirements_DecayRule(r.Decay),
		NoDecay: r.NoDecay, Frozen: r.Frozen, SplitQkvBias: r.SplitQKVBias, Unused: r.Unused,
		InitRules: each(r.Init, func(i InitRule) *pb.InitRule {
			return &pb.InitRule{Weights: i.Weights, Init: initMessage(i.Init), Stacked: uint32(i.Stacked), ByDepth: i.ByDepth}
		}),
	}
}

func viewMessage(v *ViewSpec) *pb.ViewSpec {
	return &pb.ViewSpec{
		Name: v.Name, Height: uint32(v.Height), Width: uint32(v.Width), Crop: pb.ViewSpec_Crop(v.Crop),
		ScaleMin: v.ScaleMin, ScaleMax: v.ScaleMax, RatioMin: v.RatioMin, RatioMax: v.RatioMax,
		Interpolation: pb.ViewSpec_Interpolation(v.Interpolation), Augmentations: each(v.Augmentations, augmentationMessage),
		SameGeometryAs: v.SameGeometryAs, SameColors: v.SameColors, Mean: v.Mean, Std: v.Std,
		ResizeFactor: v.ResizeFactor, Attempts: uint32(v.Attempts), ColorsFirst: v.ColorsFirst,
	}
}

func augmentationMessage(a Augmentation) *pb.Augmentation {
	switch a.Kind {
	case FlipAugmentation:
		return &pb.Augmentation{Kind: &pb.Augmentation_Flip_{Flip: &pb.Augmentation_Flip{Probability: a.Probability}}}
	case ColorAugmentation:
		return &pb.Augmentation{Kind: &pb.Augmentation_ColorJitter_{ColorJitter: &pb.Augmentation_ColorJitter{
			Probability: a.Probability, Brightness: a.Brightness, Contrast: a.Contrast, Saturation: a.Saturation, Hue: a.Hue, FixedOrder: a.FixedOrder}}}
	case GrayAugmentation:
		return &pb.Augmentation{Kind: &pb.Augmentation_Grayscale_{Grayscale: &pb.Augmentation_Grayscale{Probability: a.Probability}}}
	case BlurAugmentation:
		return &pb.Augmentation{Kind: &pb.Augmentation_GaussianBlur_{GaussianBlur: &pb.Augmentation_GaussianBlur{
			Probability: a.Probability, SigmaMin: a.SigmaMin, SigmaMax: a.SigmaMax, Kernel: uint32(a.Kernel), SigmaPerBatch: a.SigmaPerBatch, ZeroBorder: a.ZeroBorder}}}
	case SolarAugmentation:
		return &pb.Augmentation{Kind: &pb.Augmentation_Solarize_{Solarize: &pb.Augmentation_Solarize{Probability: a.Probability, Threshold: uint32(a.Threshold)}}}
	}
	return &pb.Augmentation{} // the host refuses it by its number in the view
}

func passMessage(p *PassSpec) *pb.PassSpec {
	m := &pb.PassSpec{
		Name: p.Name, Network: pb.Network(p.Network), Views: p.Views, MaskUse: pb.PassSpec_MaskUse(p.MaskUse), Masks: p.Masks, MaskToken: p.MaskToken,
		Outputs: numbers[pb.Output](p.Outputs), Taps: numbers[uint32](p.Taps), StopGradient: p.StopGradient, NoDropPath: p.NoDropPath,
	}
	if p.Eval {
		m.Mode = pb.PassSpec_MODE_EVAL
	}
	return m
}

func maskMessage(m *MaskSpec) *pb.MaskSpec {
	return &pb.MaskSpec{Name: m.Name, View: m.View, Kind: pb.MaskSpec_Kind(m.Kind), Length: uint32(m.Length),
		Rows: uint32(m.Rows), Cols: uint32(m.Cols), Limit: uint64(m.Limit)}
}

func targetMessage(t *TargetSpec) *pb.TargetSpec {
	return &pb.TargetSpec{Name: t.Name, Source: pb.TargetSpec_Source(t.Source), View: t.View, Shape: numbers[uint64](t.Shape),
		Dtype: pb.DType(t.DType), Value: refMessage(t.Value)}
}

func paramMessage(p *ParamSpec) *pb.ParamSpec {
	return &pb.ParamSpec{Name: p.Name, Shape: numbers[uint64](p.Shape), Init: initMessage(p.Init), Decay: p.Decay, LrScale: p.LRScale,
		Frozen: p.Frozen, FreezeUntil: uint64(p.FreezeUntil), TeacherCopy: p.TeacherCopy, UnitNormRows: p.UnitNormRows, ConstantLr: p.ConstantLR}
}

func bufferMessage(f *BufferSpec) *pb.BufferSpec {
	return &pb.BufferSpec{Name: f.Name, Shape: numbers[uint64](f.Shape), Dtype: pb.DType(f.DType), Init: initMessage(f.Init),
		Update: pb.BufferSpec_Update(f.Update), Reduction: pb.BufferSpec_Reduction(f.Reduction), UnitNormRows: f.UnitNormRows}
}

func initMessage(i *Init) *pb.Init {
	if i == nil {
		return nil
	}
	return &pb.Init{Kind: pb.Init_Kind(i.Kind), A: i.A, B: i.B, Rows: uint32(i.Rows), Cols: uint32(i.Cols), Prefix: uint32(i.Prefix),
		Path: i.Path, Tensor: i.Tensor, Digest: i.Digest}
}

func scheduleMessage(s *Schedule) *pb.Schedule {
	return &pb.Schedule{Name: s.Name, Kind: pb.Schedule_Kind(s.Kind), From: s.From, To: s.To, Steps: uint64(s.Steps),
		WarmupSteps: uint64(s.WarmupSteps), WarmupFrom: s.WarmupFrom, Values: s.Values, StepsPerValue: uint64(math.Round(s.StepsPerValue)), ValueSteps: s.StepsPerValue}
}

func nodeMessage(n *Node) *pb.Node {
	return &pb.Node{
		Name: n.Name, Op: n.Op, Attributes: each(n.Attributes, attributeMessage),
		Inputs: each(n.Inputs, func(in Input) *pb.Argument { return &pb.Argument{Name: in.Name, Ref: refMessage(in.Value)} }),
	}
}

func attributeMessage(a Attribute) *pb.Attribute {
	m := &pb.Attribute{Name: a.Name}
	switch v := a.value.(type) {
	case int:
		m.Value = &pb.Attribute_Int{Int: int64(v)}
	case float64:
		m.Value = &pb.Attribute_Float{Float: v}
	case bool:
		m.Value = &pb.Attribute_Bool{Bool: v}
	case string:
		m.Value = &pb.Attribute_String_{String_: v}
	case []int:
		m.Value = &pb.Attribute_Ints_{Ints: &pb.Attribute_Ints{Values: numbers[int64](v)}}
	case []float64:
		m.Value = &pb.Attribute_Floats_{Floats: &pb.Attribute_Floats{Values: v}}
	}
	return m
}

func resultsMessage(p *Plan) *pb.Results {
	return &pb.Results{
		Loss:    refMessage(p.Loss),
		Metrics: each(p.Metrics, func(m Metric) *pb.Metric { return &pb.Metric{Name: m.Name, Value: refMessage(m.Value)} }),
		Updates: each(p.Updates, func(u BufferUpdate) *pb.BufferResult {
			return &pb.BufferResult{Buffer: u.Buffer, Value: refMessage(u.Value), Rows: refMessage(u.Rows)}
		}),
		Images: each(p.Images, func(i PassImages) *pb.PassImages {
			return &pb.PassImages{Pass: i.Pass, Images: refMessage(i.Images)}
		}),
		Pictures: each(p.Pictures, func(p Picture) *pb.Picture {
			return &pb.Picture{Name: p.Name, Prediction: refMessage(p.Prediction), Layout: pb.Picture_Layout(p.Layout),
				PatchNormalized: p.PatchNormalized, View: p.View.name(), Mask: p.Mask.name()}
		}),
	}
}

func evaluateMessage(e *EvaluateSpec) *pb.EvaluateSpec {
	return &pb.EvaluateSpec{
		Inputs: each(e.Inputs, func(in EvaluateInput) *pb.EvaluateInput {
			return &pb.EvaluateInput{Name: in.Name, Gradient: in.Gradient}
		}),
		Params: e.Params, Buffers: e.Buffers, Updates: e.Updates, Targets: e.Targets, Masks: e.Masks, Schedules: e.Schedules,
		ScratchBytes: uint64(e.ScratchBytes),
	}
}

// refMessage is nil for a zero Tensor.
func refMessage(t Tensor) *pb.Ref {
	r, m := t.ref, &pb.Ref{Output: uint32(t.ref.output)}
	switch r.kind {
	case refNode:
		m.Of = &pb.Ref_Node{Node: r.name}
	case refFeature:
		m.Of = &pb.Ref_Feature{Feature: &pb.Feature{Pass: r.name, Output: pb.Output(r.feature), Tap: uint32(r.tap)}}
	case refParam:
		m.Of = &pb.Ref_Param{Param: r.name}
	case refTeacherParam:
		m.Of = &pb.Ref_TeacherParam{TeacherParam: r.name}
	case refBuffer:
		m.Of = &pb.Ref_Buffer{Buffer: r.name}
	case refTarget:
		m.Of = &pb.Ref_Target{Target: r.name}
	case refMask:
		m.Of = &pb.Ref_Mask{Mask: &pb.MaskRef{Mask: r.name, Form: pb.MaskRef_Form(r.form)}}
	case refView:
		m.Of = &pb.Ref_View{View: r.name}
	case refScalar:
		m.Of = &pb.Ref_Scalar{Scalar: r.name}
	default:
		return nil
	}
	return m
}

// each converts every element; the result of none is nil.
func each[T, M any](parts []T, message func(T) M) []M {
	var out []M
	for _, p := range parts {
		out = append(out, message(p))
	}
	return out
}

// numbers converts numbers and enumerations.
func numbers[M, T ~int | ~int32 | ~uint32 | ~int64 | ~uint64](values []T) []M {
	return each(values, func(v T) M { return M(v) })
}
