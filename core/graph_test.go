package core_test

import (
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tensor"
)

// TestTransformerGradient checks the whole chain along the gradient's direction.
func TestTransformerGradient(t *testing.T) {
	s := parametersOf(t, 2)
	m := buildTransformer(t, devicetest.New(t, 2), s, tBatch, 2)
	m.run(t)
	if len(m.exe.Parameters()) != len(s.Parameters()) {
		t.Errorf("%d of %d parameters get a gradient", len(m.exe.Parameters()), len(s.Parameters()))
	}
	for _, p := range m.exe.Parameters() {
		m.run(t)
		d := append([]float32{}, m.exe.Grad(p)...)
		norm := 0.0
		for _, v := range d {
			norm += float64(v) * float64(v)
		}
		norm = math.Sqrt(norm)
		if norm < 1e-3 {
			continue
		}
		save := append([]float32{}, p.Data...)
		at := func(h float64) float64 {
			for i := range d {
				p.Data[i] = save[i] + float32(h/norm)*d[i]
			}
			return float64(m.run(t))
		}
		h := 0.02
		numeric := (at(h) - at(-h)) / (2 * h)
		copy(p.Data, save)
		if math.Abs(numeric-norm) > 0.02*norm+2e-5 {
			t.Errorf("%s: slope along the gradient %.6g, its norm %.6g", p.Name, numeric, norm)
		}
	}
}

// TestSameBitsForAnyThreads also covers repetition: every run gives the same bits.
func TestSameBitsForAnyThreads(t *testing.T) {
	s := parametersOf(t, 2)
	var loss float32
	grads := map[string][]float32{}
	for i, threads := range []int{1, 2, 3, 2} {
		m := buildTransformer(t, devicetest.New(t, threads), s, tBatch, 2)
		for range 3 {
			got := m.run(t)
			if i == 0 {
				loss = got
			}
			if got != loss {
				t.Fatalf("%d threads: loss %v, 1 thread gave %v", threads, got, loss)
			}
		}
		for _, p := range m.exe.Parameters() {
			got := m.exe.Grad(p)
			if i == 0 {
				grads[p.Name] = append([]float32{}, got...)
			}
			for k, v := range got {
				if math.Float32bits(v) != math.Float32bits(grads[p.Name][k]) {
					t.Fatalf("%d threads: gradient of %s[%d] is %v, 1 thread gave %v", threads, p.Name, k, v, grads[p.Name][k])
				}
			}
		}
	}
}

// TestSeveralShapesShareOneStore: graphs of two batch sizes read the same memory.
func TestSeveralShapesShareOneStore(t *testing.T) {
	s := parametersOf(t, 1)
	e := devicetest.New(t, 2)
	a, b := buildTransformer(t, e, s, 4, 1), buildTransformer(t, e, s, 2, 1)
	before := b.run(t)
	a.run(t)
	optimizer := optim.NewSGD(e, optim.SGDOptions{})
	optimizer.Step(a.exe.Parameters(), a.exe.Grad, optim.Rate{Now: 0.01}, 0)
	if after := b.run(t); after == before {
		t.Error("an update through one graph is not seen by the other")
	}
}

func TestGraphsRunInParallel(t *testing.T) {
	s := parametersOf(t, 1)
	e := devicetest.New(t, 2)
	want := buildTransformer(t, e, s, 4, 1).run(t)
	var group sync.WaitGroup
	for range 3 {
		group.Add(1)
		go func() {
			defer group.Done()
			m, g := recordTransformer(e, s, 4, 1)
			exe, err := g.Compile(m.loss)
			if err != nil {
				t.Error(err)
				return
			}
			for range 5 {
				if err := exe.Run(); err != nil {
					t.Error(err)
				} else if got := m.loss.Value()[0]; got != want {
					t.Errorf("loss %v, alone it is %v", got, want)
				}
			}
		}()
	}
	group.Wait()
}

