package bench

import (
	"fmt"
	"math"
	"slices"
)

// A Series is one quantity measured several times, in the order of measuring.
type Series []float64

// Min is the smallest value; NaN of an empty series.
func (s Series) Min() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	return slices.Min(s)
}

// Max is the largest value; NaN of an empty series.
func (s Series) Max() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	return slices.Max(s)
}

// Median is the value in the middle, or the mean of the two in the middle; NaN of an empty series.
func (s Series) Median() float64 {
	n := len(s)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Over divides the series by another, round by round: both values of a round met the same state of
// the machine.
func (s Series) Over(other Series) Series {
	ratio := make(Series, min(len(s), len(other)))
	for i := range ratio {
		ratio[i] = s[i] / other[i]
	}
	return ratio
}

// Summary is a series as it is reported. One of no values has only its count, so that it stays
// writable as JSON.
type Summary struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
	Count  int     `json:"count"`
}

// Summary of the series.
func (s Series) Summary() Summary {
	if len(s) == 0 {
		return Summary{}
	}
	return Summary{s.Min(), s.Median(), s.Max(), len(s)}
}

// Format writes the three numbers with one verb, "0.41 / 0.43 / 0.60".
func (s Summary) Format(verb string) string {
	return fmt.Sprintf(verb+" / "+verb+" / "+verb, s.Min, s.Median, s.Max)
}

// times is the summary in a unit of which by make one of the present.
func (s Summary) times(by float64) Summary {
	return Summary{by * s.Min, by * s.Median, by * s.Max, s.Count}
}

// percent writes shares with one verb, in hundredths.
func (s Summary) percent(verb string) string { return s.times(100).Format(verb) }

// milliseconds writes seconds as such.
func (s Summary) milliseconds() string { return s.times(1e3).Format("%.2f") }
