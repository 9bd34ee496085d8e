package core

import (
	"fmt"
	"sort"
)

// memory is a buffer of a compiled graph. Its place in the arena may serve other
// buffers before first and after last.
type memory struct {
	name        string
	size        int
	kept        bool // to be read after the run
	refs        int  // while planning: uses still to come, besides those laid down
	first, last int  // positions of the first write and the last use; used tells whether set
	used        bool
	offset      int
	data        []float32
}

func (m *memory) touch(position int) {
	if !m.used {
		m.first, m.used = position, true
	}
	m.last = position
}

// alignment of buffers in the arena, in floats: one cache line.
const alignment = 16

// place gives every buffer its place in one arena such that buffers in use at
// the same time never overlap: the largest first, each at the lowest free offset.
func (p *plan) place() error {
	p.lifetimes()
	end := len(p.steps)
	var live []*memory
	for _, m := range p.memories {
		if !m.used {
			continue
		}
		if m.kept {
			m.last = end
		}
		live = append(live, m)
	}
	sort.SliceStable(live, func(i, j int) bool { return live[i].size > live[j].size })
	var placed []*memory // by offset
	total := 0
	for _, m := range live {
		need := (m.size + alignment - 1) / alignment * alignment
		offset := 0
		for _, o := range placed {
			if !p.unshared && (o.last < m.first || m.last < o.first) {
				continue
			}
			if o.offset-offset >= need {
				break
			}
			offset = max(offset, o.offset+(o.size+alignment-1)/alignment*alignment)
		}
		m.offset = offset
		total = max(total, offset+need)
		at := sort.Search(len(placed), func(i int) bool { return placed[i].offset > offset })
		placed = append(placed, nil)
		copy(placed[at+1:], placed[at:])
		placed[at] = m
	}
	if p.arena = p.graph.engine.Budget.Alloc(total); p.arena == nil && total > 0 {
		return fmt.Errorf("activations and gradients of %d bytes do not fit in memory", 4*total)
	}
	for _, m := range live {
		m.data = p.arena[m.offset : m.offset+m.size : m.offset+m.size]
	}
	return nil
}

// lifetimes notes when each buffer is written and read.
func (p *plan) lifetimes() {
	for at, s := range p.steps {
		touchNode := func(n *Node, at int) {
			if n != nil {
				if m := s.memoryOf(n); m != nil {
					m.touch(at)
				}
			}
		}
		work := 0
		switch {
		case s.op == nil:
			for _, m := range s.sum {
				m.touch(at)
			}
		case !s.backward:
			for _, n := range s.op.In {
				touchNode(n, at)
			}
			for _, n := range s.op.Out {
				touchNode(n, at)
			}
			for _, size := range s.op.Save {
				m := p.memory("saved by "+s.op.Name, size)
				m.touch(at)
				if s.again {
					s.op.compiled.savedAgain = append(s.op.compiled.savedAgain, m)
				} else {
					s.op.compiled.saved = append(s.op.compiled.saved, m)
				}
			}
			work = s.op.Work
		default:
			for i, n := range s.op.In {
				if s.op.KeepIn.Has(i) {
					touchNode(n, at)
				}
			}
			for i, n := range s.op.Out {
				if s.op.KeepOut.Has(i) {
					touchNode(n, at)
				}
			}
			for _, m := range s.savedBy(s.op) {
				m.touch(at)
			}
			if f := s.op.compiled.slopeOf; f != nil {
				s.savedBy(f)[0].touch(at)
			}
			work = s.op.WorkBack
		}
		if work > 0 {
			s.scratch = p.memory("scratch", work)
			s.scratch.touch(at)
		}
		for _, list := range [][]*memory{s.gout, s.acc, s.gin} {
			for _, m := range list {
				if m != nil {
					m.touch(at)
				}
			}
		}
	}
}
