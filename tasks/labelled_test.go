package tasks

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/pixels"
)

// classes is a source of images of which only the classes matter.
type classes []int

func (s classes) Len() int                         { return len(s) }
func (s classes) Name(id int) string               { return fmt.Sprint(id) }
func (s classes) Class(id int) int                 { return s[id] }
func (s classes) Classes() []string                { return []string{"a", "b", "c"} }
func (s classes) Channels() int                    { return 3 }
func (s classes) Image(int) (*pixels.Image, error) { return nil, errors.New("not read") }
func (s classes) Fingerprint() string              { return "" }
func (s classes) Close() error                     { return nil }

func names(s data.Source) (out []string) {
	for id := range s.Len() {
		out = append(out, s.Name(id))
	}
	return out
}

// Drawn images are of every class in proportion, the same each time, spread over the whole source,
// and a larger number adds to a smaller one.
func TestDraw(t *testing.T) {
	var s classes
	for i := range 1000 { // 700 of class 0, then 200 and 100
		s = append(s, max(0, min(2, (i-500)/200)))
	}
	for _, n := range []int{0, 1000, 2000} {
		if Draw(s, n).Len() != 1000 {
			t.Errorf("%d of 1000 images: %d", n, Draw(s, n).Len())
		}
	}
	var smaller []string
	for _, n := range []int{1, 10, 100, 333, 999} {
		drawn := Draw(s, n)
		if drawn.Len() != n || !slices.Equal(names(drawn), names(Draw(s, n))) {
			t.Fatalf("%d images are drawn, others the second time, want %d", drawn.Len(), n)
		}
		of := map[int]int{}
		for id := range n {
			of[drawn.Class(id)]++
		}
		for class, share := range []float64{0.7, 0.2, 0.1} {
			if d := float64(of[class]) - share*float64(n); d > 2 || d < -2 {
				t.Errorf("%d images have %d of class %d, want a share of %v", n, of[class], class, share)
			}
		}
		if n == 100 && drawn.Name(0) == "0" && drawn.Name(69) == "69" {
			t.Error("the first images of a class are taken")
		}
		for _, name := range smaller {
			if !slices.Contains(names(drawn), name) {
				t.Errorf("%d images lack %s, which fewer have", n, name)
			}
		}
		smaller = names(drawn)
	}
}

func TestSplitPathsOfScenes(t *testing.T) {
	if train, test, err := SplitPaths("demo:"); train != DemoTrain || test != DemoTest || err != nil {
		t.Errorf("demo: is %s and %s, %v", train, test, err)
	}
	var scenes *configs.Error
	if _, _, err := SplitPaths("demo:?seed=4"); !errors.As(err, &scenes) {
		t.Errorf("one set of scenes: %v", err)
	}
}
