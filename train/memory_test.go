package train

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/vittool/vittool/configs"
)

// A run that needs more memory than there is, is refused before it takes it, and leaves no folder;
// one within the bound, or without a known bound, runs.
func TestMemory(t *testing.T) {
	before := memoryBound
	defer func() { memoryBound = before }()
	within := func(bytes int64) error {
		memoryBound = func() (int64, string) { return bytes, "a test permits" }
		cfg := small(t)
		cfg.Model.Name = wider
		cfg.Train.Steps, cfg.Train.WarmupEpochs = 1, 0
		_, err := Pretrain(context.Background(), cfg, Options{})
		if _, e := os.Stat(cfg.Run.Out); err != nil && e == nil {
			t.Error("it left a folder")
		}
		return err
	}
	for _, bytes := range []int64{1 << 10, 1 << 20, 4 << 20, 8 << 20} { // parameters, inputs and activations, optimizer
		var e *configs.Error
		if err := within(bytes); !errors.As(err, &e) || e.Key != "train.batch_size" {
			t.Errorf("%d bytes: error %v", bytes, err)
			continue
		}
		for _, word := range []string{"does not fit in memory", "a test permits", "train.accumulate", "train.recompute=blocks", "smaller model"} {
			if !strings.Contains(e.Error(), word) {
				t.Errorf("%d bytes: %v does not say %q", bytes, e, word)
			}
		}
	}
	for _, bytes := range []int64{0, 1 << 30} {
		if err := within(bytes); err != nil {
			t.Errorf("%d bytes: %v", bytes, err)
		}
	}
}
