package tasks

import (
	"cmp"
	"context"
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

// ProbeKind names a published recipe of a linear classifier trained by SGD.
type ProbeKind string

const (
	// ProbeMAE (He et al. 2022): batch normalization without scale and shift, eps 1e-6, then a
	// linear layer; LARS of MoCo v3 with momentum 0.9, no decay, rate 0.1 · batch/256, 10 epochs of
	// warm-up and a cosine to 0 over 90.
	ProbeMAE ProbeKind = "mae"
	// ProbeDINO (Caron et al. 2021): a linear layer; SGD with momentum 0.9, no decay, rate 0.001 ·
	// batch/256 and a cosine to 0 over 100 epochs.
	ProbeDINO ProbeKind = "dino"
)

// ProbeKinds lists the recipes.
func ProbeKinds() []ProbeKind { return []ProbeKind{ProbeMAE, ProbeDINO} }

// Probe trains a linear classifier by SGD on fixed features. The papers draw a new random crop of
// each image every epoch; on fixed features the result is somewhat lower than theirs and comparable
// among models.
type Probe struct {
	Kind         ProbeKind
	Epochs       int      // 0 means the recipe's
	BatchSize    int      // 0 means 1024; at most the number of images
	LR           float64  // 0 means the recipe's rule
	WeightDecay  float64  // L2 penalty of the weights
	WarmupEpochs *float64 // nil means the recipe's
	Seed         uint64   // of initial weights and order
	Progress     func(epoch, epochs int, loss float64)
}

// ProbeResult is the result of Probe.Run.
type ProbeResult struct {
	Top1, Top5  float64
	Predictions []int32
	Losses      []float64 // mean of each epoch
}

// Run trains on train and evaluates on test.
func (p Probe) Run(ctx context.Context, dev *device.CPU, train, test *Features) (*ProbeResult, error) {
	if err := train.Check("linear probe: training", true); err != nil {
		return nil, err
	}
	if err := test.Check("linear probe: test", true); err != nil {
		return nil, err
	}
	classes := train.ClassCount()
	if test.Dim != train.Dim || test.ClassCount() > classes {
		return nil, fmt.Errorf("linear probe: the test features have %d values and %d classes, those of training %d and %d", test.Dim, test.ClassCount(), train.Dim, classes)
	}
	schedule, batch, err := p.schedule(train.Rows)
	if err != nil {
		return nil, err
	}
	h, err := newProbeHead(dev, p.Kind, train.Dim, classes, probeMomentum, p.Seed)
	if err != nil {
		return nil, err
	}
	step, err := h.trainer(batch)
	if err != nil {
		return nil, err
	}
	r := &ProbeResult{}
	epochs := int(schedule.Epochs)
	for epoch := range epochs {
		loss, err := p.runEpoch(ctx, step, train, schedule, epoch)
		if err != nil {
			return nil, err
		}
		r.Losses = append(r.Losses, loss)
		if p.Progress != nil {
			p.Progress(epoch+1, epochs, loss)
		}
	}
	logits, err := h.logits(test.Data, test.Rows)
	if err != nil {
		return nil, err
	}
	r.Top1, r.Top5, r.Predictions = accuracy(logits, test.Labels, classes)
	return r, nil
}

// schedule returns the learning rate and the batch size of the recipe, or those that are set, for a
// number of training rows. A smaller last batch is left out, as in the recipes.
func (p Probe) schedule(rows int) (s optim.EpochCosine, batch int, err error) {
	batch = min(cmp.Or(p.BatchSize, 1024), rows)
	epochs, warmup, lr := 0, 0.0, 0.0
	switch p.Kind {
	case ProbeMAE:
		epochs, warmup, lr = 90, 10, 0.1*float64(batch)/256
	case ProbeDINO:
		epochs, lr = 100, 0.001*float64(batch)/256
	default:
		return s, 0, fmt.Errorf("linear probe of kind %q: want one of %v", p.Kind, ProbeKinds())
	}
	epochs, lr = cmp.Or(p.Epochs, epochs), cmp.Or(p.LR, lr)
	if p.WarmupEpochs != nil {
		warmup = *p.WarmupEpochs
	}
	if epochs < 1 || batch < 2 || !(lr > 0) || warmup < 0 || warmup >= float64(epochs) || p.WeightDecay < 0 {
		return s, 0, fmt.Errorf("linear probe: %d epochs, batch %d, rate %g, warm-up of %g epochs, decay %g: epochs, batch of two or more and rate must be positive, the warm-up shorter than the training",
			epochs, batch, lr, warmup, p.WeightDecay)
	}
	return optim.EpochCosine{LR: lr, WarmupEpochs: warmup, Epochs: float64(epochs), PerEpoch: rows / batch}, batch, nil
}

// runEpoch trains on all whole batches in a random order and returns their mean loss.
func (p Probe) runEpoch(ctx context.Context, step *probeStep, train *Features, schedule optim.EpochCosine, epoch int) (float64, error) {
	order := prng.New(p.Seed, "probe order", epoch).Perm(train.Rows)
	batch, sum := step.features.Shape()[0], 0.0
	for i := range schedule.PerEpoch {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		for k, row := range order[i*batch : (i+1)*batch] {
			copy(step.features.Value()[k*train.Dim:(k+1)*train.Dim], train.Data[row*train.Dim:(row+1)*train.Dim])
			step.labels.Ints()[k] = train.Labels[row]
		}
		loss, err := step.run(schedule.At(epoch*schedule.PerEpoch+i), p.WeightDecay)
		if err != nil {
			return 0, fmt.Errorf("linear probe: epoch %d, batch %d: %w", epoch, i, err)
		}
		sum += loss
	}
	return sum / float64(schedule.PerEpoch), nil
}

// probeHead is the classifier: its weights and their optimizer.
type probeHead struct {
	kind           ProbeKind
	device         *device.CPU
	dim, classes   int
	weight         *param.Parameter // [classes, dim]
	bias           *param.Parameter // [classes]
	mean, variance *param.Parameter // [dim] running statistics, nil without normalization
	optimizer      optim.Optimizer
}

// probeMomentum is the momentum of both recipes.
const probeMomentum = 0.9

func newProbeHead(dev *device.CPU, kind ProbeKind, dim, classes int, momentum float64, seed uint64) (*probeHead, error) {
	h := &probeHead{kind: kind, device: dev, dim: dim, classes: classes}
	store := param.NewStore()
	init := param.Init{Kind: "normal", A: 0.01}
	if kind == ProbeMAE {
		init = param.Init{Kind: "trunc_normal", A: 0.01, B: 2}
	}
	var err error
	if h.weight, err = store.Add("weight", tensor.Shape{classes, dim}, init, seed); err != nil {
		return nil, err
	}
	if h.bias, err = store.Add("bias", tensor.Shape{classes}, param.Init{Kind: "zeros"}, seed); err != nil {
		return nil, err
	}
	if kind == ProbeDINO {
		h.bias.Decay = true // its optimizer decays every parameter
		h.optimizer = optim.NewSGD(dev, optim.SGDOptions{Momentum: momentum})
		return h, nil
	}
	if h.mean, err = store.AddBuffer("bn.running_mean", tensor.Shape{dim}, param.Init{Kind: "zeros"}, seed); err != nil {
		return nil, err
	}
	if h.variance, err = store.AddBuffer("bn.running_var", tensor.Shape{dim}, param.Init{Kind: "ones"}, seed); err != nil {
		return nil, err
	}
	h.optimizer = optim.NewLARS(dev, optim.LARSOptions{Momentum: momentum, Trust: 0.001})
	return h, nil
}

// forward adds the classifier to a graph.
func (h *probeHead) forward(g *core.Graph, x *core.Node, eval bool) *core.Node {
	if h.mean != nil {
		x = ops.BatchNorm(g, x, nil, nil, ops.RunningStatistics{Mean: h.mean, Variance: h.variance}, ops.BatchNormOptions{Eps: 1e-6, Momentum: 0.1, Eval: eval})
	}
	return ops.Linear(g, x, g.Param(h.weight), g.Param(h.bias))
}

// probeStep is one training step for a fixed batch.
type probeStep struct {
	head     *probeHead
	features *core.Node // [B, dim]
	labels   *core.Node // [B]
	out      *core.Node // [B, classes] logits
	loss     *core.Node
	exec     *core.Executable
}

func (h *probeHead) trainer(batch int) (*probeStep, error) {
	g := core.NewGraph(h.device)
	s := &probeStep{head: h, features: g.Input("features", tensor.Shape{batch, h.dim}), labels: g.InputInt("labels", tensor.Shape{batch})}
	s.out = h.forward(g, s.features, false)
	s.loss, _ = ops.SoftmaxCrossEntropy(g, s.out, s.labels)
	var err error
	if s.exec, err = g.Compile(s.loss, s.out); err != nil {
		return nil, fmt.Errorf("linear probe: %w", err)
	}
	return s, nil
}

// run computes the loss of the batch, then updates the weights.
func (s *probeStep) run(lr, weightDecay float64) (float64, error) {
	if err := s.exec.Run(); err != nil {
		return 0, err
	}
	if name, i, v, fine := s.exec.FirstNonFinite(); !fine {
		return 0, fmt.Errorf("%s[%d] is %g; lower the learning rate", name, i, v)
	}
	s.exec.Commit()
	s.head.optimizer.Step(s.exec.Parameters(), s.exec.Grad, optim.Rate{Now: lr}, weightDecay)
	return float64(s.loss.Value()[0]), nil
}

// logits returns the logits of all rows, [rows, classes].
func (h *probeHead) logits(features []float32, rows int) ([]float64, error) {
	const block = 512
	out := make([]float64, 0, rows*h.classes)
	steps := map[int]*probeStep{}
	for from := 0; from < rows; from += block {
		n := min(block, rows-from)
		s := steps[n]
		if s == nil {
			g := core.NewGraph(h.device)
			s = &probeStep{features: g.Input("features", tensor.Shape{n, h.dim})}
			s.out = h.forward(g, s.features, true)
			var err error
			if s.exec, err = g.Compile(nil, s.out); err != nil {
				return nil, fmt.Errorf("linear probe: %w", err)
			}
			steps[n] = s
		}
		copy(s.features.Value(), features[from*h.dim:(from+n)*h.dim])
		if err := s.exec.Run(); err != nil {
			return nil, fmt.Errorf("linear probe: %w", err)
		}
		for _, v := range s.out.Value() {
			out = append(out, float64(v))
		}
	}
	return out, nil
}
