package program

import (
	"fmt"

	"github.com/vittool/vittool/backbone/transformer"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// addParam creates a parameter of the objective, or returns the one that the store has. One that is
// taken from a file and stays as it is, is not stored with a run.
func (c *Compiler) addParam(spec *plan.Param) (*param.Parameter, error) {
	name, shape := runs.HeadPrefix+spec.Name, tensor.Shape(spec.Shape)
	p := c.store.Get(name)
	if p == nil {
		init, data, err := c.initialValues(spec.Init, shape)
		if err != nil {
			return nil, err
		}
		if p, err = c.store.Add(name, shape, init, c.seed); err != nil {
			return nil, err
		}
		if data != nil {
			copy(p.Data, data)
		}
	}
	if !p.Shape.Equal(shape) {
		return nil, fmt.Errorf("it is %v in the store and %v in the plan", p.Shape, shape)
	}
	p.Decay = spec.Decay
	p.LRScale = spec.LRScale
	if p.LRScale == 0 {
		p.LRScale = 1
	}
	p.Frozen = spec.Frozen
	p.FreezeUntil = spec.FreezeUntil
	p.UnitNormRows = spec.UnitNormRows
	p.ConstantLR = spec.ConstantLR
	p.Given = p.Frozen && spec.Init.Kind == plan.InitFile
	return p, nil
}

// initialValues converts an initialization; for tables and stored data it returns the values too.
func (c *Compiler) initialValues(in *plan.Init, shape tensor.Shape) (param.Init, []float32, error) {
	if kind, ok := drawn[in.Kind]; ok {
		return param.Init{Kind: kind, A: in.A, B: in.B, FanIn: in.FanIn, FanOut: in.FanOut, Kernel: true}, nil, nil
	}
	zeros := param.Init{Kind: "zeros"}
	switch in.Kind {
	case plan.InitSinCosColumn, plan.InitSinCosRow:
		return zeros, transformer.SinCosTable(in.Kind == plan.InitSinCosRow, shape[2], in.Rows, in.Cols, in.Prefix), nil
	case plan.InitData:
		return zeros, in.Values, nil
	}
	values, err := c.fileTensor(in, shape)
	return zeros, values, err
}
