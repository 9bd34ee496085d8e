package edit

import (
	"fmt"
	"math"
	"strconv"
)

// Range is a range of permitted numbers. An infinite bound permits any number on its side.
type Range struct {
	Min, Max float64
	Above    bool // Min itself is not permitted
	Below    bool // Max itself is not permitted
}

// Between is the range from low to high, both included.
func Between(low, high float64) Range { return Range{Min: low, Max: high} }

// AtLeast is the range from low, included, upwards.
func AtLeast(low float64) Range { return Range{Min: low, Max: math.Inf(1)} }

// Over is the range of all numbers above low.
func Over(low float64) Range { return Range{Min: low, Max: math.Inf(1), Above: true} }

// Holds reports whether x is permitted. NaN never is.
func (r Range) Holds(x float64) bool {
	return x >= r.Min && x <= r.Max && !(r.Above && x == r.Min) && !(r.Below && x == r.Max)
}

// String is the range as people read it, such as "above 0 to 1" or "1 and more"; "" if it permits
// any number.
func (r Range) String() string {
	low, high := writeNumber(r.Min), writeNumber(r.Max)
	if r.Above {
		low = "above " + low
	}
	switch minus, plus := math.IsInf(r.Min, -1), math.IsInf(r.Max, 1); {
	case minus && plus:
		return ""
	case plus && r.Above:
		return low
	case plus:
		return low + " and more"
	case minus && r.Below:
		return "below " + high
	case minus:
		return "at most " + high
	case r.Below:
		return low + " to below " + high
	}
	return low + " to " + high
}

// writeNumber writes numbers of a usual size without an exponent.
func writeNumber(x float64) string {
	if a := math.Abs(x); a == 0 || a >= 1e-6 && a <= 1<<53 {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}

// OutOfRange is the fault of a number outside of its range. [Range.Valid] is the remedy.
const OutOfRange = "is out of range"

// Valid names the permitted numbers, the remedy of a number out of range.
func (r Range) Valid() string { return "valid is " + r.String() }

// Check refuses a number outside of the range; place names it.
func (r Range) Check(place string, x float64) error {
	if r.Holds(x) {
		return nil
	}
	return fmt.Errorf("%s = %s: %s; %s", place, writeNumber(x), OutOfRange, r.Valid())
}
