package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/launch"
	"github.com/vittool/vittool/plugins/program"
)

// graphs are the compiled plan over the one store, one for each size of batch: the last batch of an
// epoch may be smaller.
type graphs struct {
	ctx       context.Context // of the run
	setup     *setup
	store     *param.Store
	runners   map[int]*program.Runner    // by batch size
	caches    map[int]*program.GradCache // by number of micro-batches, for losses that span them
	current   computation                // in progress
	evaluator *evaluator                 // nil unless the plan leaves something to the plugin
	targets   *targetCache
	bound     string          // origin of the bound of memory
	pending   program.Pending // updates of buffers of the step in progress
}

// computation is a graph of one micro-batch, or of all micro-batches of a step.
type computation interface {
	Loss() float64
	Metrics() map[string]float64
	gradientSource
	FirstNonFinite() (tensor string, index int, value float32, ok bool)
	CommitMicro(*program.Pending) error
	MoveTeacher() error
	Bytes() int
	FLOPs() float64
}

// newGraphs makes the parameters and compiles the graph of a full batch. A run that needs more
// memory than there is is refused.
func newGraphs(ctx context.Context, s *setup, store *param.Store) (*graphs, error) {
	plan, batch := s.objective.Plan(), s.cfg.Train.BatchSize
	g := &graphs{ctx: ctx, setup: s, store: store, runners: map[int]*program.Runner{}, caches: map[int]*program.GradCache{}}
	g.targets = newTargetCache(s.cfg.Data.TargetCache, s.source.Len(), s.progress.Warning)
	if plan.Computes() {
		g.evaluator = &evaluator{ctx: ctx, objective: s.objective, store: store, seed: uint64(s.cfg.Run.Seed)}
	}
	g.boundMemory()
	if s.cfg.Train.GradCache && s.epochs.micro(0) > 1 {
		x, err := g.forStep(s.epochs.micro(0))
		if err != nil {
			return nil, err
		}
		s.network = x.Config // with the plan's requirements
		return g, g.checkMemory(true)
	}
	runner, err := g.forBatch(batch)
	if err != nil {
		return nil, err
	}
	if err := g.checkMemory(true); err != nil {
		return nil, err
	}
	if g.evaluator != nil {
		if err := g.evaluator.bind(ctx, plan, s.network.Info().Channels, batch, runner.EvaluateInputs()); err != nil {
			return nil, err
		}
	}
	if s.lastBatch() == 1 { // it may be too small for the plan
		if _, err := g.forBatch(1); err != nil {
			return nil, err
		}
		g.current = runner
	}
	s.network = runner.Config // with the plan's requirements
	return g, nil
}

// forBatch returns the graph for a number of images, compiled at first use.
func (g *graphs) forBatch(images int) (*program.Runner, error) {
	if m := g.runners[images]; m != nil {
		g.current = m
		return m, nil
	}
	s := g.setup
	m, err := program.Build(s.device, g.store, s.objective.Plan(), s.network, images, uint64(s.cfg.Run.Seed), g.options())
	if err != nil {
		return nil, g.buildError(err, images)
	}
	g.runners[images], g.current = m, m
	return m, nil
}

// forStep returns the graphs of a step whose loss spans a number of full micro-batches, compiled at
// first use.
func (g *graphs) forStep(micros int) (*program.GradCache, error) {
	if x := g.caches[micros]; x != nil {
		g.current = x
		return x, nil
	}
	s := g.setup
	x, err := program.BuildGradCache(s.device, g.store, s.objective.Plan(), s.network, s.cfg.Train.BatchSize, micros, uint64(s.cfg.Run.Seed), g.options())
	if err != nil {
		return nil, g.buildError(err, s.cfg.Train.BatchSize)
	}
	g.caches[micros], g.current = x, x
	return x, nil
}

func (g *graphs) options() program.Options {
	cfg := g.setup.cfg
	o := program.Options{Plugin: cfg.Objective.Name, Train: true, Recompute: cfg.Train.Recompute == "blocks", TotalSteps: uint64(g.setup.total),
		Context: g.ctx, Deadline: launch.Program(cfg.Objective).CallDeadline}
	if g.evaluator != nil {
		o.Evaluator = g.evaluator
	}
	return o
}

// buildError is the error of a compilation for batches of images: that of memory where it does not
// suffice.
func (g *graphs) buildError(err error, images int) error {
	if e := g.checkMemory(false); e != nil {
		return e
	}
	return g.batchError(err, images)
}

// lastBatch is the number of images of the last micro-batch of an epoch where the run reads one that
// is not full, 0 otherwise.
func (s *setup) lastBatch() int {
	if t := s.cfg.Train; !t.DropLast && s.epochs.run >= s.epochs.batches {
		return s.source.Len() % t.BatchSize
	}
	return 0
}

