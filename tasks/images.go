package tasks

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/decode"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/tasks/pictures"
)

// OpenImages is data.Open, but the path may also be that of one image file.
func OpenImages(o data.Options) (data.Source, error) {
	file, err := os.Open(o.Path)
	if err != nil {
		return data.Open(o) // a pattern, demo:, or an error of its own
	}
	defer file.Close()
	head := make([]byte, 1024)
	n, err := file.Read(head)
	if err != nil || decode.Sniff(head[:n]) == "" {
		if data.HasImageExtension(o.Path) && !isFolder(o.Path) {
			_, err := decode.Decode(head[:n], decode.Options{}) // its error names the format
			return nil, &data.Error{Path: o.Path, Problem: "can't be decoded", Err: err}
		}
		return data.Open(o)
	}
	content, err := os.ReadFile(o.Path)
	if err != nil {
		return nil, &data.Error{Path: o.Path, Problem: "can't be read", Err: err}
	}
	channels := o.Channels
	if channels == 0 {
		channels = 3
	}
	img, err := decode.Decode(content, decode.Options{Channels: channels, MaxPixels: o.MaxPixels})
	if err != nil {
		return nil, &data.Error{Path: o.Path, Problem: "can't be decoded", Err: err}
	}
	return &oneImage{name: filepath.Base(o.Path), image: img, size: len(content)}, nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// oneImage is a source of one decoded image without a label.
type oneImage struct {
	name  string
	image *pixels.Image
	size  int
}

func (s *oneImage) Len() int                         { return 1 }
func (s *oneImage) Name(int) string                  { return s.name }
func (s *oneImage) Class(int) int                    { return -1 }
func (s *oneImage) Classes() []string                { return nil }
func (s *oneImage) Channels() int                    { return s.image.C }
func (s *oneImage) Image(int) (*pixels.Image, error) { return s.image, nil }
func (s *oneImage) Close() error                     { return nil }

// Fingerprint is the digest of name and size, as for a folder.
func (s *oneImage) Fingerprint() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %d", s.name, s.size))
	return hex.EncodeToString(sum[:])
}

// chosenIDs returns the samples that a picture shows: ids or, if that is nil, count of them (0
// means 8), spread evenly.
func chosenIDs(images data.Source, ids []int, count int) ([]int, error) {
	if ids == nil {
		if count < 0 {
			return nil, fmt.Errorf("%d images: at least 1 is needed", count)
		}
		return spreadIDs(images.Len(), cmp.Or(count, 8)), nil
	}
	for _, id := range ids {
		if id < 0 || id >= images.Len() {
			return nil, fmt.Errorf("no image %d among %d: they are numbered from 0", id, images.Len())
		}
	}
	return ids, nil
}

// spreadIDs returns n of total sample ids, evenly spread from the first one.
func spreadIDs(total, n int) []int {
	n = min(n, total)
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i * total / n
	}
	return ids
}

// checkGridSize refuses a grid of pictures that is too large, before they are computed.
func checkGridSize(table pictures.Grid, rows, height, width int) error {
	cells := slices.Repeat([]pictures.Cell{{Image: image.Rect(0, 0, width, height)}}, len(table.Columns))
	table.Rows = slices.Repeat([]pictures.Row{{Caption: "a name", Cells: cells}}, rows)
	if err := table.Check(); err != nil {
		return &configs.Error{Key: "count", Value: strconv.Itoa(rows), Problem: err.Error()}
	}
	return nil
}

// skipReporter adapts a report of unreadable images to that of the loader.
func skipReporter(report func(name string, err error)) func(id int, path string, err error) {
	if report == nil {
		return nil
	}
	return func(_ int, path string, err error) { report(path, err) }
}
