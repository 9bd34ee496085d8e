package sdk

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/schema"
)

// enumerations pairs values of the SDK with the protocol's.
var enumerations = []struct {
	enum protoreflect.Enum
	name string
	ours int
}{
	{pb.DType(0), "DTYPE_U8", int(U8)},
	{pb.Network(0), "NETWORK_TEACHER", int(TeacherNetwork)},
	{pb.Output(0), "OUTPUT_TOKENS", int(TokensFeature)},
	{pb.Output(0), "OUTPUT_CLASS", int(ClassFeature)},
	{pb.Output(0), "OUTPUT_POOLED", int(PooledFeature)},
	{pb.Output(0), "OUTPUT_MAP", int(MapFeature)},
	{pb.Output(0), "OUTPUT_TAP", int(TapFeature)},
	{pb.Output(0), "OUTPUT_PATCHES", int(PatchesFeature)},
	{pb.BackboneRequirements_PosEmbed(0), "POS_EMBED_LEARNED", int(PosEmbedLearned)},
	{pb.BackboneRequirements_PosEmbed(0), "POS_EMBED_SINCOS_COLUMN", int(PosEmbedSinCosColumn)},
	{pb.BackboneRequirements_PosEmbed(0), "POS_EMBED_SINCOS_ROW", int(PosEmbedSinCosRow)},
	{pb.BackboneRequirements_PosEmbed(0), "POS_EMBED_NONE", int(PosEmbedNone)},
	{pb.BackboneRequirements_ClassToken(0), "CLASS_TOKEN_REQUIRED", int(ClassTokenRequired)},
	{pb.BackboneRequirements_ClassToken(0), "CLASS_TOKEN_NONE", int(ClassTokenNone)},
	{pb.BackboneRequirements_RelPos(0), "REL_POS_NONE", int(RelPosNone)},
	{pb.BackboneRequirements_RelPos(0), "REL_POS_SHARED", int(RelPosShared)},
	{pb.BackboneRequirements_RelPos(0), "REL_POS_PER_BLOCK", int(RelPosPerBlock)},
	{pb.BackboneRequirements_RelPos(0), "REL_POS_BOTH", int(RelPosBoth)},
	{pb.BackboneRequirements_DecayRule(0), "DECAY_ALL", int(DecayAll)},
	{pb.BackboneRequirements_DecayRule(0), "DECAY_NONE", int(DecayNone)},
	{pb.ViewSpec_Crop(0), "CROP_CENTER", int(CropCenter)},
	{pb.ViewSpec_Crop(0), "CROP_SQUASH", int(CropSquash)},
	{pb.ViewSpec_Interpolation(0), "INTERPOLATION_BILINEAR", int(Bilinear)},
	{pb.ViewSpec_Interpolation(0), "INTERPOLATION_LANCZOS", int(Lanczos)},
	{pb.ViewSpec_Interpolation(0), "INTERPOLATION_BOX", int(BoxFilter)},
	{pb.ViewSpec_Interpolation(0), "INTERPOLATION_NEAREST", int(Nearest)},
	{pb.PassSpec_MaskUse(0), "MASK_USE_DROP", int(DropMasked)},
	{pb.PassSpec_MaskUse(0), "MASK_USE_TOKEN", int(ReplaceMasked)},
	{pb.PassSpec_MaskUse(0), "MASK_USE_CORRUPTED", int(CorruptedPixels)},
	{pb.MaskSpec_Kind(0), "KIND_KEEP", int(KeepMask)},
	{pb.MaskSpec_Kind(0), "KIND_BITMAP", int(BitMask)},
	{pb.MaskSpec_Kind(0), "KIND_INDICES", int(IndexMask)},
	{pb.MaskSpec_Kind(0), "KIND_CORRUPTION", int(CorruptionMask)},
	{pb.MaskRef_Form(0), "FORM_REMOVED", int(formRemoved)},
	{pb.MaskRef_Form(0), "FORM_REMOVED_BLOCKS", int(formRemovedBlocks)},
	{pb.MaskRef_Form(0), "FORM_REMOVED_CELLS", int(formRemovedCells)},
	{pb.MaskRef_Form(0), "FORM_REMOVED_COUNTED", int(formRemovedCounted)},
	{pb.TargetSpec_Source(0), "SOURCE_SAMPLE_ID", int(SampleIDTarget)},
	{pb.TargetSpec_Source(0), "SOURCE_LABEL", int(LabelTarget)},
	{pb.TargetSpec_Source(0), "SOURCE_GEOMETRY", int(GeometryTarget)},
	{pb.TargetSpec_Source(0), "SOURCE_PLUGIN", int(PluginTarget)},
	{pb.TargetSpec_Source(0), "SOURCE_CACHED", int(CachedTarget)},
	{pb.Init_Kind(0), "KIND_ONES", int(OnesInit)},
	{pb.Init_Kind(0), "KIND_CONSTANT", int(ConstantInit)},
	{pb.Init_Kind(0), "KIND_NORMAL", int(NormalInit)},
	{pb.Init_Kind(0), "KIND_TRUNC_NORMAL", int(TruncNormalInit)},
	{pb.Init_Kind(0), "KIND_UNIFORM", int(UniformInit)},
	{pb.Init_Kind(0), "KIND_XAVIER_UNIFORM", int(XavierInit)},
	{pb.Init_Kind(0), "KIND_FAN_IN_UNIFORM", int(FanInInit)},
	{pb.Init_Kind(0), "KIND_SINCOS_COLUMN", int(SinCosColumnInit)},
	{pb.Init_Kind(0), "KIND_SINCOS_ROW", int(SinCosRowInit)},
	{pb.Init_Kind(0), "KIND_FILE", int(FileInit)},
	{pb.BufferSpec_Update(0), "UPDATE_ROWS", int(UpdateRows)},
	{pb.BufferSpec_Update(0), "UPDATE_RING", int(UpdateRing)},
	{pb.BufferSpec_Update(0), "UPDATE_NEWEST_FIRST", int(UpdateNewestFirst)},
	{pb.BufferSpec_Reduction(0), "REDUCTION_MEAN", int(ReduceMean)},
	{pb.BufferSpec_Reduction(0), "REDUCTION_SUM", int(ReduceSum)},
	{pb.BufferSpec_Reduction(0), "REDUCTION_GATHER", int(ReduceGather)},
	{pb.Schedule_Kind(0), "KIND_LINEAR", int(ScheduleLinear)},
	{pb.Schedule_Kind(0), "KIND_COSINE", int(ScheduleCosine)},
	{pb.Schedule_Kind(0), "KIND_TABLE", int(ScheduleTable)},
	{pb.Teacher_When(0), "WHEN_BEFORE_FORWARD", int(BeforeForward)},
	{pb.Picture_Layout(0), "LAYOUT_PATCHES_CHW", int(PatchesChannelFirst)},
	{pb.Picture_Layout(0), "LAYOUT_IMAGE", int(WholeImages)},
	{pb.Option_Type(0), "TYPE_BOOL", int(schema.Bool)},
	{pb.Option_Type(0), "TYPE_INT", int(schema.Int)},
	{pb.Option_Type(0), "TYPE_FLOAT", int(schema.Float)},
	{pb.Option_Type(0), "TYPE_STRING", int(schema.String)},
	{pb.Option_Type(0), "TYPE_INTS", int(schema.Ints)},
	{pb.Option_Type(0), "TYPE_FLOATS", int(schema.Floats)},
	{pb.Option_Type(0), "TYPE_STRINGS", int(schema.Strings)},
}

// Enumerations of the SDK are numbered as in the protocol.
func TestEnumerations(t *testing.T) {
	for _, tc := range enumerations {
		v := tc.enum.Descriptor().Values().ByName(protoreflect.Name(tc.name))
		if v == nil || int(v.Number()) != tc.ours {
			t.Errorf("%s is %v in the protocol and %d here", tc.name, v, tc.ours)
		}
	}
}