// TestNothingGrows: a step allocates little, and no more for a larger model.
func TestNothingGrows(t *testing.T) {
	perStep := func(batch, depth int) (bytes, perOp float64) {
		m := buildTransformer(t, devicetest.New(t, 1), parametersOf(t, depth), batch, depth)
		m.run(t)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		const steps = 20
		for range steps {
			m.run(t)
		}
		runtime.ReadMemStats(&after)
		bytes = float64(after.TotalAlloc-before.TotalAlloc) / steps
		return bytes, bytes / float64(m.exe.Steps())
	}
	small, _ := perStep(2, 1)
	large, _ := perStep(16, 1)
	if large > small*1.2+4096 {
		t.Errorf("a batch of 2 allocates %.0f bytes a step, one of 16 %.0f", small, large)
	}
	if _, perOp := perStep(2, 4); perOp > 1000 {
		t.Errorf("%.0f bytes are allocated per operator and step", perOp)
	}
}

// TestMemoryIsShared: buffers that are never in use together overlap.
func TestMemoryIsShared(t *testing.T) {
	m, g := recordTransformer(devicetest.New(t, 1), parametersOf(t, 4), 4, 4)
	buffers, arena, err := g.Lifetimes(m.loss)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for i, a := range buffers {
		total += a.Size
		for j, b := range buffers {
			if i == j || !a.Used || !b.Used || a.Last < b.First || b.Last < a.First {
				continue
			}
			if a.Offset < b.Offset+b.Size && b.Offset < a.Offset+a.Size {
				t.Fatalf("%s [%d..%d] and %s [%d..%d] overlap in memory and time", a.Name, a.First, a.Last, b.Name, b.First, b.Last)
			}
		}
	}
	if arena*3 > total*2 {
		t.Errorf("the arena holds %d floats, all buffers together %d: little is shared", arena, total)
	}
}

// TestCompileTogether gives two graphs one arena: each has the bits that it has alone, and the
// results of the lasting one outlive a run of the other.
func TestCompileTogether(t *testing.T) {
	dev, s := devicetest.New(t, 2), parametersOf(t, 2)
	large, small := buildTransformer(t, dev, s, tBatch, 2), buildTransformer(t, dev, s, tBatch/2, 2)
	record := func(batch int) (*transformer, core.Part) {
		m, g := recordTransformer(dev, s, batch, 2)
		return m, core.Part{Graph: g, Loss: m.loss}
	}
	passing, first := record(tBatch)
	lasting, second := record(tBatch / 2)
	second.Lasting = true
	e := must.Get(core.CompileTogether(first, second))(t)
	passing.exe, lasting.exe = e[0], e[1]
	gradients := 0
	for _, p := range e[1].Parameters() {
		gradients += 4 * p.Size()
	}
	if got, most := e[1].Bytes(), large.exe.Bytes()+2*gradients; e[0].Bytes() > large.exe.Bytes() || got > most {
		t.Errorf("the graphs take %d bytes together, want at most %d", got, most)
	}
	for range 2 {
		if got, want := lasting.run(t), small.run(t); got != want {
			t.Fatalf("loss %v, %v alone", got, want)
		}
		if got, want := passing.run(t), large.run(t); got != want {
			t.Fatalf("loss of the larger graph %v, %v alone", got, want)
		}
		if got, want := lasting.loss.Value()[0], small.loss.Value()[0]; got != want {
			t.Errorf("loss %v after a run of the other graph, %v before", got, want)
		}
		for _, p := range s.Parameters() {
			if !slices.Equal(lasting.exe.Grad(p), small.exe.Grad(p)) || !slices.Equal(passing.exe.Grad(p), large.exe.Grad(p)) {
				t.Errorf("the gradient of %s has other bits", p.Name)
			}
		}
	}
}

