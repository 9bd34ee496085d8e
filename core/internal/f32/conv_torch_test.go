package f32

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// peer is PyTorch in a process of its own, see testdata/conv_torch.py.
type peer struct {
	b   *testing.B
	in  io.Writer
	out *bufio.Reader
}

// newPeer starts the Python that VITTOOL_PYTHON names.
func newPeer(b *testing.B) *peer {
	python := os.Getenv("VITTOOL_PYTHON")
	if python == "" {
		b.Skip("set VITTOOL_PYTHON to a Python with PyTorch")
	}
	c := exec.Command(python, filepath.Join("testdata", "conv_torch.py"))
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := c.Wait(); err != nil {
			b.Error(err)
		}
	})
	return &peer{b, in, bufio.NewReader(out)}
}

// line reads the next answer.
func (p *peer) line() string {
	s, err := p.out.ReadString('\n')
	if err != nil {
		p.b.Fatal(err)
	}
	return strings.TrimSpace(s)
}

// ask sends a command and reads the numbers of its answer.
func (p *peer) ask(numbers int, format string, words ...any) []float64 {
	fmt.Fprintf(p.in, format+"\n", words...)
	s := p.line()
	x := make([]float64, numbers)
	for i, w := range strings.Fields(s)[:numbers] {
		if _, err := fmt.Sscan(w, &x[i]); err != nil {
			p.b.Fatalf("%s: %v", s, err)
		}
	}
	return x
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

// BenchmarkConvPyTorch prints, for each direction of each layer, the milliseconds here and in
// PyTorch, in the faster of its formats, the shares of the peak, the ratio and the errors against
// float64, by processor time of one thread; b.N turns of both sides, -benchtime 9x for nine:
//
//	VITTOOL_PYTHON=python go test -run XXX -bench ConvPyTorch -benchtime 9x ./core/internal/f32
func BenchmarkConvPyTorch(b *testing.B) {
	peer := newPeer(b)
	fmt.Printf("\nPyTorch %s, level %s\n", peer.line(), Current())
	fmt.Println("| layer | direction | ms (share of the peak) | PyTorch | times faster | error, rms ÷ 10⁻⁷ | PyTorch nchw, nhwc |\n|---|---|---:|---:|---:|---:|---:|")
	for _, l := range convLayers {
		v := l.conv
		b.Run(l.name, func(b *testing.B) {
			if b.N == 1 {
				return // the run that Go makes to plan the benchmark
			}
			comparePyTorch(b, peer, l.name, v)
		})
	}
}

// comparePyTorch prints the rows of one layer.
func comparePyTorch(b *testing.B, peer *peer, name string, v Conv) {
	runtime.LockOSThread() // for threadTime
	defer runtime.UnlockOSThread()
	folder, r := b.TempDir(), newRand(1)
	x, w, dy := Alloc(v.N*v.H*v.W*v.C), Alloc(v.O*v.columns()), Alloc(v.rows()*v.O)
	scales := []float64{1, math.Sqrt(2 / float64(v.columns())), 1}
	for i, s := range [][]float32{x, w, dy} {
		for k := range s {
			s[k] = float32(r.NormFloat64() * scales[i])
		}
		save(b, filepath.Join(folder, []string{"x", "w", "dy"}[i]), s)
	}
	peer.ask(0, "layer %d %d %d %d %d %d %d %d %s", v.N, v.H, v.W, v.C, v.O, v.R, v.Stride, v.Pad, folder)
	p, t := newPool(b, 1), kernels()
	y, dx, dw := Alloc(len(dy)), Alloc(len(x)), Alloc(len(w))
	flops := 2 * float64(v.rows()) * float64(v.O*v.columns())
	repeats := max(1, int(1e9/flops))
	fmt.Println() // behind the name that the benchmark prints
	for i, f := range []func(){
		func() { ConvForward(p, v, x, w, nil, y) },
		func() { ConvBackwardInput(p, v, dy, w, dx, false) },
		func() { ConvBackwardWeight(p, v, x, dy, dw) },
	} {
		direction := []string{"forward", "input", "weight"}[i]
		f()
		save(b, filepath.Join(folder, direction), [][]float32{y, dx, dw}[i])
		errors := peer.ask(3, "error %s", direction)
		samples := map[string][]float64{}
		for range b.N {
			start := threadTime()
			t.peak(1 << 15)
			peak := float64(t.peakFlops<<15) / (threadTime() - start).Seconds()
			f()
			start = threadTime()
			for range repeats {
				f()
			}
			ours := (threadTime() - start).Seconds() / float64(repeats)
			samples["ours"], samples["share"] = append(samples["ours"], ours), append(samples["share"], flops/ours/peak)
			for _, format := range []string{"nchw", "nhwc"} {
				theirs := peer.ask(1, "time %s %s %d", direction, format, repeats)[0]
				samples[format] = append(samples[format], theirs)
				samples[format+" share"] = append(samples[format+" share"], flops/theirs/peak)
				samples[format+" ratio"] = append(samples[format+" ratio"], theirs/ours)
			}
		}
		best := "nchw"
		if median(samples["nhwc"]) < median(samples["nchw"]) {
			best = "nhwc"
		}
		fmt.Printf("| %s | %s | %.2f (%.0f %%) | %.2f (%.0f %%, %s) | %.2f | %.1f | %.1f, %.1f |\n", name, direction,
			1e3*median(samples["ours"]), 100*median(samples["share"]), 1e3*median(samples[best]), 100*median(samples[best+" share"]), best,
			median(samples[best+" ratio"]), 1e7*errors[2], 1e7*errors[0], 1e7*errors[1])
	}
}

func save(b *testing.B, path string, x []float32) {
	raw := make([]byte, 0, 4*len(x))
	for _, v := range x {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		b.Fatal(err)
	}
}
