package pictures

import "testing"

func TestConfusion(t *testing.T) {
	names := []string{"airplane", "automobile", "bird", "a class of a very long name", "deer", "dog", "frog", "horse", "ship", "truck"}
	counts := make([]int, 100)
	for i := range 10 {
		for j := range 10 {
			counts[i*10+j] = (i*7 + j*3) % 11
			if i == j {
				counts[i*10+j] = 100 + 7*i
			}
		}
	}
	img, err := Confusion("linear, 52.6 % right", counts, names)
	if err != nil {
		t.Fatal(err)
	}
	keep(t, "confusion.png", img)
	if many, err := Confusion("many", make([]int, 200*200), nil); err != nil || many.Rect.Dx() < 800 {
		t.Errorf("200 classes: %v", err)
	}
	for name, c := range map[string]struct {
		counts []int
		names  []string
	}{
		"nothing": {}, "no square": {counts: make([]int, 5)}, "few names": {counts: make([]int, 4), names: []string{"a"}},
		"too many": {counts: make([]int, 2001*2001)},
	} {
		if _, err := Confusion("", c.counts, c.names); err == nil {
			t.Errorf("%s: drawn", name)
		}
	}
}
