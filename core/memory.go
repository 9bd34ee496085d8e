package core

import (
	"fmt"
	"sort"
)

// memory is a buffer of a compiled graph. Its place in the arena may serve other buffers before
// first and after last.
type memory struct {
	name        string
	size        int
	kept        bool // readable after the run
	refs        int  // while compiling: readers without a step yet
	first, last int  // steps of the first write and the last use, where used is set
	used        bool
	offset      int
	data        []float32
}

// touch marks the buffer as used by the step at a position.
func (m *memory) touch(position int) {
	if !m.used {
		m.first, m.used = position, true
	}
	m.last = position
}

// alignment of buffers in the arena, in floats: one cache line.
const alignment = 16

// place gives every buffer its place in one arena of all compilations, of which no two run at the
// same time. Results of a lasting compilation lie outside of it.
func place(compilations ...*compilation) error {
	size := 0
	for _, p := range compilations {
		p.lifetimes()
		size = max(size, p.arrange(func(m *memory) bool { return !p.outside(m) }))
	}
	budget := compilations[0].graph.device.Budget
	arena := budget.Alloc(size)
	for _, p := range compilations {
		results := p.arrange(p.outside)
		p.arena, p.results = arena, budget.Alloc(results)
		if len(p.arena) < size || len(p.results) < results {
			return fmt.Errorf("activations and gradients of %d bytes do not fit in memory", 4*(size+results))
		}
		for _, m := range p.memories {
			from := p.arena
			if p.outside(m) {
				from = p.results
			}
			if m.used {
				m.data = from[m.offset : m.offset+m.size : m.offset+m.size]
			}
		}
	}
	return nil
}

// outside reports whether a buffer lies outside of the arena.
func (p *compilation) outside(m *memory) bool { return p.lasting && m.kept }

// arrange gives the buffers in use that belong offsets in one piece of memory and returns its size,
// in floats. Buffers in use at the same time never overlap: the largest is placed first, each at the
// lowest free offset.
func (p *compilation) arrange(belong func(m *memory) bool) int {
	end := len(p.steps)
	var live []*memory
	for _, m := range p.memories {
		if !m.used || !belong(m) {
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
	return total
}

// lifetimes finds the first write and the last use of each buffer.
func (p *compilation) lifetimes() {
	for at, s := range p.steps {
		touchAll(at, s.sum)
		work := 0
		if s.op != nil {
			for _, n := range s.reads() {
				if m := s.memoryOf(n); m != nil {
					m.touch(at)
				}
			}
			if s.backward {
				touchAll(at, s.savedBy(s.op))
				if f := s.op.compiled.slopeOf; f != nil {
					s.savedBy(f)[0].touch(at)
				}
				work = s.op.WorkBack
			} else {
				p.writes(s, at)
				work = s.op.Work
			}
		}
		if work > 0 {
			s.scratch = p.memory("scratch", work)
			s.scratch.touch(at)
		}
		touchAll(at, s.gout)
		touchAll(at, s.acc)
		touchAll(at, s.gin)
	}
}

// writes marks the results of the forward step s and makes the buffers of its Save.
func (p *compilation) writes(s *step, at int) {
	for _, n := range s.op.Out {
		if m := s.memoryOf(n); m != nil {
			m.touch(at)
		}
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
}

// touchAll marks buffers, nil ones left out, as used by step at.
func touchAll(at int, buffers []*memory) {
	for _, m := range buffers {
		if m != nil {
			m.touch(at)
		}
	}
}
