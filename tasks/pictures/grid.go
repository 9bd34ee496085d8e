package pictures

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"

	"github.com/nfnt/resize"
)

// Grid is a table of pictures: a title, a heading per column, rows of cells, notes below.
type Grid struct {
	Title   string
	Columns []string // headings; may be empty
	Rows    []Row
	Notes   []string // explanations below the pictures, wrapped to the width of the grid
	// CellSize is the intended length of the longer side of a picture, in pixels; 0 means 160.
	// Pictures are enlarged by whole factors, so they may be smaller.
	CellSize int
}

// Row is one line of a Grid. Its caption stands below the pictures, at the left.
type Row struct {
	Caption string
	Cells   []Cell
}

// Cell is one picture; a nil Image leaves the place empty.
type Cell struct {
	Image   image.Image
	Caption string // below the cell, cut to its width
}

// Colors of the drawings.
var (
	paper    = color.RGBA{255, 255, 255, 255}
	ink      = color.RGBA{32, 33, 36, 255}
	faint    = color.RGBA{110, 114, 120, 255}
	hairline = color.RGBA{218, 220, 224, 255}
)

const (
	margin = 16
	gap    = 10
	frame  = 2
)

// maxPixels is the largest area of a grid: no viewer shows more.
const maxPixels = 100 << 20

// Check returns the error of Draw: no pictures, or more than maxPixels. It looks at the sizes of
// pictures alone, so an image.Rectangle may represent a picture that does not exist yet.
func (g Grid) Check() error {
	l := g.layout()
	switch {
	case len(l.widths) == 0 || len(g.Rows) == 0:
		return fmt.Errorf("picture grid %q: no pictures to draw", g.Title)
	case l.width > maxPixels/l.height:
		return fmt.Errorf("a grid of %d rows has %d × %d pixels, too many to look at; draw fewer pictures", len(g.Rows), l.width, l.height)
	}
	return nil
}

