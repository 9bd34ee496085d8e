package train

import (
	"context"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/launch"
	"github.com/vittool/vittool/plugins/plan"
)

// variation is a change of a run's settings.
type variation struct {
	name   string
	change func(*configs.Config)
}

// variations change the speed of a run and no bit of its weights.
var variations = []variation{
	{"a second run", func(*configs.Config) {}},
	{"one thread", func(c *configs.Config) { c.Run.Threads = 1 }},
	{"recomputation", func(c *configs.Config) { c.Train.Recompute = "blocks" }},
	{"two threads", func(c *configs.Config) { c.Run.Threads = 2 }},
	{"three threads", func(c *configs.Config) { c.Run.Threads = 3 }},
	{"one worker", func(c *configs.Config) { c.Data.Workers = 1 }},
	{"eight workers", func(c *configs.Config) { c.Data.Workers = 8 }},
	{"no cache", func(c *configs.Config) { c.Data.Cache = 0 }},
	{"a process", func(c *configs.Config) { c.Objective.Mode = "process" }},
	{"other checkpoints", func(c *configs.Config) { c.Run.CheckpointEvery, c.Run.Keep = configs.Interval{}, 1 }},
	{"bad images", func(c *configs.Config) { c.Data.OnError, c.Data.MaxFailed = "fail", 0.5 }},
}

// The weights depend neither on settings of speed nor on the process of the objective. The default
// objective is run with all variations and a wider network, each of the others with one of them in
// turn; with VITTOOL_TEST_FULL all are run with all.
func TestSameBits(t *testing.T) {
	for i, name := range every() {
		some, plain := variations, name == configs.Default().Objective.Name
		if !full && !plain {
			some = []variation{variations[1+i%(len(variations)-1)]}
		}
		t.Run(name, func(t *testing.T) {
			sameBits(t, func() *configs.Config {
				cfg := smallOf(t, name)
				if plain {
					cfg.Model.Name = wider
				}
				return cfg
			}, some)
		})
	}
}

func sameBits(t *testing.T, of func() *configs.Config, some []variation) {
	want := undisturbed(t, of())
	for _, v := range some {
		t.Run(v.name, func(t *testing.T) {
			cfg := of()
			v.change(cfg)
			want.mustEqual(t, pretrain(t, cfg, Options{}))
		})
	}
	if len(some) < len(variations) {
		return
	}
	t.Run("another seed differs", func(t *testing.T) {
		cfg := of()
		cfg.Run.Seed++
		if got := pretrain(t, cfg, Options{}).Digest; got == want.digest {
			t.Error("equal weights from another seed")
		}
	})
}

// planOf opens a built-in objective as the small run does.
func planOf(t *testing.T, objective string) *plan.Plan {
	t.Helper()
	cfg := smallOf(t, objective)
	network := must.Get(cfg.Backbone())(t)
	o, err := launch.Open(context.Background(), launch.Request{Config: cfg, Network: network, Mode: host.Inproc, Batch: 8, TotalSteps: 8,
		StepsPerEpoch: 5, Images: 40})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	return o.Plan()
}

// The state of an objective beside its weights lies in the checkpoint, and moves: every buffer, and
// every copy of a weight that is trained.
func TestStateOfTheObjective(t *testing.T) {
	kept := 0
	for _, name := range objectives.Names() {
		t.Run(name, func(t *testing.T) {
			run := undisturbed(t, smallOf(t, name))
			if plan := planOf(t, name); (plan.Recommended != nil) != (run.features != "") {
				t.Errorf("the plan recommends %v, the checkpoint %q", plan.Recommended, run.features)
			}
			for tensor, moved := range run.moved {
				weight, teacher := strings.CutPrefix(tensor, "teacher.")
				if !teacher && !strings.HasPrefix(tensor, "buffer.") {
					continue
				}
				kept++
				if !moved && (!teacher || run.moved[weight]) {
					t.Errorf("%s did not move, or the first checkpoint lacks it", tensor)
				}
			}
		})
	}
	if kept == 0 {
		t.Error("no objective has a teacher or a buffer: this test looks at nothing")
	}
}
