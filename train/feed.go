package train

import (
	"context"
	"fmt"
	"time"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/pb"
)

// maskAhead is how many batches ahead masks are asked for, so that a slow
// author's answer is there when its step begins.
const maskAhead = 2

// fedBatch is a batch with what the objective decided about it.
type fedBatch struct {
	*data.Batch
	masks *pb.MaskReply // nil when the plan has no masks
	wait  time.Duration // that the loop spent waiting for it
	slot  *slot
	free  chan<- *slot
}

// boxes tells where the samples of a view were cut out.
func (b fedBatch) boxes(view int) []*pb.Box { return b.slot.request.Geometry[view].GetBoxes() }

// Release gives everything back to the feed, which will overwrite it. It is called once.
func (b fedBatch) Release() {
	b.Batch.Release()
	b.free <- b.slot // there is room for every slot
}

// slot is memory for what goes to the objective and comes back, used again and again.
type slot struct {
	request pb.MaskRequest
	boxes   []pb.Box
	reply   host.MaskMemory
}

// describe makes the request of a batch.
func (s *slot) describe(batch *data.Batch, views []*pb.ViewSpec, seed uint64) *pb.MaskRequest {
	r := &s.request
	r.Step, r.Seed = uint64(batch.Step), seed
	r.SampleIds = append(r.SampleIds[:0], batch.IDs...)
	if len(r.Geometry) != len(views) {
		r.Geometry = nil
		for _, v := range views {
			r.Geometry = append(r.Geometry, &pb.ViewGeometry{View: v.GetName()})
		}
	}
	n := len(batch.IDs)
	if len(s.boxes) < n*len(views) {
		s.boxes = make([]pb.Box, n*len(views))
	}
	for i, view := range r.Geometry {
		view.Boxes = view.Boxes[:0]
		for j, g := range batch.Geometry[i] {
			b := &s.boxes[i*n+j]
			b.Top, b.Left, b.Height, b.Width = float64(g.Top), float64(g.Left), float64(g.Height), float64(g.Width)
			b.Flip, b.SourceHeight, b.SourceWidth = g.Flip, uint32(g.SourceH), uint32(g.SourceW)
			view.Boxes = append(view.Boxes, b)
		}
	}
	return r
}

// feed pairs the loader's batches with the objective's masks, ahead of the loop
// and in order. Masks are a function of step, seed and sample ids, so fetching
// them ahead changes nothing.
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
	views, err := viewSpecs(s.objective.Plan(), s.cfg, s.network.Info())
	if err != nil {
		return fmt.Errorf("plugin %s: %w", s.cfg.Objective.Name, err)
	}
	workers := d.Workers
	if workers == 0 {
		workers = s.engine.Threads()
	}
	r.loader, err = data.NewLoader(s.source, data.LoaderOptions{
		Views: views, BatchSize: t.BatchSize, Seed: uint64(s.cfg.Run.Seed), Shuffle: true, DropLast: t.DropLast,
		Start: r.state.step * t.Accumulate, Workers: workers, OnError: data.OnError(d.OnError), MaxFailed: d.MaxFailed,
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
	plan := objective.Plan()
	request := f.slot.describe(batch, plan.GetViews(), seed)
	if len(plan.GetMasks()) > 0 {
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
