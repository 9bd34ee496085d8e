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
				emulateTransforms(t, e, level.suffix, level.mr, c, tiles)
			}
			emulateWeights(t, e, level.suffix, c)
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

// emulateTransforms compares the transforms of pixels.
func emulateTransforms(t *testing.T, e *emulator, suffix string, mr, c, tiles int) {
	t.Helper()
	e.reset()
	r := newRand(uint64(c))
	name := func(kernel string) string {
		return fmt.Sprintf("%s%s of %d tiles of %d channels", kernel, suffix, tiles, c)
	}
	pixel := c + 2
	var rows [4]floats
	var plain [4]*float32
	for i := range rows {
		rows[i] = e.floats((2*tiles + 2) * pixel).random(r)
		plain[i] = &rows[i].values()[0]
	}
	dst := e.floats(16 * (tiles*(c+5) + 3)).random(r)
	want := dst.values()
	e.call("winogradInput"+suffix, tiles, c, pixel, rows[0], rows[1], rows[2], rows[3], dst, c+5, tiles*(c+5)+3)
	genericWinogradInput(tiles, c, pixel, plain[0], plain[1], plain[2], plain[3], &want[0], c+5, tiles*(c+5)+3)
	sameBits(t, name("winogradInput"), dst.values(), want)

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

	lanes := min(c, mr)
	distance := tiles*mr + 3
	dst = e.floats(16 * distance).random(r)
	want = dst.values()
	e.call("winogradGrad"+suffix, tiles, lanes, pixel, rows[0], rows[1], dst, distance)
	got := dst.values()
	for at := range tiles {
		for ch := range mr {
			var values [16 * genericMR]float32 // made up
			if ch < lanes {
				genericWinogradGrad(1, 1, pixel, offset(plain[0], 2*at*pixel+ch), offset(plain[1], 2*at*pixel+ch), &values[0], genericMR)
			}
			for p := range 16 {
				want[p*distance+at*mr+ch] = values[p*genericMR]
			}
		}
	}
	for i, v := range want {
		if got[i] != v {
			t.Fatalf("%s: [%d] = %v, want %v", name("winogradGrad"), i, got[i], v)
		}
	}
}

// emulateWeights compares the transforms of the weight and of its gradient.
func emulateWeights(t *testing.T, e *emulator, suffix string, c int) {
	t.Helper()
	e.reset()
	r := newRand(uint64(c))
	src, dst := e.floats(9*(c+1)).random(r), e.floats(16*(c+2)).random(r)
	for _, turned := range []bool{false, true} {
		from, ld := src, c+1
		plain, want := src.values(), dst.values()
		if turned {
			from.at, ld = from.at+int64(8*(c+1)*4), -ld
			plain = plain[8*(c+1):]
		}
		e.call("winogradWeight"+suffix, c, from, ld, dst, c+2)
		genericWinogradWeight(c, &plain[0], ld, &want[0], c+2)
		sameBits(t, "winogradWeight"+suffix, dst.values(), want)
	}
	u, dw := e.floats(16*(c+3)).random(r), e.floats(9*(c+2)).random(r)
	want := dw.values()
	e.call("winogradWeightGrad"+suffix, c, u, c+3, dw, c+2)
	genericWinogradWeightGrad(c, &u.values()[0], c+3, &want[0], c+2)
	sameBits(t, "winogradWeightGrad"+suffix, dw.values(), want)
}
