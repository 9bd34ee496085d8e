package tasks

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/backbone/families"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/runs"
)

// onlineOf opens the evaluation of a fresh small network of a family.
func onlineOf(t *testing.T, model string, dev *device.CPU) (*OnlineKNN, backbone.Network, error) {
	t.Helper()
	cfg := configs.Default()
	cfg.Eval.Data, cfg.Eval.Limit, cfg.Eval.K = "demo:", 20, 3
	c := must.Get(families.All().Variant(model))(t)
	c = must.Get(c.With(backbone.Settings{Height: 16, Width: 16}))(t)
	network := must.Get(c.New(param.NewStore(), "", nil, 1))(t)
	o, err := OpenOnlineKNN(&cfg, network, runs.Features{Network: runs.Student, Pool: runs.PoolMean}, dev, func(s string) { t.Log(s) })
	return o, network, err
}

// An evaluation reads the weights as they are at its time and changes none, and takes memory only
// while it runs.
func TestOnlineKNN(t *testing.T) {
	for _, model := range []string{"vit_micro_patch4_32", "resnet18_cifar"} {
		dev := devicetest.New(t, 2)
		dev.Budget = &device.Budget{Limit: 1 << 30}
		o, network, err := onlineOf(t, model, dev.Apart(0))
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		if about := o.About(); !strings.Contains(about, "20 images to learn from, 20 to test on, 8 classes") || o.peak < 1<<16 {
			t.Errorf("%s, %d bytes", about, o.peak)
		}
		all := append(network.Parameters(), network.Buffers()...)
		before := make([][]float32, len(all))
		for i, p := range all {
			before[i] = append([]float32(nil), p.Data...)
		}
		var figures []float64
		for range 2 {
			line := must.Get(o.Run(context.Background(), dev.Apart(0)))(t)
			figures = append(figures, line.KNN)
		}
		if figures[0] != figures[1] || dev.Budget.Used != 0 {
			t.Errorf("%s: figures %v of equal weights, %d bytes are in use", model, figures, dev.Budget.Used)
		}
		for i, p := range all {
			for j, v := range p.Data {
				if v != before[i][j] {
					t.Fatalf("%s: %s[%d] was %v and is %v", model, p.Name, j, before[i][j], v)
				}
			}
		}
		for _, p := range network.Parameters() { // all features are alike now
			clear(p.Data)
		}
		if line := must.Get(o.Run(context.Background(), dev.Apart(0)))(t); line.KNN > 0.3 || line.Train != 20 || line.Test != 20 || line.Network != runs.Student {
			t.Errorf("%s: %+v of a network of zeros", model, line)
		}
	}
}

// An evaluation that the memory does not suffice for is refused when it is opened.
func TestOnlineKNNWithoutMemory(t *testing.T) {
	dev := devicetest.New(t, 1)
	dev.Budget = &device.Budget{Limit: 1 << 20, Used: 1 << 19}
	var setting *configs.Error
	if _, _, err := onlineOf(t, "resnet18_cifar", dev.Apart(1<<10)); !errors.As(err, &setting) || setting.Key != "eval.data" || !strings.Contains(err.Error(), "memory") {
		t.Errorf("%v", err)
	}
}
