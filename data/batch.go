package data

import (
	"sync/atomic"
	"time"
)

// Batch holds the samples of one micro-batch. It stays valid until Release.
type Batch struct {
	Number int // from 0 over the whole run
	Epoch  int // Step / steps per epoch
	IDs    []uint64
	// Views holds each view's pixels (B, C, H, W), in the order of the specs; Geometry the part of
	// its source that each sample shows.
	Views    [][]float32
	Geometry [][]Box
	Labels   []int32 // class of each sample, -1 without label
	// Wait is the time that Next waited for this batch.
	Wait time.Duration

	loader   *Loader
	state    *epochState
	first    int           // place of the first sample in the epoch's order
	pending  atomic.Int64  // samples not yet rendered
	done     chan struct{} // one message when the last one is
	released atomic.Bool
	outcomes []outcome // (B)
}

// Release gives the batch's memory back to the loader, which will overwrite it. A batch that is
// never released is left to the garbage collector.
func (b *Batch) Release() {
	if b.released.CompareAndSwap(false, true) {
		b.loader.recycle(b)
	}
}

// outcome is the result of rendering one sample of a batch.
type outcome struct {
	failed []int // ids that could not be read, in the order they were tried
	err    error // the sample could not be filled at all
}

// newBatch makes a batch of n samples, of recycled memory where there is some.
func (l *Loader) newBatch(step int, state *epochState, n int) *Batch {
	l.mu.Lock()
	var b *Batch
	if k := len(l.free); k > 0 {
		b, l.free = l.free[k-1], l.free[:k-1]
	}
	l.mu.Unlock()
	size := l.options.BatchSize
	if b == nil {
		b = &Batch{loader: l, done: make(chan struct{}, 1)}
		b.IDs, b.Labels, b.outcomes = make([]uint64, size), make([]int32, size), make([]outcome, size)
		for _, v := range l.views {
			b.Views = append(b.Views, make([]float32, size*l.channels*v.Height*v.Width))
			b.Geometry = append(b.Geometry, make([]Box, size))
		}
	}
	b.released.Store(false)
	b.Number, b.Epoch, b.state, b.Wait = step, state.order.epoch, state, 0
	b.first = step % l.steps * size
	b.IDs, b.Labels, b.outcomes = b.IDs[:n], b.Labels[:n], b.outcomes[:n]
	for i, v := range l.views {
		b.Views[i] = b.Views[i][:n*l.channels*v.Height*v.Width]
		b.Geometry[i] = b.Geometry[i][:n]
	}
	b.pending.Store(int64(n))
	return b
}

func (l *Loader) recycle(b *Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.state = nil
	l.free = append(l.free, b)
}
