package sdk

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"sync"

	"github.com/vittool/vittool/plugins/plan"
)

// MaskCall is one micro-batch that masks are wanted for.
type MaskCall struct {
	MicroBatch uint64 // its number in the run, from 0; a step of the optimizer takes several with accumulation
	Seed       uint64
	Samples    []uint64 // sample ids, one per row of the batch
	name       string
	boxes      func(view string, i int) (Box, bool) // nil: the host gave none
}

// RNG returns the generator of row i, a function of the mask's name, the run's seed, the
// micro-batch and the sample id.
func (c *MaskCall) RNG(i int) *RNG {
	h := fnv.New64a()
	h.Write([]byte(c.name))
	return NewRNG(c.Seed, h.Sum64(), c.MicroBatch, c.Samples[i])
}

// Box returns where view was cut out of the image of row i; false when the host did not say.
func (c *MaskCall) Box(view View, i int) (Box, bool) {
	if c.boxes == nil {
		return Box{}, false
	}
	return c.boxes(view.name(), i)
}

// Mask is a per-step decision of the plan.
type Mask struct {
	spec  *plan.Mask
	view  View
	cells int // of a bitmap, or patches of a keep list
}

func (m Mask) name() string {
	if m.spec == nil {
		return ""
	}
	return m.spec.Name
}

// Values are the numbers of a keep list or of indices, int [B,length].
func (m Mask) Values() Tensor { return m.ref(plan.FormValues) }

// Masked is 1 where a patch is masked and 0 where it is visible, float [B,L].
func (m Mask) Masked() Tensor { return m.ref(plan.FormMasked) }

// Changed is 1 at the pixels that the rectangles of a corruption cover, float [B,H,W].
func (m Mask) Changed() Tensor {
	t := m.ref(plan.FormChanged)
	t.dim = m.view.Width()
	return t
}

// AtMost promises that a bitmap masks no more than n cells of a sample, which lets MaskedCells list
// them.
func (m Mask) AtMost(n int) Mask {
	m.spec.Length = max(n, 0)
	return m
}

// MaskedCells are the masked cells of a bitmap with AtMost, in raster order and then zeros, int
// [B,n]; Counted is 1 for each of them and 0 for the zeros behind, float [B,n].
func (m Mask) MaskedCells() Tensor {
	t := m.ref(plan.FormMaskedCells)
	t.dim = m.spec.Length
	return t
}

// Counted tells the masked cells of MaskedCells from the zeros behind them.
func (m Mask) Counted() Tensor {
	t := m.ref(plan.FormCounted)
	t.dim = m.spec.Length
	return t
}

func (m Mask) ref(form plan.Form) Tensor {
	return Tensor{ref: plan.Ref{Of: plan.RefMask, Name: m.name(), Form: form}}
}

// KeepMask declares a keep list: sample writes the indices of the length visible patches of row i, in
// the order in which they enter the network.
func (b *Builder) KeepMask(name string, view View, length int, sample func(c *MaskCall, i int, keep []int32)) Mask {
	if length < 1 || length > view.Patches() {
		b.Failf("mask %q leaves %d of %d patches visible; want 1 to all of them", name, length, view.Patches())
	}
	m := b.mask(plan.Mask{Name: name, View: view.name(), Kind: plan.MaskKeep, Length: max(length, 0)},
		&sampler{ints: sample})
	m.view, m.cells = view, view.Patches()
	return m
}

// BitMask declares a bitmap over the view's grid of patches, row by row: sample writes 1 where the
// patch of row i is masked. masked arrives zeroed.
func (b *Builder) BitMask(name string, view View, sample func(c *MaskCall, i int, masked []byte)) Mask {
	m := b.mask(plan.Mask{Name: name, View: view.name(), Kind: plan.MaskBitmap,
		Rows: view.Rows(), Cols: view.Cols()}, &sampler{bits: sample})
	m.view, m.cells = view, view.Patches()
	return m
}

// Indices declares length integers in 0..limit-1 per sample, e.g. the negatives drawn from a bank.
func (b *Builder) Indices(name string, view View, length int, limit int, sample func(c *MaskCall, i int, out []int32)) Mask {
	return b.mask(plan.Mask{Name: name, View: view.name(), Kind: plan.MaskIndices,
		Length: max(length, 0), Limit: limit}, &sampler{ints: sample})
}

