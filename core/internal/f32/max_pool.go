package f32

import "math"

// MaxPool is the geometry of maximum pooling of images [N, H, W, C]: the results [N, OutH, OutW, C]
// are the largest values of windows of Size×Size pixels, at distances of Stride, that may reach
// over the edge by Pad pixels.
type MaxPool struct {
	N, H, W, C        int
	Size, Stride, Pad int
}

// OutH is the height of the result.
func (m *MaxPool) OutH() int { return (m.H+2*m.Pad-m.Size)/m.Stride + 1 }

// OutW is the width of the result.
func (m *MaxPool) OutW() int { return (m.W+2*m.Pad-m.Size)/m.Stride + 1 }

// maxPoolKernels are the inner loops of one level. A window is that part of it which lies in the
// image, rows×cols pixels, lines at distances of ld floats; its pixels have numbers from first on,
// by skip more after each row.
type maxPoolKernels struct {
	// maxPool is y[j] = max x[r*ld+s*c+j] for j < c; place[j] is the number of the first such
	// maximum, or of the last NaN.
	maxPool func(c, rows, cols int, x *float32, ld int, y, place *float32, first, skip float32)
	// maxPoolGrad adds dy[j] to the pixel whose number is place[j].
	maxPoolGrad func(c, rows, cols int, dx *float32, ld int, dy, place *float32, first, skip float32)
}

var genericMaxPool = maxPoolKernels{maxPool: genericMaxPoolForward, maxPoolGrad: genericMaxPoolGrad}

func genericMaxPoolForward(c, rows, cols int, x *float32, ld int, y, place *float32, first, skip float32) {
	best, at := sliceAt(y, c), sliceAt(place, c)
	for j := range c {
		best[j], at[j] = float32(math.Inf(-1)), first
	}
	for r := range rows {
		for s := range cols {
			for j, v := range sliceAt(offset(x, r*ld+s*c), c) {
				if v > best[j] || v != v {
					best[j], at[j] = v, first
				}
			}
			first++
		}
		first += skip
	}
}

func genericMaxPoolGrad(c, rows, cols int, dx *float32, ld int, dy, place *float32, first, skip float32) {
	grad, at := sliceAt(dy, c), sliceAt(place, c)
	for r := range rows {
		for s := range cols {
			for j := range c {
				if at[j] == first {
					*offset(dx, r*ld+s*c+j) += grad[j]
				}
			}
			first++
		}
		first += skip
	}
}

// maxPoolJob pools rows of results, or whole images in the backward pass, where windows overlap.
type maxPoolJob struct {
	MaxPool
	t           *table
	x, y, place []float32
	back, add   bool
}

// MaxPoolForward computes y and place, the number of the largest value in its window, both
// [N, OutH, OutW, C].
func MaxPoolForward(p *Pool, m MaxPool, x, y, place []float32) {
	m.check("MaxPoolForward", x, y, place)
	p.maxPool(maxPoolJob{MaxPool: m, x: x, y: y, place: place}, m.N*m.OutH())
}

// MaxPoolBackward computes the gradient dx [N, H, W, C] from that of the result, or with add adds
// to it.
func MaxPoolBackward(p *Pool, m MaxPool, dy, place, dx []float32, add bool) {
	m.check("MaxPoolBackward", dx, dy, place)
	p.maxPool(maxPoolJob{MaxPool: m, x: dx, y: dy, place: place, back: true, add: add}, m.N)
}

func (m *MaxPool) check(kernel string, x, y, place []float32) {
	if min(m.N, m.H, m.W, m.C, m.Size, m.Stride) < 1 || m.Pad < 0 || 2*m.Pad > m.Size || m.OutH() < 1 || m.OutW() < 1 {
		panic("f32." + kernel + ": windows do not fit the image")
	}
	need(kernel, "x", len(x), m.N*m.H*m.W*m.C)
	need(kernel, "y", len(y), m.N*m.OutH()*m.OutW()*m.C)
	need(kernel, "place", len(place), m.N*m.OutH()*m.OutW()*m.C)
}

func (p *Pool) maxPool(job maxPoolJob, chunks int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := &p.conv.pool
	*j = job
	j.t = kernels()
	p.run(chunks, j)
	*j = maxPoolJob{}
}

func (j *maxPoolJob) run(_ *worker, i int) {
	if !j.back {
		j.line(i/j.OutH(), i%j.OutH())
		return
	}
	if size := j.H * j.W * j.C; !j.add {
		clear(j.x[i*size : (i+1)*size])
	}
	for r := range j.OutH() {
		j.line(i, r)
	}
}

// line pools row i of the results of image n, or spreads its gradients.
func (j *maxPoolJob) line(n, i int) {
	c, w := j.C, j.OutW()
	top := i*j.Stride - j.Pad
	r0, r1 := max(0, top), min(j.H, top+j.Size)
	for k := range w {
		left := k*j.Stride - j.Pad
		s0, s1 := max(0, left), min(j.W, left+j.Size)
		at := ((n*j.OutH()+i)*w + k) * c
		pixel := &j.x[((n*j.H+r0)*j.W+s0)*c]
		first, skip := float32((r0-top)*j.Size+s0-left), float32(j.Size-(s1-s0))
		kernel := j.t.maxPool
		if j.back {
			kernel = j.t.maxPoolGrad
		}
		kernel(c, r1-r0, s1-s0, pixel, j.W*c, &j.y[at], &j.place[at], first, skip)
	}
}
