package param

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

// Init says how a parameter or buffer starts.
type Init struct {
	// Kind is one of: zeros, ones, constant (A), normal (standard deviation A),
	// trunc_normal (standard deviation A, cut at ±B), uniform (±A),
	// xavier_uniform (±sqrt(6/(FanIn+FanOut))), fan_in_uniform (±1/sqrt(FanIn)),
	// data (left for the caller to fill).
	Kind string
	A, B float64
	// FanIn and FanOut, when 0, come from the shape: [out, in, ...] gives
	// FanIn = product of all but the first dimension, FanOut = first dimension.
	FanIn, FanOut int
}

// Parameter is a named float32 array that outlives every graph: a weight, or a
// buffer such as a running mean.
type Parameter struct {
	Name  string
	Shape tensor.Shape
	Data  []float32 // row-major; graphs read this very memory
	// Decay: the optimizer applies weight decay.
	Decay bool
	// LRScale multiplies the learning rate; 1 unless changed.
	LRScale float64
	// Frozen: no gradient is computed.
	Frozen bool
	// FreezeUntil: the optimizer leaves it alone before this step (see Active).
	FreezeUntil int
	// UnitNormRows: rows are normalised to length 1 after each step (see
	// NormalizeRows).
	UnitNormRows bool
	// Given: the values come from a file of their own and never change, so they
	// are neither stored nor loaded with the rest.
	Given bool
	norms []float32 // scratch of NormalizeRows
}

// Size returns the number of elements.
func (p *Parameter) Size() int { return len(p.Data) }

// Store holds the parameters and buffers of a run by name. Several graphs may
// refer to one store. It is not safe for concurrent changes.
type Store struct {
	// Alloc provides the memory of parameters and buffers added later; nil means
	// aligned memory of the Go heap. A mapping shared with another process goes in
	// here.
	Alloc   func(n int) []float32
	params  []*Parameter
	buffers []*Parameter
	index   map[string]*Parameter
}

// NewStore returns an empty store.
func NewStore() *Store { return &Store{index: map[string]*Parameter{}} }

// Add creates a parameter. Its random numbers are a function of seed and name
// alone, so the order of calls does not matter. It starts with Decay true for two
// or more dimensions and false below, as most recipes want, and LRScale 1.
func (s *Store) Add(name string, shape tensor.Shape, init Init, seed uint64) (*Parameter, error) {
	p, err := s.add(name, shape, init, seed)
	if err == nil {
		p.Decay = len(shape) > 1
		s.params = append(s.params, p)
	}
	return p, err
}

// AddBuffer creates state that no optimizer touches: running statistics, queues,
// centres. It is frozen.
func (s *Store) AddBuffer(name string, shape tensor.Shape, init Init, seed uint64) (*Parameter, error) {
	p, err := s.add(name, shape, init, seed)
	if err == nil {
		p.Frozen = true
		s.buffers = append(s.buffers, p)
	}
	return p, err
}

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

// fill writes the initial values. Element i uses number i of the generator.
func (in Init) fill(dst []float32, shape tensor.Shape, r *prng.Generator) error {
	fanIn, fanOut := in.FanIn, in.FanOut
	if len(shape) > 0 {
		if fanIn == 0 && shape[0] > 0 {
			fanIn = shape.Size() / shape[0]
		}
		if fanOut == 0 {
			fanOut = shape[0]
		}
	}
	uniform := func(a float64) func(uint64) float64 {
		return func(v uint64) float64 { return a * (2*float64(v>>11)/(1<<53) - 1) }
	}
	var draw func(uint64) float64
	switch in.Kind {
	case "data":
		return nil
	case "zeros":
		clear(dst)
		return nil
	case "ones", "constant":
		v := float32(in.A)
		if in.Kind == "ones" {
			v = 1
		}
		for i := range dst {
			dst[i] = v
		}
		return nil
	case "normal":
		draw = func(v uint64) float64 { return in.A * prng.NormalFromBits(v) }
	case "trunc_normal":
		if in.B <= 0 {
			return fmt.Errorf("init trunc_normal needs a positive bound B, not %v", in.B)
		}
		draw = func(v uint64) float64 { return prng.TruncatedFromBits(v, in.A, in.B) }
	case "uniform":
		draw = uniform(in.A)
	case "xavier_uniform":
		if fanIn+fanOut <= 0 {
			return fmt.Errorf("init xavier_uniform needs FanIn and FanOut for shape %v", shape)
		}
		draw = uniform(math.Sqrt(6 / float64(fanIn+fanOut)))
	case "fan_in_uniform":
		if fanIn <= 0 {
			return fmt.Errorf("init fan_in_uniform needs FanIn for shape %v", shape)
		}
		draw = uniform(1 / math.Sqrt(float64(fanIn)))
	default:
		return fmt.Errorf("unknown init %q (zeros, ones, constant, normal, trunc_normal, uniform, xavier_uniform, fan_in_uniform, data)", in.Kind)
	}
	const chunk = 1 << 15
	var group sync.WaitGroup
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	for lo := 0; lo < len(dst); lo += chunk {
		hi := min(lo+chunk, len(dst))
		turns <- struct{}{}
		group.Add(1)
		go func() {
			defer group.Done()
			for i := lo; i < hi; i++ {
				dst[i] = float32(draw(r.At(uint64(i))))
			}
			<-turns
		}()
	}
	group.Wait()
	return nil
}

// Tensors returns all parameters and buffers but those that are Given, sharing
// their memory, to be stored.
func (s *Store) Tensors() []tensor.Tensor {
	var out []tensor.Tensor
	for _, p := range slices.Concat(s.params, s.buffers) {
		if !p.Given {
			out = append(out, tensor.NewF32(p.Name, p.Shape, p.Data))
		}
	}
	return out
}

// LoadInto copies tensors of a file into the store. Every parameter and buffer,
// but those that are Given, must be there, with its shape, and, with strict, nothing else; all faults are
// listed in one error and then nothing is changed. rename maps a store name to
// the file's; nil means the same name.
func LoadInto(s *Store, f *tensor.File, rename func(string) string, strict bool) error {
	if rename == nil {
		rename = func(n string) string { return n }
	}
	var faults []string
	type copyJob struct {
		dst []float32
		src []float32
	}
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

// JoinFaults lists faults, at most eight of them.
func JoinFaults(faults []string) string {
	const most = 8
	out := ""
	for i, f := range faults {
		if i == most {
			return out + fmt.Sprintf("; and %d more", len(faults)-most)
		}
		if i > 0 {
			out += "; "
		}
		out += f
	}
	return out
}