// Draw returns the grid as one image, or the error of Check.
func (g Grid) Draw() (*image.RGBA, error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	l := g.layout()
	canvas := image.NewRGBA(image.Rect(0, 0, l.width, l.height))
	draw.Draw(canvas, canvas.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	y := margin
	if g.Title != "" {
		text(canvas, margin, y, cut(g.Title, l.width-2*margin), ink)
		y += lineHeight + gap
	}
	for j, heading := range g.Columns {
		width := l.widths[j] + 2*frame
		heading = cut(heading, width+gap-2)
		text(canvas, l.left[j]+(width-textWidth(heading))/2, y, heading, faint)
	}
	for i, r := range g.Rows {
		l.drawRow(canvas, i, r)
	}
	for i, line := range l.notes {
		text(canvas, margin+frame, l.height-margin-(len(l.notes)-i)*lineHeight, line, ink)
	}
	return canvas, nil
}

// gridLayout is the place of each part of a grid on its canvas, in pixels.
type gridLayout struct {
	longest       int      // longer side of a picture
	left, widths  []int    // of the columns; a width is that of the pictures inside their frames
	top, heights  []int    // of the rows
	width, height int      // of the canvas
	notes         []string // lines below the rows
}

func (g Grid) layout() *gridLayout {
	l := &gridLayout{longest: cmp.Or(g.CellSize, 160)}
	l.measureCells(g)
	l.width = margin
	for j, w := range l.widths {
		l.left = append(l.left, l.width)
		if w == 0 {
			w = gap // an empty column separates its neighbors
		}
		if j < len(g.Columns) {
			w = max(w, min(textWidth(g.Columns[j]), l.longest+gap))
		}
		l.widths[j] = w
		l.width += w + 2*frame + gap
	}
	l.width = max(l.width+margin-gap, min(textWidth(g.Title), 1000)+2*margin)
	if len(g.Notes) > 0 {
		l.width = max(l.width, 500)
	}
	l.height = margin
	if g.Title != "" {
		l.height += lineHeight + gap
	}
	if len(g.Columns) > 0 {
		l.height += lineHeight + 4
	}
	for i, r := range g.Rows {
		l.top = append(l.top, l.height)
		l.height += l.heights[i] + 2*frame + gap
		if hasCaptions(r) {
			l.height += lineHeight
		}
		if r.Caption != "" {
			l.height += lineHeight
		}
	}
	for _, n := range g.Notes {
		l.notes = append(l.notes, wrap(n, l.width-2*margin-frame)...)
	}
	if len(l.notes) > 0 {
		l.height += len(l.notes)*lineHeight + gap
	}
	l.height += margin - gap
	return l
}

// measureCells sets the sizes of columns and rows: those of their largest pictures.
func (l *gridLayout) measureCells(g Grid) {
	columns := len(g.Columns)
	for _, r := range g.Rows {
		columns = max(columns, len(r.Cells))
	}
	l.widths, l.heights = make([]int, columns), make([]int, len(g.Rows))
	for i, r := range g.Rows {
		for j, c := range r.Cells {
			if c.empty() {
				continue
			}
			w, h := fitSize(c.Image.Bounds(), l.longest)
			l.widths[j], l.heights[i] = max(l.widths[j], w), max(l.heights[i], h)
		}
	}
}

func (c Cell) empty() bool { return c.Image == nil || c.Image.Bounds().Empty() }

// drawRow draws the pictures of row i with their captions. Pictures are centered in their columns
// and aligned at the top.
func (l *gridLayout) drawRow(canvas *image.RGBA, i int, r Row) {
	below := l.top[i] + l.heights[i] + 2*frame
	for j, c := range r.Cells {
		if c.empty() {
			continue
		}
		scaled := Fit(c.Image, l.longest)
		b := scaled.Bounds()
		x := l.left[j] + (l.widths[j]-b.Dx())/2
		place := image.Rect(x, l.top[i], x+b.Dx()+2*frame, l.top[i]+b.Dy()+2*frame)
		drawFramed(canvas, place, scaled)
		if c.Caption != "" {
			caption := cut(c.Caption, l.widths[j]+2*frame)
			text(canvas, l.left[j]+(l.widths[j]+2*frame-textWidth(caption))/2, below+2, caption, faint)
		}
	}
	if hasCaptions(r) {
		below += lineHeight
	}
	if r.Caption != "" {
		text(canvas, margin+frame, below+2, cut(r.Caption, canvas.Rect.Dx()-2*margin), faint)
	}
}

func hasCaptions(r Row) bool {
	for _, c := range r.Cells {
		if c.Caption != "" {
			return true
		}
	}
	return false
}

// drawFramed draws img inside place, with a hairline around it.
func drawFramed(canvas *image.RGBA, place image.Rectangle, img image.Image) {
	inner := place.Inset(frame)
	// Pictures with transparency lie on a light gray, as in image viewers.
	draw.Draw(canvas, inner.Inset(-1), image.NewUniform(hairline), image.Point{}, draw.Src)
	draw.Draw(canvas, inner, img, img.Bounds().Min, draw.Over)
}

// Fit returns img with its longer side near the given number of pixels. Small images are enlarged
// by a whole factor with hard pixels, large ones shrunk with Lanczos, both by nfnt/resize. The
// shorter side has at least one pixel.
func Fit(img image.Image, longest int) image.Image {
	b := img.Bounds()
	w, h := fitSize(b, longest)
	switch {
	case w > b.Dx() || h > b.Dy():
		return resize.Resize(uint(w), uint(h), img, resize.NearestNeighbor)
	case w < b.Dx() || h < b.Dy():
		return resize.Resize(uint(w), uint(h), img, resize.Lanczos3)
	}
	return img
}

// fitSize returns the size of Fit's result.
func fitSize(b image.Rectangle, longest int) (w, h int) {
	w, h = b.Dx(), b.Dy()
	long := max(w, h)
	switch {
	case long*2 <= longest:
		factor := longest / long
		return w * factor, h * factor
	case long*4 > longest*5: // up to a quarter more is left unscaled
		return max(1, w*longest/long), max(1, h*longest/long)
	}
	return w, h
}
