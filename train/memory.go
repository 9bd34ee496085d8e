package train

import (
	"fmt"
	"math"
	"strconv"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
)

// memoryBound is the most memory that this process may take, in bytes, and the origin of that
// bound. 0 stands for no known bound.
var memoryBound = func() (bytes int64, of string) { return systemMemory("/") }

// MemoryBound is the most memory that this process may take, in bytes; 0 if it is unknown.
func MemoryBound() int64 {
	bytes, _ := memoryBound()
	return bytes
}

// batchesAhead is how many batches of images may be in memory at a time: two that the loader has
// ready, one that it fills, one that waits for its masks, those that have them, and the one of the
// step.
const batchesAhead = 5 + maskAhead

// boundMemory makes the device and the store refuse to take more memory than there is.
func (g *graphs) boundMemory() {
	bytes, of := memoryBound()
	if bytes <= 0 {
		bytes = math.MaxInt64 / 2
	}
	g.bound = of
	g.setup.device.Budget = &device.Budget{Limit: bytes}
	g.store.Alloc = g.setup.device.Budget.Alloc
}

// checkMemory refuses a run that would need more memory than there is: the planned part comes on
// top of the part that is taken. built tells whether the graph was built.
func (g *graphs) checkMemory(built bool) error {
	budget, cfg := g.setup.device.Budget, g.setup.cfg
	need := budget.Wanted
	if need == 0 {
		if !built { // for another reason
			return nil
		}
		need = budget.Used + g.planned()
	}
	if need <= budget.Limit {
		return nil
	}
	least := ""
	if budget.Wanted > 0 {
		least = "at least "
	}
	hint := "make train.batch_size smaller (train.accumulate=N takes N batches a step and keeps the sum)"
	if cfg.Train.Recompute == "none" {
		hint += ", set train.recompute=blocks, which keeps fewer activations"
	}
	return &configs.Error{Key: "train.batch_size", Value: strconv.Itoa(cfg.Train.BatchSize),
		Problem: fmt.Sprintf("%s with it does not fit in memory: a step needs %s%s, %s %s", cfg.Model.Name, least, gib(need), g.bound, gib(budget.Limit)),
		Hint:    hint + ", or take a smaller model"}
}

// warnOfImages warns where reading images, which takes the given bytes at most, may need more memory
// than a run leaves.
func (g *graphs) warnOfImages(bytes int64) {
	need, limit := g.setup.device.Budget.Used+g.planned(), g.setup.device.Budget.Limit
	if need+bytes > limit {
		g.setup.progress.Warning(fmt.Sprintf("memory may not suffice: a step needs %s, reading images up to %s, and %s %s; lower data.workers or data.cache, or take smaller images",
			gib(need), gib(bytes), g.bound, gib(limit)))
	}
}

// planned is the memory that a run still takes on its way: optimizer state, sums of gradients,
// batches of images, and the graph of a smaller last batch.
func (g *graphs) planned() int64 {
	trained, views, t := 0, 0, g.setup.cfg.Train
	for _, p := range g.current.Parameters() {
		trained += p.Size()
	}
	for _, v := range g.setup.objective.Plan().Views {
		views += t.BatchSize * g.setup.network.Info().Channels * v.Height * v.Width
	}
	copies := 1 // momentum
	if t.Optimizer == "adamw" {
		copies = 2
	}
	batches := batchesAhead
	if t.Accumulate > 1 {
		copies++
		if t.GradCache { // micro-batches are kept with a byte for each of their floats
			batches += (t.Accumulate + 3) / 4
		}
	}
	bytes := 4 * (int64(copies)*int64(trained) + int64(batches)*int64(views))
	if last := g.setup.lastBatch(); last > 0 {
		graph := g.setup.device.Budget.Used // of the full batch, with its inputs and cached targets
		for _, p := range g.store.Parameters() {
			graph -= 4 * int64(p.Size())
		}
		bytes += graph * int64(last) / int64(t.BatchSize)
	}
	return bytes
}

func gib(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }
