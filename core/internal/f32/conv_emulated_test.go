package f32

import (
	"fmt"
	"testing"
)

// TestEmulatedConv runs the kernels of convolutions of every level in the emulator, for channels
// that end anywhere in a pair of vectors, and compares them with plain Go.
func TestEmulatedConv(t *testing.T) {
	if raceEnabled {
		t.Skip("it runs on one goroutine, and slowly")
	}
	for _, level := range emulatedLevels {
		e := newEmulator(t, level.file)
		nr := 2 * level.w
		for _, c := range []int{1, level.w, nr - 1, nr, nr + 3, 2*nr + level.w + 1} {
			for _, tiles := range []int{1, 3} {
				emulateTransforms(t, e, level.suffix, nr, level.mr, c, tiles)
			}
			emulateWeights(t, e, level.suffix, nr, c)
		}
		for _, n := range []int{1, level.w - 1, level.w, level.w + 1, 4 * level.w, 4*level.w + 3, 9*level.w + 2} {
			e.reset()
			src, dst := e.floats(3*(n+2)).random(newRand(1)), e.floats(3*(n+5)).random(newRand(2))
			want := dst.values()
			genericCopyRows(3, n, &src.values()[0], n+2, &want[0], n+5)
			e.call("copyRows"+level.suffix, 3, n, src, n+2, dst, n+5)
			sameBits(t, fmt.Sprintf("copyRows%s of %d", level.suffix, n), dst.values(), want)
		}
		for _, name := range []string{"copyRows", "winogradInput", "winogradOutput", "winogradOutputAdd", "winogradGrad", "winogradWeight", "winogradWeightGrad"} {
			if n := e.unused(name + level.suffix); n > 0 {
				t.Errorf("%d instructions of %s%s never ran", n, name, level.suffix)
			}
		}
	}
}

// panelAt is the place of a channel in panels of width channels, step apart.
func panelAt(ch, width, step int) int { return ch/width*step + ch%width }

// emulateTransforms compares the transforms of pixels.
func emulateTransforms(t *testing.T, e *emulator, suffix string, nr, mr, c, tiles int) {
	t.Helper()
	e.reset()
	r := newRand(uint64(c))
	name := func(kernel string) string {
		return fmt.Sprintf("%s%s of %d tiles of %d channels", kernel, suffix, tiles, c)
	}
	width := (2*tiles + 2) * c
	var rows [4]floats
	var plain [4]*float32
	for i := range rows {
		rows[i] = e.floats(width).random(r)
		plain[i] = &rows[i].values()[0]
	}
	ld, step := nr+5, 3*(nr+5)+7
	apart := roundUp(c, nr)/nr*step + tiles*ld
	dst, want := e.floats(16*apart), make([]float32, 16*(roundUp(c, genericNR)*tiles))
	e.call("winogradInput"+suffix, tiles, c, rows[0], rows[1], rows[2], rows[3], dst, ld, step, apart)
	genericWinogradInput(tiles, c, plain[0], plain[1], plain[2], plain[3], &want[0], c, genericNR, c*tiles)
	got := dst.values()
	for i, v := range want[:16*c*tiles] {
		p, at, ch := i/(c*tiles), i/c%tiles, i%c
		sameBits(t, name("winogradInput"), got[p*apart+at*ld+panelAt(ch, nr, step):][:1], []float32{v})
	}

	src, bias := e.floats(16*c*tiles).random(r), e.floats(c).random(r)
	for _, kernel := range []string{"winogradOutput", "winogradOutputAdd"} {
		y0, y1 := e.floats(2*tiles*c).random(r), e.floats(2*tiles*c).random(r)
		want0, want1 := y0.values(), y1.values()
		if kernel == "winogradOutput" {
			e.call(kernel+suffix, tiles, c, src, c, c*tiles, y0, y1, bias)
			genericWinogradOutput(tiles, c, &src.values()[0], c, c*tiles, &want0[0], &want1[0], &bias.values()[0])
		} else {
			e.call(kernel+suffix, tiles, c, src, c, c*tiles, y0, y1)
			genericWinogradOutputAdd(tiles, c, &src.values()[0], c, c*tiles, &want0[0], &want1[0])
		}
		sameBits(t, name(kernel), y0.values(), want0)
		sameBits(t, name(kernel), y1.values(), want1)
	}

	step = tiles*mr + 3
	apart = roundUp(c, mr)/mr*step + 1
	dst = e.floats(16 * apart)
	e.call("winogradGrad"+suffix, tiles, c, rows[0], rows[1], dst, step, apart)
	apart4 := roundUp(c, genericMR) * tiles
	want = make([]float32, 16*apart4)
	genericWinogradGrad(tiles, c, plain[0], plain[1], &want[0], tiles*genericMR, apart4)
	got = dst.values()
	for p := range 16 {
		for at := range tiles {
			for ch := range roundUp(c, mr) {
				v := float32(0) // made up
				if ch < c {
					v = want[p*apart4+at*genericMR+panelAt(ch, genericMR, tiles*genericMR)]
				}
				if x := got[p*apart+at*mr+panelAt(ch, mr, step)]; x != v {
					t.Fatalf("%s: value %d of tile %d, channel %d is %v, want %v", name("winogradGrad"), p, at, ch, x, v)
				}
			}
		}
	}
}

// emulateWeights compares the transforms of the weight and of its gradient.
func emulateWeights(t *testing.T, e *emulator, suffix string, nr, c int) {
	t.Helper()
	e.reset()
	r := newRand(uint64(c))
	step := nr + 9
	apart := roundUp(c, nr) / nr * step
	src, dst := e.floats(9*(c+1)).random(r), e.floats(16*apart)
	for _, turned := range []bool{false, true} {
		from, ld := src, c+1
		plain := src.values()
		if turned {
			from.at, ld = from.at+int64(8*(c+1)*4), -ld
			plain = plain[8*(c+1):]
		}
		want := make([]float32, 16*roundUp(c, genericNR))
		e.call("winogradWeight"+suffix, c, from, ld, dst, step, apart)
		genericWinogradWeight(c, &plain[0], ld, &want[0], genericNR, roundUp(c, genericNR))
		got := dst.values()
		for p := range 16 {
			for ch := range c {
				sameBits(t, "winogradWeight"+suffix, got[p*apart+panelAt(ch, nr, step):][:1], want[p*roundUp(c, genericNR)+ch:][:1])
			}
		}
	}
	u, dw := e.floats(16*(c+3)).random(r), e.floats(9*(c+2)).random(r)
	want := dw.values()
	e.call("winogradWeightGrad"+suffix, c, u, c+3, dw, c+2)
	genericWinogradWeightGrad(c, &u.values()[0], c+3, &want[0], c+2)
	sameBits(t, "winogradWeightGrad"+suffix, dw.values(), want)
}
