package pictures

import (
	"image"
	"image/color"
	"math"
	"strconv"
)

// place is a point of a line, in the units of its chart.
type place struct{ x, y float64 }

// chart is a diagram of lines. It shows 0 to right across and low to high upwards.
type chart struct {
	area             image.Rectangle // inside the axes, in pixels
	name             string          // of the vertical axis
	right, low, high float64
}

// at is the point on the canvas, in pixels; outside of the area for values beyond the axes, by one
// height at most.
func (c *chart) at(p place) [2]float64 {
	span := c.high/2 - c.low/2 // halves do not overflow
	up := min(max((p.y/2-c.low/2)/span, -1), 2)
	return [2]float64{
		float64(c.area.Min.X) + p.x/c.right*float64(c.area.Dx()),
		float64(c.area.Max.Y) - up*float64(c.area.Dy()),
	}
}

// axes draws the grid, the numbers at its lines, and the name.
func (c *chart) axes(canvas *image.RGBA) {
	text(canvas, c.area.Min.X, c.area.Min.Y-lineHeight-2, c.name, ink)
	top, bottom, left, right := float64(c.area.Min.Y), float64(c.area.Max.Y), float64(c.area.Min.X), float64(c.area.Max.X)
	for _, v := range ticks(c.low, c.high, c.area.Dy()/50+2) {
		y, label := math.Round(c.at(place{0, v})[1]), number(v)
		stroke(canvas, [2]float64{left, y}, [2]float64{right, y}, hairline, 1)
		text(canvas, c.area.Min.X-6-textWidth(label), int(y)-lineHeight/2, label, faint)
	}
	for _, v := range ticks(0, c.right, 9) {
		x, label := math.Round(c.at(place{v, 0})[0]), number(v)
		stroke(canvas, [2]float64{x, top}, [2]float64{x, bottom}, hairline, 1)
		text(canvas, int(x)-textWidth(label)/2, c.area.Max.Y+6, label, faint)
	}
	stroke(canvas, [2]float64{left, bottom}, [2]float64{right, bottom}, faint, 1)
	stroke(canvas, [2]float64{left, top}, [2]float64{left, bottom}, faint, 1)
}

// line draws points in their order, joined by lines; a single one as a dot.
func (c *chart) line(canvas *image.RGBA, points []place, paint color.RGBA, width float64) {
	inside := canvas.SubImage(c.area).(*image.RGBA)
	if len(points) == 1 {
		stroke(inside, c.at(points[0]), c.at(points[0]), paint, 6)
	}
	for i := 1; i < len(points); i++ {
		stroke(inside, c.at(points[i-1]), c.at(points[i]), paint, width)
	}
}

// stroke draws a line with round ends from a to b on the part of it that lies in dst.
func stroke(dst *image.RGBA, a, b [2]float64, paint color.RGBA, width float64) {
	reach := width/2 + 1
	box := image.Rect(int(min(a[0], b[0])-reach), int(min(a[1], b[1])-reach), int(max(a[0], b[0])+reach)+1, int(max(a[1], b[1])+reach)+1).Intersect(dst.Rect)
	dx, dy := b[0]-a[0], b[1]-a[1]
	length := dx*dx + dy*dy
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			px, py := float64(x)-a[0], float64(y)-a[1]
			t := 0.0 // share of the way to the nearest point of the line
			if length > 0 {
				t = min(max((px*dx+py*dy)/length, 0), 1)
			}
			cover := min(reach-0.5-math.Hypot(px-t*dx, py-t*dy), 1)
			if cover <= 0 {
				continue
			}
			pix := dst.Pix[dst.PixOffset(x, y):]
			for i, to := range [3]uint8{paint.R, paint.G, paint.B} {
				pix[i] = uint8(math.Round(float64(pix[i]) + cover*(float64(to)-float64(pix[i]))))
			}
		}
	}
}

// ticks are the round numbers from low to high, at most n of them, at distances of 1, 2 or 5 times a
// power of ten.
func ticks(low, high float64, n int) []float64 {
	unit := math.Pow(10, math.Floor(math.Log10((high/2-low/2)/float64(n)))) // below the distance wanted
	var out []float64
	for _, factor := range []float64{1, 2, 5, 10, 20, 50} {
		step := factor * unit
		first, last := math.Ceil(low/step-1e-9), math.Floor(high/step+1e-9)
		if last-first >= float64(n) {
			continue
		}
		for i := first; i <= last; i++ {
			out = append(out, i*step)
		}
		break
	}
	return out
}

// number is the short text of a tick, without the sign of a negative zero.
func number(v float64) string { return strconv.FormatFloat(v+0, 'g', 4, 64) }
