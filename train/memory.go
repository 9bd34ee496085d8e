package train

import (
	"fmt"
	"math"
	"strconv"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
)

// memoryRoom says how much memory this process may take, and what sets that bound.
// Where nothing is known it is no bound.
var memoryRoom = func() (bytes int64, of string) { return systemMemory("/") }

// batchesAhead is how many batches of images may be in memory at a time: two that
// the loader has ready, one that it fills, one that waits for its masks, those that
// have them, and the one of the step.
const batchesAhead = 5 + maskAhead

// bounded makes the engine and the store refuse what does not fit in memory.
func (r *run) bounded() {
	bytes, of := memoryRoom()
	if bytes <= 0 {
		bytes = math.MaxInt64 / 2
	}
	r.room = of
	r.engine.Budget = &device.Budget{Limit: bytes}
	r.store.Alloc = r.engine.Budget.Alloc
}

// fits refuses a run that would need more memory than there is: what is planned and
// not yet made comes on top of what is. Whether the graph was built is model's to say.
func (r *run) fits(built bool) error {
	budget := r.engine.Budget
	need := budget.Wanted
	if need == 0 {
		if !built { // for another reason
			return nil
		}
		need = budget.Used + r.planned()
	}
	if need <= budget.Limit {
		return nil
	}
	least := ""
	if budget.Wanted > 0 {
		least = "at least "
	}
	hint := "make train.batch_size smaller (train.accumulate=N takes N batches a step and keeps the sum)"
	if r.cfg.Train.Recompute == "none" {
		hint += ", set train.recompute=blocks, which keeps fewer activations"
	}
	return &configs.Error{Key: "train.batch_size", Value: strconv.Itoa(r.cfg.Train.BatchSize),
		Problem: fmt.Sprintf("%s with it does not fit in memory: a step needs %s%s, %s %s", r.cfg.Model.Name, least, gib(need), r.room, gib(budget.Limit)),
		Hint:    hint + ", or take a smaller model"}
}

// planned is what will be taken once the run is on its way: optimizer state, sums of
// gradients, batches of images, and the graph of a smaller last batch.
func (r *run) planned() int64 {
	trained, views := 0, 0
	for _, p := range r.current.Exec().Parameters() {
		trained += p.Size()
	}
	for _, v := range r.objective.Plan().GetViews() {
		views += len(r.current.View(v.GetName()))
	}
	t := r.cfg.Train
	copies := 1 // momentum
	if t.Optimizer == "adamw" {
		copies = 2
	}
	if t.Accumulate > 1 {
		copies++
	}
	bytes := 4 * (int64(copies)*int64(trained) + batchesAhead*int64(views))
	if last := r.source.Len() % t.BatchSize; !t.DropLast && last > 0 {
		graph := r.engine.Budget.Used // of the full batch, with its inputs and what it remembers
		for _, p := range r.store.Parameters() {
			graph -= 4 * int64(p.Size())
		}
		bytes += graph * int64(last) / int64(t.BatchSize)
	}
	return bytes
}

func gib(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }
