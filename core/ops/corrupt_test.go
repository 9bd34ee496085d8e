package ops

import (
	"math"
	"slices"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

// TestCorrupt paints rectangles by plain loops, element by element.
func TestCorrupt(t *testing.T) {
	const b, ch, h, w = 3, 2, 5, 7
	const zeros, noise, paste = corruptZeros, corruptNoise, corruptCopy
	rects := [][][]int32{ // top, left, height, width, fill, source, its top and left, clean
		{{0, 0, 2, 3, zeros}, {1, 1, 3, 4, paste, -1, 0, 0}, {4, 6, 1, 1, noise}},       // the copy overlaps its source
		{{3, 2, 2, 5, paste, 0, 1, 1, 1}, {0, 0, 0, 7, zeros}, {0, 0, 5, 0, noise}},     // another sample; two empty ones
		{{0, 0, 5, 7, noise}, {2, 2, 2, 2, paste, -1, 0, 0, 1}, {1, 0, 1, 7, zeros, 0}}, // from itself as it came
	}
	generator := func(sample int) *prng.Generator { return prng.New(5, "corrupt", sample) }
	for _, threads := range []int{1, 3} {
		g := core.NewGraph(devicetest.New(t, threads))
		images, values := g.Input("images", tensor.Shape{b, ch, h, w}), g.InputInt("rects", tensor.Shape{b, 3, CorruptFields})
		for i := range images.Value() {
			images.Value()[i] = float32(i) + 0.5
		}
		for s := range b {
			for r, v := range rects[s] {
				copy(values.Ints()[(s*3+r)*CorruptFields:], v)
			}
		}
		y := Corrupt(g, images, values, generator)
		exe := must.Get(g.Compile(nil, y))(t)
		for range 2 {
			must.Do(t, exe.Run())
		}
		clean := images.Value()
		want := slices.Clone(clean)
		at := func(s, c, y, x int32) int { return int(((s*ch+c)*h+y)*w + x) }
		for s := range int32(b) {
			for _, r := range rects[s] {
				r = append(slices.Clone(r), make([]int32, CorruptFields-len(r))...)
				before := slices.Clone(want)
				for c := range int32(ch) {
					for y := range r[2] {
						for x := range r[3] {
							to := at(s, c, r[0]+y, r[1]+x)
							switch {
							case r[4] == zeros:
								want[to] = 0
							case r[4] == noise:
								n := generator(int(s))
								for range to - at(s, 0, 0, 0) {
									n.NormFloat64()
								}
								want[to] = float32(n.NormFloat64())
							case r[5] >= 0:
								want[to] = clean[at(r[5], c, r[6]+y, r[7]+x)]
							case r[8] == 1:
								want[to] = clean[at(s, c, r[6]+y, r[7]+x)]
							default:
								want[to] = before[at(s, c, r[6]+y, r[7]+x)]
							}
						}
					}
				}
			}
		}
		if !slices.Equal(y.Value(), want) {
			t.Errorf("%d threads: %v, want %v", threads, y.Value(), want)
		}
	}
}

func TestCorruptNoiseIsNormal(t *testing.T) {
	g := core.NewGraph(devicetest.New(t, 2))
	images, values := g.Input("images", tensor.Shape{1, 3, 64, 64}), g.InputInt("rects", tensor.Shape{1, 1, CorruptFields})
	copy(values.Ints(), []int32{0, 0, 64, 64, corruptNoise})
	y := Corrupt(g, images, values, func(int) *prng.Generator { return prng.New(1) })
	compiled(t, g, nil, y)
	var mean, square float64
	n := float64(len(y.Value()))
	for _, v := range y.Value() {
		mean += float64(v) / n
		square += float64(v) * float64(v) / n
	}
	if math.Abs(mean) > 5/math.Sqrt(n) || math.Abs(square-1) > 5*math.Sqrt(2/n) {
		t.Errorf("mean %v, mean square %v", mean, square)
	}
}
