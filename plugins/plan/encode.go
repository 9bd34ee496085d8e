package plan

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/vittool/vittool/plugins/pb"
)

// ToProto is the message of a plan. Attributes come in the order of the operator table, unknown ones
// after them.
func (p *Plan) ToProto() *pb.Plan {
	m := &pb.Plan{
		OperatorVersion: OperatorVersion,
		Backbone:        requirementsMessage(p.Requirements),
		Views:           each(p.Views, viewMessage),
		Passes:          each(p.Passes, passMessage),
		Masks:           each(p.Masks, maskMessage),
		Targets:         each(p.Targets, targetMessage),
		Params:          each(p.Params, paramMessage),
		Buffers:         each(p.Buffers, bufferMessage),
		Schedules:       each(p.Schedules, scheduleMessage),
		Nodes:           each(p.Nodes, nodeMessage),
		Results:         resultsMessage(&p.Results),
		Exports: each(p.Exports, func(e *Export) *pb.Export {
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

func viewMessage(v *View) *pb.ViewSpec {
	return &pb.ViewSpec{
		Name: v.Name, Height: uint32(v.Height), Width: uint32(v.Width), Crop: pb.ViewSpec_Crop(v.Crop),
		ScaleMin: v.ScaleMin, ScaleMax: v.ScaleMax, RatioMin: v.RatioMin, RatioMax: v.RatioMax,
		Interpolation: pb.ViewSpec_Interpolation(v.Interpolation), Augmentations: each(v.Augmentations, augmentationMessage),
		SameGeometryAs: v.SameGeometryAs, SameColors: v.SameColors, Mean: v.Mean, Std: v.Std,
		ResizeFactor: v.ResizeFactor, Attempts: uint32(v.Attempts), ColorsFirst: v.ColorsFirst,
	}
}

func augmentationMessage(a *Augmentation) *pb.Augmentation {
	switch a.Kind {
	case Flip:
		return &pb.Augmentation{Kind: &pb.Augmentation_Flip_{Flip: &pb.Augmentation_Flip{Probability: a.Probability}}}
	case ColorJitter:
		return &pb.Augmentation{Kind: &pb.Augmentation_ColorJitter_{ColorJitter: &pb.Augmentation_ColorJitter{
			Probability: a.Probability, Brightness: a.Brightness, Contrast: a.Contrast, Saturation: a.Saturation, Hue: a.Hue, FixedOrder: a.FixedOrder}}}
	case Grayscale:
		return &pb.Augmentation{Kind: &pb.Augmentation_Grayscale_{Grayscale: &pb.Augmentation_Grayscale{Probability: a.Probability}}}
	case GaussianBlur:
		return &pb.Augmentation{Kind: &pb.Augmentation_GaussianBlur_{GaussianBlur: &pb.Augmentation_GaussianBlur{
			Probability: a.Probability, SigmaMin: a.SigmaMin, SigmaMax: a.SigmaMax, Kernel: uint32(a.Kernel), SigmaPerBatch: a.SigmaPerBatch, ZeroBorder: a.ZeroBorder}}}
	case Solarize:
		return &pb.Augmentation{Kind: &pb.Augmentation_Solarize_{Solarize: &pb.Augmentation_Solarize{Probability: a.Probability, Threshold: uint32(a.Threshold)}}}
	}
	return &pb.Augmentation{} // the host refuses it by its number in the view
}

func passMessage(p *Pass) *pb.PassSpec {
	m := &pb.PassSpec{
		Name: p.Name, Network: pb.Network(p.Network), Views: p.Views, MaskUse: pb.PassSpec_MaskUse(p.MaskUse), Masks: p.Masks, MaskToken: p.MaskToken,
		Outputs: numbers[pb.Output](p.Outputs), Taps: numbers[uint32](p.Taps), StopGradient: p.StopGradient, NoDropPath: p.NoDropPath,
		SubBatches: uint32(p.SubBatches), Interleaved: p.Interleaved,
	}
	if p.Eval {
		m.Mode = pb.PassSpec_MODE_EVAL
	}
	return m
}

func maskMessage(m *Mask) *pb.MaskSpec {
	return &pb.MaskSpec{Name: m.Name, View: m.View, Kind: pb.MaskSpec_Kind(m.Kind), Length: uint32(m.Length),
		Rows: uint32(m.Rows), Cols: uint32(m.Cols), Limit: uint64(m.Limit)}
}

func targetMessage(t *Target) *pb.TargetSpec {
	return &pb.TargetSpec{Name: t.Name, Source: pb.TargetSpec_Source(t.Source), View: t.View, Shape: numbers[uint64](t.Shape),
		Dtype: pb.DType(t.DType), Value: refMessage(t.Value)}
}

func paramMessage(p *Param) *pb.ParamSpec {
	return &pb.ParamSpec{Name: p.Name, Shape: numbers[uint64](p.Shape), Init: initMessage(p.Init), Decay: p.Decay, LrScale: p.LRScale,
		Frozen: p.Frozen, FreezeUntil: uint64(p.FreezeUntil), TeacherCopy: p.TeacherCopy, UnitNormRows: p.UnitNormRows, ConstantLr: p.ConstantLR}
}

func bufferMessage(f *Buffer) *pb.BufferSpec {
	return &pb.BufferSpec{Name: f.Name, Shape: numbers[uint64](f.Shape), Init: initMessage(f.Init),
		Update: pb.BufferSpec_Update(f.Update), Reduction: pb.BufferSpec_Reduction(f.Reduction), UnitNormRows: f.UnitNormRows}
}

func initMessage(i *Init) *pb.Init {
	if i == nil {
		return nil
	}
	return &pb.Init{Kind: pb.Init_Kind(i.Kind), A: i.A, B: i.B, FanIn: uint64(i.FanIn), FanOut: uint64(i.FanOut), Values: i.Values, Rows: uint32(i.Rows), Cols: uint32(i.Cols), Prefix: uint32(i.Prefix),
		Path: i.Path, Tensor: i.Tensor, Digest: i.Digest}
}

func scheduleMessage(s *Schedule) *pb.Schedule {
	return &pb.Schedule{Name: s.Name, Kind: pb.Schedule_Kind(s.Kind), From: s.From, To: s.To, Steps: uint64(s.Steps),
		WarmupSteps: uint64(s.WarmupSteps), WarmupFrom: s.WarmupFrom, Values: s.Values, StepsPerValue: uint64(math.Round(s.StepsPerValue)), ValueSteps: s.StepsPerValue}
}

func nodeMessage(n *Node) *pb.Node {
	m := &pb.Node{Name: n.Name, Op: n.Op, Inputs: each(n.Inputs, func(a Argument) *pb.Argument { return &pb.Argument{Name: a.Name, Ref: refMessage(a.Ref)} })}
	names := slices.Sorted(maps.Keys(n.Attributes))
	if op := Lookup(n.Op); op != nil {
		place := func(name string) int {
			i := slices.IndexFunc(op.Attributes, func(a Attribute) bool { return a.Name == name })
			return cmp.Or(i+1, len(op.Attributes)+1)
		}
		slices.SortStableFunc(names, func(a, b string) int { return place(a) - place(b) })
	}
	for _, name := range names {
		m.Attributes = append(m.Attributes, attributeMessage(name, n.Attributes[name]))
	}
	return m
}

func attributeMessage(name string, value any) *pb.Attribute {
	m := &pb.Attribute{Name: name}
	switch v := value.(type) {
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

func resultsMessage(r *Results) *pb.Results {
	return &pb.Results{
		Loss:    refMessage(r.Loss),
		Metrics: each(r.Metrics, func(m *Metric) *pb.Metric { return &pb.Metric{Name: m.Name, Value: refMessage(m.Value)} }),
		Updates: each(r.Updates, func(u *BufferUpdate) *pb.BufferResult {
			return &pb.BufferResult{Buffer: u.Buffer, Value: refMessage(u.Value), Rows: refMessage(u.Rows)}
		}),
		Images: each(r.Images, func(i *Images) *pb.PassImages {
			return &pb.PassImages{Pass: i.Pass, Images: refMessage(i.Images)}
		}),
		Pictures: each(r.Pictures, func(p *Picture) *pb.Picture {
			return &pb.Picture{Name: p.Name, Prediction: refMessage(p.Prediction), Layout: pb.Picture_Layout(p.Layout),
				PatchNormalized: p.PatchNormalized, View: p.View, Mask: p.Mask}
		}),
	}
}

func evaluateMessage(e *Evaluate) *pb.EvaluateSpec {
	return &pb.EvaluateSpec{
		Inputs: each(e.Inputs, func(in EvaluateInput) *pb.EvaluateInput {
			return &pb.EvaluateInput{Name: in.Name, Gradient: in.Gradient}
		}),
		Params: e.Params, Buffers: e.Buffers, Updates: e.Updates, Targets: e.Targets, Masks: e.Masks, Schedules: e.Schedules,
		ScratchBytes: uint64(e.ScratchBytes),
	}
}

// refMessage is nil for a zero Ref.
func refMessage(r Ref) *pb.Ref {
	m := &pb.Ref{Output: uint32(r.Output)}
	switch r.Of {
	case RefNode:
		m.Of = &pb.Ref_Node{Node: r.Name}
	case RefFeature:
		m.Of = &pb.Ref_Feature{Feature: &pb.Feature{Pass: r.Name, Output: pb.Output(r.Feature), Tap: uint32(r.Tap)}}
	case RefParam:
		m.Of = &pb.Ref_Param{Param: r.Name}
	case RefTeacherParam:
		m.Of = &pb.Ref_TeacherParam{TeacherParam: r.Name}
	case RefBuffer:
		m.Of = &pb.Ref_Buffer{Buffer: r.Name}
	case RefTarget:
		m.Of = &pb.Ref_Target{Target: r.Name}
	case RefMask:
		m.Of = &pb.Ref_Mask{Mask: &pb.MaskRef{Mask: r.Name, Form: pb.MaskRef_Form(r.Form)}}
	case RefView:
		m.Of = &pb.Ref_View{View: r.Name}
	case RefScalar:
		m.Of = &pb.Ref_Scalar{Scalar: r.Name}
	default:
		return nil
	}
	return m
}