func TestStopGradientAndFrozen(t *testing.T) {
	s := param.NewStore()
	a, _ := s.Add("a", tensor.Shape{3}, param.Init{Kind: "constant", A: 2}, 0)
	b, _ := s.Add("b", tensor.Shape{3}, param.Init{Kind: "constant", A: 3}, 0)
	c, _ := s.Add("c", tensor.Shape{3}, param.Init{Kind: "constant", A: 5}, 0)
	c.Frozen = true
	g := core.NewGraph(devicetest.New(t, 1))
	x := g.Input("x", tensor.Shape{3}).RequireGrad()
	copy(x.Value(), []float32{1, 1, 1})
	y := ops.Mul(g, ops.Mul(g, g.Param(a), x), g.StopGradient(ops.Mul(g, g.Param(b), g.Param(c))))
	exe := must.Get(g.Compile(ops.Sum(g, y), y))(t)
	must.Do(t, exe.Run())
	if v := y.Value()[0]; v != 30 {
		t.Errorf("value %v, want 30", v)
	}
	if d := exe.Grad(a); d == nil || d[0] != 15 {
		t.Errorf("gradient of a is %v, want 15", d)
	}
	if exe.Grad(b) != nil || exe.Grad(c) != nil {
		t.Error("a gradient passes the stop or reaches a frozen parameter")
	}
	if d := exe.GradOf(x); d == nil || d[0] != 30 {
		t.Errorf("gradient of the input is %v, want 30", d)
	}
	if n := len(exe.Parameters()); n != 1 {
		t.Errorf("%d parameters are listed, want 1", n)
	}
}

// TestEqualGradientsAreSeparate: a + b gives both the same gradient, which must not be the same
// memory, for clipping scales it in place.
func TestEqualGradientsAreSeparate(t *testing.T) {
	s := param.NewStore()
	a, _ := s.Add("a", tensor.Shape{2}, param.Init{Kind: "ones"}, 0)
	b, _ := s.Add("b", tensor.Shape{2}, param.Init{Kind: "ones"}, 0)
	g := core.NewGraph(devicetest.New(t, 1))
	exe := must.Get(g.Compile(ops.Sum(g, ops.Add(g, g.Param(a), g.Param(b)))))(t)
	must.Do(t, exe.Run())
	exe.Grad(a)[0] = 7
	if exe.Grad(b)[0] != 1 {
		t.Errorf("the gradients of a and b share memory")
	}
}

