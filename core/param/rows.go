package param

import (
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/internal/f32"
)

// NormalizeRows divides every row (first dimension) of parameters with UnitNormRows by its length,
// as SwAV does with its prototypes. Called twice, it changes nothing the second time: a step that is
// tried again after a resume has the same bits.
func NormalizeRows(cpu *device.CPU, params []*Parameter) {
	for _, p := range params {
		if p.UnitNormRows && len(p.Shape) > 0 && p.Shape[0] > 0 {
			f32.UnitRows(cpu.Pool(), p.Shape[0], len(p.Data)/p.Shape[0], p.Data, 1e-12)
		}
	}
}
