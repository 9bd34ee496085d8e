package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/vittool/vittool/data/pack"
	"github.com/vittool/vittool/data/pixels"
)

// PackOptions are the settings of Pack.
type PackOptions struct {
	// ShortSide is the side to which images with larger ones are shortened, with bicubic
	// interpolation as in Pillow; 0 leaves all as they are.
	ShortSide int
	Workers   int // goroutines that decode; 0 means GOMAXPROCS
	OnError   OnError
	// MaxFailed is the share of the images that may be unreadable under Skip. They keep their
	// places, and readers of the pack skip them too.
	MaxFailed float64
	OnSkip    func(id int, path string, err error)
	// Progress is called with the number of images that are done; may be nil.
	Progress func(done int)
	// ShardBytes is the size of a full shard; 0 means 256 MiB.
	ShardBytes int64
}

// PackReport counts the images of a pack.
type PackReport struct {
	Images    int   `json:"images"`
	Resumed   int   `json:"resumed"` // of them, found in the shards of an earlier call
	Shortened int   `json:"shortened"`
	Skipped   int   `json:"skipped"`
	Bytes     int64 `json:"bytes"`
}

const defaultShardBytes = 256 << 20

// Pack decodes all images of a source and writes them to the folder dir as a pack. When ctx ends,
// finished shards stay, and the next call goes on there; nothing else is left.
func Pack(ctx context.Context, source Source, dir string, o PackOptions) (_ *PackReport, err error) {
	if o.ShardBytes == 0 {
		o.ShardBytes = defaultShardBytes
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if s, ok := source.(*packSource); ok && s.Shortened() > 0 {
		return nil, problem(s.dir, "pack the images themselves", "is a pack of shortened images")
	}
	_, err = os.Stat(dir)
	created := os.IsNotExist(err)
	defer func() {
		if err != nil && created {
			os.Remove(dir) // fails, as it should, once there is a shard in it
		}
	}()
	header := pack.Header{Source: source.Fingerprint(), Channels: source.Channels(), ShortSide: o.ShortSide, Classes: source.Classes()}
	w, err := pack.NewWriter(dir, header, source.Len(), pixels.Bicubic.String(), o.ShardBytes)
	if errors.Is(err, pack.ErrOther) {
		return nil, &Error{Path: dir, Problem: "cannot take a new pack", Err: err, Hint: "name another folder, or remove this one"}
	}
	if err != nil {
		return nil, err
	}
	p := newPacking(source, o, w.Next())
	defer p.close()
	for i := range w.Next() {
		if w.Entry(i).Problem != "" {
			p.failed++
		}
	}
	r := &PackReport{Images: source.Len(), Resumed: w.Next()}
	for done := false; !done; {
		if done, err = w.Shard(func() (pack.Entry, *pixels.Image, error) { return p.next(ctx) }); err != nil {
			return nil, err
		}
	}
	if r.Bytes, err = w.Finish(); err != nil {
		return nil, err
	}
	for i := range w.Len() {
		switch e := w.Entry(i); {
		case e.Problem != "":
			r.Skipped++
		case e.W != e.FullW || e.H != e.FullH:
			r.Shortened++
		}
	}
	return r, nil
}

// packing decodes images ahead and hands them out in order.
type packing struct {
	source  Source
	options PackOptions
	slots   []*packSlot // image id goes through slot id modulo their number
	jobs    chan int
	start   int // first image
	at      int // next image
	failed  int
	stopped atomic.Bool
	group   sync.WaitGroup
}

// packSlot is an image on its way.
type packSlot struct {
	image        pixels.Image
	fullW, fullH int
	err          error
	done         chan struct{} // one message when it is there
}

func newPacking(source Source, o PackOptions, start int) *packing {
	p := &packing{source: source, options: o, start: start, at: start}
	ahead := 4 * o.Workers
	p.jobs = make(chan int, ahead)
	for range ahead {
		p.slots = append(p.slots, &packSlot{done: make(chan struct{}, 1)})
	}
	for id := start; id < min(start+ahead, source.Len()); id++ {
		p.jobs <- id
	}
	p.group.Add(o.Workers)
	for range o.Workers {
		go p.work()
	}
	return p
}

func (p *packing) close() {
	p.stopped.Store(true)
	close(p.jobs)
	p.group.Wait()
}

func (p *packing) work() {
	defer p.group.Done()
	reader := newReader(p.source)
	var resizer pixels.Resizer
	var whole pixels.Image
	for id := range p.jobs {
		if p.stopped.Load() {
			return
		}
		s := p.slots[id%len(p.slots)]
		s.err = p.make(s, id, reader, &resizer, &whole)
		s.done <- struct{}{}
	}
}

func (p *packing) make(s *packSlot, id int, reader reader, resizer *pixels.Resizer, whole *pixels.Image) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("packing %s failed: %v", p.source.Name(id), r)
		}
	}()
	w, h, err := reader.open(id)
	if err != nil {
		return err
	}
	box := pixels.Rect{W: w, H: h}
	if err := reader.part(whole, box, true); err != nil {
		return err
	}
	s.fullW, s.fullH = w, h
	if side := p.options.ShortSide; side > 0 && min(w, h) > side {
		w, h = pixels.ShortSide(w, h, side)
	}
	resizer.Resize(&s.image, whole, box, w, h, pixels.Bicubic)
	return nil
}

// next returns the next image, io.EOF after the last.
func (p *packing) next(ctx context.Context) (pack.Entry, *pixels.Image, error) {
	if err := ctx.Err(); err != nil {
		return pack.Entry{}, nil, err
	}
	n := p.source.Len()
	// The slot of the image before this one is free now: it was written.
	if ahead := p.at - 1 + len(p.slots); p.at > p.start && ahead < n {
		p.jobs <- ahead
	}
	if p.at == n {
		return pack.Entry{}, nil, io.EOF
	}
	id := p.at
	s := p.slots[id%len(p.slots)]
	select {
	case <-s.done:
	case <-ctx.Done():
		return pack.Entry{}, nil, ctx.Err()
	}
	p.at++
	e := pack.Entry{Name: p.source.Name(id), Class: p.source.Class(id), FullW: s.fullW, FullH: s.fullH}
	if s.err != nil {
		e.FullW, e.FullH = 0, 0
		if err := p.skip(id, s.err); err != nil {
			return e, nil, err
		}
		e.Problem = reason(s.err)
	}
	if p.options.Progress != nil {
		p.options.Progress(p.at)
	}
	return e, &s.image, nil
}

// skip counts an image that cannot be read and decides whether that is borne.
func (p *packing) skip(id int, cause error) error {
	p.failed++
	if p.options.OnError == Fail {
		return cause
	}
	if p.options.OnSkip != nil {
		p.options.OnSkip(id, p.source.Name(id), cause)
	}
	if n := p.source.Len(); p.failed > int(p.options.MaxFailed*float64(n)) {
		return tooManyFailed(p.failed, n, p.options.MaxFailed, cause)
	}
	return nil
}

// reason is an error about a file without the file, whose place readers of the pack have no use
// for.
func reason(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	if e.Err != nil {
		return e.Problem + ": " + e.Err.Error()
	}
	return e.Problem
}
