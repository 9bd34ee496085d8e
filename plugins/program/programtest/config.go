package programtest

import (
	"encoding/json"

	"github.com/vittool/vittool/vit"
)

// NetworkConfig describes the network of a case of the reference.
type NetworkConfig struct {
	Size      ImageSize `json:"img_size"`
	Patch     int       `json:"patch"`
	Dim       int       `json:"dim"`
	Depth     int       `json:"depth"`
	Heads     int       `json:"heads"`
	MLPRatio  float64   `json:"mlp_ratio"`
	QKVBias   *bool     `json:"qkv_bias"`
	LNEps     float64   `json:"ln_eps"`
	Batch     int       `json:"batch"`
	Trainable []string  `json:"trainable"`
	Frozen    []string  `json:"frozen"`
}

// Trajectory is the training recipe of a case.
type Trajectory struct {
	Optimizer      string     `json:"optimizer"`
	LR             float64    `json:"lr"`
	MinLR          float64    `json:"min_lr"`
	Betas          [2]float64 `json:"betas"`
	Eps            float64    `json:"eps"`
	WeightDecay    float64    `json:"weight_decay"`
	WarmupEpochs   float64    `json:"warmup_epochs"`
	Epochs         float64    `json:"epochs"`
	ItersPerEpoch  int        `json:"iters_per_epoch"`
	FirstIteration int        `json:"first_iteration"`
	Steps          int        `json:"steps"`
	NoDecay        []string   `json:"no_decay"`
}

// ImageSize is one number or height and width.
type ImageSize struct{ H, W int }

// UnmarshalJSON implements json.Unmarshaler.
func (s *ImageSize) UnmarshalJSON(b []byte) error {
	var one int
	if json.Unmarshal(b, &one) == nil {
		s.H, s.W = one, one
		return nil
	}
	return json.Unmarshal(b, &[]any{&s.H, &s.W})
}

// ViT is the encoder that the case describes.
func (c NetworkConfig) ViT(channels int, positions vit.PosEmbed) vit.Config {
	return vit.Config{
		Name: "reference", ImageH: c.Size.H, ImageW: c.Size.W, Patch: c.Patch, Channels: channels,
		Dim: c.Dim, Depth: c.Depth, Heads: c.Heads, MLPRatio: c.MLPRatio, LNEps: c.LNEps,
		QKVBias: c.QKVBias == nil || *c.QKVBias, PosEmbed: positions, ClassToken: true,
	}
}
