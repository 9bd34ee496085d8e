package sdk

import (
	"hash/fnv"
	"math"
	"slices"
	"sync"

	"github.com/vittool/vittool/plugins/pb"
)

// MaskCall is one batch that masks are wanted for.
type MaskCall struct {
	Step    uint64
	Seed    uint64
	Samples []uint64 // sample ids, one per row of the batch
	name    string
	boxes   map[string][]*pb.Box
}

// RNG returns the generator of row i, a function of the mask's name, the run's seed, the
// step and the sample id.
func (c *MaskCall) RNG(i int) *RNG {
	h := fnv.New64a()
	h.Write([]byte(c.name))
	return NewRNG(c.Seed, h.Sum64(), c.Step, c.Samples[i])
}

// Box returns where view was cut out of the image of row i; nil when the host did not say.
func (c *MaskCall) Box(view View, i int) *pb.Box {
	if boxes := c.boxes[view.spec.GetName()]; i < len(boxes) {
		return boxes[i]
	}
	return nil
}

// Mask is a per-step decision of the plan.
type Mask struct {
	spec  *pb.MaskSpec
	view  View
	cells int // of a bitmap, or patches of a keep list
}

// Values are the numbers of a keep list or of indices, int [B,length].
func (m Mask) Values() Tensor { return m.ref(pb.MaskRef_FORM_VALUES) }

// Removed is 1 where a patch is hidden and 0 elsewhere, float [B,L].
func (m Mask) Removed() Tensor { return m.ref(pb.MaskRef_FORM_REMOVED) }

// Changed is 1 at the pixels that the rectangles of a corruption cover, float [B,H,W].
func (m Mask) Changed() Tensor {
	t := m.ref(pb.MaskRef_FORM_REMOVED_BLOCKS)
	t.dim = m.view.Width()
	return t
}

// AtMost promises that a bitmap removes no more than n cells of a sample, which lets
// RemovedCells list them.
func (m Mask) AtMost(n int) Mask {
	m.spec.Length = uint32(max(n, 0))
	return m
}

// RemovedCells are the removed cells of a bitmap with AtMost, in raster order and then
// zeros, int [B,n]; Counted is 1 for each of them and 0 for the zeros behind, float [B,n].
func (m Mask) RemovedCells() Tensor {
	t := m.ref(pb.MaskRef_FORM_REMOVED_CELLS)
	t.dim = int(m.spec.GetLength())
	return t
}

// Counted tells the removed cells of RemovedCells from the zeros behind them.
func (m Mask) Counted() Tensor {
	t := m.ref(pb.MaskRef_FORM_REMOVED_COUNTED)
	t.dim = int(m.spec.GetLength())
	return t
}

func (m Mask) ref(form pb.MaskRef_Form) Tensor {
	return Tensor{ref: &pb.Ref{Of: &pb.Ref_Mask{Mask: &pb.MaskRef{Mask: m.spec.GetName(), Form: form}}}}
}

// Rect is one rectangle of a corruption, in pixels of the view.
type Rect struct {
	Top, Left, Height, Width int
	Fill                     Fill
	Source                   int // for Copy: row of the batch, -1 the same sample
	SourceTop, SourceLeft    int
	Clean                    bool // copy from the image as it was before any corruption; always so from another sample
}

// Fill says what a rectangle of a corruption is filled with.
type Fill int

// Zeros, Noise (standard normal) or Copy (pixels from elsewhere).
const (
	Zeros Fill = iota
	Noise
	Copy
)

type sampler struct {
	spec *pb.MaskSpec
	ints func(c *MaskCall, i int, out []int32)
	bits func(c *MaskCall, i int, out []byte)
}

// run draws the mask for all rows of the call.
func (s *sampler) run(c *MaskCall) *pb.MaskSet {
	call := *c
	call.name = s.spec.Name
	set := &pb.MaskSet{Name: s.spec.Name}
	if s.bits != nil {
		n := int(s.spec.Rows * s.spec.Cols)
		set.Bitmap = make([]byte, n*len(c.Samples))
		for i := range c.Samples {
			s.bits(&call, i, set.Bitmap[i*n:(i+1)*n:(i+1)*n])
		}
		return set
	}
	n := int(s.spec.Length)
	if s.spec.Kind == pb.MaskSpec_KIND_CORRUPTION {
		n *= CorruptionStride
	}
	set.Values = make([]int32, n*len(c.Samples))
	for i := range c.Samples {
		s.ints(&call, i, set.Values[i*n:(i+1)*n:(i+1)*n])
	}
	return set
}

// CorruptionStride is the number of integers per rectangle in MaskSet.values.
const CorruptionStride = 9

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

// KeepFromNoise writes the places of the len(keep) smallest values of noise, in ascending
// order of the values, equal ones in order of their place: the masking of MAE.
func KeepFromNoise(noise []float64, keep []int32) {
	r := rank(noise)
	defer rankings.Put(r)
	for i := range keep {
		keep[i] = int32((*r)[i].place)
	}
}

// RandomKeep draws which of n patches stay: len(keep) of them, uniformly, in random order.
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

// RandomBlocks hides ceil(ratio * number of blocks) aligned squares of block x block
// cells of a rows x cols grid, uniformly: the masking of SimMIM. block must divide both.
func RandomBlocks(r *RNG, rows, cols, block int, ratio float64, removed []byte) {
	across := cols / block
	n := rows / block * across
	for _, k := range r.Perm(n)[:min(n, int(math.Ceil(float64(n)*ratio)))] {
		top, left := k/across*block, k%across*block
		for y := top; y < top+block; y++ {
			for x := left; x < left+block; x++ {
				removed[y*cols+x] = 1
			}
		}
	}
}
