package pictures

import (
	"image/color"
	"math"
)

// heat are evenly spaced colors of rising lightness, dark blue to yellow. They differ in gray and
// for the color-blind, too.
var heat = []color.RGBA{
	{13, 8, 60, 255}, {62, 38, 120, 255}, {122, 44, 130, 255}, {190, 62, 106, 255}, {236, 110, 66, 255}, {250, 172, 52, 255}, {250, 240, 140, 255},
}

// Heat is the color of a share; values outside 0 to 1 have the color of the nearer end.
func Heat(share float64) color.RGBA {
	if math.IsNaN(share) {
		share = 0
	}
	at := min(max(share, 0), 1) * float64(len(heat)-1)
	i := min(int(at), len(heat)-2)
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + (float64(b)-float64(a))*(at-float64(i)))) }
	a, b := heat[i], heat[i+1]
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}
