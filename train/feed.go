package train

import (
	"context"
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
	boxes map[string][]*pb.Box
	wait  time.Duration // that the loop spent waiting for it
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
	go func() {
		defer close(f.done)
		defer close(f.out)
		for {
			b, err := fetch(ctx, loader, objective, seed)
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

func fetch(ctx context.Context, loader *data.Loader, objective *host.Objective, seed uint64) (fedBatch, error) {
	batch, err := loader.Next(ctx)
	if err != nil {
		return fedBatch{}, err
	}
	f := fedBatch{Batch: batch, boxes: map[string][]*pb.Box{}}
	plan := objective.Plan()
	request := &pb.MaskRequest{Step: uint64(batch.Step), Seed: seed, SampleIds: batch.IDs}
	for i, v := range plan.GetViews() {
		f.boxes[v.GetName()] = boxes(batch.Geometry[i])
		request.Geometry = append(request.Geometry, &pb.ViewGeometry{View: v.GetName(), Boxes: f.boxes[v.GetName()]})
	}
	if len(plan.GetMasks()) > 0 {
		if f.masks, err = objective.Mask(ctx, request); err != nil {
			batch.Release()
			return fedBatch{}, err
		}
	}
	return f, nil
}

func boxes(geometry []data.Box) []*pb.Box {
	out := make([]*pb.Box, len(geometry))
	for i, g := range geometry {
		out[i] = &pb.Box{Top: float64(g.Top), Left: float64(g.Left), Height: float64(g.Height), Width: float64(g.Width),
			Flip: g.Flip, SourceHeight: uint32(g.SourceH), SourceWidth: uint32(g.SourceW)}
	}
	return out
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
