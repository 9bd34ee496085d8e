package pictures

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/vittool/vittool/runs"
)

// Curve is a run's history, read from its metrics.jsonl.
type Curve struct {
	Steps  []CurvePoint // values of single steps
	Epochs []CurvePoint // means over an epoch, at its last step
}

// CurvePoint is a loss at a step.
type CurvePoint struct {
	Step, Epoch int
	Loss        float64
	LR          float64 // learning rate; 0 if unknown
}

// mostPoints bounds the points of a line, about one per pixel. The time of the rasterizer grows
// with the square of their number.
const mostPoints = 700

// fewEpochs is the number of epochs from which their means are drawn beside the steps.
const fewEpochs = 3

// ReadCurve reads metrics.jsonl, with the errors of runs.ReadMetrics.
func ReadCurve(r io.Reader) (*Curve, error) {
	curve := &Curve{}
	err := runs.ReadMetrics(r, func(m runs.Point) {
		p := CurvePoint{m.Step, int(m.Epoch), m.Loss, m.LR}
		if m.Kind == runs.KindStep {
			curve.Steps = append(curve.Steps, p)
		} else {
			curve.Epochs = append(curve.Epochs, p)
		}
	})
	if err != nil {
		return nil, err
	}
	return curve, nil
}

// Draw plots the loss over the steps, with the epochs' means on top, and the learning rate below.
func (c *Curve) Draw(title string) (image.Image, error) {
	if len(c.Steps) == 0 && len(c.Epochs) == 0 {
		return nil, errors.New("loss curve: the metrics hold no step yet")
	}
	loss := plot.New()
	loss.Title.Text = title
	loss.Title.Padding = 4
	loss.Y.Label.Text = "loss"
	steps, rate := plotter.XYs{}, plotter.XYs{}
	highestRate := 0.0
	low, high := c.lossRange()
	// The rasterizer takes time for every row that a line crosses, also outside of the axes.
	shown := func(loss float64) float64 { return min(max(loss, low-(high-low)), high+(high-low)) }
	for _, p := range thin(c.Steps, mostPoints) {
		steps = append(steps, plotter.XY{X: float64(p.Step), Y: shown(p.Loss)})
		rate = append(rate, plotter.XY{X: float64(p.Step), Y: max(p.LR, 0)})
		highestRate = max(highestRate, p.LR)
	}
	means := plotter.XYs{}
	for _, p := range thin(c.Epochs, mostPoints) {
		if len(steps) > 0 && len(c.Epochs) < fewEpochs {
			break
		}
		means = append(means, plotter.XY{X: float64(p.Step), Y: shown(p.Loss)})
	}
	loss.Add(faintGrid())
	if len(steps) > 0 {
		colour := color.RGBA{150, 190, 230, 255}
		if len(means) == 0 {
			colour = color.RGBA{31, 99, 170, 255}
		}
		if err := addLine(loss, "step", steps, colour, 1); err != nil {
			return nil, fmt.Errorf("loss curve: %w", err)
		}
	}
	if len(means) > 0 {
		if err := addLine(loss, "epoch mean", means, color.RGBA{31, 99, 170, 255}, 2); err != nil {
			return nil, fmt.Errorf("loss curve: %w", err)
		}
	}
	loss.Legend.Top = true
	loss.Legend.Padding = 4
	loss.Legend.XOffs = -8
	loss.Legend.YOffs = -4
	last := float64(c.lastStep())
	loss.X.Min, loss.X.Max = 0, max(last, 1)
	loss.Y.Min, loss.Y.Max = low, high

	plots := [][]*plot.Plot{{loss}}
	heights := []float64{1}
	if highestRate > 0 {
		lr := plot.New()
		lr.Y.Label.Text = "learning rate"
		lr.X.Label.Text = "step"
		lr.Add(faintGrid())
		if err := addLine(lr, "", rate, color.RGBA{200, 120, 30, 255}, 1.5); err != nil {
			return nil, fmt.Errorf("loss curve: %w", err)
		}
		lr.X.Min, lr.X.Max = 0, max(last, 1)
		lr.Y.Min, lr.Y.Max = 0, highestRate*1.05
		plots = append(plots, []*plot.Plot{lr})
		heights = []float64{0.68, 0.32}
	} else {
		loss.X.Label.Text = "step"
	}

	const width, height = 9 * vg.Inch, 6 * vg.Inch
	canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(100), vgimg.UseBackgroundColor(color.White))
	area := draw.Crop(draw.New(canvas), 12, -16, 8, -10)
	drawStacked(area, plots, heights)
	return canvas.Image(), nil
}

func (c *Curve) lastStep() int {
	last := 0
	for _, list := range [][]CurvePoint{c.Steps, c.Epochs} {
		for _, p := range list {
			last = max(last, p.Step)
		}
	}
	return last
}

// lossRange is the range of the vertical axis: the losses after the first tenth of the run, and at
// most as much again for the earlier ones, so that a few large first losses do not flatten the rest
// of the curve.
func (c *Curve) lossRange() (low, high float64) {
	from := c.lastStep() / 10
	low, high = math.Inf(1), math.Inf(-1)
	top := math.Inf(-1)
	for _, list := range [][]CurvePoint{c.Steps, c.Epochs} {
		for _, q := range list {
			low, top = min(low, q.Loss), max(top, q.Loss)
			if q.Step >= from {
				high = max(high, q.Loss)
			}
		}
	}
	span := high - low
	if smallest := max(math.Abs(high), 1e-6) * 1e-6; !(span >= smallest) {
		span = max(math.Abs(high), 1e-6) * 0.1
	}
	return low - 0.05*span, min(top, high+span) + 0.05*span
}

// thin reduces a line to at most n points, each the mean of neighbouring ones, so that a long run
// stays readable.
func thin(points []CurvePoint, n int) []CurvePoint {
	if len(points) <= n {
		return points
	}
	out := make([]CurvePoint, n)
	for i := range out {
		part := points[i*len(points)/n : (i+1)*len(points)/n]
		out[i] = part[len(part)-1]
		out[i].Loss = 0
		for _, p := range part {
			out[i].Loss += p.Loss / float64(len(part))
		}
	}
	return out
}

func faintGrid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Color = hairline
	g.Horizontal.Color = hairline
	return g
}

func addLine(p *plot.Plot, name string, xy plotter.XYs, c color.Color, width vg.Length) error {
	line, err := plotter.NewLine(xy)
	if err != nil {
		return err
	}
	line.Color = c
	line.Width = width
	p.Add(line)
	if len(xy) == 1 { // a line of one point is invisible
		dot, err := plotter.NewScatter(xy)
		if err != nil {
			return err
		}
		dot.Color = c
		dot.Shape = draw.CircleGlyph{}
		dot.Radius = 3
		p.Add(dot)
	}
	if name != "" {
		p.Legend.Add(name, line)
	}
	return nil
}

// drawStacked draws plots below each other with aligned axes.
func drawStacked(area draw.Canvas, plots [][]*plot.Plot, heights []float64) {
	tiles := draw.Tiles{Rows: len(plots), Cols: 1, PadY: 10}
	// plot.Align gives the vertical axes of all tiles the same width; the heights are set below.
	canvases := plot.Align(plots, tiles, area)
	top := area.Max.Y
	total := area.Max.Y - area.Min.Y
	for i, row := range canvases {
		c := row[0]
		height := vg.Length(heights[i]) * total
		c.Max.Y = top
		c.Min.Y = top - height
		if i > 0 {
			c.Max.Y -= tiles.PadY
		}
		top -= height
		plots[i][0].Draw(c)
	}
}
