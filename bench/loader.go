package bench

import (
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/decode"
	"github.com/vittool/vittool/data/pixels"
)

// Loader is the speed of reading images, in images a second of one core: work over the CPU time of
// the process, so that neighbors do not count.
type Loader struct {
	Peer   string    `json:"peer,omitempty"`
	NoPeer string    `json:"-"` // why there is none
	Works  []Reading `json:"works"`
}

// A Reading is one kind of work on one set of files.
type Reading struct {
	Files  string   `json:"files"`
	Images int      `json:"images"`
	Work   string   `json:"work"`
	Ours   Summary  `json:"images_per_s_core"`
	Theirs *Summary `json:"peer_images_per_s_core,omitempty"`
	Ratio  *Summary `json:"ratio,omitempty"` // how many times faster we are
}

// fileSet is a set of files that are read.
type fileSet struct {
	name  string
	paths []string
	size  int // of a view
}

// works are the kinds of work, by the names that loader.py has for them.
var works = []struct{ name, text string }{
	{"decode", "decode"},
	{"crop", "decode, random crop, resize, normalize"},
	{"whole", "decode, resize all, center, normalize"},
}

// MeasureLoader reads the images of cfg, or drawn ones where they are demo:, on one core, in turn
// with Pillow and torchvision where these are installed.
func MeasureLoader(ctx context.Context, cfg configs.Config, warmup, rounds int) (_ *Loader, err error) {
	dir, err := os.MkdirTemp("", "vittool-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sets, err := filesOf(cfg.Data.Path, dir)
	if err != nil {
		return nil, err
	}
	out := &Loader{}
	for _, set := range sets {
		if err := out.measure(ctx, set, filepath.Join(dir, "list.txt"), warmup, rounds); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (l *Loader) measure(ctx context.Context, set fileSet, list string, warmup, rounds int) (err error) {
	peer, name, err := startReaders(ctx, set)
	switch {
	case errors.Is(err, ErrNoPyTorch):
		l.NoPeer = err.Error()
	case err != nil:
		return err
	default:
		l.Peer = name
		defer func() { err = errors.Join(err, peer.Close()) }()
	}
	for _, w := range works {
		once, stop, err := newReading(set, w.name, list)
		if err != nil {
			return err
		}
		sides := []Stepper{stepper{"vittool", func(ctx context.Context) (time.Duration, error) {
			start := cpuTime()
			err := once(ctx)
			return cpuTime() - start, err
		}}}
		if peer != nil {
			sides = append(sides, stepper{peer.Name(), func(context.Context) (time.Duration, error) { return peer.seconds(w.name) }})
		}
		s, err := Interleave(ctx, warmup, rounds, sides...)
		if err := errors.Join(err, stop()); err != nil {
			return err
		}
		n := float64(len(set.paths))
		r := Reading{Files: set.name, Images: len(set.paths), Work: w.text, Ours: s[0].rate(n)}
		if peer != nil {
			theirs, ratio := s[1].rate(n), s[1].Over(s[0]).Summary()
			r.Theirs, r.Ratio = &theirs, &ratio
		}
		l.Works = append(l.Works, r)
	}
	return nil
}

// rate is n over each value.
func (s Series) rate(n float64) Summary {
	r := make(Series, len(s))
	for i, v := range s {
		r[i] = n / v
	}
	return r.Summary()
}

// Files of one round: more where they are small, so that a round can be timed.
const (
	fewFiles  = 200
	manyFiles = 600
	smallSide = 64
)

// filesOf lists files to read, evenly taken from all there are.
func filesOf(path, dir string) ([]fileSet, error) {
	if strings.HasPrefix(path, "demo:") {
		photographs, err := drawn(filepath.Join(dir, "large"), 24, 500, 375)
		if err != nil {
			return nil, err
		}
		small, err := drawn(filepath.Join(dir, "small"), fewFiles, 32, 32)
		if err != nil {
			return nil, err
		}
		return []fileSet{{"drawn, 500×375", photographs, 224}, {"drawn, 32×32", small, 32}}, nil
	}
	s, err := data.Open(data.Options{Path: path})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	set, err := taken(s, path, fewFiles)
	if err == nil && set.size < smallSide {
		set, err = taken(s, path, manyFiles)
	}
	return []fileSet{set}, err
}

// taken takes up to n files, evenly from all.
func taken(s data.Source, path string, n int) (fileSet, error) {
	set := fileSet{name: path, size: 224}
	var sides []int
	n = min(n, s.Len())
	for i := range n {
		id := i * s.Len() / n
		m, err := s.Image(id)
		if err != nil {
			continue
		}
		file := filepath.Join(path, filepath.FromSlash(s.Name(id)))
		if _, err := os.Stat(file); err != nil {
			return set, &data.Error{Path: path, Problem: "only a folder of image files can be measured here", Hint: "name one with --data", Err: err}
		}
		set.paths = append(set.paths, file)
		sides = append(sides, min(m.W, m.H))
	}
	if len(set.paths) == 0 {
		return set, &data.Error{Path: path, Problem: "has no image that can be read"}
	}
	slices.Sort(sides)
	set.size = min(sides[len(sides)/2], 224)
	return set, nil
}

// drawn writes scenes as JPEG files.
func drawn(dir string, n, w, h int) ([]string, error) {
	s, err := data.Open(data.Options{Path: fmt.Sprintf("demo:?count=%d&width=%d&height=%d", n, w, h)})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var paths []string
	for id := range n {
		m, err := s.Image(id)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, fmt.Sprintf("%04d.jpg", id))
		f, err := os.Create(path)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(jpeg.Encode(f, data.Picture(m), &jpeg.Options{Quality: 92}), f.Close()); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// newReading makes work ready that is done once for all files at each call, and the way to end it.
// It may write a list of the files.
func newReading(set fileSet, work, list string) (once func(context.Context) error, stop func() error, err error) {
	if work == "decode" {
		once, err = decoding(set.paths)
		return once, func() error { return nil }, err
	}
	mean, std := []float32{0.485, 0.456, 0.406}, []float32{0.229, 0.224, 0.225}
	view := data.EvalView("view", set.size, set.size, data.Fitting{Crop: data.CropCenter, ShortSide: set.cover(), Interpolation: pixels.Bicubic}, mean, std)
	if work == "crop" {
		view = data.ViewSpec{Name: "view", Height: set.size, Width: set.size, ScaleMin: 0.2, ScaleMax: 1, Interpolation: pixels.Bicubic,
			Augmentations: []data.Augmentation{{Kind: data.Flip, P: 0.5}}, Mean: mean, Std: std}
	}
	if err := writeList(list, set.paths); err != nil {
		return nil, nil, err
	}
	s, err := data.Open(data.Options{Path: list})
	if err != nil {
		return nil, nil, err
	}
	l, err := data.NewLoader(s, data.LoaderOptions{Views: []data.ViewSpec{view}, BatchSize: 1, Shuffle: true, Workers: 1, Prefetch: 1, OnError: data.Fail})
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	once = func(ctx context.Context) error {
		for range set.paths {
			b, err := l.Next(ctx)
			if err != nil {
				return err
			}
			b.Release()
		}
		return nil
	}
	return once, func() error { return errors.Join(l.Close(), s.Close()) }, nil
}

// decoding decodes the files from memory.
func decoding(paths []string) (once func(context.Context) error, err error) {
	files := make([][]byte, len(paths))
	for i, path := range paths {
		if files[i], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	var d decode.Decoder
	var m pixels.Image
	return func(context.Context) error {
		for _, b := range files {
			if err := d.Open(b, decode.Options{}); err != nil {
				return err
			}
			if err := d.Decode(&m, d.Bounds(), true); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// writeList writes a list of paths.
func writeList(file string, paths []string) error {
	var lines strings.Builder
	for _, p := range paths {
		p, err := filepath.Abs(p)
		if err != nil {
			return err
		}
		fmt.Fprintln(&lines, p)
	}
	return os.WriteFile(file, []byte(lines.String()), 0o600)
}

// cover is the short side of the whole view before its center is cut out.
func (s fileSet) cover() int {
	if s.size < smallSide {
		return s.size
	}
	return s.size * 256 / 224
}

// startReaders starts Pillow and torchvision on the same files.
func startReaders(ctx context.Context, set fileSet) (_ *Peer, name string, err error) {
	args := []string{"--size", fmt.Sprint(set.size), "--cover", fmt.Sprint(set.cover())}
	p, err := launch(ctx, "loader.py", args, []string{"PIL", "torchvision"}, nil, nil)
	if err != nil {
		return nil, "", err
	}
	var info struct {
		Pillow      string `json:"pillow"`
		Torchvision string `json:"torchvision"`
	}
	if err := p.ask(strings.Join(set.paths, "\n")+"\n", &info); err != nil {
		return nil, "", errors.Join(fmt.Errorf("starting Pillow: %w", err), p.Close())
	}
	return p, fmt.Sprintf("Pillow %s, torchvision %s", info.Pillow, info.Torchvision), nil
}

func (l *Loader) write(w io.Writer) {
	fmt.Fprint(w, "\nreading images, images a second of one core (minimum / median / maximum)\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if l.Peer != "" {
		fmt.Fprintf(t, "\t\tvittool\t%s\ttimes faster\n", l.Peer)
	}
	for _, r := range l.Works {
		fmt.Fprintf(t, "%s (%d)\t%s\t%s\t", r.Files, r.Images, r.Work, r.Ours.Format("%.0f"))
		if r.Ratio != nil {
			fmt.Fprintf(t, "%s\t%s", r.Theirs.Format("%.0f"), r.Ratio.Format("%.2f"))
		}
		fmt.Fprintln(t)
	}
	t.Flush() // into a strings.Builder, which takes everything
}
