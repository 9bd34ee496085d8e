package train

import (
	"context"
	"errors"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/runs"
)

// run is everything the loop works with: the setup, which stays as it is, the state, which a
// checkpoint holds, and the recorder, which writes the run folder. All else is derived from them.
type run struct {
	setup    setup
	state    state
	recorder recorder
	resumed  *resumed // nil for a new run

	graphs    *graphs
	gradients *gradients
	loader    *data.Loader
	feed      *feed

	evaluation Evaluation // of features; nil without eval.data
}

// open prepares a run: it checks everything that can be checked before the first step, then creates
// or locks the folder and loads the newest checkpoint. A new run folder is made last, so that a
// mistake leaves none behind.
func open(ctx context.Context, cfg *configs.Config, opts Options) (_ *run, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := newRun(cfg, opts)
	defer func() {
		if err != nil {
			r.recorder.fail(err)
			r.close()
		}
	}()
	if err := r.findFolder(opts.Resume); err != nil {
		return nil, err
	}
	if err := r.setup.open(ctx); err != nil {
		return nil, err
	}
	if err := r.resumed.checkFiles(&r.setup); err != nil {
		return nil, err
	}
	if err := r.resumed.checkPlugin(&r.setup, opts.AcceptPluginChange); err != nil {
		return nil, err
	}
	if err := r.build(ctx); err != nil {
		return nil, err
	}
	if err := r.openEvaluation(opts.OpenEvaluation); err != nil {
		return nil, err
	}
	restored := r.resumed != nil && r.resumed.checkpoint != nil
	if restored {
		if err := r.restore(r.resumed.checkpoint); err != nil {
			return nil, err
		}
		if r.done() {
			return r, nil // nothing is left to train
		}
	}
	if err := r.recorder.open(r.state.step); err != nil {
		return nil, err
	}
	if err := r.openLoader(ctx); err != nil {
		return nil, err
	}
	r.announce()
	if !restored { // a run that is killed early has something to go on from
		if err := r.checkpoint(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func newRun(cfg *configs.Config, opts Options) *run {
	r := &run{setup: setup{cfg: cfg, progress: opts.Progress, log: &lockedWriter{}}, state: state{store: param.NewStore()}}
	if r.setup.progress == nil {
		r.setup.progress = silent{}
	}
	r.recorder.init(&r.setup, opts.AfterCheckpoint)
	return r
}

// findFolder names the run folder and reads the run in it that is to be resumed; a folder for a new
// run is only looked at.
func (r *run) findFolder(resume bool) error {
	cfg := r.setup.cfg
	if r.recorder.unnamed = cfg.Run.Out == ""; r.recorder.unnamed {
		if resume {
			return &configs.Error{Key: "run.out", Problem: "which run is to be resumed?", Hint: "give its folder with --out"}
		}
		copied := *cfg
		copied.Run.Out = runs.FreeName(cfg.Objective.Name, cfg.Model.Name)
		cfg, r.setup.cfg = &copied, &copied
	}
	if resume {
		return r.reopen()
	}
	return outError(runs.CheckNew(cfg.Run.Out))
}

// outError makes an error about the run folder one about the setting that names it.
func outError(err error) error {
	var e *runs.FolderError
	if errors.As(err, &e) {
		return &configs.Error{Key: "run.out", Value: e.Dir, Problem: e.Problem, Hint: e.Hint}
	}
	return err
}

// build makes parameters, the graph of a full batch, the optimizer and the schedules.
func (r *run) build(ctx context.Context) (err error) {
	s := &r.setup
	if r.graphs, err = newGraphs(ctx, s, r.state.store); err != nil {
		return err
	}
	r.state.moving = program.MovingBuffers(r.state.store, s.objective.Plan())
	r.gradients = newGradients(s.device, s.cfg.Train)
	if r.state.optimizer, err = newOptimizer(s.device, s.cfg.Train); err != nil {
		return err
	}
	s.rate, s.decay = schedules(s.cfg.Train, s.epochs)
	return nil
}

// done reports whether all steps are done.
func (r *run) done() bool { return r.state.step >= r.setup.total }

func (r *run) announce() {
	var parameters int64
	for _, p := range r.state.store.Parameters() {
		parameters += int64(p.Size())
	}
	s, graph, images := &r.setup, r.graphs.current, r.loader.PeakBytes()
	computations := s.cfg.Train.Accumulate // of a step
	if s.cfg.Train.GradCache {
		computations = 1
	}
	r.graphs.warnOfImages(images)
	if r.evaluation != nil {
		s.progress.Event(r.evaluation.About())
	}
	s.progress.Start(Overview{
		RunDir: r.recorder.folder.Dir, Objective: s.cfg.Objective.Name, Model: s.cfg.Model.Name, Parameters: parameters, Images: s.source.Len(),
		BatchSize: s.cfg.Train.BatchSize * s.cfg.Train.Accumulate, StepsPerEpoch: s.epochs.perEpoch(), FirstStep: r.state.step, TotalSteps: s.total,
		StepBytes: int64(graph.Bytes()), ImageBytes: images,
		StepFLOPs: graph.FLOPs() * float64(computations),
	})
}

// log records a step that is done.
func (r *run) log(sums stepSums, norm, lr, wd float64) error {
	s := sums.step(r.state.step, r.setup.epochs)
	s.GradientNorm, s.LearningRate, s.WeightDecay = norm, lr, wd
	return r.recorder.step(s, sums.batches, &r.state.epoch)
}

// close releases everything that open acquired, in the opposite order.
func (r *run) close() {
	if r.feed != nil {
		r.feed.close()
	}
	if r.loader != nil {
		r.loader.Close()
	}
	if r.evaluation != nil {
		r.evaluation.Close()
	}
	r.setup.close()
	r.recorder.close()
}
