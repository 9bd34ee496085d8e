package f32

import "fmt"

// elementChunk is the number of values in one chunk of an elementwise kernel: four such operands
// stay in the second-level cache.
const elementChunk = 16384

// elementJob applies op to chunks of up to four slices of equal length.
type elementJob struct {
	t          *table
	op         func(j *elementJob, lo, hi int)
	n          int
	a, b, c, d []float32
	s, r       float32
	consts     [8]float32
}

func (j *elementJob) run(_ *worker, i int) {
	j.op(j, i*elementChunk, min(j.n, (i+1)*elementChunk))
}

func (p *Pool) element(name string, j elementJob) {
	for _, x := range [...][]float32{j.a, j.b, j.c, j.d} {
		if x != nil && len(x) != j.n {
			panic(fmt.Sprintf("f32.%s: operands of %d and %d values", name, j.n, len(x)))
		}
	}
	if j.n == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j.t = kernels()
	p.jobs.element = j
	p.run(ceilDiv(j.n, elementChunk), &p.jobs.element)
	p.jobs.element = elementJob{}
}

// operand makes an empty slice count as an operand when lengths are compared.
func operand(x []float32) []float32 {
	if x == nil {
		return []float32{}
	}
	return x
}

// Add is dst[i] = a[i] + b[i] for every i. In all elementwise kernels the operands have equal
// length and the destination may be one of the sources.
func Add(p *Pool, dst, a, b []float32) {
	p.element("Add", elementJob{op: addRange, n: len(dst), a: dst, b: operand(a), c: operand(b)})
}

func addRange(j *elementJob, lo, hi int) { j.t.add(j.a[lo:hi], j.b[lo:hi], j.c[lo:hi]) }

// Sub is dst[i] = a[i] - b[i].
func Sub(p *Pool, dst, a, b []float32) {
	p.element("Sub", elementJob{op: subRange, n: len(dst), a: dst, b: operand(a), c: operand(b)})
}

func subRange(j *elementJob, lo, hi int) { j.t.sub(j.a[lo:hi], j.b[lo:hi], j.c[lo:hi]) }

// Mul is dst[i] = a[i] * b[i].
func Mul(p *Pool, dst, a, b []float32) {
	p.element("Mul", elementJob{op: mulRange, n: len(dst), a: dst, b: operand(a), c: operand(b)})
}

func mulRange(j *elementJob, lo, hi int) { j.t.mul(j.a[lo:hi], j.b[lo:hi], j.c[lo:hi]) }

// MulAdd is dst[i] += a[i] * b[i].
func MulAdd(p *Pool, dst, a, b []float32) {
	p.element("MulAdd", elementJob{op: mulAddRange, n: len(dst), a: dst, b: operand(a), c: operand(b)})
}

func mulAddRange(j *elementJob, lo, hi int) { j.t.mulAdd(j.a[lo:hi], j.b[lo:hi], j.c[lo:hi]) }

// Axpy is dst[i] += alpha * x[i].
func Axpy(p *Pool, dst []float32, alpha float32, x []float32) {
	p.element("Axpy", elementJob{op: axpyRange, n: len(dst), a: dst, b: operand(x), s: alpha})
}

func axpyRange(j *elementJob, lo, hi int) { j.t.axpy(j.a[lo:hi], j.s, j.b[lo:hi]) }

// Scale is dst[i] = alpha * x[i].
func Scale(p *Pool, dst []float32, alpha float32, x []float32) {
	p.element("Scale", elementJob{op: scaleRange, n: len(dst), a: dst, b: operand(x), s: alpha})
}

func scaleRange(j *elementJob, lo, hi int) { j.t.scale(j.a[lo:hi], j.s, j.b[lo:hi]) }

// Lerp is dst[i] = m*dst[i] + (1-m)*src[i], the update of a moving average.
func Lerp(p *Pool, dst, src []float32, m float64) {
	p.element("Lerp", elementJob{op: lerpRange, n: len(dst), a: dst, b: operand(src), s: float32(m), r: float32(1 - m)})
}

func lerpRange(j *elementJob, lo, hi int) { j.t.lerp(j.a[lo:hi], j.b[lo:hi], j.s, j.r) }

// Copy is dst[i] = src[i].
func Copy(p *Pool, dst, src []float32) {
	p.element("Copy", elementJob{op: copyRange, n: len(dst), a: dst, b: operand(src)})
}

func copyRange(j *elementJob, lo, hi int) { copy(j.a[lo:hi], j.b[lo:hi]) }

// Fill is dst[i] = value.
func Fill(p *Pool, dst []float32, value float32) {
	p.element("Fill", elementJob{op: fillRange, n: len(dst), a: dst, s: value})
}

func fillRange(j *elementJob, lo, hi int) {
	x := j.a[lo:hi]
	if j.s == 0 {
		clear(x)
		return
	}
	for i := range x {
		x[i] = j.s
	}
}

// ReluForward is y[i] = max(x[i], 0).
func ReluForward(p *Pool, x, y []float32) {
	p.element("ReluForward", elementJob{op: reluRange, n: len(y), a: y, b: operand(x)})
}

func reluRange(j *elementJob, lo, hi int) { j.t.relu(j.a[lo:hi], j.b[lo:hi]) }

// ReluBackward is dx[i] = dy[i] if x[i] > 0, else 0.
func ReluBackward(p *Pool, x, dy, dx []float32) {
	p.element("ReluBackward", elementJob{op: reluGradRange, n: len(dx), a: dx, b: operand(x), c: operand(dy)})
}

func reluGradRange(j *elementJob, lo, hi int) { j.t.reluGrad(j.a[lo:hi], j.b[lo:hi], j.c[lo:hi]) }

// GeluForward is y[i] = x[i]·Φ(x[i]) with the exact Gaussian integral (Hendrycks & Gimpel,
// arXiv:1606.08415), not the tanh approximation.
func GeluForward(p *Pool, x, y []float32) {
	p.element("GeluForward", elementJob{op: geluRange, n: len(y), a: y, b: operand(x)})
}

func geluRange(j *elementJob, lo, hi int) { j.t.gelu(j.a[lo:hi], j.b[lo:hi]) }

// GeluBackward is dx[i] = dy[i]·(Φ(x[i]) + x[i]·φ(x[i])).
func GeluBackward(p *Pool, x, dy, dx []float32) {
	p.element("GeluBackward", elementJob{op: geluGradRange, n: len(dx), a: dx, b: operand(x), c: operand(dy)})
}

func geluGradRange(j *elementJob, lo, hi int) { j.t.geluGrad(j.a[lo:hi], j.b[lo:hi], j.c[lo:hi]) }

// QuickGeluForward is y[i] = x[i]·sigmoid(1.702·x[i]).
func QuickGeluForward(p *Pool, x, y []float32) {
	p.element("QuickGeluForward", elementJob{op: quickGeluRange, n: len(y), a: y, b: operand(x)})
}

func quickGeluRange(j *elementJob, lo, hi int) { j.t.quickGelu(j.a[lo:hi], j.b[lo:hi]) }

// QuickGeluBackward is dx[i] = dy[i]·s·(1 + z·(1-s)) with z = 1.702·x[i] and s = sigmoid(z).
func QuickGeluBackward(p *Pool, x, dy, dx []float32) {
	p.element("QuickGeluBackward", elementJob{op: quickGeluGradRange, n: len(dx), a: dx, b: operand(x), c: operand(dy)})
}

func quickGeluGradRange(j *elementJob, lo, hi int) {
	j.t.quickGeluGrad(j.a[lo:hi], j.b[lo:hi], j.c[lo:hi])
}
