package data

import (
	"path/filepath"

	"github.com/vittool/vittool/data/pack"
	"github.com/vittool/vittool/data/pixels"
)

// packSource is a pack as a Source. Its sample ids are those of the images that were packed, and
// unless some were shortened so are its pixels, to the bit.
type packSource struct {
	*pack.Pack
	dir string
}

func openPack(o Options, dir string) (Source, error) {
	p, err := pack.Open(dir)
	if err != nil {
		return nil, &Error{Path: dir, Problem: "cannot be read", Err: err}
	}
	if p.Channels != o.channels() {
		p.Close()
		return nil, problem(dir, "set data.channels, or pack the images again with it", "the images were packed with %d channels and data.channels is %d", p.Channels, o.channels())
	}
	if p.Len() == 0 {
		p.Close()
		return nil, problem(dir, "pack some images", "the pack is empty")
	}
	return &packSource{p, dir}, nil
}

func (s *packSource) Name(id int) string { return s.Entry(id).Name }
func (s *packSource) Class(id int) int   { return s.Entry(id).Class }
func (s *packSource) Classes() []string  { return s.Header.Classes }
func (s *packSource) Channels() int      { return s.Header.Channels }

// Fingerprint is that of the images that were packed, so that a run may go from a folder to its
// pack and back. Images that were shortened are others.
func (s *packSource) Fingerprint() string {
	if s.Shortened() > 0 {
		return s.Content()
	}
	return s.Source
}

func (s *packSource) Image(id int) (*pixels.Image, error) {
	m, err := s.Pack.Image(id)
	if err != nil {
		return nil, &Error{Path: filepath.Join(s.dir, s.Name(id)), Problem: "cannot be used", Err: err}
	}
	return m, nil
}

// resident marks a source whose images need no cache.
func (s *packSource) resident() {}
