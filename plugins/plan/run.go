package plan

import (
	"cmp"
	"math"

	"github.com/vittool/vittool/plugins/pb"
)

// Run describes the run that an objective is opened for.
type Run struct {
	Seed          uint64
	Batch         int     // samples of a micro-batch
	Steps         int     // of the optimizer, in the whole run
	StepsPerEpoch float64 // mean; not whole where an epoch ends within a step, with accumulation
	DatasetSize   int     // samples
	WorldSize     int     // processes that train together, at least 1
	Rank          int     // of this process, from 0
	// FixedViews is set when a view whose crop the plan leaves open shows the same part of an
	// image in every epoch and is never flipped, so that targets made of its pixels can be cached.
	FixedViews bool
	Backbone   Backbone
}

// Backbone describes the network that features come from. Sizes of images and patches are in
// pixels.
type Backbone struct {
	Name          string // such as vit_base_patch16_224
	Family        string // kind of network, such as vit
	Dim           int    // width of the tokens, or channels of the last feature map
	Depth         int    // blocks or stages, which can be tapped
	Heads         int    // attention heads of a block
	Patch         int    // side of the square that one token stands for, or the total stride
	Height, Width int    // of images
	Channels      int
	Mean, Std     []float64 // per channel, of pixels in 0..1, that views are normalized with
	PrefixTokens  int       // tokens before the patch tokens: 1 with a class token, else 0
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

// RunFromProto reads the run that a plugin is opened for.
func RunFromProto(m *pb.OpenRequest) Run {
	n := m.GetBackbone()
	return Run{
		Seed: m.GetSeed(), Batch: int(m.GetBatch()), Steps: int(m.GetTotalSteps()), StepsPerEpoch: cmp.Or(m.GetEpochSteps(), float64(m.GetStepsPerEpoch())),
		DatasetSize: int(m.GetDatasetSize()), WorldSize: int(m.GetWorldSize()), Rank: int(m.GetRank()), FixedViews: m.GetFixedViews(),
		Backbone: Backbone{
			Name: n.GetName(), Family: n.GetFamily(), Dim: int(n.GetDim()), Depth: int(n.GetDepth()), Heads: int(n.GetHeads()),
			Patch: int(n.GetPatch()), Height: int(n.GetImageH()), Width: int(n.GetImageW()), Channels: int(n.GetChannels()),
			Mean: n.GetMean(), Std: n.GetStd(), PrefixTokens: int(n.GetPrefixTokens()), LayerNormEps: n.GetLayerNormEps(),
			StageDims: numbers[int](n.GetStageDims()),
		},
	}
}

// ToProto is the message that opens a plugin for the run, without the objective's options.
func (r Run) ToProto() *pb.OpenRequest {
	n := r.Backbone
	return &pb.OpenRequest{
		Seed: r.Seed, Batch: uint32(r.Batch), TotalSteps: uint64(r.Steps), EpochSteps: r.StepsPerEpoch,
		StepsPerEpoch: max(1, uint64(math.Round(r.StepsPerEpoch))), // for plugins that know no others
		DatasetSize:   uint64(r.DatasetSize), WorldSize: uint32(r.WorldSize), Rank: uint32(r.Rank), FixedViews: r.FixedViews,
		Backbone: &pb.BackboneInfo{
			Name: n.Name, Family: n.Family, Dim: uint32(n.Dim), Depth: uint32(n.Depth), Heads: uint32(n.Heads), Patch: uint32(n.Patch),
			ImageH: uint32(n.Height), ImageW: uint32(n.Width), GridH: uint32(n.Rows()), GridW: uint32(n.Cols()), Channels: uint32(n.Channels),
			Mean: n.Mean, Std: n.Std, PrefixTokens: uint32(n.PrefixTokens), LayerNormEps: n.LayerNormEps, StageDims: numbers[uint32](n.StageDims),
		},
	}
}
