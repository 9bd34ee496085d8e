package optim

import (
	"fmt"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/core/param"
)

// EMA moves teacher parameters towards those of the student at the same position by an exponential
// moving average: teacher = momentum·teacher + (1-momentum)·student.
func EMA(cpu *device.CPU, teacher, student []*param.Parameter, momentum float64) error {
	if len(teacher) != len(student) {
		return fmt.Errorf("moving average: the teacher has %d parameters, the student %d", len(teacher), len(student))
	}
	for i, t := range teacher {
		if !t.Shape.Equal(student[i].Shape) {
			return fmt.Errorf("moving average: teacher %s has shape %v, student %s has %v", t.Name, t.Shape, student[i].Name, student[i].Shape)
		}
	}
	for i, t := range teacher {
		f32.Lerp(cpu.Pool(), t.Data, student[i].Data, momentum)
	}
	return nil
}
