package tasks

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

// TestLogisticGradient compares the analytic gradient with central differences.
func TestLogisticGradient(t *testing.T) {
	f := spread(75, 4, 3, 2, 5)
	fit := &LogisticFit{Dim: 4, Classes: 3}
	fit.Mean, fit.Std = columnMoments(f)
	p := &logisticProblem{rows: f.Rows, dim: 4, classes: 3, x: fit.standardize(f), labels: f.Labels, penalty: 0.01, threads: 2}
	p.prepare()
	theta := make([]float64, 15)
	for i := range theta {
		theta[i] = math.Sin(float64(3 * i))
	}
	grad := make([]float64, len(theta))
	p.gradient(grad, theta)
	for i := range theta {
		const h = 1e-5
		moved := append([]float64(nil), theta...)
		moved[i] += h
		up := p.loss(moved)
		moved[i] -= 2 * h
		if numeric := (up - p.loss(moved)) / (2 * h); math.Abs(numeric-grad[i]) > 1e-8 {
			t.Errorf("gradient[%d] = %.10g, differences give %.10g", i, grad[i], numeric)
		}
	}
}

// TestLogisticOptimum: the objective is convex, so a vanishing gradient proves the fit. Threads
// change no bit of it.
func TestLogisticOptimum(t *testing.T) {
	f := spread(500, 10, 4, 1.5, 5)
	var first *LogisticFit
	for _, threads := range []int{1, 2, 5} {
		fit := must.Get(Logistic{Iterations: 200, Penalty: 1e-3, Threads: threads}.Fit(f))(t)
		p := &logisticProblem{rows: f.Rows, dim: 10, classes: 4, x: fit.standardize(f), labels: f.Labels, penalty: 1e-3, threads: 1}
		p.prepare()
		grad := make([]float64, 44)
		p.gradient(grad, append(append([]float64(nil), fit.Weight...), fit.Bias...))
		for i, g := range grad {
			if math.Abs(g) > 1e-5 {
				t.Errorf("gradient[%d] = %g at the fit, stopped for %s after %d iterations", i, g, fit.Stopped, fit.Iterations)
			}
		}
		if first == nil {
			first = fit
		} else if !reflect.DeepEqual(fit, first) {
			t.Errorf("%d threads give another fit than one", threads)
		}
	}
}

func TestLogisticScores(t *testing.T) {
	train, test := spread(600, 8, 3, 0.3, 5), spread(90, 8, 3, 0.3, 6)
	// A column without information and a constant one do no harm.
	for _, f := range []*Features{train, test} {
		for i := range f.Rows {
			f.Data[i*8+7] = 0.1
		}
	}
	fit := must.Get(Logistic{Penalty: 1e-4}.Fit(train))(t)
	if fit.Std[7] != 1 {
		t.Errorf("a constant column's deviation is %g, want 1", fit.Std[7])
	}
	r := must.Get(Linear{Logistic: Logistic{Penalty: 1e-4}}.Run(train, test))(t)
	if r.Top1 < 0.99 || r.Top5 != 1 || r.TrainTop1 < 0.99 {
		t.Errorf("separable clusters: top-1 %.3f, top-5 %.3f, train %.3f", r.Top1, r.Top5, r.TrainTop1)
	}
	total := 0
	for _, n := range r.Confusion {
		total += n
	}
	if total != test.Rows {
		t.Errorf("the confusion table counts %d of %d images", total, test.Rows)
	}
}

func TestLogisticProgress(t *testing.T) {
	last, calls := math.Inf(1), 0
	_, err := Logistic{Iterations: 5, Progress: func(i int, loss float64) {
		if loss > last {
			t.Errorf("iteration %d raised the objective from %g to %g", i, last, loss)
		}
		last = loss
		calls++
	}}.Fit(spread(200, 6, 3, 2, 5))
	if err != nil || calls < 4 || calls > 6 {
		t.Errorf("%d calls in 5 iterations, error %v", calls, err)
	}
}

func TestLogisticRefuses(t *testing.T) {
	one := spread(5, 3, 1, 1, 2)
	if _, err := (Logistic{}).Fit(one); err == nil || !strings.Contains(err.Error(), "two or more") {
		t.Errorf("one class: %v", err)
	}
	fit := must.Get(Logistic{}.Fit(spread(50, 3, 2, 1, 2)))(t)
	if _, err := fit.Scores(spread(5, 4, 2, 1, 2)); err == nil || !strings.Contains(err.Error(), "4 values each") {
		t.Errorf("another width: %v", err)
	}
	if _, err := (Linear{}).Run(spread(50, 3, 2, 1, 2), spread(50, 3, 4, 1, 2)); err == nil || !strings.Contains(err.Error(), "class-2") {
		t.Errorf("classes never trained on: %v", err)
	}
}
