package program

import (
	"slices"

	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
)

// Pending are the updates of buffers that wait for the end of a step. The zero value is ready; the
// models of one store share one.
type Pending struct {
	updates []pendingUpdate // of a buffer that is replaced: one, the sum of all; of one with the newest rows first: one, all rows
}

type pendingUpdate struct {
	buffer *buffer
	values []float32
	rows   []int32 // of plan.UpdateRows
	count  int     // of the values that were added up
}

// add keeps a copy of an update.
func (p *Pending) add(u update) {
	if kind := u.buffer.spec.Update; kind == plan.UpdateReplace || kind == plan.UpdateNewestFirst {
		if at := slices.IndexFunc(p.updates, func(x pendingUpdate) bool { return x.buffer.value == u.buffer.value }); at >= 0 {
			x := &p.updates[at]
			if kind == plan.UpdateNewestFirst {
				x.values = append(x.values, u.value.Value()...)
				return
			}
			x.count++
			for i, v := range u.value.Value() {
				x.values[i] += v
			}
			return
		}
	}
	var x pendingUpdate // with the memory of an earlier step
	if n := len(p.updates); n < cap(p.updates) {
		x = p.updates[:n+1][n]
	}
	x = pendingUpdate{buffer: u.buffer, values: append(x.values[:0], u.value.Value()...), rows: x.rows[:0], count: 1}
	if u.rows != nil {
		x.rows = append(x.rows, u.rows.Ints()...)
	}
	p.updates = append(p.updates, x)
}

// Apply writes the updates into the buffers, at the end of a step, and forgets them.
func (p *Pending) Apply() {
	for _, u := range p.updates {
		data := u.buffer.value.Data
		switch {
		case u.buffer.spec.Update == plan.UpdateRing:
			appendRows(u.buffer.value, u.buffer.position, u.values)
		case u.buffer.spec.Update == plan.UpdateNewestFirst:
			n := min(len(u.values), len(data))
			copy(data[n:], data)
			copy(data, u.values[:n])
		case u.buffer.spec.Update == plan.UpdateRows:
			width := len(data) / u.buffer.value.Shape[0]
			for i, row := range u.rows {
				copy(data[int(row)*width:][:width], u.values[i*width:])
			}
		default:
			copy(data, u.values)
			if u.count > 1 && u.buffer.spec.Reduction == plan.ReductionMean {
				for i := range data {
					data[i] /= float32(u.count)
				}
			}
		}
	}
	p.updates = p.updates[:0]
}

// appendRows writes the rows of values into a ring from its position on, and moves the position.
func appendRows(ring, position *param.Parameter, values []float32) {
	rows := ring.Shape[0]
	width := len(ring.Data) / rows
	for i := range len(values) / width {
		row := int(position.Data[0])
		copy(ring.Data[row*width:][:width], values[i*width:])
		position.Data[0] = float32((row + 1) % rows)
	}
}
