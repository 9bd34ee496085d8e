package configs

import (
	"fmt"
	"strconv"
	"strings"
)

// Interval is how often something happens, counted in optimizer steps or in epochs. The zero
// Interval means never. As text it is "500 steps", "2 epochs" or "never"; a bare number counts
// steps.
type Interval struct {
	Steps  int
	Epochs int
}

// String writes the interval so that [ParseInterval] reads it back.
func (i Interval) String() string {
	switch {
	case i.Epochs == 1:
		return "1 epoch"
	case i.Epochs > 0:
		return fmt.Sprintf("%d epochs", i.Epochs)
	case i.Steps == 1:
		return "1 step"
	case i.Steps > 0:
		return fmt.Sprintf("%d steps", i.Steps)
	}
	return "never"
}

// ParseInterval reads "500 steps", "2 epochs", "500" (steps) or "never".
func ParseInterval(s string) (Interval, error) {
	fields := strings.Fields(strings.ToLower(s))
	if len(fields) == 1 {
		if fields[0] == "never" {
			return Interval{}, nil
		}
		fields = append(fields, "steps")
	}
	if len(fields) == 2 {
		n, err := strconv.Atoi(fields[0])
		if err == nil && n >= 0 && n <= 1e9 {
			switch fields[1] {
			case "step", "steps":
				return Interval{Steps: n}, nil
			case "epoch", "epochs":
				return Interval{Epochs: n}, nil
			}
		}
	}
	return Interval{}, fmt.Errorf(`%q is not an interval; write "500 steps", "2 epochs" or "never"`, s)
}
