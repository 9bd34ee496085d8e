package tasks

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"
)

// Logistic is multinomial logistic regression on standardized features, fitted on the whole set at
// once by L-BFGS:
//
//	minimize  mean_i CE(softmax(W x_i + b), y_i) + Penalty · Σ W²
//
// x is the feature less the training mean, divided by the training standard deviation of its
// column. The bias is not penalized. All arithmetic is float64 and does not depend on Threads: rows
// are summed in a fixed number of groups, and the groups in order.
type Logistic struct {
	Iterations int     // L-BFGS iterations; 0 means 100
	Penalty    float64 // factor of the squared weights, dimensionless
	Threads    int     // 0 means GOMAXPROCS
	// Progress, if set, is called after each iteration.
	Progress func(iteration int, loss float64)
}

// LogisticFit is a fitted Logistic: class c of a feature vector f of Dim values scores Bias[c] +
// Σ_d Weight[c,d]·(f[d]-Mean[d])/Std[d].
type LogisticFit struct {
	Dim, Classes int
	Weight       []float64 // [Classes, Dim]
	Bias         []float64 // [Classes]
	Mean, Std    []float64 // [Dim]
	Loss         float64   // final objective, penalty included
	Iterations   int       // number of iterations that ran
	Stopped      string    // reason of the end
}

// groups is the number of partial sums of rows, for any number of threads; rowBlock is the number
// of rows of one matrix product.
const (
	groups   = 32
	rowBlock = 64
)

// Fit fits on train. It fails without labels, with a single class or a non-finite value.
func (l Logistic) Fit(train *Features) (*LogisticFit, error) {
	if err := train.Check("linear: training", true); err != nil {
		return nil, err
	}
	classes := train.ClassCount()
	if classes < 2 {
		return nil, fmt.Errorf("linear: the training features have %d class; a classifier needs two or more (put images into one folder per class)", classes)
	}
	fit := &LogisticFit{Dim: train.Dim, Classes: classes}
	fit.Mean, fit.Std = columnMoments(train)
	problem := &logisticProblem{
		rows: train.Rows, dim: train.Dim, classes: classes,
		x: fit.standardize(train), labels: train.Labels,
		penalty: l.Penalty, threads: l.threads(),
	}
	problem.prepare()

	iterations := l.Iterations
	if iterations == 0 {
		iterations = 100
	}
	settings := &optimize.Settings{
		MajorIterations:   iterations,
		GradientThreshold: 1e-7,
		Recorder:          &iterationRecorder{report: l.Progress},
		Converger:         &optimize.FunctionConverge{Absolute: 1e-10, Iterations: 10},
	}
	method := &optimize.LBFGS{Linesearcher: &optimize.MoreThuente{}, Store: 100}
	result, err := optimize.Minimize(
		optimize.Problem{Func: problem.loss, Grad: problem.gradient},
		make([]float64, classes*train.Dim+classes), settings, method)
	if result == nil {
		return nil, fmt.Errorf("linear: L-BFGS on %d features of %d values: %w", train.Rows, train.Dim, err)
	}
	// A line search that finds no improvement has reached the rounding of the objective: the end,
	// not a failure.
	if err != nil && !errors.Is(err, optimize.ErrLinesearcherFailure) {
		return nil, fmt.Errorf("linear: L-BFGS on %d features of %d values: %w", train.Rows, train.Dim, err)
	}
	fit.Weight = result.X[:classes*train.Dim]
	fit.Bias = result.X[classes*train.Dim:]
	fit.Loss = result.F
	fit.Iterations = result.MajorIterations
	fit.Stopped = result.Status.String()
	return fit, nil
}

func (l Logistic) threads() int {
	if l.Threads > 0 {
		return l.Threads
	}
	return runtime.GOMAXPROCS(0)
}

// Scores returns one row of class scores per feature row, [f.Rows, Classes].
func (m *LogisticFit) Scores(f *Features) ([]float64, error) {
	if err := f.Check("linear: test", false); err != nil {
		return nil, err
	}
	if f.Dim != m.Dim {
		return nil, fmt.Errorf("linear: the test features have %d values each, the classifier was fitted on %d", f.Dim, m.Dim)
	}
	p := &logisticProblem{rows: f.Rows, dim: f.Dim, classes: m.Classes, x: m.standardize(f)}
	scores := make([]float64, f.Rows*m.Classes)
	for from := 0; from < f.Rows; from += rowBlock {
		to := min(from+rowBlock, f.Rows)
		p.scores(m.Weight, m.Bias, from, to, scores[from*m.Classes:to*m.Classes])
	}
	return scores, nil
}

// standardize returns (f - Mean)/Std as float64, [Rows, Dim].
func (m *LogisticFit) standardize(f *Features) []float64 {
	x := make([]float64, len(f.Data))
	for i, v := range f.Data {
		d := i % f.Dim
		x[i] = (float64(v) - m.Mean[d]) / m.Std[d]
	}
	return x
}

