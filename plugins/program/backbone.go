package program

import (
	"fmt"
	"path"
	"strings"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/backbone/transformer"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// flagBackbone applies the plan's rules of weight decay and freezing to the student's weights.
func flagBackbone(b backbone.Network, r *pb.BackboneRequirements) error {
	for _, p := range b.Weights() {
		name := strings.TrimPrefix(p.Name, runs.BackbonePrefix)
		switch r.GetDecayRule() {
		case pb.BackboneRequirements_DECAY_MATRICES:
			p.Decay = backbone.MatrixDecay(name, p.Shape)
		case pb.BackboneRequirements_DECAY_ALL:
			p.Decay = true
		case pb.BackboneRequirements_DECAY_NONE:
			p.Decay = false
		default:
			return fmt.Errorf("the plan's decay rule %v is not known to this version of vittool", r.GetDecayRule())
		}
		plain, err := matches(r.GetNoDecay(), name)
		if err != nil {
			return fmt.Errorf("no_decay of the plan: %w", err)
		}
		if plain {
			p.Decay = false
		}
		frozen, err := matches(r.GetFrozen(), name)
		if err != nil {
			return fmt.Errorf("frozen of the plan: %w", err)
		}
		if frozen {
			p.Frozen = true
		}
	}
	return nil
}

// matches reports whether any of the patterns, as of path.Match, fits the name.
func matches(patterns []string, name string) (bool, error) {
	for _, p := range patterns {
		ok, err := path.Match(p, name)
		if err != nil {
			return false, fmt.Errorf("pattern %q: %w", p, err)
		}
		if ok {
			return true, nil
		}
	}
	return false, nil
}

// addParam creates a parameter of the objective, or returns the one that the store has. One that is taken from a
// file and stays as it is, is not stored with a run.
func (m *Model) addParam(spec *pb.ParamSpec) (*param.Parameter, error) {
	store, seed := m.store, m.seed
	shape, err := shapeOf(spec.GetShape())
	if err != nil {
		return nil, fmt.Errorf("parameter %s: %w", spec.GetName(), err)
	}
	name := runs.HeadPrefix + spec.GetName()
	p := store.Get(name)
	if p == nil {
		init, data, err := m.initOf(spec.GetInit(), shape)
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", spec.GetName(), err)
		}
		if p, err = store.Add(name, shape, init, seed); err != nil {
			return nil, fmt.Errorf("parameter %s: %w", spec.GetName(), err)
		}
		if data != nil {
			copy(p.Data, data)
		}
	}
	if !p.Shape.Equal(shape) {
		return nil, fmt.Errorf("parameter %s is %v in the store and %v in the plan", spec.GetName(), p.Shape, shape)
	}
	p.Decay = spec.GetDecay()
	p.LRScale = spec.GetLrScale()
	if p.LRScale == 0 {
		p.LRScale = 1
	}
	p.Frozen = spec.GetFrozen()
	p.FreezeUntil = int(spec.GetFreezeUntil())
	p.UnitNormRows = spec.GetUnitNormRows()
	p.Given = p.Frozen && spec.GetInit().GetKind() == pb.Init_KIND_FILE
	return p, nil
}

// shapeOf converts a shape of the contract; what is too large is refused before anything is allocated.
func shapeOf(dims []uint64) (tensor.Shape, error) {
	s := make(tensor.Shape, len(dims))
	total := uint64(1)
	for i, d := range dims {
		if d == 0 || d > maxElements || total > maxElements/d {
			return nil, fmt.Errorf("shape %v: dimensions must be positive and their product at most 2^31", dims)
		}
		total *= d
		s[i] = int(d)
	}
	return s, nil
}

// initOf converts an initialisation; for tables and stored data it returns the values too.
func (m *Model) initOf(in *pb.Init, shape tensor.Shape) (param.Init, []float32, error) {
	fanIn, fanOut := int(in.GetFanIn()), int(in.GetFanOut())
	if fanIn == 0 && len(shape) > 1 {
		fanIn = shape[1:].Size()
	}
	if fanOut == 0 && len(shape) > 1 {
		fanOut = shape.Size() / shape[1]
	}
	if kind, ok := drawn[in.GetKind()]; ok {
		return param.Init{Kind: kind, A: in.GetA(), B: in.GetB(), FanIn: fanIn, FanOut: fanOut}, nil, nil
	}
	switch in.GetKind() {
	case pb.Init_KIND_SINCOS_COLUMN, pb.Init_KIND_SINCOS_ROW:
		rows, cols, prefix := int(in.GetRows()), int(in.GetCols()), int(in.GetPrefix())
		if len(shape) != 3 || shape[0] != 1 || rows <= 0 || cols <= 0 || shape[1] != prefix+rows*cols || shape[2]%4 != 0 {
			return param.Init{}, nil, fmt.Errorf("a sine-cosine table of %d prefix rows and %d×%d cells has the shape [1, %d, a multiple of 4], not %v",
				prefix, rows, cols, prefix+rows*cols, shape)
		}
		return param.Init{Kind: "zeros"}, transformer.SinCosTable(in.GetKind() == pb.Init_KIND_SINCOS_ROW, shape[2], rows, cols, prefix), nil
	case pb.Init_KIND_DATA:
		if len(in.GetValues()) != shape.Size() {
			return param.Init{}, nil, fmt.Errorf("%d initial values for shape %v, which has %d", len(in.GetValues()), shape, shape.Size())
		}
		return param.Init{Kind: "zeros"}, in.GetValues(), nil
	case pb.Init_KIND_FILE:
		values, err := m.fileTensor(in, shape)
		return param.Init{Kind: "zeros"}, values, err
	}
	return param.Init{}, nil, fmt.Errorf("initialisation %v is not known to this version of vittool", in.GetKind())
}