// batchError makes the error of an operator that can't be computed with one image one of the setting
// that decides how many images there are.
func (g *graphs) batchError(err error, images int) error {
	var few *ops.FewValuesError
	if !errors.As(err, &few) || images > 1 {
		return err
	}
	name, n, batch := g.setup.cfg.Objective.Name, g.setup.source.Len(), g.setup.cfg.Train.BatchSize
	e := &configs.Error{Key: "train.batch_size", Value: strconv.Itoa(batch), Hint: "take --batch-size 2 or more"}
	user := "the heads of objective " + name + " use"
	if i := g.setup.network.Info(); len(i.StageDims) > 0 {
		user = "the model " + i.Name + " and the heads of objective " + name + " use"
	}
	e.Problem = fmt.Sprintf("%s batch normalization, which needs at least 2 values of each channel, and one image gives %d", user, few.Values)
	if batch > 1 {
		e.Problem = fmt.Sprintf("the last micro-batch of an epoch has 1 of the %d images, and %s", n, e.Problem)
		e.Hint = "set train.drop_last=true, or take another --batch-size"
	}
	return e
}

// compute computes loss and gradients of a micro-batch, one of the given number in its step. Where
// the loss spans them, all but the last one are only encoded: ok reports that loss and gradients are
// there.
func (g *graphs) compute(ctx context.Context, step, micros int, batch fedBatch) (ok bool, err error) {
	in := g.inputs(ctx, step, batch)
	if !g.setup.cfg.Train.GradCache || micros == 1 {
		model, err := g.forBatch(len(batch.IDs))
		if err != nil {
			return false, err
		}
		return true, g.objectiveError(model.Step(in))
	}
	cache, err := g.forStep(micros)
	if err != nil {
		return false, err
	}
	if err := cache.Encode(in); err != nil || !cache.Encoded() {
		return false, g.objectiveError(err)
	}
	return true, g.objectiveError(cache.Step())
}

// inputs are the values that a step reads of a batch: views, masks and targets. Masks follow from
// the number of the batch; schedules, stochastic depth and random nodes from the optimizer's step
// and the samples.
func (g *graphs) inputs(ctx context.Context, step int, batch fedBatch) program.Inputs {
	in := program.Inputs{
		Step: uint64(step), IDs: batch.IDs, Views: batch.Views, Boxes: batch.boxes, Labels: batch.Labels, Masks: batch.masks, TargetCache: g.targets,
	}
	if g.evaluator != nil {
		g.evaluator.masks = batch.masks
		in.Targets = func(m *program.Runner) error { return g.evaluator.targets(ctx, m, in.Step, in.IDs) }
	}
	return in
}

// objectiveError makes an error about values in the graph one of the objective, which decided them:
// masks, indices and targets can be of the right form and still mean nothing.
func (g *graphs) objectiveError(err error) error {
	var operand *core.OperandError
	var known *host.PluginError
	if !errors.As(err, &operand) || errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	return &host.PluginError{Plugin: g.setup.cfg.Objective.Name, Kind: host.Reply, Text: "its decisions for this step can't be computed with: " + operand.Error(), Err: err}
}

// NotFiniteError says that a step computed NaN or infinity. Nothing was changed by the step.
type NotFiniteError struct {
	Step   int // the first is 1
	Tensor string
	Index  int
	Value  float32
	Rate   string // key of the learning rate that is in force
}

func (e *NotFiniteError) Error() string {
	return fmt.Sprintf("step %d: %s is not finite (element %d is %v); no parameter was changed and the last checkpoint is good: "+
		"lower %s, lengthen train.warmup_epochs or set train.clip_norm, and start again, or look at the images of this step",
		e.Step, e.Tensor, e.Index, e.Value, e.Rate)
}

// checkFinite looks for NaN and infinity in the loss, all gradients and the metrics. A metric alone
// is a fault of the objective.
func (g *graphs) checkFinite(step int) error {
	model := g.current
	if metrics := model.Metrics(); finite(model.Loss()) {
		for _, name := range slices.Sorted(maps.Keys(metrics)) {
			if v := metrics[name]; !finite(v) {
				return &host.PluginError{Plugin: g.setup.cfg.Objective.Name, Kind: host.Reply, Text: fmt.Sprintf(
					"step %d: its metric %q is %v, with a finite loss; no parameter was changed and the last checkpoint is good", step+1, name, v)}
			}
		}
	}
	if tensor, index, value, ok := model.FirstNonFinite(); !ok {
		rate := "train.base_lr"
		if g.setup.cfg.Train.LR > 0 {
			rate = "train.lr"
		}
		err := &NotFiniteError{Step: step + 1, Tensor: tensor, Index: index, Value: value, Rate: rate}
		if o := g.setup.cfg.Objective; o.Plugin != "" {
			return &host.PluginError{Plugin: o.Name, Kind: host.Reply, Text: err.Error() + ", or have the plugin's loss mended", Err: err}
		}
		return err
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// commit takes the running statistics and buffer updates of a computation that turned out good. The
// next micro-batch reads the statistics; queues and centers move at the end of the step.
func (g *graphs) commit() error {
	if err := g.current.CommitMicro(&g.pending); err != nil {
		return err
	}
	if g.evaluator != nil {
		g.evaluator.commit()
	}
	return nil
}

// finishStep follows the optimizer's step, once for all of its micro-batches: the teacher moves, and
// queues and centers take the step's features.
func (g *graphs) finishStep() error {
	g.pending.Apply()
	return g.current.MoveTeacher()
}
