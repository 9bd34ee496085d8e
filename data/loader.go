package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/vittool/vittool/data/pixels"
)

// OnError is the treatment of unreadable files.
type OnError string

const (
	// Skip puts the next readable sample of the epoch's order in its place, with the random numbers
	// of the unreadable one.
	Skip OnError = "skip"
	// Fail stops at the first.
	Fail OnError = "fail"
)

// LoaderOptions are the settings of a Loader.
type LoaderOptions struct {
	Views      []ViewSpec
	BatchSize  int
	Seed       uint64
	Shuffle    bool // a new order each epoch; otherwise that of the source
	DropLast   bool // leave out the last batch of an epoch if it is smaller
	Epochs     int  // after which Next returns io.EOF; 0 means no end
	FirstBatch int  // step of the first batch: where a resumed run goes on
	Workers    int  // goroutines that decode; 0 means GOMAXPROCS
	Prefetch   int  // batches made ahead; 0 means 2
	OnError    OnError
	// MaxFailed is the share of the source that may be unreadable under Skip before Next returns an
	// error.
	MaxFailed float64
	// OnSkip is called once for each unreadable file, in the order of the batches, from within
	// Next.
	OnSkip func(id int, path string, err error)
	// CacheBytes bounds the decoded images that are kept from one epoch to the next; 0 keeps none.
	CacheBytes int64
}

// Loader makes batches ahead of their use and hands them out in order. Batches do not depend on the
// number of workers, on the cache, or on the first step.
type Loader struct {
	source   Source
	options  LoaderOptions
	views    []view
	channels int
	steps    int // per epoch

	cache *cache
	jobs  chan job
	queue chan *Batch   // in order; closed after the last
	quit  chan struct{} // closed by Close
	stop  sync.Once
	group sync.WaitGroup

	mu     sync.Mutex
	free   []*Batch
	failed map[int]bool // ids that OnSkip was called with
	broken error        // the last error of Next
}

// job is one sample to render.
type job struct {
	batch *Batch
	index int
}

// epochState is shared by the batches of an epoch.
type epochState struct {
	order *epochOrder
	draws []*draws // per view
}

// NewLoader checks the options and starts the workers; Close ends them.
func NewLoader(source Source, o LoaderOptions) (*Loader, error) {
	n := source.Len()
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Prefetch <= 0 {
		o.Prefetch = 2
	}
	if o.OnError == "" {
		o.OnError = Skip
	}
	switch {
	case n == 0:
		return nil, &Error{Problem: "the data set is empty"}
	case o.BatchSize < 1:
		return nil, fmt.Errorf("batch size %d; at least 1 is needed", o.BatchSize)
	case o.DropLast && o.BatchSize > n:
		return nil, &Error{Problem: fmt.Sprintf("a batch of %d is larger than the data set of %d images", o.BatchSize, n),
			Hint: "make train.batch_size smaller, or set train.drop_last=false"}
	case o.OnError != Skip && o.OnError != Fail:
		return nil, fmt.Errorf("on_error is %q; valid are %q and %q", o.OnError, Skip, Fail)
	case o.FirstBatch < 0 || o.Epochs < 0:
		return nil, fmt.Errorf("start step %d and %d epochs; neither may be negative", o.FirstBatch, o.Epochs)
	case !(o.MaxFailed >= 0 && o.MaxFailed <= 1):
		return nil, fmt.Errorf("max_failed is %g; a share from 0 to 1 is needed", o.MaxFailed)
	}
	views, err := resolveViews(o.Views, source.Channels())
	if err != nil {
		return nil, err
	}
	l := &Loader{
		source: source, options: o, views: views, channels: source.Channels(),
		steps:  BatchesPerEpoch(n, o.BatchSize, o.DropLast),
		cache:  newCache(source, o.CacheBytes),
		jobs:   make(chan job, 2*o.Workers),
		queue:  make(chan *Batch, o.Prefetch),
		quit:   make(chan struct{}),
		failed: map[int]bool{},
	}
	l.group.Add(1 + o.Workers)
	go l.dispatch()
	for range o.Workers {
		go l.work()
	}
	return l, nil
}

