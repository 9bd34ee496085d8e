package tasks

import "fmt"

// Linear evaluates frozen features by a Logistic that is fitted on one set and tested on another.
type Linear struct{ Logistic }

// LinearResult is the result of Linear.Run.
type LinearResult struct {
	Top1, Top5  float64 // shares of the test rows
	TrainTop1   float64 // share of the training rows
	Predictions []int32 // [rows of the test set]
	Confusion   []int   // [classes, classes] test rows by true (row) and predicted class
	Fit         *LogisticFit
}

// Run fits on train and evaluates on test. A test class that train lacks is an error.
func (l Linear) Run(train, test *Features) (*LinearResult, error) {
	if err := test.Check("linear: test", true); err != nil {
		return nil, err
	}
	if n, m := train.ClassCount(), test.ClassCount(); m > n {
		name := fmt.Sprint(n)
		if len(test.Classes) > n {
			name = test.Classes[n]
		}
		return nil, fmt.Errorf("linear: no training image has the class %s of the test images: both need the same class folders", name)
	}
	fit, err := l.Fit(train)
	if err != nil {
		return nil, err
	}
	onTrain, err := fit.Scores(train)
	if err != nil {
		return nil, err
	}
	onTest, err := fit.Scores(test)
	if err != nil {
		return nil, err
	}
	r := &LinearResult{Fit: fit}
	r.TrainTop1, _, _ = accuracy(onTrain, train.Labels, fit.Classes)
	r.Top1, r.Top5, r.Predictions = accuracy(onTest, test.Labels, fit.Classes)
	r.Confusion = make([]int, fit.Classes*fit.Classes)
	for i, p := range r.Predictions {
		r.Confusion[int(test.Labels[i])*fit.Classes+int(p)]++
	}
	return r, nil
}

// accuracy ranks the scores [rows, classes] of each row. Of equal scores the lower class comes
// first.
func accuracy(scores []float64, labels []int32, classes int) (top1, top5 float64, predictions []int32) {
	predictions = make([]int32, len(labels))
	first, five := 0, 0
	for i, label := range labels {
		place, best := rank(scores[i*classes:(i+1)*classes], label)
		predictions[i] = best
		if place == 0 {
			first++
		}
		if place < 5 {
			five++
		}
	}
	n := float64(len(labels))
	return float64(first) / n, float64(five) / n, predictions
}
