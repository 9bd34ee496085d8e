package optim

import (
	"math"
	"sort"
)

// Schedule gives a value for each iteration: a learning rate, a weight decay, an EMA momentum, a
// temperature. Iterations count from 0 over the whole run. Past its end a schedule keeps its last
// value.
type Schedule interface {
	// At returns the value of an iteration.
	At(iteration int) float64
}

// Constant is a schedule of one value.
type Constant float64

// At returns the value.
func (c Constant) At(int) float64 { return float64(c) }

// Cosine is the table of BEiT, DINO, SiT and SwAV: Warmup values from Start to Base, both included,
// then Total-Warmup values Final + (Base-Final)/2·(1+cos(πi/n)), i = 0..n-1. So Base occurs twice
// in a row after a warm-up, and Final does not occur.
type Cosine struct {
	Start, Base, Final float64
	Warmup, Total      int // iterations
}

// At returns the value of an iteration.
func (s Cosine) At(it int) float64 {
	it = clampIteration(it, s.Total)
	if it < s.Warmup {
		return linspace(s.Start, s.Base, s.Warmup, it)
	}
	return cosine(s.Base, s.Final, float64(it-s.Warmup)/float64(s.Total-s.Warmup))
}

// EpochCosine is the learning rate of MAE and MoCo v3, a function of the fractional epoch e =
// iteration/PerEpoch: LR·e/WarmupEpochs below WarmupEpochs, then Min +
// (LR-Min)/2·(1+cos(π(e-W)/(E-W))).
type EpochCosine struct {
	LR, Min              float64
	WarmupEpochs, Epochs float64
	PerEpoch             int // iterations per epoch
	// Whole keeps the value of the first iteration throughout an epoch, as MoCo v2 and SimSiam do.
	Whole bool
}

// At returns the value of an iteration.
func (s EpochCosine) At(it int) float64 {
	if s.Whole {
		return s.AtEpoch(float64(it / s.PerEpoch))
	}
	return s.AtEpoch(float64(it) / float64(s.PerEpoch))
}

// AtEpoch returns the value at a fractional epoch.
func (s EpochCosine) AtEpoch(e float64) float64 {
	e = max(0, min(e, s.Epochs))
	if e < s.WarmupEpochs {
		return s.LR * e / s.WarmupEpochs
	}
	if s.Epochs == s.WarmupEpochs {
		return s.LR
	}
	return cosine(s.LR, s.Min, (e-s.WarmupEpochs)/(s.Epochs-s.WarmupEpochs))
}

// EpochSteps multiplies LR by Factor at each milestone, an epoch number (InstDisc, MoCo: factor
// 0.1).
type EpochSteps struct {
	LR, Factor float64
	Milestones []int
	PerEpoch   int
}

// At returns the value of an iteration.
func (s EpochSteps) At(it int) float64 {
	passed := sort.Search(len(s.Milestones), func(i int) bool { return s.Milestones[i] > it/s.PerEpoch })
	return s.LR * math.Pow(s.Factor, float64(passed))
}

// PixProCosine warms up from LR/Multiplier to LR over Warmup iterations, the last included, then
// follows a cosine to Min (zdaxie/PixPro).
type PixProCosine struct {
	LR, Min, Multiplier float64
	Warmup, Total       int // iterations
}

// At returns the value of an iteration.
func (s PixProCosine) At(it int) float64 {
	it = clampIteration(it, s.Total)
	if it <= s.Warmup && s.Warmup > 0 {
		return s.LR / s.Multiplier * ((s.Multiplier-1)*float64(it)/float64(s.Warmup) + 1)
	}
	return cosine(s.LR, s.Min, float64(it-s.Warmup)/float64(s.Total-s.Warmup))
}

// MomentumCosine is the EMA momentum of BYOL, PixPro and MoCo v3: 1 - (1-Base)/2·(1+cos(πk/Total))
// at iteration k.
type MomentumCosine struct {
	Base  float64
	Total int // iterations
}

// At returns the value of an iteration.
func (s MomentumCosine) At(it int) float64 {
	x := float64(max(0, min(it, s.Total))) / float64(s.Total)
	return 1 - (1-s.Base)*(math.Cos(math.Pi*x)+1)/2
}

// EpochWarmup is DINO's teacher temperature: per epoch, WarmupEpochs values from Start to Final,
// both included, then Final.
type EpochWarmup struct {
	Start, Final float64
	WarmupEpochs int
	PerEpoch     int
}

// At returns the value of an iteration.
func (s EpochWarmup) At(it int) float64 {
	if e := it / s.PerEpoch; e < s.WarmupEpochs {
		return linspace(s.Start, s.Final, s.WarmupEpochs, e)
	}
	return s.Final
}

// cosine is half a cosine wave from a at x = 0 to b at x = 1.
func cosine(a, b, x float64) float64 { return b + (a-b)/2*(1+math.Cos(math.Pi*x)) }

// linspace is value i of n from a to b, both included; of one value it is a.
func linspace(a, b float64, n, i int) float64 {
	switch {
	case n == 1:
		return a
	case i == n-1:
		return b
	}
	return a + float64(i)*((b-a)/float64(n-1))
}

// clampIteration limits an iteration to 0..total-1.
func clampIteration(it, total int) int { return max(0, min(it, total-1)) }
