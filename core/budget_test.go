package core_test

import (
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tensor"
)

// TestBudget refuses parameters, inputs and activations each before their memory is taken, and
// nothing that fits.
func TestBudget(t *testing.T) {
	build := func(limit int64) (*device.Budget, error) {
		e := devicetest.New(t, 1)
		e.Budget = &device.Budget{Limit: limit}
		s := param.NewStore()
		s.Alloc = e.Budget.Alloc
		w, err := s.Add("w", tensor.Shape{1000, 100}, param.Init{Kind: "ones"}, 1)
		if err != nil {
			return e.Budget, err
		}
		g := core.NewGraph(e)
		y := ops.Gelu(g, ops.Linear(g, g.Input("x", tensor.Shape{500, 100}), g.Param(w), nil))
		_, err = g.Compile(nil, y)
		return e.Budget, err
	}
	whole := must.Get(build(1 << 40))(t)
	if _, err := build(whole.Used); err != nil || whole.Wanted != 0 {
		t.Errorf("a limit of the memory in use is not enough: %v, wanted %d", err, whole.Wanted)
	}
	for limit, want := range map[int64]string{
		whole.Used - 1: "activations",
		4*100_000 + 1:  `input "x"`,
		4*100_000 - 1:  `parameter "w"`,
	} {
		b, err := build(limit)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("limit %d: error %v, want one about %s", limit, err, want)
		}
		if b.Wanted <= limit || b.Used > limit {
			t.Errorf("limit %d: used %d, wanted %d", limit, b.Used, b.Wanted)
		}
	}
}
