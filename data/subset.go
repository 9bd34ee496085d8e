package data

import "github.com/vittool/vittool/data/pixels"

// Subset returns some images of a source, in the order of ids. It is open as long as the source is.
func Subset(source Source, ids []int) Source { return &subset{source, ids} }

type subset struct {
	Source
	ids []int // of the source
}

func (s *subset) Len() int                           { return len(s.ids) }
func (s *subset) Name(i int) string                  { return s.Source.Name(s.ids[i]) }
func (s *subset) Class(i int) int                    { return s.Source.Class(s.ids[i]) }
func (s *subset) Image(i int) (*pixels.Image, error) { return s.Source.Image(s.ids[i]) }

func (s *subset) reader() reader { return &subsetReader{newReader(s.Source), s.ids} }

type subsetReader struct {
	reader
	ids []int
}

func (r *subsetReader) open(i int) (w, h int, err error) { return r.reader.open(r.ids[i]) }
