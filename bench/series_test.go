package bench

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/vittool/vittool/internal/must"
)

func TestSeries(t *testing.T) {
	tests := []struct {
		s                Series
		min, median, max float64
	}{
		{Series{3}, 3, 3, 3},
		{Series{4, 1}, 1, 2.5, 4},
		{Series{9, 2, 5}, 2, 5, 9},
	}
	for _, tt := range tests {
		if got := tt.s.Summary(); got.Min != tt.min || got.Median != tt.median || got.Max != tt.max || got.Count != len(tt.s) {
			t.Errorf("%v: %+v, want %v %v %v", tt.s, got, tt.min, tt.median, tt.max)
		}
	}
	if !math.IsNaN(Series(nil).Median()) || Series(nil).Summary() != (Summary{}) {
		t.Error("an empty series has no median and an empty summary")
	}
	if got := (Series{6, 8, 1}).Over(Series{2, 4}); !slices.Equal(got, Series{3, 2}) {
		t.Errorf("Over: %v", got)
	}
}

// counter records the order in which the sides were asked.
type counter struct {
	name string
	log  *[]string
	fail bool
}

func (c counter) Name() string { return c.name }

func (c counter) Step(context.Context) (time.Duration, error) {
	*c.log = append(*c.log, c.name)
	if c.fail {
		return 0, errors.New("broken")
	}
	return time.Duration(len(*c.log)) * time.Second, nil
}

func TestInterleave(t *testing.T) {
	var log []string
	got := must.Get(Interleave(t.Context(), 1, 2, counter{name: "a", log: &log}, counter{name: "b", log: &log}))(t)
	if want := []string{"a", "b", "a", "b", "a", "b"}; !slices.Equal(log, want) {
		t.Errorf("order %v, want %v", log, want)
	}
	if !slices.Equal(got[0], Series{3, 5}) || !slices.Equal(got[1], Series{4, 6}) {
		t.Errorf("series %v", got)
	}
	if _, err := Interleave(t.Context(), 0, 1, counter{name: "a", log: &log, fail: true}); err == nil {
		t.Error("a failing side must end the comparison")
	}
}
