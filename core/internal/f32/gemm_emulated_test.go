package f32

import (
	"fmt"
	"testing"
)

// TestEmulatedPanels runs the copies of rows into panels of every level in the emulator and
// compares them with plain Go.
func TestEmulatedPanels(t *testing.T) {
	if raceEnabled {
		t.Skip("it runs on one goroutine, and slowly")
	}
	for _, level := range emulatedLevels {
		e := newEmulator(t, level.file)
		r := newRand(1)
		for _, width := range []int{level.mr, 2 * level.w} {
			name := fmt.Sprintf("packRows%dx%s", width, level.suffix)
			for _, rows := range []int{1, 2, 7} {
				for panels := 1; panels <= 5; panels++ {
					e.reset()
					ld, panelStride := panels*width+3, rows*width+5
					src, dst := e.floats((rows-1)*ld+panels*width).random(r), e.floats((panels-1)*panelStride+rows*width).random(r)
					want := dst.values()
					genericPackRows(rows, panels, width, &src.values()[0], ld, &want[0], panelStride)
					e.call(name, rows, panels, src, ld, dst, panelStride)
					close32(t, fmt.Sprintf("%s of %d rows, %d panels", name, rows, panels), dst.values(), want)
				}
			}
			if n := e.unused(name); n > 0 {
				t.Errorf("%d instructions of %s never ran", n, name)
			}
		}
	}
}

// TestEmulatedGelu runs the epilogue of the GELU of every level in the emulator, on whole rows and
// at the edge, and compares it with the definition in float64.
func TestEmulatedGelu(t *testing.T) {
	if raceEnabled {
		t.Skip("it runs on one goroutine, and slowly")
	}
	for _, level := range emulatedLevels {
		e := newEmulator(t, level.file)
		r := newRand(1)
		name, nr := "tileGelu"+level.suffix, 2*level.w
		for _, n := range []int{nr, 1, level.w, nr - 3} {
			e.reset()
			const rows = 3
			acc, bias := e.floats(rows*nr).random(r), e.floats(n).random(r)
			c, slope := e.floats(rows*(n+1)), e.floats(rows*(n+2))
			e.call(name, rows, n, acc, nr, c, n+1, bias, slope, n+2)
			for i := range rows {
				for j := range n {
					x := float64(acc.values()[i*nr+j] + bias.values()[j])
					close32(t, name, []float32{c.values()[i*(n+1)+j], slope.values()[i*(n+2)+j]}, []float32{float32(geluTrue(x)), float32(geluSlope(x))})
				}
			}
		}
		if n := e.unused(name); n > 0 {
			t.Errorf("%d instructions of %s never ran", n, name)
		}
	}
}
