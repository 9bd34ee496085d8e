package tasks

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/data"
)

// KNN is the weighted k-nearest-neighbor classifier by which self-supervised features are compared
// (Wu et al. 2018, Caron et al. 2021): features are L2-normalized, the k images of the bank with
// the largest cosine similarity s vote for their class with weight exp(s/Temperature), and the
// class with the most votes wins. Of equal similarities the lower bank index comes first, of equal
// votes the lower class.
type KNN struct {
	K           []int   // numbers of neighbors, each gives a result; empty means {20}
	Temperature float64 // 0 means 0.07
}

// KNNResult is the outcome for one K.
type KNNResult struct {
	K    int
	Top1 float64 // share of the test rows whose prediction is right
	// Top5 is the share of the test rows whose class is among the five with the most votes; a class
	// without a vote is never among them.
	Top5        float64
	Predictions []int32   // [rows of the test set]
	Votes       []float64 // [rows of the test set, classes]
	Neighbors   []int32   // [rows of the test set, K] indices into the bank, nearest first
}

// The similarity matrix is computed in blocks [queryBlock, bankBlock].
const (
	queryBlock = 256
	bankBlock  = 4096
)

// CheckImages refuses fewer images to learn from than neighbors, before any feature is computed.
// setting names the one of the neighbors.
func (t KNN) CheckImages(path, setting string, images int) error {
	most := slices.Max(t.K)
	if most <= images {
		return nil
	}
	count := fmt.Sprintf("%d images", images)
	if images == 1 {
		count = "1 image"
	}
	return &data.Error{Path: path, Problem: fmt.Sprintf("has %s to learn from, fewer than the neighbors of %s %d", count, setting, most),
		Hint: fmt.Sprintf("choose a %s of at most %d, or take more images", setting, images)}
}

// Run classifies each row of test by the rows of bank.
func (t KNN) Run(dev *device.CPU, bank, test *Features) ([]KNNResult, error) {
	ks, temperature := t.K, t.Temperature
	if len(ks) == 0 {
		ks = []int{20}
	}
	if temperature == 0 {
		temperature = 0.07
	}
	if !(temperature > 0) {
		return nil, fmt.Errorf("knn: temperature %g: it must be positive", temperature)
	}
	if err := bank.Check("knn: bank", true); err != nil {
		return nil, err
	}
	if err := test.Check("knn: test", true); err != nil {
		return nil, err
	}
	if bank.Dim != test.Dim {
		return nil, fmt.Errorf("knn: the bank's features have %d values, the test's %d: both must come from one model", bank.Dim, test.Dim)
	}
	for _, k := range ks {
		if k < 1 || k > bank.Rows {
			return nil, fmt.Errorf("knn: k = %d: with %d images in the bank it lies between 1 and %d", k, bank.Rows, bank.Rows)
		}
	}
	classes := max(bank.ClassCount(), test.ClassCount())
	most := slices.Max(ks)
	near := nearest(dev, unitRows(bank), unitRows(test), bank.Rows, test.Rows, bank.Dim, most)

	results := make([]KNNResult, len(ks))
	for i, k := range ks {
		results[i] = vote(near, k, temperature, classes, bank.Labels, test.Labels)
	}
	return results, nil
}

// unitRows returns the rows divided by their length. As in the reference, a length below 1e-12
// counts as 1e-12, so a row of zeros stays zero.
func unitRows(f *Features) []float32 {
	unit := make([]float32, len(f.Data))
	for i := 0; i < len(unit); i += f.Dim {
		row := f.Data[i : i+f.Dim]
		sum := 0.0
		for _, v := range row {
			sum += float64(v) * float64(v)
		}
		scale := 1 / max(math.Sqrt(sum), 1e-12)
		for d, v := range row {
			unit[i+d] = float32(float64(v) * scale)
		}
	}
	return unit
}

// neighbor is a bank row with its cosine similarity.
type neighbor struct {
	index int32
	s     float64
}

// before orders neighbors: larger similarity first, then lower index.
func (n neighbor) before(m neighbor) bool {
	return n.s > m.s || n.s == m.s && n.index < m.index
}

