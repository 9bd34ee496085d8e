package pictures

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"

	"github.com/nfnt/resize"
)

// Grid is a table of pictures: a title, a heading per column, rows of cells.
type Grid struct {
	Title   string
	Columns []string // headings; may be empty
	Rows    []Row
	// CellSize is the longer side, in pixels, that cells are brought near to;
	// 0 means 160. Enlargement is by whole factors, so cells may stay below.
	CellSize int
}

// Row is one line of a Grid. Its caption stands below, from the left.
type Row struct {
	Caption string
	Cells   []Cell
}

// Cell is one picture; a nil Image leaves the place empty.
type Cell struct {
	Image   image.Image
	Caption string      // below the cell, cut to its width
	Frame   color.Color // nil: a faint hairline
}

// Colours of the drawings.
var (
	paper    = color.RGBA{255, 255, 255, 255}
	ink      = color.RGBA{32, 33, 36, 255}
	faint    = color.RGBA{110, 114, 120, 255}
	hairline = color.RGBA{218, 220, 224, 255}

	// Right and Wrong frame pictures of correct and false predictions.
	Right = color.RGBA{24, 138, 66, 255}
	Wrong = color.RGBA{200, 40, 36, 255}
)

const (
	margin = 16
	gap    = 10
	frame  = 2
)

// maxPixels bounds a grid: beyond it a picture can no longer be looked at.
const maxPixels = 100 << 20

// Draw lays the grid out. It fails when there is nothing to draw or the result
// would be too large to look at.
func (g Grid) Draw() (*image.RGBA, error) {
	columns := len(g.Columns)
	for _, r := range g.Rows {
		columns = max(columns, len(r.Cells))
	}
	if columns == 0 || len(g.Rows) == 0 {
		return nil, fmt.Errorf("picture grid %q: no pictures to draw", g.Title)
	}
	longest := g.CellSize
	if longest == 0 {
		longest = 160
	}
	cells := make([][]image.Image, len(g.Rows))
	widths := make([]int, columns)
	heights := make([]int, len(g.Rows))
	for i, r := range g.Rows {
		cells[i] = make([]image.Image, len(r.Cells))
		for j, c := range r.Cells {
			if c.Image == nil || c.Image.Bounds().Empty() {
				continue
			}
			cells[i][j] = Fit(c.Image, longest)
			widths[j] = max(widths[j], cells[i][j].Bounds().Dx())
			heights[i] = max(heights[i], cells[i][j].Bounds().Dy())
		}
	}
	for j := range widths {
		if widths[j] == 0 {
			widths[j] = gap // an empty column sets others apart
		}
		if j < len(g.Columns) {
			widths[j] = max(widths[j], min(textWidth(g.Columns[j]), longest+gap))
		}
	}

	left := make([]int, columns)
	width := margin
	for j, w := range widths {
		left[j] = width
		width += w + 2*frame + gap
	}
	width += margin - gap
	width = max(width, min(textWidth(g.Title), 1000)+2*margin)
	height := margin
	if g.Title != "" {
		height += lineHeight + gap
	}
	if len(g.Columns) > 0 {
		height += lineHeight + 4
	}
	top := make([]int, len(g.Rows))
	for i, r := range g.Rows {
		top[i] = height
		height += heights[i] + 2*frame + gap
		if hasCaptions(r) {
			height += lineHeight
		}
		if r.Caption != "" {
			height += lineHeight
		}
	}
	height += margin - gap
	if width > maxPixels/height {
		return nil, fmt.Errorf("picture grid %q: %d × %d pixels are too many to look at; draw fewer pictures", g.Title, width, height)
	}

	canvas := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(canvas, canvas.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	y := margin
	if g.Title != "" {
		text(canvas, margin, y, cut(g.Title, width-2*margin), ink)
		y += lineHeight + gap
	}
	for j, heading := range g.Columns {
		room := widths[j] + 2*frame
		heading = cut(heading, room+gap-2)
		text(canvas, left[j]+(room-textWidth(heading))/2, y, heading, faint)
	}
	for i, r := range g.Rows {
		below := top[i] + heights[i] + 2*frame
		for j, c := range r.Cells {
			if cells[i][j] == nil {
				continue
			}
			b := cells[i][j].Bounds()
			// Centred in its column; rows are aligned at the top.
			x := left[j] + (widths[j]-b.Dx())/2
			place := image.Rect(x, top[i], x+b.Dx()+2*frame, top[i]+b.Dy()+2*frame)
			drawFramed(canvas, place, cells[i][j], c.Frame)
			if c.Caption != "" {
				caption := cut(c.Caption, widths[j]+2*frame)
				text(canvas, left[j]+(widths[j]+2*frame-textWidth(caption))/2, below+2, caption, faint)
			}
		}
		if hasCaptions(r) {
			below += lineHeight
		}
		if r.Caption != "" {
			text(canvas, margin+frame, below+2, cut(r.Caption, width-2*margin), faint)
		}
	}
	return canvas, nil
}

func hasCaptions(r Row) bool {
	for _, c := range r.Cells {
		if c.Caption != "" {
			return true
		}
	}
	return false
}

// drawFramed draws img into the middle of place, with a frame of the given
// colour or a hairline around it.
func drawFramed(canvas *image.RGBA, place image.Rectangle, img image.Image, frameColour color.Color) {
	inner := place.Inset(frame)
	if frameColour != nil {
		draw.Draw(canvas, place, image.NewUniform(frameColour), image.Point{}, draw.Src)
	} else {
		draw.Draw(canvas, inner.Inset(-1), image.NewUniform(hairline), image.Point{}, draw.Src)
	}
	// Pictures with transparency lie on a light gray, as in image viewers.
	draw.Draw(canvas, inner, image.NewUniform(hairline), image.Point{}, draw.Src)
	draw.Draw(canvas, inner, img, img.Bounds().Min, draw.Over)
}

// Fit returns img with its longer side near the given number of pixels: small
// images are enlarged by a whole factor with hard pixels, large ones shrunk
// with Lanczos, both by nfnt/resize. Very long strips keep at least one pixel.
func Fit(img image.Image, longest int) image.Image {
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	long := max(w, h)
	switch {
	case long*2 <= longest:
		factor := longest / long
		return resize.Resize(uint(w*factor), uint(h*factor), img, resize.NearestNeighbor)
	case long*4 > longest*5: // within a quarter of the wish it stays as it is
		return resize.Resize(uint(max(1, w*longest/long)), uint(max(1, h*longest/long)), img, resize.Lanczos3)
	}
	return img
}
