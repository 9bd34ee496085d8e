package param

import (
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/internal/f32"
)

// NormalizeRows divides every row (first dimension) of parameters with
// UnitNormRows by its length, as SwAV does with its prototypes.
func NormalizeRows(e *device.CPU, params []*Parameter) {
	for _, p := range params {
		if !p.UnitNormRows || len(p.Shape) == 0 || p.Shape[0] == 0 {
			continue
		}
		rows := p.Shape[0]
		if len(p.norms) != rows {
			p.norms = make([]float32, rows)
		}
		f32.L2NormalizeRows(e.Pool(), rows, len(p.Data)/rows, p.Data, p.Data, p.norms, 1e-12)
	}
}