// Corruption declares up to length rectangles per sample that are painted over.
func (b *Builder) Corruption(name string, view View, length int, sample func(c *MaskCall, i int) []Rect) Mask {
	m := b.mask(plan.Mask{Name: name, View: view.name(), Kind: plan.MaskCorruption, Length: max(length, 0)},
		&sampler{ints: func(c *MaskCall, i int, out []int32) {
			rects := sample(c, i)
			if len(rects) > length {
				panic(fmt.Sprintf("%d rectangles for a mask declared with at most %d", len(rects), length))
			}
			packRects(rects, out)
		}})
	m.view = view
	return m
}

func (b *Builder) mask(spec plan.Mask, s *sampler) Mask {
	spec.Name = b.take("mask", spec.Name)
	s.spec = &spec
	b.plan.Masks = append(b.plan.Masks, &spec)
	b.samplers = append(b.samplers, s)
	return Mask{spec: &spec}
}

// Rect is one rectangle of a corruption, in pixels of the view.
type Rect struct {
	Top, Left, Height, Width int
	Fill                     Fill
	Source                   int // for Copy: row of the batch, -1 the same sample
	SourceTop, SourceLeft    int
	Clean                    bool // copy from the image as it was before any corruption; always so from another sample
}

// Fill is the content of a rectangle of a corruption.
type Fill int

// Zeros, Noise (standard normal) or Copy (pixels from elsewhere).
const (
	Zeros Fill = iota
	Noise
	Copy
)

type sampler struct {
	spec *plan.Mask
	ints func(c *MaskCall, i int, out []int32)
	bits func(c *MaskCall, i int, out []byte)
}

// run draws the mask for all rows of the call.
func (s *sampler) run(c *MaskCall) MaskValues {
	call := *c
	call.name = s.spec.Name
	set := MaskValues{Name: s.spec.Name}
	if s.bits != nil {
		n := s.spec.Rows * s.spec.Cols
		set.Bitmap = make([]byte, n*len(c.Samples))
		for i := range c.Samples {
			s.bits(&call, i, set.Bitmap[i*n:(i+1)*n:(i+1)*n])
		}
		return set
	}
	n := s.spec.Length
	if s.spec.Kind == plan.MaskCorruption {
		n *= CorruptionStride
	}
	set.Values = make([]int32, n*len(c.Samples))
	for i := range c.Samples {
		s.ints(&call, i, set.Values[i*n:(i+1)*n:(i+1)*n])
	}
	return set
}

// CorruptionStride is the number of integers per rectangle in MaskValues.
const CorruptionStride = plan.RectangleFields

func packRects(rects []Rect, out []int32) {
	for k, r := range rects {
		clean := int32(0)
		if r.Clean || r.Fill == Copy && r.Source >= 0 {
			clean = 1
		}
		copy(out[k*CorruptionStride:], []int32{int32(r.Top), int32(r.Left), int32(r.Height), int32(r.Width),
			int32(r.Fill), int32(r.Source), int32(r.SourceTop), int32(r.SourceLeft), clean})
	}
}

// KeepFromNoise writes the places of the len(keep) smallest values of noise, in ascending order of
// the values, equal ones in order of their place: the masking of MAE.
func KeepFromNoise(noise []float64, keep []int32) {
	r := rank(noise)
	defer rankings.Put(r)
	for i := range keep {
		keep[i] = int32((*r)[i].place)
	}
}

// RandomKeep draws which of n patches are visible: len(keep) of them, uniformly, in random order.
func RandomKeep(r *RNG, n int, keep []int32) {
	noise := noises.Get().(*[]float64)
	defer noises.Put(noise)
	*noise = slices.Grow((*noise)[:0], n)[:n]
	for i := range *noise {
		(*noise)[i] = r.Float64()
	}
	KeepFromNoise(*noise, keep)
}

var noises = sync.Pool{New: func() any { return new([]float64) }}

// RandomBlocks masks ceil(ratio * number of blocks) aligned squares of block x block cells of a
// rows x cols grid, uniformly: the masking of SimMIM. block must divide both.
func RandomBlocks(r *RNG, rows, cols, block int, ratio float64, masked []byte) {
	across := cols / block
	n := rows / block * across
	for _, k := range r.Perm(n)[:min(n, int(math.Ceil(float64(n)*ratio)))] {
		top, left := k/across*block, k%across*block
		for y := top; y < top+block; y++ {
			for x := left; x < left+block; x++ {
				masked[y*cols+x] = 1
			}
		}
	}
}