// columnMoments returns mean and biased standard deviation of each column. The deviation of a
// constant column is 1, so that its standardized values are 0.
func columnMoments(f *Features) (mean, std []float64) {
	mean, std = make([]float64, f.Dim), make([]float64, f.Dim)
	for i, v := range f.Data {
		mean[i%f.Dim] += float64(v)
	}
	floats.Scale(1/float64(f.Rows), mean)
	for i, v := range f.Data {
		d := float64(v) - mean[i%f.Dim]
		std[i%f.Dim] += d * d
	}
	for d, v := range std {
		std[d] = math.Sqrt(v / float64(f.Rows))
		// Where the true deviation is 0, rounding of the mean leaves some 1e-16 of it.
		if std[d] <= 1e-9*math.Abs(mean[d]) || std[d] == 0 {
			std[d] = 1
		}
	}
	return mean, std
}

// logisticProblem is the objective with its gradient. theta holds the weights [classes, dim], then
// the bias [classes].
type logisticProblem struct {
	rows, dim, classes int
	x                  []float64 // [rows, dim]
	labels             []int32   // [rows]
	penalty            float64
	threads            int

	at       []float64 // theta of the last evaluation: it gives loss and gradient together
	value    float64
	grad     []float64
	partial  [groups]groupSum
	prepared bool
}

type groupSum struct {
	loss float64
	grad []float64 // as theta
	prob []float64 // [rowBlock, classes]
}

func (p *logisticProblem) prepare() {
	n := p.classes*p.dim + p.classes
	p.grad = make([]float64, n)
	for g := range p.partial {
		p.partial[g].grad = make([]float64, n)
		p.partial[g].prob = make([]float64, rowBlock*p.classes)
	}
}

func (p *logisticProblem) loss(theta []float64) float64 {
	p.evaluate(theta)
	return p.value
}

func (p *logisticProblem) gradient(grad, theta []float64) {
	p.evaluate(theta)
	copy(grad, p.grad)
}

func (p *logisticProblem) evaluate(theta []float64) {
	if p.prepared && floats.Equal(theta, p.at) {
		return
	}
	p.at, p.prepared = append(p.at[:0], theta...), true

	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(p.threads, groups) {
		wait.Go(func() {
			for g := int(next.Add(1)) - 1; g < groups; g = int(next.Add(1)) - 1 {
				p.evaluateGroup(g, theta)
			}
		})
	}
	wait.Wait()

	p.value = 0
	clear(p.grad)
	for g := range p.partial {
		p.value += p.partial[g].loss
		floats.Add(p.grad, p.partial[g].grad)
	}
	p.value /= float64(p.rows)
	floats.Scale(1/float64(p.rows), p.grad)
	weights := theta[:p.classes*p.dim]
	p.value += p.penalty * floats.Dot(weights, weights)
	floats.AddScaled(p.grad[:len(weights)], 2*p.penalty, weights)
}

// evaluateGroup adds up loss and gradient over the rows of group g.
func (p *logisticProblem) evaluateGroup(g int, theta []float64) {
	sum := &p.partial[g]
	sum.loss = 0
	clear(sum.grad)
	weight, bias := theta[:p.classes*p.dim], theta[p.classes*p.dim:]
	first, last := g*p.rows/groups, (g+1)*p.rows/groups
	for from := first; from < last; from += rowBlock {
		to := min(from+rowBlock, last)
		n := to - from
		prob := sum.prob[:n*p.classes]
		p.scores(weight, bias, from, to, prob)
		for i := range n {
			row := prob[i*p.classes : (i+1)*p.classes]
			label := p.labels[from+i]
			norm := floats.LogSumExp(row)
			sum.loss += norm - row[label]
			for c, s := range row {
				row[c] = math.Exp(s - norm)
			}
			row[label]--
			floats.Add(sum.grad[len(weight):], row)
		}
		blas64.Gemm(blas.Trans, blas.NoTrans, 1,
			blas64.General{Rows: n, Cols: p.classes, Stride: p.classes, Data: prob},
			p.block(from, to), 1,
			blas64.General{Rows: p.classes, Cols: p.dim, Stride: p.dim, Data: sum.grad[:len(weight)]})
	}
}

// scores fills out with x·Wᵀ + b for rows from up to to.
func (p *logisticProblem) scores(weight, bias []float64, from, to int, out []float64) {
	for i := 0; i < len(out); i += p.classes {
		copy(out[i:i+p.classes], bias)
	}
	blas64.Gemm(blas.NoTrans, blas.Trans, 1, p.block(from, to),
		blas64.General{Rows: p.classes, Cols: p.dim, Stride: p.dim, Data: weight}, 1,
		blas64.General{Rows: to - from, Cols: p.classes, Stride: p.classes, Data: out})
}

func (p *logisticProblem) block(from, to int) blas64.General {
	return blas64.General{Rows: to - from, Cols: p.dim, Stride: p.dim, Data: p.x[from*p.dim : to*p.dim]}
}

// iterationRecorder calls report at the end of each of gonum's iterations.
type iterationRecorder struct {
	report func(iteration int, loss float64)
	done   int
}

func (r *iterationRecorder) Init() error { return nil }

func (r *iterationRecorder) Record(l *optimize.Location, op optimize.Operation, s *optimize.Stats) error {
	if op == optimize.MajorIteration && r.report != nil {
		r.report(r.done, l.F)
	}
	if op == optimize.MajorIteration {
		r.done++
	}
	return nil
}
