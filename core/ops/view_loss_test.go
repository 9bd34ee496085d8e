package ops

import (
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/tensor"
)

// viewCases are losses over pairs of views, with more, fewer and as many views as targets.
func viewCases() []gradientCase {
	return []gradientCase{
		viewCase("two targets of five views", 2, 5), viewCase("two targets of two views", 2, 2), viewCase("one target of three views", 1, 3),
		viewCase("four targets of six views", 4, 6), viewCase("three targets of two views", 3, 2),
	}
}

// Sizes of the cases of ViewCrossEntropy.
const (
	viewBatch, viewClasses = 2, 5
	viewTemperature        = 0.4
)

func viewTarget(i int) float64 { return 0.125 * float64(3*i%7%4) }

// viewNodes compares as many views with as many targets.
func viewNodes(g *core.Graph, logits *core.Node, targets int) (loss, pairs *core.Node) {
	q := g.Input("target", tensor.Shape{targets * viewBatch, viewClasses})
	for i := range q.Value() {
		q.Value()[i] = float32(viewTarget(i))
	}
	return ViewCrossEntropy(g, logits, q, targets, viewTemperature)
}

// plainViews is the loss of all pairs, [targets, views], and their mean.
func plainViews(logits []float64, targets, views int) (loss float64, pairs []float64) {
	const n = viewBatch * viewClasses
	scaled := append([]float64{}, logits...)
	for i := range scaled {
		scaled[i] /= viewTemperature
	}
	logs := plainSoftmax(scaled, viewClasses)[len(scaled):]
	count := 0.0
	for i := range targets {
		for v := range views {
			pair := 0.0
			for k := range n {
				if v != i {
					pair -= viewTarget(i*n+k) * logs[v*n+k] / viewBatch
				}
			}
			if v != i {
				count++
			}
			loss += pair
			pairs = append(pairs, pair)
		}
	}
	return loss / count, pairs
}

func viewCase(name string, targets, views int) gradientCase {
	return gradientCase{name: "view cross-entropy, " + name, shapes: []tensor.Shape{{views * viewBatch, viewClasses}}, tolerance: 4e-6,
		make: func(g *core.Graph, p []*core.Node) *core.Node {
			loss, _ := viewNodes(g, p[0], targets)
			return loss
		},
		reference: func(p [][]float64) []float64 {
			loss, _ := plainViews(p[0], targets, views)
			return []float64{loss}
		}}
}

// The pairs are those that the loss is the mean of.
func TestViewPairs(t *testing.T) {
	const targets, views = 3, 5
	g := core.NewGraph(devicetest.New(t, 2))
	logits := g.Input("logits", tensor.Shape{views * viewBatch, viewClasses})
	wide := make([]float64, len(logits.Value()))
	for i := range wide {
		logits.Value()[i] = float32(i*i%11)/8 - 0.5
		wide[i] = float64(logits.Value()[i])
	}
	loss, pairs := viewNodes(g, logits, targets)
	compiled(t, g, nil, loss, pairs)
	mean, each := plainViews(wide, targets, views)
	compareTo(t, "pairs", pairs.Value(), each, 2e-6)
	compareTo(t, "loss", loss.Value(), []float64{mean}, 2e-6)
	for _, wrong := range []struct {
		shape       tensor.Shape
		views       int
		temperature float64
	}{{tensor.Shape{4, 5}, 3, 1}, {tensor.Shape{10, 4}, 2, 1}, {tensor.Shape{10, 5}, 1, 1}, {tensor.Shape{4, 5}, 2, 0}} {
		g := core.NewGraph(devicetest.New(t, 1))
		ViewCrossEntropy(g, g.Input("x", tensor.Shape{10, 5}), g.Input("q", wrong.shape), wrong.views, wrong.temperature)
		if g.Err() == nil {
			t.Errorf("%+v passes", wrong)
		}
	}
}
