package tasks

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/internal/must"
)

func TestProbeLearns(t *testing.T) {
	train, test := spread(300, 6, 3, 0.4, 2), spread(60, 6, 3, 0.4, 3)
	for _, p := range []Probe{
		{Kind: ProbeMAE, Epochs: 30, BatchSize: 64, LR: 20},
		{Kind: ProbeDINO, Epochs: 30, BatchSize: 64, LR: 0.1},
	} {
		t.Run(string(p.Kind), func(t *testing.T) {
			var first *ProbeResult
			for _, threads := range []int{1, 2} {
				calls := 0
				p.Progress = func(epoch, epochs int, _ float64) { calls = epoch*1000 + epochs }
				r := must.Get(p.Run(context.Background(), devicetest.New(t, threads), train, test))(t)
				if calls != 30030 {
					t.Errorf("the last progress was %d of %d", calls/1000, calls%1000)
				}
				if r.Top1 < 0.95 || r.Losses[29] >= r.Losses[0] {
					t.Errorf("top-1 %.3f, loss from %.3f to %.3f", r.Top1, r.Losses[0], r.Losses[29])
				}
				if first == nil {
					first = r
				} else if !reflect.DeepEqual(r, first) {
					t.Errorf("%d threads give another result than one", threads)
				}
			}
		})
	}
}

func TestProbeRefuses(t *testing.T) {
	e := devicetest.New(t, 1)
	train, test := spread(30, 6, 3, 1, 2), spread(9, 6, 3, 1, 3)
	minus := -1.0
	for name, c := range map[string]struct {
		probe Probe
		test  *Features
		want  string
	}{
		"kind":     {Probe{Kind: "moco"}, test, `kind "moco": want one of [mae dino]`},
		"width":    {Probe{Kind: ProbeMAE}, spread(9, 5, 3, 1, 3), "5 values"},
		"classes":  {Probe{Kind: ProbeMAE}, spread(9, 6, 4, 1, 3), "4 classes"},
		"batch":    {Probe{Kind: ProbeMAE, BatchSize: 1}, test, "batch 1"},
		"warm-up":  {Probe{Kind: ProbeMAE, WarmupEpochs: &minus}, test, "warm-up of -1"},
		"exploded": {Probe{Kind: ProbeDINO, LR: 1e38, Epochs: 10}, test, "lower the learning rate"},
	} {
		if _, err := c.probe.Run(context.Background(), e, train, c.test); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := (Probe{Kind: ProbeMAE}).Run(cancelled, e, train, test); err == nil {
		t.Error("a cancelled probe ran on")
	}
}
