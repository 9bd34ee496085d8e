package tasks

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/decode"
	"github.com/vittool/vittool/data/pixels"
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

// spreadIDs returns n of total sample ids, evenly spread from the first one.
func spreadIDs(total, n int) []int {
	n = min(n, total)
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i * total / n
	}
	return ids
}
