package pictures

import (
	"errors"
	"image"
	"image/color"
	"image/draw"
	"io"
	"math"

	"github.com/vittool/vittool/runs"
)

// Curve is a run's history, read from its metrics.jsonl.
type Curve struct {
	Steps  []CurvePoint // values of single steps
	Epochs []CurvePoint // means over an epoch, at its last step
	Evals  []EvalPoint  // evaluations of the features
}

// CurvePoint is a loss at a step.
type CurvePoint struct {
	Step, Epoch int
	Loss        float64
	LR          float64 // learning rate; 0 if unknown
}

// EvalPoint is the accuracy of an evaluation after a step.
type EvalPoint struct {
	Step  int
	Epoch float64 // epochs completed
	KNN   float64 // share of the test images whose class is right
}

// mostPoints bounds the points of a line, about one per pixel.
const mostPoints = 700

// Colors of the lines.
var (
	stepColor = color.RGBA{150, 190, 230, 255}
	meanColor = color.RGBA{31, 99, 170, 255}
	rateColor = color.RGBA{200, 120, 30, 255}
)

// fewEpochs is the number of epochs from which their means are drawn beside the steps.
const fewEpochs = 3

// ReadCurve reads metrics.jsonl, with the errors of runs.ReadMetrics.
func ReadCurve(r io.Reader) (*Curve, error) {
	curve := &Curve{}
	err := runs.ReadMetrics(r, func(m runs.Point) {
		p := CurvePoint{m.Step, int(m.Epoch), m.Loss, m.LR}
		switch m.Kind {
		case runs.KindStep:
			curve.Steps = append(curve.Steps, p)
		case runs.KindEpoch:
			curve.Epochs = append(curve.Epochs, p)
		default:
			curve.Evals = append(curve.Evals, EvalPoint{m.Step, m.Epoch, m.KNN})
		}
	})
	if err != nil {
		return nil, err
	}
	return curve, nil
}

// Draw plots the loss over the steps, with the epochs' means on top, and the learning rate below, on
// 900×600 pixels. Evaluations take a third chart below, of 200 pixels more.
func (c *Curve) Draw(title string) (image.Image, error) {
	if len(c.Steps) == 0 && len(c.Epochs) == 0 {
		return nil, errors.New("loss curve: the metrics hold no step yet")
	}
	var steps, rates, means []place
	highestRate := 0.0
	for _, p := range thin(c.Steps, mostPoints) {
		steps = append(steps, place{float64(p.Step), p.Loss})
		rates = append(rates, place{float64(p.Step), max(p.LR, 0)})
		highestRate = max(highestRate, p.LR)
	}
	if len(steps) == 0 || len(c.Epochs) >= fewEpochs {
		for _, p := range thin(c.Epochs, mostPoints) {
			means = append(means, place{float64(p.Step), p.Loss})
		}
	}
	height := 600
	if len(c.Evals) > 0 {
		height += 200
	}
	canvas := image.NewRGBA(image.Rect(0, 0, 900, height))
	draw.Draw(canvas, canvas.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	text(canvas, (900-textWidth(title))/2, 10, cut(title, 880), ink)
	const left, right, bottom = 80, 880, 550
	last := max(float64(c.lastStep()), 1)
	low, high := c.lossRange()
	loss := chart{area: image.Rect(left, 52, right, bottom), name: "loss", right: last, low: low, high: high}
	if highestRate > 0 {
		loss.area.Max.Y = 380
		rate := chart{area: image.Rect(left, 430, right, bottom), name: "learning rate", right: last, high: highestRate * 1.05}
		rate.axes(canvas)
		rate.line(canvas, rates, rateColor, 1.5)
	}
	loss.axes(canvas)
	c.drawEvals(canvas, image.Rect(left, bottom+50, right, height-50), last)
	text(canvas, (left+right-textWidth("step"))/2, height-26, "step", ink)
	paint := stepColor
	if len(means) == 0 {
		paint = meanColor
	}
	loss.line(canvas, steps, paint, 1)
	loss.line(canvas, means, meanColor, 2)
	row := loss.area.Min.Y + 6
	for _, l := range []struct {
		name   string
		points []place
		paint  color.RGBA
	}{{"step", steps, paint}, {"epoch mean", means, meanColor}} {
		if len(l.points) > 0 {
			text(canvas, right-34-textWidth(l.name), row, l.name, ink)
			stroke(canvas, [2]float64{right - 28, float64(row + 7)}, [2]float64{right - 8, float64(row + 7)}, l.paint, 2)
			row += lineHeight
		}
	}
	return canvas, nil
}

// drawEvals plots the evaluations in percent, where there are any.
func (c *Curve) drawEvals(canvas *image.RGBA, area image.Rectangle, last float64) {
	if len(c.Evals) == 0 {
		return
	}
	var points []place
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range c.Evals {
		points = append(points, place{float64(p.Step), 100 * p.KNN})
		low, high = min(low, 100*p.KNN), max(high, 100*p.KNN)
	}
	margin := max(0.1*(high-low), 0.5)
	k := chart{area: area, name: "knn, % of the test images", right: last, low: low - margin, high: high + margin}
	k.axes(canvas)
	k.line(canvas, points, meanColor, 1.5)
}

func (c *Curve) lastStep() int {
	last := 0
	for _, list := range [][]CurvePoint{c.Steps, c.Epochs} {
		for _, p := range list {
			last = max(last, p.Step)
		}
	}
	for _, p := range c.Evals {
		last = max(last, p.Step)
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

// thin reduces a line to at most n points, each the mean of neighboring ones, so that a long run
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
