package data_test

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vittool/vittool/data"
)

func TestBrokenFilesAreReplacedTheSameWay(t *testing.T) {
	dir := folder(t, 40)
	for _, name := range []string{"cat/004.png", "cat/006.png", "dog/013.png"} {
		write(t, filepath.Join(dir, name), []byte("not a picture"))
	}
	s := open(t, dir)
	var want []uint64
	for _, workers := range []int{1, 8} {
		var skipped []string
		o := data.LoaderOptions{Views: maeViews(8), BatchSize: 8, Shuffle: true, Seed: 1, Epochs: 3, Workers: workers, MaxFailed: 0.1,
			OnSkip: func(id int, path string, err error) {
				var e *data.Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), "text") || path != s.Name(id) {
					t.Errorf("skipped %s: %v", path, err)
				}
				skipped = append(skipped, path)
			}}
		got := run(t, s, o, 0)
		if len(skipped) != 3 {
			t.Errorf("%d workers: skipped %v, want each broken file once", workers, skipped)
		}
		if want == nil {
			want = got
		} else if !reflect.DeepEqual(got, want) {
			t.Error("other batches with eight workers")
		}
		o.FirstBatch = 7
		if resumed := run(t, s, o, 0); !reflect.DeepEqual(resumed, want[7:]) {
			t.Error("other batches after a resume")
		}
	}
}

func TestTooManyBrokenFiles(t *testing.T) {
	dir := folder(t, 40)
	for _, name := range []string{"cat/004.png", "dog/013.png"} {
		write(t, filepath.Join(dir, name), nil)
	}
	s := open(t, dir)
	var messages []string
	for _, workers := range []int{1, 8} {
		for _, o := range []data.LoaderOptions{
			{OnError: data.Skip, MaxFailed: 0.03},
			{OnError: data.Skip, MaxFailed: 0},
			{OnError: data.Fail},
		} {
			o.Views, o.BatchSize, o.Shuffle, o.Workers = maeViews(8), 4, true, workers
			l, err := data.NewLoader(s, o)
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, err = l.Next(context.Background())
			}
			var e *data.Error
			if !errors.As(err, &e) {
				t.Errorf("%v: %v is no data error", o.OnError, err)
			}
			if _, again := l.Next(context.Background()); again != err {
				t.Errorf("Next after an error gives %v", again)
			}
			messages = append(messages, err.Error())
			l.Close()
		}
	}
	if !reflect.DeepEqual(messages[:3], messages[3:]) {
		t.Errorf("the messages depend on the workers: %q", messages)
	}
	if !strings.Contains(messages[0], "2 of 40") || !strings.Contains(messages[2], "empty (0 bytes)") {
		t.Errorf("unclear messages: %q", messages)
	}
}

func TestLoaderOptionsAreChecked(t *testing.T) {
	s := demo(t, "count=10&size=8")
	change := func(f func(*data.ViewSpec)) []data.ViewSpec { v := busyViews(); f(&v[0]); return v }
	for want, o := range map[string]data.LoaderOptions{
		"batch of 11 is larger than the data set of 10": {BatchSize: 11, DropLast: true, Views: maeViews(8)},
		"batch size 0":               {Views: maeViews(8)},
		"no views":                   {BatchSize: 1},
		`on_error is "explode"`:      {BatchSize: 1, Views: maeViews(8), OnError: "explode"},
		"start step -1":              {BatchSize: 1, Views: maeViews(8), FirstBatch: -1},
		"max_failed is 2":            {BatchSize: 1, Views: maeViews(8), MaxFailed: 2},
		"name of its own":            {BatchSize: 1, Views: append(maeViews(8), maeViews(8)...)},
		"crop scale":                 {BatchSize: 1, Views: change(func(v *data.ViewSpec) { v.ScaleMax = 1.5 })},
		"crop ratio":                 {BatchSize: 1, Views: change(func(v *data.ViewSpec) { v.RatioMax = -1 })},
		"size 0x24":                  {BatchSize: 1, Views: change(func(v *data.ViewSpec) { v.Width = 0 })},
		"1 means and 3":              {BatchSize: 1, Views: change(func(v *data.ViewSpec) { v.Mean = half[:1] })},
		"is not positive":            {BatchSize: 1, Views: change(func(v *data.ViewSpec) { v.Std = []float32{1, 0, 1} })},
		"not a view with a geometry": {BatchSize: 1, Views: change(func(v *data.ViewSpec) { v.SameGeometryAs = "zebra" })},
		"names no view to share":     {BatchSize: 1, Views: change(func(v *data.ViewSpec) { v.SameColors = true })},
		"kernel of 4 taps":           {BatchSize: 1, Views: change(func(v *data.ViewSpec) { v.Augmentations[4].Kernel = 4 })},
		"probability 2":              {BatchSize: 1, Views: change(func(v *data.ViewSpec) { v.Augmentations[0].P = 2 })},
		"hue 0.7":                    {BatchSize: 1, Views: change(func(v *data.ViewSpec) { v.Augmentations[1].Hue = .7 })},
	} {
		l, err := data.NewLoader(s, o)
		if err == nil {
			l.Close()
			t.Errorf("%s: accepted", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}
