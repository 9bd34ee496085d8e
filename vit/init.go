package vit

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/core/param"
)

// Scheme names the way in which a method's official code initialises its backbone.
type Scheme string

// The schemes; each constant's comment gives what it draws.
const (
	// SchemeMAE: linear layers Xavier-uniform (packed qkv as one matrix) and the patch projection too, tokens
	// N(0, 0.02), but the bias of the patch projection keeps U(±1/sqrt(C·p·p)). He et al. 2022.
	SchemeMAE Scheme = "mae"
	// SchemeTimm: timm's default: linear layers and positions N(0, 0.02) cut at ±2, class token N(0, 1e-6), patch
	// projection U(±1/sqrt(C·p·p)).
	SchemeTimm Scheme = "timm"
	// SchemeDINO: as timm, but with the class token N(0, 0.02) cut at ±2. Also SiT's. Caron et al. 2021.
	SchemeDINO Scheme = "dino"
	// SchemeBEiT: everything N(0, 0.02) cut at one standard deviation, biases and bias tables zero, attn.proj and
	// mlp.fc2 of block l = 1… divided by sqrt(2l). Bao et al. 2022.
	SchemeBEiT Scheme = "beit"
	// SchemeMoCoV3: queries, keys and values as separate Xavier-uniform matrices, other linear layers and the patch
	// projection Xavier-uniform, biases zero, class token N(0, 1e-6). Chen et al. 2021.
	SchemeMoCoV3 Scheme = "mocov3"
	// SchemeNone draws nothing: all zero, to be filled from a file.
	SchemeNone Scheme = "none"
)

// Schemes lists the known schemes.
func Schemes() []Scheme {
	return []Scheme{SchemeMAE, SchemeTimm, SchemeDINO, SchemeBEiT, SchemeMoCoV3, SchemeNone}
}

// Init returns how the scheme initialises one weight. Fixed position tables are not drawn; New computes them.
func (s Scheme) Init(c Config, w Weight) (param.Init, error) {
	c = c.Normalized()
	zeros := param.Init{Kind: "zeros"}
	patchBound := 1 / math.Sqrt(float64(c.PatchDim()))
	normal := func(std float64) param.Init { return param.Init{Kind: "normal", A: std} }
	cut := func(std, at float64) param.Init { return param.Init{Kind: "trunc_normal", A: std, B: at} }
	xavier := func(in, out int) param.Init { return param.Init{Kind: "xavier_uniform", FanIn: in, FanOut: out} }

	switch s {
	case SchemeMAE, SchemeTimm, SchemeDINO, SchemeBEiT, SchemeMoCoV3:
	case SchemeNone:
		return zeros, nil
	default:
		return param.Init{}, fmt.Errorf("unknown initialisation %q: want one of %v", s, Schemes())
	}
	// What all schemes share.
	switch w.Role {
	case RoleNormWeight:
		return param.Init{Kind: "ones"}, nil
	case RoleNormBias, RoleBias, RoleRelativeTable:
		return zeros, nil
	case RoleLayerScale:
		return param.Init{Kind: "constant", A: c.LayerScale}, nil
	case RolePositions:
		if c.PosEmbed.Fixed() {
			return zeros, nil
		}
		if s == SchemeBEiT {
			return cut(.02, .02), nil
		}
		return cut(.02, 2), nil
	}
	switch s {
	case SchemeMAE, SchemeMoCoV3:
		switch w.Role {
		case RoleToken:
			if s == SchemeMoCoV3 {
				return normal(1e-6), nil
			}
			return normal(.02), nil
		case RolePatchWeight:
			return xavier(c.PatchDim(), c.Dim), nil
		case RolePatchBias:
			if s == SchemeMoCoV3 {
				return zeros, nil
			}
			return param.Init{Kind: "uniform", A: patchBound}, nil
		case RoleQKVWeight:
			if s == SchemeMoCoV3 {
				return xavier(w.Shape[1], w.Shape[0]/3), nil
			}
		}
		return xavier(w.Shape[1], w.Shape[0]), nil
	case SchemeTimm, SchemeDINO:
		switch w.Role {
		case RoleToken:
			if s == SchemeTimm {
				return normal(1e-6), nil
			}
			return cut(.02, 2), nil
		case RolePatchWeight, RolePatchBias:
			return param.Init{Kind: "uniform", A: patchBound}, nil
		}
		return cut(.02, 2), nil
	default: // SchemeBEiT
		switch w.Role {
		case RolePatchBias:
			return zeros, nil
		case RoleProjWeight, RoleFC2Weight:
			scale := math.Sqrt(2 * float64(w.Block+1))
			return cut(.02/scale, .02/scale), nil
		}
		return cut(.02, .02), nil
	}
}
