package param

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

// Parameter is a named float32 array that outlives every graph: a weight, or a buffer such as a
// running mean.
type Parameter struct {
	Name  string
	Shape tensor.Shape
	Data  []float32 // row-major; graphs read this very memory
	// Decay: the optimizer applies weight decay.
	Decay bool
	// LRScale is a factor of the learning rate; 1 unless changed.
	LRScale float64
	// ConstantLR: the learning rate stays at its peak (see optim.Rate).
	ConstantLR bool
	// Frozen: the parameter takes no gradient.
	Frozen bool
	// FreezeUntil is the first step that updates the parameter (see optim.Active).
	FreezeUntil int
	// UnitNormRows: rows are scaled to length 1 before each forward pass (see NormalizeRows).
	UnitNormRows bool
	// Given: the values come from a file of their own and never change, so the store neither writes
	// nor loads them.
	Given bool
}

// Size returns the number of elements.
func (p *Parameter) Size() int { return len(p.Data) }

// Store holds the parameters and buffers of a run by name. Several graphs may refer to one store.
// It is not safe for concurrent changes.
type Store struct {
	// Alloc provides the memory of parameters and buffers added later, such as a mapping shared
	// with another process; nil means aligned memory of the Go heap.
	Alloc   func(n int) []float32
	params  []*Parameter
	buffers []*Parameter
	index   map[string]*Parameter
}

// NewStore returns an empty store.
func NewStore() *Store { return &Store{index: map[string]*Parameter{}} }

// Add creates a parameter. Its random numbers are a function of seed and name alone, so the order
// of calls does not matter. Decay starts true for two or more dimensions and false below, as in
// most recipes; LRScale starts at 1.
func (s *Store) Add(name string, shape tensor.Shape, init Init, seed uint64) (*Parameter, error) {
	p, err := s.add(name, shape, init, seed)
	if err == nil {
		p.Decay = len(shape) > 1
		s.params = append(s.params, p)
	}
	return p, err
}

// AddBuffer creates frozen state that no optimizer changes: running statistics, queues, centers.
func (s *Store) AddBuffer(name string, shape tensor.Shape, init Init, seed uint64) (*Parameter, error) {
	p, err := s.add(name, shape, init, seed)
	if err == nil {
		p.Frozen = true
		s.buffers = append(s.buffers, p)
	}
	return p, err
}

// Share lists a buffer of another store here too: both have the same memory.
func (s *Store) Share(b *Parameter) error {
	if s.index[b.Name] != nil {
		return fmt.Errorf("parameter %q exists already, with shape %v", b.Name, s.index[b.Name].Shape)
	}
	s.index[b.Name] = b
	s.buffers = append(s.buffers, b)
	return nil
}

// add creates a parameter that is not listed yet.
func (s *Store) add(name string, shape tensor.Shape, init Init, seed uint64) (*Parameter, error) {
	if name == "" {
		return nil, fmt.Errorf("a parameter of shape %v has no name", shape)
	}
	if s.index[name] != nil {
		return nil, fmt.Errorf("parameter %q exists already, with shape %v", name, s.index[name].Shape)
	}
	n, err := shape.CheckedSize()
	if err != nil {
		return nil, fmt.Errorf("parameter %q: %w", name, err)
	}
	alloc := s.Alloc
	if alloc == nil {
		alloc = f32.Alloc
	}
	p := &Parameter{Name: name, Shape: shape.Clone(), Data: alloc(n), LRScale: 1}
	if len(p.Data) != n {
		return nil, fmt.Errorf("parameter %q: Store.Alloc gave %d elements, %d are needed", name, len(p.Data), n)
	}
	if err := init.fill(p.Data, shape, prng.New(seed, "parameter", name)); err != nil {
		return nil, fmt.Errorf("parameter %q: %w", name, err)
	}
	s.index[name] = p
	return p, nil
}

// Get returns the parameter or buffer of that name, nil if there is none.
func (s *Store) Get(name string) *Parameter { return s.index[name] }

// Parameters lists the parameters in the order they were added.
func (s *Store) Parameters() []*Parameter { return slices.Clone(s.params) }

// Buffers lists the buffers in the order they were added.
func (s *Store) Buffers() []*Parameter { return slices.Clone(s.buffers) }

// Tensors returns all parameters and buffers but the Given ones as tensors to be stored, which
// share their memory.
func (s *Store) Tensors() []tensor.Tensor {
	var out []tensor.Tensor
	for _, p := range slices.Concat(s.params, s.buffers) {
		if !p.Given {
			out = append(out, tensor.NewF32(p.Name, p.Shape, p.Data))
		}
	}
	return out
}

// LoadInto copies tensors of a file into the store. The file must hold every parameter and buffer
// but the Given ones, in its shape, and with strict nothing else. One error lists all faults; then
// the store is unchanged. rename maps a name of the store to one of the file; nil keeps it.
func LoadInto(s *Store, f *tensor.File, rename func(string) string, strict bool) error {
	if rename == nil {
		rename = func(n string) string { return n }
	}
	var faults []string
	type copyJob struct{ dst, src []float32 }
	var jobs []copyJob
	used := map[string]bool{}
	for _, p := range slices.Concat(s.params, s.buffers) {
		if p.Given {
			continue
		}
		name := rename(p.Name)
		t, ok := f.Get(name)
		if !ok {
			faults = append(faults, fmt.Sprintf("%s is missing (shape %v is wanted)", name, p.Shape))
			continue
		}
		used[name] = true
		if !t.Shape.Equal(p.Shape) {
			faults = append(faults, fmt.Sprintf("%s has shape %v, %v is wanted", name, t.Shape, p.Shape))
			continue
		}
		src, err := t.Float32s()
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		jobs = append(jobs, copyJob{p.Data, src})
	}
	if strict {
		for _, t := range f.Tensors {
			if !used[t.Name] {
				faults = append(faults, fmt.Sprintf("%s, of shape %v, belongs to nothing here", t.Name, t.Shape))
			}
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%s does not fit: %s", f.Path, JoinFaults(faults))
	}
	for _, j := range jobs {
		copy(j.dst, j.src)
	}
	return nil
}

// JoinFaults joins faults to one line, at most eight of them.
func JoinFaults(faults []string) string {
	const most = 8
	if len(faults) > most {
		return fmt.Sprintf("%s; and %d more", strings.Join(faults[:most], "; "), len(faults)-most)
	}
	return strings.Join(faults, "; ")
}
