package train

import (
	"context"
	"time"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/plan"
)

// maskAhead is how many batches ahead masks are asked for, so that a slow author's answer is there
// when its step begins.
const maskAhead = 2

// fedBatch is a batch with the objective's decisions about it.
type fedBatch struct {
	*data.Batch
	masks []plan.MaskSet // nil when the plan has no masks
	boxes [][]plan.Box   // where the samples of each view were cut out
	wait  time.Duration  // that the loop spent waiting for it
	slot  *slot
	free  chan<- *slot
}

// Release gives everything back to the feed, which will overwrite it. It is called once.
func (b fedBatch) Release() {
	b.Batch.Release()
	b.free <- b.slot // never blocks: it has the capacity of all slots
}

// slot is memory for a request of masks and its reply, used again and again.
type slot struct {
	request plan.MaskRequest
	boxes   [][]plan.Box // by view
	reply   host.MaskMemory
}

// describe makes the request of a batch.
func (s *slot) describe(batch *data.Batch, views []*plan.View, seed uint64) *plan.MaskRequest {
	r := &s.request
	r.MicroBatch, r.Seed = uint64(batch.Number), seed
	r.SampleIDs = append(r.SampleIDs[:0], batch.IDs...)
	if s.boxes == nil {
		s.boxes = make([][]plan.Box, len(views))
	}
	r.Geometry = r.Geometry[:0]
	for i, v := range views {
		s.boxes[i] = s.boxes[i][:0]
		for _, g := range batch.Geometry[i] {
			s.boxes[i] = append(s.boxes[i], plan.Box(g))
		}
		r.Geometry = append(r.Geometry, plan.ViewGeometry{View: v.Name, Boxes: s.boxes[i]})
	}
	return r
}

// feed pairs the loader's batches with the objective's masks, ahead of the loop and in order. Masks
// are a function of step, seed and sample ids, so fetching them ahead changes nothing.
type feed struct {
	out    chan fedBatch
	err    chan error
	cancel context.CancelFunc
	done   chan struct{}
}

// newFeed starts feeding from the loader's position.
func newFeed(ctx context.Context, loader *data.Loader, objective *host.Objective, seed uint64) *feed {
	ctx, cancel := context.WithCancel(ctx)
	f := &feed{out: make(chan fedBatch, maskAhead), err: make(chan error, 1), cancel: cancel, done: make(chan struct{})}
	// One batch is being fetched, maskAhead wait, and one is with the loop.
	free := make(chan *slot, maskAhead+2)
	for range cap(free) {
		free <- &slot{}
	}
	go func() {
		defer close(f.done)
		defer close(f.out)
		for {
			b, err := fetch(ctx, loader, objective, seed, free)
			if err != nil {
				f.err <- err
				return
			}
			select {
			case f.out <- b:
			case <-ctx.Done():
				b.Release()
				f.err <- ctx.Err()
				return
			}
		}
	}()
	return f
}

// openLoader starts reading images and asking for masks at the run's position.
func (r *run) openLoader(ctx context.Context) error {
	s, t, d := &r.setup, r.setup.cfg.Train, r.setup.cfg.Data
	workers := d.Workers
	if workers == 0 {
		workers = s.device.Threads()
	}
	var err error
	r.loader, err = data.NewLoader(s.source, data.LoaderOptions{
		Views: s.views, BatchSize: t.BatchSize, Seed: uint64(s.cfg.Run.Seed), Shuffle: true, DropLast: t.DropLast,
		FirstBatch: r.state.step * t.Accumulate, Workers: workers, OnError: data.OnError(d.OnError), MaxFailed: d.MaxFailed,
		CacheBytes: int64(d.Cache) << 20, OnSkip: r.recorder.skip,
	})
	if err != nil {
		return err
	}
	r.feed = newFeed(ctx, r.loader, s.objective, uint64(s.cfg.Run.Seed))
	return nil
}

func fetch(ctx context.Context, loader *data.Loader, objective *host.Objective, seed uint64, free chan *slot) (fedBatch, error) {
	batch, err := loader.Next(ctx)
	if err != nil {
		return fedBatch{}, err
	}
	f := fedBatch{Batch: batch, free: free}
	select {
	case f.slot = <-free:
	case <-ctx.Done():
		batch.Release()
		return fedBatch{}, ctx.Err()
	}
	p := objective.Plan()
	request := f.slot.describe(batch, p.Views, seed)
	f.boxes = f.slot.boxes
	if len(p.Masks) > 0 {
		if f.masks, err = objective.MaskInto(ctx, request, &f.slot.reply); err != nil {
			f.Release()
			return fedBatch{}, err
		}
	}
	return f, nil
}

// next returns the next batch; the caller releases it.
func (f *feed) next(ctx context.Context) (fedBatch, error) {
	start := time.Now()
	select {
	case b, ok := <-f.out:
		if !ok {
			return fedBatch{}, <-f.err
		}
		b.wait = time.Since(start)
		return b, nil
	case <-ctx.Done():
		return fedBatch{}, ctx.Err()
	}
}

// close stops feeding and waits until nothing runs any more.
func (f *feed) close() {
	f.cancel()
	for b := range f.out {
		b.Release()
	}
	<-f.done
}
