package plan_test

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/schema"
)

// enumerations pairs values of plans and options with the protocol's.
var enumerations = []struct {
	enum protoreflect.Enum
	name string
	ours int
}{
	{pb.DType(0), "DTYPE_U8", int(plan.U8)},
	{pb.Network(0), "NETWORK_TEACHER", int(plan.NetworkTeacher)},
	{pb.Output(0), "OUTPUT_TOKENS", int(plan.FeatureTokens)},
	{pb.Output(0), "OUTPUT_CLASS", int(plan.FeatureClass)},
	{pb.Output(0), "OUTPUT_POOLED", int(plan.FeaturePooled)},
	{pb.Output(0), "OUTPUT_MAP", int(plan.FeatureMap)},
	{pb.Output(0), "OUTPUT_TAP", int(plan.FeatureTap)},
	{pb.Output(0), "OUTPUT_PATCHES", int(plan.FeaturePatchTokens)},
	{pb.BackboneRequirements_PosEmbed(0), "POS_EMBED_LEARNED", int(plan.PosEmbedLearned)},
	{pb.BackboneRequirements_PosEmbed(0), "POS_EMBED_SINCOS_COLUMN", int(plan.PosEmbedSinCosColumn)},
	{pb.BackboneRequirements_PosEmbed(0), "POS_EMBED_SINCOS_ROW", int(plan.PosEmbedSinCosRow)},
	{pb.BackboneRequirements_PosEmbed(0), "POS_EMBED_NONE", int(plan.PosEmbedNone)},
	{pb.BackboneRequirements_ClassToken(0), "CLASS_TOKEN_REQUIRED", int(plan.ClassTokenRequired)},
	{pb.BackboneRequirements_ClassToken(0), "CLASS_TOKEN_NONE", int(plan.ClassTokenNone)},
	{pb.BackboneRequirements_RelPos(0), "REL_POS_NONE", int(plan.RelPosNone)},
	{pb.BackboneRequirements_RelPos(0), "REL_POS_SHARED", int(plan.RelPosShared)},
	{pb.BackboneRequirements_RelPos(0), "REL_POS_PER_BLOCK", int(plan.RelPosPerBlock)},
	{pb.BackboneRequirements_RelPos(0), "REL_POS_BOTH", int(plan.RelPosBoth)},
	{pb.BackboneRequirements_DecayRule(0), "DECAY_ALL", int(plan.DecayAll)},
	{pb.BackboneRequirements_DecayRule(0), "DECAY_NONE", int(plan.DecayNone)},
	{pb.ViewSpec_Crop(0), "CROP_CENTER", int(plan.CropCenter)},
	{pb.ViewSpec_Crop(0), "CROP_SQUASH", int(plan.CropSquash)},
	{pb.ViewSpec_Interpolation(0), "INTERPOLATION_BILINEAR", int(plan.InterpolationBilinear)},
	{pb.ViewSpec_Interpolation(0), "INTERPOLATION_LANCZOS", int(plan.InterpolationLanczos)},
	{pb.ViewSpec_Interpolation(0), "INTERPOLATION_BOX", int(plan.InterpolationBox)},
	{pb.ViewSpec_Interpolation(0), "INTERPOLATION_NEAREST", int(plan.InterpolationNearest)},
	{pb.PassSpec_MaskUse(0), "MASK_USE_DROP", int(plan.MaskUseDrop)},
	{pb.PassSpec_MaskUse(0), "MASK_USE_TOKEN", int(plan.MaskUseToken)},
	{pb.PassSpec_MaskUse(0), "MASK_USE_CORRUPTED", int(plan.MaskUseCorrupted)},
	{pb.MaskSpec_Kind(0), "KIND_KEEP", int(plan.MaskKeep)},
	{pb.MaskSpec_Kind(0), "KIND_BITMAP", int(plan.MaskBitmap)},
	{pb.MaskSpec_Kind(0), "KIND_INDICES", int(plan.MaskIndices)},
	{pb.MaskSpec_Kind(0), "KIND_CORRUPTION", int(plan.MaskCorruption)},
	{pb.MaskRef_Form(0), "FORM_REMOVED", int(plan.FormMasked)},
	{pb.MaskRef_Form(0), "FORM_REMOVED_BLOCKS", int(plan.FormChanged)},
	{pb.MaskRef_Form(0), "FORM_REMOVED_CELLS", int(plan.FormMaskedCells)},
	{pb.MaskRef_Form(0), "FORM_REMOVED_COUNTED", int(plan.FormCounted)},
	{pb.TargetSpec_Source(0), "SOURCE_SAMPLE_ID", int(plan.SourceSampleID)},
	{pb.TargetSpec_Source(0), "SOURCE_LABEL", int(plan.SourceLabel)},
	{pb.TargetSpec_Source(0), "SOURCE_GEOMETRY", int(plan.SourceGeometry)},
	{pb.TargetSpec_Source(0), "SOURCE_PLUGIN", int(plan.SourcePlugin)},
	{pb.TargetSpec_Source(0), "SOURCE_CACHED", int(plan.SourceCached)},
	{pb.Init_Kind(0), "KIND_ONES", int(plan.InitOnes)},
	{pb.Init_Kind(0), "KIND_CONSTANT", int(plan.InitConstant)},
	{pb.Init_Kind(0), "KIND_NORMAL", int(plan.InitNormal)},
	{pb.Init_Kind(0), "KIND_TRUNC_NORMAL", int(plan.InitTruncNormal)},
	{pb.Init_Kind(0), "KIND_UNIFORM", int(plan.InitUniform)},
	{pb.Init_Kind(0), "KIND_XAVIER_UNIFORM", int(plan.InitXavierUniform)},
	{pb.Init_Kind(0), "KIND_FAN_IN_UNIFORM", int(plan.InitFanInUniform)},
	{pb.Init_Kind(0), "KIND_SINCOS_COLUMN", int(plan.InitSinCosColumn)},
	{pb.Init_Kind(0), "KIND_SINCOS_ROW", int(plan.InitSinCosRow)},
	{pb.Init_Kind(0), "KIND_FILE", int(plan.InitFile)},
	{pb.BufferSpec_Update(0), "UPDATE_ROWS", int(plan.UpdateRows)},
	{pb.BufferSpec_Update(0), "UPDATE_RING", int(plan.UpdateRing)},
	{pb.BufferSpec_Update(0), "UPDATE_NEWEST_FIRST", int(plan.UpdateNewestFirst)},
	{pb.BufferSpec_Reduction(0), "REDUCTION_MEAN", int(plan.ReductionMean)},
	{pb.BufferSpec_Reduction(0), "REDUCTION_SUM", int(plan.ReductionSum)},
	{pb.BufferSpec_Reduction(0), "REDUCTION_GATHER", int(plan.ReductionGather)},
	{pb.Schedule_Kind(0), "KIND_LINEAR", int(plan.ScheduleLinear)},
	{pb.Schedule_Kind(0), "KIND_COSINE", int(plan.ScheduleCosine)},
	{pb.Schedule_Kind(0), "KIND_TABLE", int(plan.ScheduleTable)},
	{pb.Teacher_When(0), "WHEN_BEFORE_FORWARD", int(plan.WhenBeforeForward)},
	{pb.Picture_Layout(0), "LAYOUT_PATCHES_CHW", int(plan.LayoutChannelFirst)},
	{pb.Picture_Layout(0), "LAYOUT_IMAGE", int(plan.LayoutImage)},
	{pb.Option_Type(0), "TYPE_BOOL", int(schema.Bool)},
	{pb.Option_Type(0), "TYPE_INT", int(schema.Int)},
	{pb.Option_Type(0), "TYPE_FLOAT", int(schema.Float)},
	{pb.Option_Type(0), "TYPE_STRING", int(schema.String)},
	{pb.Option_Type(0), "TYPE_INTS", int(schema.Ints)},
	{pb.Option_Type(0), "TYPE_FLOATS", int(schema.Floats)},
	{pb.Option_Type(0), "TYPE_STRINGS", int(schema.Strings)},
}

// Enumerations are numbered as in the protocol.
func TestEnumerations(t *testing.T) {
	for _, tc := range enumerations {
		v := tc.enum.Descriptor().Values().ByName(protoreflect.Name(tc.name))
		if v == nil || int(v.Number()) != tc.ours {
			t.Errorf("%s is %v in the protocol and %d here", tc.name, v, tc.ours)
		}
	}
}
