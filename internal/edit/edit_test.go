package edit

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestRange(t *testing.T) {
	for _, c := range []struct {
		r       Range
		text    string
		in, out []float64
	}{
		{Between(0, .99), "0 to 0.99", []float64{0, .5, .99}, []float64{-1e-9, 1, math.NaN(), math.Inf(1)}},
		{Between(1, 1<<31), "1 to 2147483648", []float64{1}, []float64{0}},
		{Range{Min: 0, Max: 1, Below: true}, "0 to below 1", []float64{0}, []float64{1}},
		{Range{Min: 0, Max: 1, Above: true, Below: true}, "above 0 to below 1", []float64{.5}, []float64{0, 1}},
		{AtLeast(1), "1 and more", []float64{1, 1e300}, []float64{.5}},
		{Over(0), "above 0", []float64{1e-300}, []float64{0}},
		{Range{Min: math.Inf(-1), Max: 2}, "at most 2", []float64{-9, 2}, []float64{3}},
		{Range{Min: math.Inf(-1), Max: 2, Below: true}, "below 2", []float64{-9}, []float64{2}},
		{Between(math.Inf(-1), math.Inf(1)), "", []float64{-9, 9}, []float64{math.NaN()}},
	} {
		if c.r.String() != c.text {
			t.Errorf("%+v is written %q, want %q", c.r, c.r, c.text)
		}
		for _, x := range c.in {
			if err := c.r.Check("x", x); err != nil {
				t.Error(err)
			}
		}
		for _, x := range c.out {
			if c.r.Holds(x) {
				t.Errorf("%q holds %v", c.r, x)
			}
		}
	}
	if err := Between(0, 100).Check("view \"a\": strength", 150); err == nil || err.Error() != `view "a": strength = 150: is out of range; valid is 0 to 100` {
		t.Error(err)
	}
}

func TestUnknown(t *testing.T) {
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("name_%02d", i))
	}
	for _, c := range []struct {
		name  string
		known []string
		want  string
	}{
		{"kernle", []string{"loader", "kernel"}, `part "kernle": there is no such part; did you mean kernel?`},
		{"zebra", []string{"loader", "kernel"}, `part "zebra": there is no such part; valid are: loader, kernel`},
		{"zebra", nil, `part "zebra": there is no such part; there are none`},
		{"zebra", many, `the nearest are: name_00, `},
	} {
		if err := Unknown("part", c.name, c.known); !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	if s := Suggest("zebra", many); strings.Count(s, "name_") != 4 {
		t.Errorf("%q lists more than four of many", s)
	}
}
