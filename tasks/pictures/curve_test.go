package pictures

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

func history(steps, perEpoch int) string {
	var b strings.Builder
	sum := 0.0
	for s := 1; s <= steps; s++ {
		loss := 0.45 + 1.5*math.Exp(-float64(s)/120) + 0.02*math.Sin(float64(s)*1.7)
		if s < 4 {
			loss += 40
		}
		lr := 1.5e-3 * min(float64(s)/100, 0.5*(1+math.Cos(math.Pi*float64(s)/float64(steps))))
		fmt.Fprintf(&b, `{"kind":"step","step":%d,"epoch":%d,"loss":%g,"lr":%g,"images_per_s":100}`+"\n", s, (s-1)/perEpoch, loss, lr)
		sum += loss
		if s%perEpoch == 0 {
			fmt.Fprintf(&b, `{"kind":"epoch","step":%d,"epoch":%d,"loss":%g}`+"\n", s, s/perEpoch, sum/float64(perEpoch))
			sum = 0
		}
	}
	return b.String()
}

func TestCurve(t *testing.T) {
	evals := `{"kind":"eval","step":780,"epoch":10,"knn":0.25}` + "\n" + `{"kind":"eval","step":1560,"epoch":20,"knn":0.4}` + "\n"
	for evaluated, height := range map[string]int{"": 600, evals: 800} {
		c := must.Get(ReadCurve(strings.NewReader(history(1560, 78) + evaluated + `{"kind":"other"}` + "\n" + `{"kind":"step","st`)))(t)
		if len(c.Steps) != 1560 || len(c.Epochs) != 20 || len(c.Evals) != strings.Count(evaluated, "\n") {
			t.Fatalf("%d steps, %d epochs and %d evaluations, want 1560, 20 and %d", len(c.Steps), len(c.Epochs), len(c.Evals), strings.Count(evaluated, "\n"))
		}
		img := must.Get(c.Draw("mae on demo:, vit_tiny_patch4_32"))(t)
		keep(t, fmt.Sprintf("curve-%d.png", height), img)
		if img.Bounds().Dx() != 900 || img.Bounds().Dy() != height {
			t.Errorf("the curve is %v", img.Bounds())
		}
		if evaluated == "" {
			continue
		}
		if last := c.Evals[1]; last != (EvalPoint{1560, 20, 0.4}) {
			t.Errorf("the last evaluation is %+v", last)
		}

		found := false
		for y := 600; y < 750; y++ {
			r, _, b, _ := img.At(640, y).RGBA()
			found = found || b > r+1<<13 // blue, between the two evaluations
		}
		if !found {
			t.Errorf("no line of evaluations is drawn")
		}
	}
}

func TestCurveExtremes(t *testing.T) {
	for name, text := range map[string]string{
		"one step":    `{"kind":"step","step":1,"loss":0.7,"lr":0.1}`,
		"no rate":     `{"kind":"step","step":1,"loss":0.7}` + "\n" + `{"kind":"step","step":2,"loss":0.7}`,
		"epochs only": `{"kind":"epoch","step":5,"epoch":1,"loss":-3}`,
		"long":        history(9000, 100),
		"spikes":      `{"kind":"step","step":1,"loss":1e7}` + "\n" + strings.Repeat(`{"kind":"step","step":5000,"loss":0.7}`+"\n"+`{"kind":"step","step":9,"loss":1e9}`+"\n", 300),
		"huge":        `{"kind":"step","step":1,"loss":1e308}` + "\n" + `{"kind":"step","step":9000000000000000,"loss":-1e308,"lr":1e308}`,
	} {
		c, err := ReadCurve(strings.NewReader(text + "\n"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		img, err := c.Draw(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		keep(t, "curve-"+strings.ReplaceAll(name, " ", "-")+".png", img)
	}
	if _, err := (&Curve{}).Draw("empty"); err == nil {
		t.Error("a curve without steps was drawn")
	}
}

// TestTicks: round numbers within the range, worked out by hand.
func TestTicks(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		n         int
		want      []float64
	}{
		{0, 1, 6, []float64{0, .2, .4, .6, .8, 1}},
		{0, 1984, 9, []float64{0, 500, 1000, 1500}},
		{0.38, 1.23, 8, []float64{.4, .6, .8, 1, 1.2}},
		{-3, 3, 4, []float64{-2, 0, 2}},
		{0, 0.0042, 4, []float64{0, .002, .004}},
		{4.9, 5.1, 3, []float64{4.9, 5, 5.1}},
	} {
		got := ticks(c.low, c.high, c.n)
		if len(got) != len(c.want) {
			t.Errorf("%g to %g: %v, want %v", c.low, c.high, got, c.want)
			continue
		}
		for i := range got {
			if math.Abs(got[i]-c.want[i]) > 1e-9*math.Abs(c.high) {
				t.Errorf("%g to %g: %v, want %v", c.low, c.high, got, c.want)
			}
		}
	}
}

// TestCurvePlaces: the line goes through its points, and nowhere else.
func TestCurvePlaces(t *testing.T) {
	c := &Curve{Steps: []CurvePoint{{Step: 0, Loss: 1}, {Step: 100, Loss: 3}}}
	img := must.Get(c.Draw(""))(t)
	low, high := c.lossRange()
	for _, p := range []struct {
		x, loss float64
		drawn   bool
	}{{50, 2, true}, {25, 1.5, true}, {75, 2.5, true}, {25, 2.5, false}, {75, 1.5, false}} {
		x, y := 80+p.x/100*800, 550-(p.loss-low)/(high-low)*(550-52)
		r, _, b, _ := img.At(int(math.Round(x)), int(math.Round(y))).RGBA()
		if drawn := b > r+r/2; drawn != p.drawn { // blue, neither paper nor grid
			t.Errorf("loss %g at step %g: drawn %v, want %v", p.loss, p.x, drawn, p.drawn)
		}
	}
}

func TestReadCurveRefuses(t *testing.T) {
	good := `{"kind":"step","step":1,"loss":1}` + "\n"
	for name, c := range map[string]struct{ text, want string }{
		"not JSON": {good + "loss 0.7\n", "line 2"},
		"no loss":  {good + good + `{"kind":"step","step":3}` + "\n", "line 3: a line of kind"},
		"a step":   {good + `{"kind":"step","step":-3,"loss":1}` + "\n", "line 2: a line of kind"},
		"endless":  {strings.Repeat("x", 1<<20+1), "longer than"},
	} {
		if _, err := ReadCurve(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func FuzzReadCurve(f *testing.F) {
	f.Add([]byte(history(30, 10)))
	f.Add([]byte(`{"kind":"epoch","step":-9,"loss":1e308}` + "\n" + `{"kind":"step","step":1,"loss":-1e308}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ReadCurve(strings.NewReader(string(text)))
		if err != nil || len(c.Steps)+len(c.Epochs) == 0 || len(c.Steps)+len(c.Epochs) > 50 {
			return
		}
		if _, err := c.Draw("fuzz"); err != nil && !strings.Contains(err.Error(), "loss curve") {
			t.Fatal(err)
		}
	})
}
