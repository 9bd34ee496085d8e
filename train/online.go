package train

import (
	"context"
	"fmt"
	"time"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/runs"
)

// Evaluation measures the features of a network between two steps of its training. It reads the
// network's weights where the run has them and changes nothing that a step reads.
type Evaluation interface {
	// Run measures the network as it is now, with the threads and the free memory of dev. It sets
	// the figures of the line, and neither step nor time. After it no memory of dev is in use.
	Run(ctx context.Context, dev *device.CPU) (runs.EvalLine, error)
	// About describes the evaluation for people: images, neighbors, memory.
	About() string
	// Close releases the images.
	Close()
}

// Trained is the network of a run, as an evaluation of its features sees it.
type Trained struct {
	Config *configs.Config
	// Network is the one that Features names. Its weights are those of the run, not a copy.
	Network  backbone.Network
	Features runs.Features // recommended by the objective
	// Device has the threads of the run and the memory that it leaves, for a trial.
	Device *device.CPU
	Note   func(message string) // of images that are left out
}

// openEvaluation prepares the evaluation that eval.data asks for. A run that has come to its end
// needs none.
func (r *run) openEvaluation(open func(Trained) (Evaluation, error)) error {
	s := &r.setup
	if s.cfg.Eval.Data == "" || r.resumed != nil && r.resumed.status == runs.StatusDone && r.done() {
		return nil
	}
	fail := func(problem string) error {
		return &configs.Error{Key: "eval.data", Value: s.cfg.Eval.Data, Problem: problem, Hint: "leave it out"}
	}
	if open == nil {
		return fail("this program evaluates no features")
	}
	features := featuresOf(s.objective.Plan().Recommended)
	network := r.graphs.network(features.Network)
	if network == nil {
		return fail("objective " + s.cfg.Objective.Name + " trains no backbone, whose features could be evaluated")
	}
	e, err := open(Trained{Config: s.cfg, Network: network, Features: features, Device: r.graphs.apart(), Note: s.progress.Event})
	if err == nil {
		r.evaluation = e
	}
	return err
}

// evaluationDue reports whether features are to be evaluated after the step that was done last and
// were not yet: an earlier process may have been stopped between its checkpoint and the evaluation.
func (r *run) evaluationDue() bool {
	step := r.state.step
	if r.evaluation == nil || step == 0 || r.recorder.last.Eval.Step == step {
		return false
	}
	return r.done() || r.setup.epochs.due(r.setup.cfg.Eval.Every, step)
}

// evaluate measures the features where that is due. An evaluation that fails is a warning and does
// not stop the run; a cancelled one is made up for by the process that goes on.
func (r *run) evaluate(ctx context.Context) error {
	if !r.evaluationDue() {
		return nil
	}
	began := time.Now()
	line, err := r.evaluation.Run(ctx, r.graphs.apart())
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		r.setup.progress.Warning(fmt.Sprintf("features were not evaluated after step %d: %v", r.state.step, err))
		return nil
	}
	line.Kind, line.Step, line.Epoch, line.Seconds = runs.KindEval, r.state.step, r.setup.epochs.at(r.state.step), time.Since(began).Seconds()
	return r.recorder.evaluated(line)
}

// network is the student or the teacher, as a checkpoint holds it; nil for none.
func (g *graphs) network(name string) backbone.Network {
	var runner *program.Runner
	switch c := g.current.(type) {
	case *program.Runner:
		runner = c
	case *program.GradCache:
		runner = c.Runner
	}
	if name == runs.Teacher {
		return runner.Averaged
	}
	return runner.Student
}

// apart is the device with the memory that a run leaves.
func (g *graphs) apart() *device.CPU { return g.setup.device.Apart(g.planned()) }