// BatchesPerEpoch is the number of batches that n samples make.
func BatchesPerEpoch(n, batch int, dropLast bool) int {
	if dropLast {
		return n / batch
	}
	return (n + batch - 1) / batch
}

// Next returns the batch of the next step, or io.EOF after the last one. An error other than ctx's
// ends the loader: later calls return it again. Only one goroutine may call it.
func (l *Loader) Next(ctx context.Context) (*Batch, error) {
	start := time.Now()
	if l.broken != nil {
		return nil, l.broken
	}
	if l.closed() {
		return nil, errClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var b *Batch
	select {
	case b = <-l.queue:
		switch {
		case b != nil:
		case l.closed():
			return nil, errClosed
		default:
			return nil, io.EOF
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.quit:
		return nil, errClosed
	}
	select {
	case <-b.done:
	case <-l.quit:
		return nil, errClosed
	}
	b.Wait = time.Since(start)
	if err := l.account(b); err != nil {
		l.broken = err
		return nil, err
	}
	return b, nil
}

func (l *Loader) closed() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

var errClosed = errors.New("the loader is closed")

// account reports the unreadable files of a batch, in order, and decides whether they are too many.
func (l *Loader) account(b *Batch) error {
	for i := range b.outcomes {
		o := &b.outcomes[i]
		for _, id := range o.failed {
			if l.failed[id] {
				continue
			}
			l.failed[id] = true
			cause := l.cache.problem(id)
			if l.options.OnError == Fail {
				return cause
			}
			if l.options.OnSkip != nil {
				l.options.OnSkip(id, l.source.Name(id), cause)
			}
			if n, total := len(l.failed), l.source.Len(); n > l.maxFailed() {
				return tooManyFailed(n, total, l.options.MaxFailed, cause)
			}
		}
		if o.err != nil {
			return o.err
		}
		o.failed = o.failed[:0]
	}
	return nil
}

func tooManyFailed(n, total int, limit float64, last error) error {
	return &Error{
		Problem: fmt.Sprintf("%d of %d images (%.1f %%) cannot be read, more than data.max_failed = %g allows; the last one",
			n, total, 100*float64(n)/float64(total), limit),
		Hint: "raise data.max_failed, or repair or remove the files", Err: last,
	}
}

// maxFailed is the number of unreadable files that the options allow.
func (l *Loader) maxFailed() int {
	if l.options.OnError == Fail {
		return 0
	}
	return int(l.options.MaxFailed * float64(l.source.Len()))
}

// Close stops the workers and waits for them. Batches in use stay valid.
func (l *Loader) Close() error {
	l.stop.Do(func() { close(l.quit) })
	l.group.Wait()
	return nil
}

// dispatch begins the batches, in order, as fast as they are consumed.
func (l *Loader) dispatch() {
	defer l.group.Done()
	defer close(l.jobs)
	defer close(l.queue)
	n := l.source.Len()
	var state *epochState
	for step := l.options.FirstBatch; ; step++ {
		epoch := step / l.steps
		if l.options.Epochs > 0 && epoch >= l.options.Epochs {
			return
		}
		if state == nil || state.order.epoch != epoch {
			state = &epochState{order: newOrder(n, l.options.Seed, epoch, l.options.Shuffle)}
			for i := range l.views {
				state.draws = append(state.draws, newDraws(&l.views[i], l.options.Seed, epoch))
			}
		}
		first := step % l.steps * l.options.BatchSize
		b := l.newBatch(step, state, min(l.options.BatchSize, n-first))
		select {
		case l.queue <- b:
		case <-l.quit:
			return
		}
		for i := range b.IDs {
			select {
			case l.jobs <- job{b, i}:
			case <-l.quit:
				return
			}
		}
	}
}

// worker renders samples with memory that it keeps.
type worker struct {
	current picture // of the sample in work
	renderer
	loader  *Loader
	reader  reader
	partial bool         // it can read less than all
	part    pixels.Image // the image decoded last
}

// work renders samples until there are no more.
func (l *Loader) work() {
	defer l.group.Done()
	// The pixels of a pack are memory of the system's. Where a file shrinks or a disk fails, that
	// is an error of the sample and not of the process.
	debug.SetPanicOnFault(true)
	w := worker{loader: l, reader: newReader(l.source)}
	_, w.partial = w.reader.(*fileReader)
	for {
		var j job
		var ok bool
		select {
		case j, ok = <-l.jobs:
			if !ok {
				return
			}
		case <-l.quit:
			return
		}
		w.sample(j.batch, j.index)
		if j.batch.pending.Add(-1) == 0 {
			j.batch.done <- struct{}{}
		}
	}
}

// sample fills one place of a batch. The random numbers follow the id that the order has for the
// place, even where another sample stands in for it: a stand-in shows another crop than in its own
// place.
func (w *worker) sample(b *Batch, index int) {
	l, out := w.loader, &b.outcomes[index]
	out.failed, out.err = out.failed[:0], nil
	defer func() {
		if p := recover(); p != nil {
			out.err = fmt.Errorf("making the views of %s failed: %v\n%s", l.source.Name(int(b.IDs[index])), p, debug.Stack())
		}
	}()
	place := b.first + index
	own := b.state.order.at(place)
	id := own
	p := &w.current
	for try := 0; ; try++ {
		id = b.state.order.at(place + try)
		b.IDs[index] = uint64(id)
		var ok bool
		if *p, ok = w.picture(b.state, id, own); ok {
			break
		}
		out.failed = append(out.failed, id)
		if len(out.failed) > l.maxFailed() {
			return // account returns the error
		}
		if try+1 == l.source.Len() {
			out.err = &Error{Problem: fmt.Sprintf("none of the %d images can be read; the last one", try+1), Err: l.cache.problem(id)}
			return
		}
	}
	b.Labels[index] = int32(l.source.Class(id))
	for i := range l.views {
		v := &l.views[i]
		n := l.channels * v.Height * v.Width
		b.Geometry[i][index] = w.render(b.Views[i][index*n:(index+1)*n], v, b.state.draws[i], p, own, b.Number)
	}
}

// picture returns the image id, or the part that its views show with the random numbers of own;
// false where it cannot be read.
//
// Damage of a file is found at its first reading, outside of the part that is needed too: a resumed
// run must skip the same files as one that never stopped.
func (w *worker) picture(state *epochState, id, own int) (picture, bool) {
	c := w.loader.cache
	if m, ok := c.image(id); ok {
		return wholePicture(&m), true
	}
	if c.problem(id) != nil {
		return picture{}, false
	}
	width, height, err := w.reader.open(id)
	if err != nil {
		c.fail(id, err)
		return picture{}, false
	}
	box := pixels.Rect{W: width, H: height}
	keep := c.accepts(width * height * w.loader.channels)
	if w.partial && !keep {
		box = w.union(state, width, height, own)
	}
	if err := w.reader.part(&w.part, box, !c.checked(id)); err != nil {
		c.fail(id, err)
		return picture{}, false
	}
	c.check(id)
	if keep {
		c.put(id, &w.part)
	}
	return picture{Image: w.part, left: box.Left, top: box.Top, w: width, h: height}, true
}

// union is the smallest box that holds the sources of all views.
func (w *worker) union(state *epochState, width, height, id int) pixels.Rect {
	var all pixels.Rect
	for i := range w.loader.views {
		all = all.Union(w.neededBox(&w.loader.views[i], state.draws[i], width, height, id))
	}
	return all
}
