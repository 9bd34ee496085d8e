package data

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/vittool/vittool/data/pixels"
)

// cache holds decoded images within a budget of bytes, the errors of unreadable files, so that
// neither is read again, and a list of the files that were checked.
//
// Images lie packed, one behind the other, in a few large slabs: tens of thousands of small ones
// are nothing that the garbage collector has to visit.
type cache struct {
	channels int
	budget   int64
	places   []atomic.Uint64 // (images) slab+1 in the upper half, offset in the lower; 0: not here
	slabs    atomic.Pointer[[][]byte]
	sound    []atomic.Uint32 // (images/32) bits of the files that were checked

	mu       sync.RWMutex
	used     int64 // bytes of all slabs
	free     int   // first unused byte of the last slab
	problems map[int]error
}

const (
	slabBytes  = 4 << 20
	slabHeader = 8 // width and height, before the pixels
)

// newCache makes a cache of budget bytes. A source whose images are in memory anyway needs none.
func newCache(source Source, budget int64) *cache {
	c := &cache{channels: source.Channels(), budget: budget, problems: map[int]error{}, sound: make([]atomic.Uint32, (source.Len()+31)/32)}
	c.slabs.Store(&[][]byte{})
	if _, resident := source.(interface{ resident() }); !resident && budget > 0 {
		c.places = make([]atomic.Uint64, source.Len())
	}
	return c
}

// image returns an image that is kept. Its pixels must not be changed.
func (c *cache) image(id int) (pixels.Image, bool) {
	if c.places == nil {
		return pixels.Image{}, false
	}
	place := c.places[id].Load()
	if place == 0 {
		return pixels.Image{}, false
	}
	b := (*c.slabs.Load())[place>>32-1][uint32(place):]
	w, h := int(binary.LittleEndian.Uint32(b)), int(binary.LittleEndian.Uint32(b[4:]))
	n := slabHeader + w*h*c.channels
	return pixels.Image{Pix: b[slabHeader:n:n], W: w, H: h, C: c.channels}, true
}

// accepts reports whether an image of so many bytes would be kept.
func (c *cache) accepts(bytes int) bool {
	if c.places == nil {
		return false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.within(slabHeader + bytes)
}

func (c *cache) within(n int) bool {
	slabs := *c.slabs.Load()
	return len(slabs) > 0 && c.free+n <= len(slabs[len(slabs)-1]) || c.used+int64(n) <= c.budget
}

// put keeps a copy of an image within the budget.
func (c *cache) put(id int, m *pixels.Image) {
	n := slabHeader + len(m.Pix)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.places[id].Load() != 0 || !c.within(n) {
		return // another worker was faster
	}
	slabs := *c.slabs.Load()
	if len(slabs) == 0 || c.free+n > len(slabs[len(slabs)-1]) {
		size := max(int(min(slabBytes, c.budget-c.used)), n)
		slabs = append(slabs[:len(slabs):len(slabs)], make([]byte, size))
		c.used, c.free = c.used+int64(size), 0
		c.slabs.Store(&slabs)
	}
	b := slabs[len(slabs)-1][c.free:]
	binary.LittleEndian.PutUint32(b, uint32(m.W))
	binary.LittleEndian.PutUint32(b[4:], uint32(m.H))
	copy(b[slabHeader:], m.Pix)
	c.places[id].Store(uint64(len(slabs))<<32 | uint64(c.free))
	c.free += n
}

// problem is the error of an unreadable image, nil for any other.
func (c *cache) problem(id int) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.problems[id]
}

func (c *cache) fail(id int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problems[id] = err
}

// checked reports whether check was called for an image.
func (c *cache) checked(id int) bool { return c.sound[id/32].Load()>>(id%32)&1 == 1 }

func (c *cache) check(id int) { c.sound[id/32].Or(1 << (id % 32)) }
