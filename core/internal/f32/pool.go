package f32

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// spins is the number of PAUSEs that an idle worker waits before it parks: about a millisecond,
// longer than the gaps between the kernels of one step and short enough that an idle process uses
// no processor.
const spins = 20000

// Pool runs kernels on a fixed number of threads. The calling goroutine is one of them, so
// NewPool(1) starts none.
//
// A region hands out chunks from a shared counter. A worker that the operating system does not
// schedule never joins, and the others do its share; the assignment of chunks to workers never
// changes a result.
type Pool struct {
	mu      sync.Mutex // one region at a time
	workers []*worker
	exited  sync.WaitGroup
	closed  atomic.Bool

	_     [64]byte
	state atomic.Uint64 // epoch<<32 | open<<31 | joined workers
	_     [56]byte
	next  atomic.Int64 // next chunk to hand out
	_     [56]byte

	task    task
	chunks  int64
	failure atomic.Pointer[failure]

	jobs    jobs
	packA   []float32 // operand panels, shared by the workers of a region
	packB   []float32
	partial []float32 // chunk results of reductions
	sums    []float64
	ones    []float32 // stand-ins for absent gains and biases
	zeros   []float32
	conv    convState
}

// task is one parallel region; run does chunk i with the scratch of w.
type task interface{ run(w *worker, i int) }

type worker struct {
	pool     *Pool
	id       int
	wake     chan struct{}
	sleeping atomic.Uint32
	arena    []float32
	tile     []float32 // tiles that can't be summed in C
	rowScale [tileRows]float32
}

type failure struct {
	value any
	stack []byte
}

// jobs holds the arguments of the region in progress, so that a call allocates nothing.
type jobs struct {
	call      callJob
	element   elementJob
	rows      rowsJob
	pack      packJob
	gemm      gemmJob
	weight    weightJob
	batch     batchJob
	attention attentionJob
	reduce    reduceJob
	columns   columnJob
	sinkhorn  sinkhornJob
}

// NewPool starts a pool of the given number of threads, the caller included. Zero or less means
// runtime.GOMAXPROCS.
func NewPool(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{}
	for i := range threads {
		p.workers = append(p.workers, &worker{pool: p, id: i, wake: make(chan struct{}, 1), tile: Alloc(tileRows * tileColumns)})
	}
	for _, w := range p.workers[1:] {
		p.exited.Add(1)
		go w.loop()
	}
	return p
}

// Threads returns the number of threads, the caller included.
func (p *Pool) Threads() int { return len(p.workers) }

// Close ends the workers and waits for them. Later regions run on the caller alone. Closing twice
// is allowed.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Swap(true) {
		return
	}
	p.state.Add(1 << 32)
	p.wakeSleepers()
	p.exited.Wait()
	p.workers = p.workers[:1]
}

// Do runs f(worker, i) for every i in [0, n), each once, and returns when all are done. worker is
// in [0, Threads()). Calls from several goroutines take turns; f must not call the pool again. A
// panic in f is raised in the caller.
func (p *Pool) Do(n int, f func(worker, i int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := &p.jobs.call
	j.f = f
	p.run(n, j)
	j.f = nil
}

type callJob struct{ f func(worker, i int) }

func (j *callJob) run(w *worker, i int) { j.f(w.id, i) }

const (
	openBit    = 1 << 31
	joinedMask = openBit - 1
)

// run is a region of n chunks. The caller holds p.mu.
func (p *Pool) run(n int, t task) {
	if n <= 0 {
		return
	}
	self := p.workers[0]
	if n == 1 || len(p.workers) == 1 {
		for i := range n {
			t.run(self, i)
		}
		return
	}
	p.task, p.chunks = t, int64(n)
	p.next.Store(0)
	p.state.Store((p.state.Load()>>32+1)<<32 | openBit)
	p.wakeSleepers()
	p.work(self)
	// No worker may join any more; those that did are finishing their last chunk.
	p.state.And(^uint64(openBit))
	for i := 1; p.state.Load()&joinedMask != 0; i++ {
		switch {
		case i > spins:
			// The worker has lost its processor: yield ours.
			time.Sleep(50 * time.Microsecond)
		case i%1024 == 0:
			runtime.Gosched()
		default:
			pause()
		}
	}
	p.task = nil
	if f := p.failure.Swap(nil); f != nil {
		panic(fmt.Sprintf("%v\n\nraised in a kernel worker:\n%s", f.value, f.stack))
	}
}

// work takes chunks until none is left.
func (p *Pool) work(w *worker) {
	defer func() {
		if v := recover(); v != nil {
			p.failure.CompareAndSwap(nil, &failure{v, debug.Stack()})
			p.next.Store(p.chunks)
		}
	}()
	for {
		i := p.next.Add(1) - 1
		if i >= p.chunks {
			return
		}
		p.task.run(w, int(i))
	}
}

func (p *Pool) wakeSleepers() {
	for _, w := range p.workers[1:] {
		if w.sleeping.CompareAndSwap(1, 0) {
			w.wake <- struct{}{}
		}
	}
}

func (w *worker) loop() {
	p := w.pool
	defer p.exited.Done()
	var seen uint64
	for idle := 0; ; {
		s := p.state.Load()
		if s>>32 != seen {
			if p.closed.Load() {
				return
			}
			if s&openBit == 0 {
				seen = s >> 32
				continue
			}
			if p.state.CompareAndSwap(s, s+1) {
				seen = s >> 32
				p.work(w)
				p.state.Add(^uint64(0))
				idle = 0
			}
			continue
		}
		if idle++; idle < spins {
			if idle%1024 == 0 {
				runtime.Gosched() // other goroutines of the process go first
			} else {
				pause()
			}
			continue
		}
		w.sleeping.Store(1)
		if p.state.Load()>>32 != seen && w.sleeping.CompareAndSwap(1, 0) {
			continue
		}
		<-w.wake
		idle = 0
	}
}

// scratch returns n floats that belong to the worker until its next call.
func (w *worker) scratch(n int) []float32 {
	w.arena = grow(w.arena, n)
	return w.arena
}