// nearest returns, for each query, its k nearest bank rows in order. Float32 matrix products select
// them; their similarities are computed again in float64, because exp(s/T) magnifies errors.
func nearest(dev *device.CPU, bank, query []float32, bankRows, queryRows, dim, k int) [][]neighbor {
	result := make([][]neighbor, queryRows)
	similarity := make([]float32, queryBlock*bankBlock)
	for q := 0; q < queryRows; q += queryBlock {
		qn := min(queryBlock, queryRows-q)
		heaps := make([]nearestHeap, qn)
		for i := range heaps {
			heaps[i] = make(nearestHeap, 0, k)
		}
		for b := 0; b < bankRows; b += bankBlock {
			bn := min(bankBlock, bankRows-b)
			s := similarity[:qn*bn]
			dev.MatMul(false, true, qn, bn, dim, query[q*dim:(q+qn)*dim], bank[b*dim:(b+bn)*dim], s)
			each(dev.Threads(), qn, func(i int) {
				for j, v := range s[i*bn : (i+1)*bn] {
					heaps[i].offer(neighbor{int32(b + j), float64(v)}, k)
				}
			})
		}
		each(dev.Threads(), qn, func(i int) {
			row := query[(q+i)*dim : (q+i+1)*dim]
			for j, n := range heaps[i] {
				heaps[i][j].s = dot(row, bank[int(n.index)*dim:int(n.index+1)*dim])
			}
			slices.SortFunc(heaps[i], func(a, b neighbor) int {
				if a.before(b) {
					return -1
				}
				return 1
			})
			result[q+i] = heaps[i]
		})
	}
	return result
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

// nearestHeap holds the best neighbors so far with the worst one at index 0.
type nearestHeap []neighbor

func (h *nearestHeap) offer(n neighbor, k int) {
	heap := *h
	if len(heap) == k {
		if !n.before(heap[0]) {
			return
		}
		heap[0] = n
		for i := 0; ; {
			worst := i
			for _, child := range [2]int{2*i + 1, 2*i + 2} {
				if child < len(heap) && heap[worst].before(heap[child]) {
					worst = child
				}
			}
			if worst == i {
				return
			}
			heap[i], heap[worst] = heap[worst], heap[i]
			i = worst
		}
	}
	heap = append(heap, n)
	for i := len(heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !heap[parent].before(heap[i]) {
			break
		}
		heap[i], heap[parent] = heap[parent], heap[i]
		i = parent
	}
	*h = heap
}

// vote counts the votes of the first k neighbors of each row.
func vote(near [][]neighbor, k int, temperature float64, classes int, bankLabels, testLabels []int32) KNNResult {
	r := KNNResult{
		K: k, Predictions: make([]int32, len(near)),
		Votes:     make([]float64, len(near)*classes),
		Neighbors: make([]int32, 0, len(near)*k),
	}
	top1, top5 := 0, 0
	for i, row := range near {
		votes := r.Votes[i*classes : (i+1)*classes]
		for _, n := range row[:k] {
			votes[bankLabels[n.index]] += math.Exp(n.s / temperature)
			r.Neighbors = append(r.Neighbors, n.index)
		}
		label := testLabels[i]
		place, best := rank(votes, label)
		r.Predictions[i] = best
		if place == 0 {
			top1++
		}
		if place < 5 && votes[label] > 0 {
			top5++
		}
	}
	r.Top1 = float64(top1) / float64(len(near))
	r.Top5 = float64(top5) / float64(len(near))
	return r
}

// rank returns the number of classes that stand before label in the order of falling scores, and
// the first class of that order. Of equal scores the lower class comes first.
func rank(scores []float64, label int32) (place int, best int32) {
	for c, v := range scores {
		if v > scores[best] {
			best = int32(c)
		}
		if v > scores[label] || v == scores[label] && c < int(label) {
			place++
		}
	}
	return place, best
}

// each calls f for 0 ≤ i < n on up to threads goroutines, each with a range of i. f must not depend
// on the order.
func each(threads, n int, f func(i int)) {
	var wait sync.WaitGroup
	threads = max(1, min(threads, n))
	for t := range threads {
		wait.Go(func() {
			for i := t * n / threads; i < (t+1)*n/threads; i++ {
				f(i)
			}
		})
	}
	wait.Wait()
}
