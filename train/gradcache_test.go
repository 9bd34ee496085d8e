package train

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
)

// cachedRun is a run whose loss spans two micro-batches of four images.
func cachedRun(t *testing.T) *configs.Config {
	cfg := smallOf(t, "mocov3")
	cfg.Model.DropPath = 0
	cfg.Train.BatchSize, cfg.Train.Accumulate, cfg.Train.GradCache, cfg.Train.DropLast = 4, 2, true, true
	return cfg
}

// A loss over the micro-batches of a step is that over one batch of the same images.
func TestGradCacheIsOneBatch(t *testing.T) {
	cached, direct := cachedRun(t), cachedRun(t)
	direct.Train.BatchSize, direct.Train.Accumulate, direct.Train.GradCache = 8, 1, false
	a, b := stepLosses(t, cached), stepLosses(t, direct)
	if len(a) != len(b) || len(a) != 8 {
		t.Fatalf("%d and %d steps, want 8", len(a), len(b))
	}
	for i := range a {
		if e := math.Abs(a[i] - b[i]); e > 1e-4*b[i] {
			t.Errorf("step %d: loss %g, of one batch %g", i+1, a[i], b[i])
		}
	}
}

// recordedLosses is a Progress that keeps the loss of each step.
type recordedLosses struct {
	silent
	losses []float64
}

func (r *recordedLosses) Step(s Step) { r.losses = append(r.losses, s.Loss) }

func stepLosses(t *testing.T, cfg *configs.Config) []float64 {
	t.Helper()
	var seen recordedLosses
	pretrain(t, cfg, Options{Progress: &seen})
	return seen.losses
}

// The bits depend neither on threads nor on an interruption in the middle of a step.
func TestGradCacheSameBits(t *testing.T) {
	want := pretrain(t, cachedRun(t), Options{}).Digest
	one := cachedRun(t)
	one.Run.Threads = 1
	if got := pretrain(t, one, Options{}).Digest; got != want {
		t.Errorf("digest %s with one thread, want %s", got, want)
	}
	cfg := cachedRun(t)
	interrupt(t, cfg, 5)
	if got := pretrain(t, cfg, Options{Resume: true}).Digest; got != want {
		t.Errorf("digest %s after an interruption, want %s", got, want)
	}
}

// A loss that the plugin computes can't span micro-batches, and neither can batches that are not
// full.
func TestGradCacheRefuses(t *testing.T) {
	cfg := cachedRun(t)
	cfg.Train.DropLast = false
	var e *configs.Error
	if _, err := Pretrain(context.Background(), cfg, Options{}); !errors.As(err, &e) || e.Key != "train.grad_cache" {
		t.Errorf("without drop_last: %v", err)
	}
	cfg, change := variantRun(t)
	change("evaluate")
	cfg.Train.Accumulate, cfg.Train.GradCache, cfg.Train.DropLast = 2, true, true
	if _, err := Pretrain(context.Background(), cfg, Options{}); err == nil || !strings.Contains(err.Error(), "train.grad_cache=false") {
		t.Errorf("a plugin that computes the loss: %v", err)
	}
}
