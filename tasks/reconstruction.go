package tasks

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"path/filepath"
	"slices"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/tasks/pictures"
)

// Reconstruction is a drawn picture of an objective: a row per image. Where the objective hides
// parts, the columns are the input, its visible parts, the prediction of the masked parts, and both
// together; elsewhere the input and the prediction.
type Reconstruction struct {
	Name string // the objective's name of the picture
	Grid *image.RGBA
	// Error is the root mean square difference between prediction and input over the masked pixels,
	// in levels of 0 to 255; over all pixels where nothing is masked.
	Error float64
	// FlatError is the error of predicting 0 where the network predicts normalized patches: that of
	// the statistics alone. It is NaN for other predictions.
	FlatError     float64
	Statistics    program.PatchStatistics // of normalized patches
	Masked        bool                    // parts of the images were masked
	Height, Width int                     // of the view
	Fitting       data.Fitting            // of the images to the view
	Normalization Normalization           // of the view, under its source
}

// maskedColumns are the headings of a picture with masked parts.
var maskedColumns = []string{"input", "visible", "predicted", "visible + predicted"}

// hiddenColor covers the parts of an image that a column leaves out.
var hiddenColor = color.RGBA{176, 178, 182, 255}

// difference is a sum of squared differences of drawn levels.
type difference struct {
	sum   float64
	count int
}

func (d *difference) add(o difference) { d.sum, d.count = d.sum+o.sum, d.count+o.count }

// rms is the root mean square.
func (d difference) rms() float64 { return math.Sqrt(d.sum / float64(max(d.count, 1))) }

// draw makes the grid of one picture.
func (r *Run) draw(p program.Picture, n Normalization, names []string, statistics program.PatchStatistics) (*Reconstruction, error) {
	masked, hidden, area := slices.Contains(p.Masked, true), 0, p.Height*p.Width
	grid := pictures.Grid{Columns: []string{"input", "prediction"}, Notes: readingNotes(p, masked, statistics)}
	if masked {
		grid.Columns = maskedColumns
	}
	var all, flat difference
	for b := range p.Batch {
		if names[b] == "" {
			continue
		}
		row, err := reconstructionRow(p, pictures.Normalization{Mean: n.Mean, Std: n.Std}, b, masked)
		if err != nil {
			return nil, err
		}
		caption := fmt.Sprintf("%s: error %.1f levels", filepath.ToSlash(names[b]), row.error.rms())
		if p.PatchNormalized {
			caption += fmt.Sprintf(" (flat patches: %.1f)", row.flat.rms())
		}
		hidden += row.error.count / 3
		all.add(row.error)
		flat.add(row.flat)
		grid.Rows = append(grid.Rows, pictures.Row{Caption: caption, Cells: row.cells})
	}
	grid.Title = fmt.Sprintf("%s: %s with %s, step %d, error %.1f levels", p.Name, r.Config.Objective.Name, r.model.Info.Name, r.Step, all.rms())
	if masked {
		grid.Title += fmt.Sprintf(", %.0f %% masked", 100*float64(hidden)/float64(area*len(grid.Rows)))
	}
	drawn, err := grid.Draw()
	if err != nil {
		return nil, err
	}
	out := &Reconstruction{Name: p.Name, Grid: drawn, Error: all.rms(), FlatError: math.NaN(), Statistics: statistics, Masked: masked,
		Height: p.Height, Width: p.Width, Fitting: wholeFitting, Normalization: n}
	if p.PatchNormalized {
		out.FlatError = flat.rms()
	}
	return out, nil
}

// readingNotes explain the columns and the error.
func readingNotes(p program.Picture, masked bool, statistics program.PatchStatistics) []string {
	if !masked {
		return []string{"Error: root mean square difference between prediction and input over all pixels, in levels of 0 to 255."}
	}
	notes := []string{"The network sees the visible parts alone and predicts the masked ones. Gray parts are left out."}
	if p.PatchNormalized {
		from := "It predicts patches of normalized brightness and contrast; those of a masked patch are estimated from the visible patches near it."
		if statistics == program.OriginalStatistics {
			from = "It predicts patches of normalized brightness and contrast; those of a masked patch are TAKEN FROM THE INPUT, unknown to the network: even without training the picture resembles the input."
		}
		notes = append(notes, from)
	}
	text := "Error: root mean square difference between prediction and input over the masked pixels, in levels of 0 to 255."
	if p.PatchNormalized {
		text += " Flat patches: the error of that brightness alone, without the network."
	}
	return append(notes, text)
}

// rowOfImage is one image of a picture, drawn.
type rowOfImage struct {
	cells       []pictures.Cell
	error, flat difference // of the prediction, and of Picture.Flat
}

// reconstructionRow draws image b. The network is trained on masked parts alone, so that its output
// for visible parts is not drawn.
func reconstructionRow(p program.Picture, n pictures.Normalization, b int, masked bool) (row rowOfImage, err error) {
	area := p.Height * p.Width
	picture := func(from []float32) *image.RGBA {
		if err != nil || from == nil {
			return nil
		}
		var img *image.RGBA
		img, err = n.Image(from[b*p.Channels*area:(b+1)*p.Channels*area], p.Height, p.Width)
		return img
	}
	input, prediction, flat := picture(p.Original), picture(p.Prediction), picture(p.Flat)
	if err != nil {
		return row, err
	}
	hidden := p.Masked[b*area : (b+1)*area]
	row.error = squaredDifference(input, prediction, hidden, masked)
	if flat != nil {
		row.flat = squaredDifference(input, flat, hidden, masked)
	}
	if !masked {
		row.cells = []pictures.Cell{{Image: input}, {Image: prediction}}
		return row, nil
	}
	row.cells = []pictures.Cell{{Image: input},
		{Image: combine(input.Rect, hidden, nil, input)},
		{Image: combine(input.Rect, hidden, prediction, nil)},
		{Image: combine(input.Rect, hidden, prediction, input)}}
	return row, nil
}

// combine takes masked pixels from one image and the others from another. A nil image is gray.
func combine(size image.Rectangle, hidden []bool, inHidden, inVisible *image.RGBA) *image.RGBA {
	out := image.NewRGBA(size)
	for i, h := range hidden {
		from := inVisible
		if h {
			from = inHidden
		}
		if from == nil {
			out.SetRGBA(i%size.Dx(), i/size.Dx(), hiddenColor)
			continue
		}
		copy(out.Pix[4*i:4*i+4], from.Pix[4*i:4*i+4])
	}
	return out
}

// squaredDifference compares the drawn levels of the masked or of all pixels.
func squaredDifference(a, b *image.RGBA, hidden []bool, onlyHidden bool) (d difference) {
	for i, h := range hidden {
		if onlyHidden && !h {
			continue
		}
		for c := range 3 {
			v := float64(a.Pix[4*i+c]) - float64(b.Pix[4*i+c])
			d.sum += v * v
		}
		d.count += 3
	}
	return d
}
