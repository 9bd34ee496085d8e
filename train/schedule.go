package train

import (
	"math"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/optim"
)

// schedules returns the learning rate and the weight decay of every step of a run of total steps.
func schedules(t configs.Train, total, stepsPerEpoch int) (rate, decay optim.Schedule) {
	epochs := float64(total) / float64(stepsPerEpoch)
	warmup := min(t.WarmupEpochs, epochs)
	if t.Schedule == "iteration" {
		steps := int(math.Round(warmup * float64(stepsPerEpoch)))
		rate = optim.Cosine{Base: t.PeakLR(), Final: t.MinLR, Warmup: steps, Total: total}
	} else {
		rate = optim.EpochCosine{LR: t.PeakLR(), Min: t.MinLR, WarmupEpochs: warmup, Epochs: epochs, PerEpoch: stepsPerEpoch}
	}
	decay = optim.Constant(t.WeightDecay)
	if t.WeightDecayEnd != 0 {
		decay = optim.Cosine{Base: t.WeightDecay, Final: t.WeightDecayEnd, Total: total}
	}
	return rate, decay
}
