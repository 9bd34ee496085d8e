package train

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/plugintest"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/runs"
)

// pull is an objective that computes its loss itself: it pulls a learned vector towards the
// features' mean, which it keeps in a buffer too.
type pull struct{}

func (*pull) Info() sdk.Info {
	return sdk.Info{Name: "pull", Version: "0.1.0", Summary: "a test objective"}
}

func (*pull) Plan(b *sdk.Builder) error {
	view := b.View("image")
	tokens := b.Student("encoder", view).Class()
	weight := b.Param("weight", []int{b.Backbone().Dim}, sdk.InitZeros())
	mean := b.Buffer(sdk.BufferSpec{Name: "mean", Shape: []int{b.Backbone().Dim}})
	return b.Minimize(b.Evaluate([]sdk.EvaluateInput{{Name: "x", Value: tokens, Gradient: true}}, sdk.Training(weight), sdk.Keeping(mean, true)))
}

func (*pull) Evaluate(c *sdk.EvaluateCall) (float64, map[string]float64, error) {
	a, err := plugintest.Arrays(plugintest.Named(c.Input, "x"), plugintest.Named(c.InputGradient, "x"),
		plugintest.Named(c.Param, "weight"), plugintest.Named(c.ParamGradient, "weight"), plugintest.Named(c.Buffer, "mean"), plugintest.Named(c.Update, "mean"))
	if err != nil {
		return 0, nil, err
	}
	x, dx, w, dw, mean, next := a[0], a[1], a[2], a[3], a[4], a[5]
	rows := len(x) / len(w)
	copy(next, mean)
	clear(dw)
	loss := 0.0
	for i, v := range x {
		j := i % len(w)
		d := float64(v) - float64(w[j]) - 0.1*float64(mean[j])
		loss += d * d / float64(len(x))
		dx[i] = float32(2 * d / float64(len(x)))
		dw[j] -= dx[i]
		next[j] += 0.1 * v / float32(rows)
	}
	return loss, map[string]float64{"rows": float64(rows)}, nil
}

// thirdParty is a small run of the objective of a name in outside, in a process of its own.
func thirdParty(t *testing.T, name string) *configs.Config {
	t.Helper()
	cfg := small(t)
	cfg.Objective.Name, cfg.Objective.Mode, cfg.Objective.Options = name, "process", nil
	cfg.Objective.Plugin = plugintest.Program(t, "vittool-"+name+"-plugin")
	return cfg
}

// blank is an objective that is to predict masked patches and masks none.
type blank struct{}

func (*blank) Info() sdk.Info {
	return sdk.Info{Name: "blank", Version: "0.1.0", Summary: "a test objective"}
}

func (*blank) Plan(b *sdk.Builder) error {
	view := b.View("image")
	mask := b.BitMask("mask", view, func(*sdk.MaskCall, int, []byte) {})
	pixels := b.Linear("decoder", b.Student("encoder", view).PatchTokens(), b.PatchDim())
	return b.Minimize(b.PatchMSE(pixels, b.PatchPixels(view, sdk.ChannelFirst), mask))
}

// Masks that are of the right form and can't be computed with are the plugin's fault.
func TestUselessMask(t *testing.T) {
	_, err := Pretrain(context.Background(), thirdParty(t, "blank"), Options{})
	var e *host.PluginError
	if !errors.As(err, &e) || e.Kind != host.Reply || !strings.Contains(err.Error(), "the mask is zero everywhere") || strings.Count(err.Error(), "plugin blank") != 1 {
		t.Errorf("error %v", err)
	}
}

// overflow is an objective whose loss is infinite from the first step on.
type overflow struct{}

func (*overflow) Info() sdk.Info {
	return sdk.Info{Name: "overflow", Version: "0.1.0", Summary: "a test objective"}
}

func (*overflow) Plan(b *sdk.Builder) error {
	tokens := b.Student("encoder", b.View("image")).Tokens()
	return b.Minimize(b.Mean(b.Exp(b.Scale(b.Mul(tokens, tokens), 1e6))))
}

// A loss that is not finite is a fault of the plugin whose plan computes it.
func TestPluginNotFinite(t *testing.T) {
	cfg := small(t)
	cfg.Objective.Name, cfg.Objective.Plugin, cfg.Objective.Mode, cfg.Objective.Options = "overflow", plugintest.Program(t, "vittool-overflow-plugin"), "process", nil
	_, err := Pretrain(context.Background(), cfg, Options{})
	var plugin *host.PluginError
	var value *NotFiniteError
	if !errors.As(err, &plugin) || !errors.As(err, &value) || plugin.Kind != host.Reply || value.Step != 1 ||
		!strings.HasPrefix(err.Error(), "plugin overflow: step 1: ") {
		t.Errorf("error %v", err)
	}
}

// An objective that computes its loss in a process of its own trains, resumes to the same bits, and
// keeps its buffer in the checkpoint.
func TestEvaluatingPlugin(t *testing.T) {
	undisturbed := thirdParty(t, "pull")
	want := pretrain(t, undisturbed, Options{})
	file, _, err := runs.Latest(undisturbed.Run.Out, func(path string, err error) { t.Error(path, err) })
	if err != nil {
		t.Fatal(err)
	}
	mean, ok := file.Get("buffer.mean")
	if !ok {
		t.Fatalf("no buffer in the checkpoint: %v", file.Names())
	}
	if v, err := mean.Float32s(); err != nil || v[0] == 0 {
		t.Errorf("the buffer was never updated: %v %v", v, err)
	}
	cfg := thirdParty(t, "pull")
	interrupt(t, cfg, 4)
	if got := pretrain(t, cfg, Options{Resume: true}); got.Digest != want.Digest {
		t.Errorf("digest %s, want %s", got.Digest, want.Digest)
	}
}
