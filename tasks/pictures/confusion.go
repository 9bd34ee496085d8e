package pictures

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
)

// Confusion draws a table with a row per true class and a column per predicted one; the darker a
// cell, the larger its share of the row. counts is [classes, classes]; names may be nil.
func Confusion(title string, counts []int, names []string) (*image.RGBA, error) {
	classes := int(math.Sqrt(float64(len(counts))))
	if classes < 1 || classes*classes != len(counts) || len(names) != 0 && len(names) < classes {
		return nil, fmt.Errorf("confusion table: %d counts and %d names are no table of classes", len(counts), len(names))
	}
	// Few classes get cells with numbers, many get small ones.
	cell, high, numbers := 44, 44, true
	if classes > 24 {
		cell, numbers = max(2, 800/classes), false
		high = cell
	}
	const mostClasses = 2000
	if classes > mostClasses {
		return nil, fmt.Errorf("confusion table: %d classes are more than can be drawn (%d)", classes, mostClasses)
	}
	labels := 0
	if numbers {
		for i := range classes {
			labels = max(labels, min(textWidth(className(names, i)), 140))
		}
		cell = max(cell, min(labels, 76)+6)
	}
	left, top := margin+labels+gap, margin+2*lineHeight+gap
	if numbers {
		top += lineHeight
	}
	width := max(left+classes*cell+margin, textWidth(title)+2*margin)
	canvas := image.NewRGBA(image.Rect(0, 0, width, top+classes*high+margin))
	draw.Draw(canvas, canvas.Rect, image.NewUniform(paper), image.Point{}, draw.Src)
	text(canvas, margin, margin, title, ink)
	text(canvas, left, margin+lineHeight+4, "predicted", faint)
	for i := range classes {
		total := 0
		for j := range classes {
			total += counts[i*classes+j]
		}
		if numbers {
			name := cut(className(names, i), labels)
			text(canvas, left-gap-textWidth(name), top+i*high+(high-lineHeight)/2, name, ink)
			head := cut(className(names, i), cell-2)
			text(canvas, left+i*cell+(cell-textWidth(head))/2, top-lineHeight, head, ink)
		}
		for j := range classes {
			count := counts[i*classes+j]
			share := float64(count) / float64(max(total, 1))
			place := image.Rect(left+j*cell, top+i*high, left+(j+1)*cell, top+(i+1)*high)
			if high > 4 {
				place = place.Inset(1)
			}
			draw.Draw(canvas, place, image.NewUniform(shade(share, i == j)), image.Point{}, draw.Src)
			if numbers && count > 0 {
				c := color.Color(ink)
				if share > 0.55 {
					c = paper
				}
				n := cut(fmt.Sprint(count), cell)
				text(canvas, place.Min.X+(place.Dx()-textWidth(n))/2, place.Min.Y+(place.Dy()-lineHeight)/2, n, c)
			}
		}
	}
	return canvas, nil
}

func className(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprint(i)
}

// shade goes from a faint gray to green on the diagonal and to red beside it. Its square root makes
// small shares visible.
func shade(share float64, right bool) color.RGBA {
	to := Wrong
	if right {
		to = Right
	}
	from := color.RGBA{244, 245, 247, 255}
	t := math.Sqrt(min(max(share, 0), 1))
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + t*(float64(b)-float64(a)))) }
	return color.RGBA{mix(from.R, to.R), mix(from.G, to.G), mix(from.B, to.B), 255}
}