func TestWrongShapesAreNamed(t *testing.T) {
	g := core.NewGraph(devicetest.New(t, 1))
	x := g.Input("tokens", tensor.Shape{2, 5, 7})
	w := g.Input("weight", tensor.Shape{9, 8})
	y := ops.Linear(g, x, w, nil)
	y = ops.LayerNorm(g, y, nil, nil, 1e-6) // accepts the invalid node
	_, err := g.Compile(ops.Sum(g, y))
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"linear", "tokens [2, 5, 7]", "weight [9, 8]"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %q", err, part)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	e := devicetest.New(t, 1)
	for name, build := range map[string]func(g *core.Graph) (*core.Executable, error){
		"a loss of several elements": func(g *core.Graph) (*core.Executable, error) {
			return g.Compile(ops.Scale(g, g.Input("x", tensor.Shape{2}).RequireGrad(), 2))
		},
		"nothing": func(g *core.Graph) (*core.Executable, error) { return g.Compile(nil) },
		"no gradient": func(g *core.Graph) (*core.Executable, error) {
			return g.Compile(ops.Sum(g, g.Input("x", tensor.Shape{2})))
		},
		"used twice": func(g *core.Graph) (*core.Executable, error) {
			g.Input("x", tensor.Shape{2})
			return g.Compile(ops.Sum(g, g.Input("x", tensor.Shape{2})))
		},
		"no elements": func(g *core.Graph) (*core.Executable, error) {
			return g.Compile(ops.Sum(g, g.Input("x", tensor.Shape{0, 2})))
		},
		"another graph": func(g *core.Graph) (*core.Executable, error) {
			return g.Compile(nil, core.NewGraph(e).Input("x", tensor.Shape{1}))
		},
		"missing operand":  func(g *core.Graph) (*core.Executable, error) { return g.Compile(ops.Sum(g, nil)) },
		"missing argument": func(g *core.Graph) (*core.Executable, error) { return g.Compile(ops.Sum(g, g.Param(nil))) },
	} {
		if _, err := build(core.NewGraph(e)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestFirstNonFinite finds the tensor where it starts, although later steps have overwritten its
// memory.
func TestFirstNonFinite(t *testing.T) {
	s := parametersOf(t, 2)
	m := buildTransformer(t, devicetest.New(t, 2), s, tBatch, 2)
	m.run(t)
	if _, _, _, ok := m.exe.FirstNonFinite(); !ok {
		t.Error("a sound run is called not finite")
	}
	w := s.Get("1.fc1.weight")
	w.Data[3] = float32(math.Inf(1))
	m.run(t)
	if name, at, _, ok := m.exe.FirstNonFinite(); ok || name != "1.fc1.weight" || at != 3 {
		t.Errorf("found %q[%d], %v; want 1.fc1.weight[3]", name, at, ok)
	}
	w.Data[3] = 3e38 // finite, but products overflow
	m.run(t)
	if name, _, _, ok := m.exe.FirstNonFinite(); ok || !strings.HasPrefix(name, "linear_gelu") {
		t.Errorf("found %q, %v; want a linear_gelu", name, ok)
	} else if !strings.Contains(name, "(with 1.fc1.weight)") {
		t.Errorf("%q does not say in which block", name)
	}
	w.Data[3] = 0
	w = s.Get("1.qkv.weight")
	old := w.Data[5]
	w.Data[5] = 1e30 // finite, and so are the products, but not those of these
	m.run(t)
	// Whether the attention itself or its gradient is the first depends on the kernels.
	if name, _, _, ok := m.exe.FirstNonFinite(); ok || !strings.Contains(name, "1.qkv.weight") {
		t.Errorf("found %q, %v; want the attention or its gradient, and the weight before it", name, ok)
	}
	w.Data[5] = old
	w.Data[3] = 0
	m.run(t)
	if _, _, _, ok := m.exe.FirstNonFinite(); !ok {
		t.Error("the run after is called not finite")
	}
}

// A frozen network has no backward pass to count.
func TestFLOPsOfFrozen(t *testing.T) {
	e := devicetest.New(t, 1)
	store := param.NewStore()
	var params []*param.Parameter
	for _, name := range []string{"frozen", "trained"} {
		p := must.Get(store.Add(name, tensor.Shape{7, 7}, param.Init{Kind: "normal", A: 1}, 1))(t)
		params = append(params, p)
	}
	params[0].Frozen = true
	g := core.NewGraph(e)
	x := g.Input("x", tensor.Shape{5, 7})
	teacher, student := ops.Linear(g, x, g.Param(params[0]), nil), ops.Linear(g, x, g.Param(params[1]), nil)
	exe := must.Get(g.Compile(ops.Sum(g, ops.Mul(g, teacher, student))))(t)
	if got := exe.FLOPs(); got != (1+3)*2*5*7*7 {
		t.Errorf("FLOPs %v, want %v", got, (1+3)*2*5*7*7)
	}
}

func TestFLOPsAndProfile(t *testing.T) {
	g := core.NewGraph(devicetest.New(t, 1))
	w, _ := param.NewStore().Add("w", tensor.Shape{4, 3}, param.Init{Kind: "normal", A: 1}, 0)
	frozen, _ := param.NewStore().Add("frozen", tensor.Shape{6, 4}, param.Init{Kind: "normal", A: 1}, 0)
	frozen.Frozen = true
	teacher := ops.Linear(g, g.StopGradient(g.Input("y", tensor.Shape{5, 4})), g.Param(frozen), nil)
	exe := must.Get(g.Compile(ops.Sum(g, ops.Linear(g, g.Input("x", tensor.Shape{5, 3}), g.Param(w), nil)), teacher))(t)
	if got := exe.FLOPs(); got != 3*2*5*3*4+2*5*4*6 {
		t.Errorf("FLOPs %v, want %v: three times the trained layer, once the frozen one", got, 3*2*5*3*4+2*5*4*6)
	}
	exe.Profile(true)
	must.Do(t, exe.Run())
	names := ""
	for _, p := range exe.Profiles() {
		names += p.Name + " "
	}
	if !strings.Contains(names, "linear backward") || !strings.Contains(names, "linear ") {
		t.Errorf("profile has %q", names)
	}
}
