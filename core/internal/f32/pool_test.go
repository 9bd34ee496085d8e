package f32

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPoolRunsEveryChunkOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 5} {
		p := newPool(t, threads)
		if p.Threads() != threads {
			t.Fatalf("Threads() = %d, want %d", p.Threads(), threads)
		}
		for _, n := range []int{0, 1, 2, 7, 1000} {
			for range 20 {
				count := make([]atomic.Int32, n)
				p.Do(n, func(worker, i int) {
					if worker < 0 || worker >= threads {
						t.Errorf("worker %d of %d", worker, threads)
					}
					count[i].Add(1)
				})
				for i := range count {
					if c := count[i].Load(); c != 1 {
						t.Fatalf("chunk %d of %d ran %d times", i, n, c)
					}
				}
			}
		}
	}
}

func TestPoolWakesParkedWorkers(t *testing.T) {
	p := newPool(t, 3)
	for range 3 {
		waitParked(t, p)
		var ran atomic.Int32
		p.Do(300, func(_, _ int) { ran.Add(1); time.Sleep(10 * time.Microsecond) })
		if ran.Load() != 300 {
			t.Fatalf("%d chunks of 300 ran", ran.Load())
		}
	}
}

// waitParked returns when all workers sleep, as they must soon after work ends.
func waitParked(t *testing.T, p *Pool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		asleep := 0
		for _, w := range p.workers[1:] {
			asleep += int(w.sleeping.Load())
		}
		if asleep == len(p.workers)-1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d workers parked", asleep, len(p.workers)-1)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestPoolConcurrentCallers(t *testing.T) {
	p := newPool(t, 3)
	var total atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				p.Do(17, func(_, i int) { total.Add(int64(i)) })
			}
		})
	}
	wg.Wait()
	if want := int64(8 * 50 * 17 * 16 / 2); total.Load() != want {
		t.Fatalf("sum %d, want %d", total.Load(), want)
	}
}

func TestPoolPanicReachesTheCaller(t *testing.T) {
	for _, threads := range []int{1, 3} {
		p := newPool(t, threads)
		func() {
			defer func() {
				if v := recover(); v == nil || threads > 1 && !strings.Contains(v.(string), "broken chunk") {
					t.Errorf("recovered %v", v)
				}
			}()
			p.Do(100, func(_, i int) {
				if i == 50 {
					panic("broken chunk")
				}
			})
		}()
		n := 0
		p.Do(1, func(_, _ int) { n++ })
		if n != 1 {
			t.Error("the pool doesn't work after a panic")
		}
	}
}

func TestPoolCloseEndsEveryGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 5 {
		p := NewPool(4)
		p.Do(10, func(_, _ int) {})
		q := NewPool(3)
		waitParked(t, q)
		q.Close()
		p.Close()
		p.Close()
		n := 0
		p.Do(3, func(_, _ int) { n++ })
		if n != 3 {
			t.Errorf("a closed pool ran %d of 3 chunks", n)
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	p := newPool(t, 2)
	const rows, n = 100, 192
	x, w, y, stats := Alloc(rows*3*n), Alloc(3*n*n), Alloc(rows*3*n), Alloc(rows*6)
	var packed Packed
	ep := Epilogue{Bias: w[:n], Residual: x[:rows*n]}
	norm := LayerNorm{Rows: rows, N: n, X: x, Eps: 1e-6, Stats: stats}
	attention := Attention{Batch: 5, Tokens: 20, Heads: 3, HeadDim: 64, Scale: 0.125, QKV: x, Out: y, Stats: stats}
	labels := make([]int32, rows)
	for name, f := range map[string]func(){
		"Gemm":     func() { Gemm(p, Dense(rows, n, x).T(), Dense(n, rows, w).T(), Dense(n, n, y), false, nil) },
		"epilogue": func() { Gemm(p, Dense(rows, n, x), Dense(n, n, w).T(), Dense(rows, n, y), false, &ep) },
		"packed": func() {
			PackB(p, Dense(n, n, w).T(), &packed)
			GemmPacked(p, Dense(rows, n, x), &packed, Dense(rows, n, y), false, nil)
		},
		"batch": func() {
			GemmBatch(p, 4, Batch{Dense(20, 20, x), 400}, Batch{Dense(20, 20, w), 400}, Batch{Dense(20, 20, y), 400}, false)
		},
		"norm":          func() { LayerNormForward(p, norm, y) },
		"norm gradient": func() { LayerNormBackward(p, norm, x, y, w[:n], w[n:2*n], false) },
		"attention":     func() { AttentionForward(p, attention) },
		"softmax":       func() { SoftmaxRows(p, rows, n, x, y, 1) },
		"cross entropy": func() {
			CrossEntropyForward(p, CrossEntropy{Rows: rows, N: n, X: x, Scale: 1, Labels: labels, LSE: stats}, y)
		},
		"weight norm": func() { WeightNormForward(p, WeightNorm{Rows: rows, N: n, V: x, Norms: stats}, y) },
		"elementwise": func() { Add(p, x, x, x) },
		"sum":         func() { Sum(p, x) },
		"columns":     func() { ColumnSum(p, rows, n, x, w[:n]) },
		"optimizer":   func() { AdamW(p, x[:n], x[n:2*n], w[:n], w[n:2*n], AdamWStep{Step: 1}) },
	} {
		f()
		if a := testing.AllocsPerRun(10, f); a != 0 && !raceEnabled {
			t.Errorf("%s allocates %v times a call", name, a)
		}
	}
}

func BenchmarkPoolRegion(b *testing.B) {
	p := newPool(b, 2)
	for b.Loop() {
		p.Do(2, func(_, _ int) {})
	}
}
