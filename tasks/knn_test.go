package tasks

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/internal/must"
)

// TestKNNBruteForce compares with a full sort in float64, for sizes below and above a block.
func TestKNNBruteForce(t *testing.T) {
	e := devicetest.New(t, 2)
	for _, size := range []struct{ bank, test, dim, k int }{
		{1, 1, 1, 1}, {9, 5, 3, 9}, {bankBlock + 37, queryBlock + 3, 5, 11},
	} {
		bank, test := spread(size.bank, size.dim, 3, 1, 2), spread(size.test, size.dim, 3, 1, 3)
		results := must.Get(KNN{K: []int{size.k}}.Run(e, bank, test))(t)
		for i := range test.Rows {
			all := make([]neighbor, bank.Rows)
			for j := range all {
				all[j] = neighbor{int32(j), cosine(test, i, bank, j)}
			}
			slices.SortFunc(all, func(a, b neighbor) int {
				if a.before(b) {
					return -1
				}
				return 1
			})
			for place, got := range results[0].Neighbors[i*size.k : (i+1)*size.k] {
				if want := all[place]; got != want.index && math.Abs(cosine(test, i, bank, int(got))-want.s) > 1e-6 {
					t.Fatalf("%v: row %d, neighbor %d is %d, a full sort has %d", size, i, place, got, want.index)
				}
			}
		}
	}
}

// TestKNNTies: of equal similarities the lower index comes first, of equal votes the lower class,
// for any blocks and threads.
func TestKNNTies(t *testing.T) {
	rows := bankBlock + 100
	bank := &Features{Rows: rows, Dim: 2, Data: make([]float32, 2*rows), Labels: make([]int32, rows)}
	for i := range rows {
		bank.Data[2*i] = float32(1 + i%3) // one direction, three lengths
		bank.Labels[i] = int32((i + 1) % 2)
	}
	test := &Features{Rows: 1, Dim: 2, Data: []float32{5, 0}, Labels: []int32{0}}
	for _, threads := range []int{1, 2} {
		r := must.Get(KNN{K: []int{4}}.Run(devicetest.New(t, threads), bank, test))(t)
		if want := []int32{0, 1, 2, 3}; !reflect.DeepEqual(r[0].Neighbors, want) {
			t.Errorf("neighbors %v, want %v", r[0].Neighbors, want)
		}
		if r[0].Predictions[0] != 0 || r[0].Top1 != 1 {
			t.Errorf("predicted class %d of two with equal votes, want 0", r[0].Predictions[0])
		}
	}
}

func TestKNNThreadsDoNotMatter(t *testing.T) {
	bank, test := spread(1500, 33, 7, 2, 2), spread(300, 33, 7, 2, 3)
	var first []KNNResult
	for _, threads := range []int{1, 2, 3} {
		r := must.Get(KNN{K: []int{1, 20}}.Run(devicetest.New(t, threads), bank, test))(t)
		if first == nil {
			first = r
		} else if !reflect.DeepEqual(r, first) {
			t.Errorf("%d threads give another result than one", threads)
		}
	}
}

func TestKNNRefuses(t *testing.T) {
	e := devicetest.New(t, 1)
	good := spread(6, 4, 2, 1, 2)
	broken := func(change func(f *Features)) *Features {
		f := spread(6, 4, 2, 1, 2)
		change(f)
		return f
	}
	for name, c := range map[string]struct {
		knn        KNN
		bank, test *Features
		want       string
	}{
		"k too large":       {KNN{K: []int{7}}, good, good, "between 1 and 6"},
		"k zero":            {KNN{K: []int{0}}, good, good, "k = 0"},
		"temperature":       {KNN{K: []int{1}, Temperature: -1}, good, good, "temperature -1"},
		"no labels":         {KNN{K: []int{1}}, broken(func(f *Features) { f.Labels = nil }), good, "one folder per class"},
		"unlabelled row":    {KNN{K: []int{1}}, good, broken(func(f *Features) { f.Labels[3] = -1 }), "image-3.png has no class"},
		"dims":              {KNN{K: []int{1}}, good, spread(6, 5, 2, 1, 2), "must come from one model"},
		"empty":             {KNN{K: []int{1}}, &Features{}, good, "no features"},
		"not a number":      {KNN{K: []int{1}}, good, broken(func(f *Features) { f.Data[9] = float32(math.NaN()) }), "value 1 of image-2.png is NaN"},
		"shape":             {KNN{K: []int{1}}, broken(func(f *Features) { f.Data = f.Data[1:] }), good, "23 values do not make 6 rows of 4"},
		"labels and rows":   {KNN{K: []int{1}}, broken(func(f *Features) { f.Labels = f.Labels[1:] }), good, "5 labels for 6 rows"},
		"infinite features": {KNN{K: []int{1}}, good, broken(func(f *Features) { f.Data[0] = float32(math.Inf(1)) }), "+Inf"},
	} {
		if _, err := c.knn.Run(e, c.bank, c.test); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}
