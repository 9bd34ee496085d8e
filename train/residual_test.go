package train

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/launch"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// smallResidual is a small run of an objective with a residual network, of images whose sides its
// total stride does not divide.
func smallResidual(t *testing.T, objective string) *configs.Config {
	t.Helper()
	cfg := smallOf(t, objective)
	cfg.Model.Name, cfg.Model.Width, cfg.Model.ImageSize = "resnet18_cifar", 1./16, []int{12, 20}
	return cfg
}

// openResidual opens an objective for a residual network and images of that size.
func openResidual(t *testing.T, objective string, size ...int) error {
	t.Helper()
	cfg := smallResidual(t, objective)
	cfg.Model.ImageSize = size
	network, err := cfg.Backbone()
	if err != nil {
		t.Fatal(err)
	}
	o, err := launch.Open(t.Context(), launch.Request{Config: cfg, Network: network, Mode: host.Inproc, Batch: 8, TotalSteps: 8, StepsPerEpoch: 5, Images: 40})
	if err == nil {
		o.Close()
	}
	return err
}

// residual lists the objectives that work with a residual network, those that read no tokens.
func residual(t *testing.T) []string {
	return slices.DeleteFunc(every(), func(name string) bool { return openResidual(t, name, 12, 20) != nil })
}

// A residual network trains to the same bits at any speed, and after an interruption.
func TestResidualNetworks(t *testing.T) {
	for i, name := range residual(t) {
		of := func() *configs.Config { return smallResidual(t, name) }
		some := []variation{variations[(1+3*i)%len(variations)]}
		for j, v := range variations {
			if full && j%3 == i%3 { // TestSameBits has all of them with every objective
				some = append(some, v)
			}
		}
		t.Run(name, func(t *testing.T) { sameBits(t, of, some) })
		if full || i%2 == 0 {
			t.Run(name+", interrupted", func(t *testing.T) { resumes(t, of, 1+4*(i%2)) })
		}
		if !full && i%2 == 0 {
			continue // each objective in one of the two ways
		}
		t.Run(name+", accumulated and interrupted", func(t *testing.T) {
			resumes(t, func() *configs.Config {
				cfg := of()
				cfg.Train.BatchSize, cfg.Train.Accumulate = 4, 2
				return cfg
			}, 5)
		})
	}
}

// The running statistics of student and teacher are part of every checkpoint; each network moves its
// own, and the moving average moves parameters alone.
func TestResidualState(t *testing.T) {
	for _, name := range residual(t) {
		cfg := smallResidual(t, name)
		pretrain(t, cfg, Options{})
		list, err := runs.Checkpoints(cfg.Run.Out)
		if err != nil {
			t.Fatal(err)
		}
		first, last := readCheckpoint(t, list[0].Path), readCheckpoint(t, list[len(list)-1].Path)
		statistics := 0
		for _, tensor := range last.Names() {
			if !strings.HasSuffix(tensor, ".running_mean") && !strings.HasSuffix(tensor, ".running_var") || !strings.Contains(tensor, "backbone.") {
				continue
			}
			statistics++
			was, ok := first.Get(tensor)
			is, _ := last.Get(tensor)
			if !ok || bytes.Equal(was.Bytes(), is.Bytes()) {
				t.Errorf("%s: %s did not move, or the first checkpoint lacks it", name, tensor)
			}
			if own, ok := last.Get(strings.TrimPrefix(tensor, "teacher.")); !ok || strings.HasPrefix(tensor, "teacher.") && bytes.Equal(own.Bytes(), is.Bytes()) {
				t.Errorf("%s: %s is that of the student", name, tensor)
			}
		}
		networks := 1
		if _, ok := last.Get("teacher.backbone.bn1.running_mean"); ok {
			networks = 2
		}
		if statistics != 40*networks {
			t.Errorf("%s: %d running statistics, want those of 20 batch norms of %d networks", name, statistics, networks)
		}
	}
}

func readCheckpoint(t *testing.T, path string) *tensor.File {
	t.Helper()
	f, err := tensor.ReadSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Objectives that need tokens refuse a residual network by its name, as a matter of configuration.
func TestResidualNetworkIsRefused(t *testing.T) {
	refused := 0
	for _, name := range every() {
		err := openResidual(t, name, 16)
		if err == nil {
			continue
		}
		refused++
		var plugin *host.PluginError
		if !errors.As(err, &plugin) || plugin.Kind != host.Refused || !strings.Contains(err.Error(), `resnet18_cifar is of the family "cnn"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if refused == 0 {
		t.Error("no objective refuses: this test looks at nothing")
	}
}
